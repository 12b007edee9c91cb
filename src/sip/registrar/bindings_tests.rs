use proptest::prelude::*;

use super::*;

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const AOR: &str = "sip:8001@hotline";

#[test]
fn a_registered_telephone_can_be_rung_until_its_time_is_up() {
    let mut table = Table::default();

    let all = table.register(AOR, &request(1, &["sip:a@h"]), NOW).unwrap();

    assert_eq!(uris(&all), ["sip:a@h"]);
    assert_eq!((all[0].flow, all[0].cseq, all[0].expires_at), ("tcp 1", 1, after(300)), "300 s where nobody says");
    assert_eq!(table.next_expiry(), Some(after(300)));
    assert_eq!(table.bindings(AOR, UnixMs(after(300).0 - 1)), all);
    assert_eq!(table.bindings(AOR, after(300)), []);
    assert_eq!(table.expire(after(300)), [AOR]);
    assert_eq!(table.next_expiry(), None);
    assert!(table.records.is_empty());
}

#[test]
fn the_contact_s_own_time_goes_before_the_request_s() {
    let mut table = Table::default();
    let mut request = request(1, &["sip:a@h", "sip:b@h", "sip:c@h"]);
    request.expires = Some(120);
    request.contacts[1].expires = Some(60);
    request.contacts[2].expires = Some(u32::MAX);

    let all = table.register(AOR, &request, NOW).unwrap();

    assert_eq!(all.iter().map(|it| it.expires_at).collect::<Vec<_>>(), [after(120), after(60), after(3600)]);
    assert_eq!(table.next_expiry(), Some(after(60)));
}

#[test]
fn the_newest_is_rung_first() {
    let mut table = Table::default();
    table.register(AOR, &request(1, &["sip:a@h"]), NOW).unwrap();
    table.register(AOR, &request(2, &["sip:b@h", "sip:c@h"]), NOW).unwrap();
    assert_eq!(uris(&table.bindings(AOR, NOW)), ["sip:b@h", "sip:c@h", "sip:a@h"]);

    let mut refresh = request(3, &["SIP:a@H"]);
    refresh.flow = "tcp 2";
    let all = table.register(AOR, &refresh, after(1)).unwrap();

    assert_eq!(uris(&all), ["SIP:a@H", "sip:b@h", "sip:c@h"]);
    assert_eq!((all[0].flow, all[0].cseq, all[0].expires_at), ("tcp 2", 3, after(301)));
}

#[test]
fn who_names_no_contact_only_asks() {
    let mut table = Table::default();
    let all = table.register(AOR, &request(5, &["sip:a@h"]), NOW).unwrap();

    assert_eq!(table.register(AOR, &request(1, &[]), after(1)), Ok(all));
    assert_eq!(table.register("sip:8002@hotline", &request(1, &[]), NOW), Ok(vec![]));
    assert_eq!(table.records.len(), 1);
}

#[test]
fn a_contact_with_no_time_left_goes() {
    let mut table = Table::default();
    table.register(AOR, &request(1, &["sip:a@h", "sip:b@h"]), NOW).unwrap();
    let mut goodbye = request(2, &["sip:a@h", "sip:never@h"]);
    goodbye.expires = Some(0);

    assert_eq!(uris(&table.register(AOR, &goodbye, NOW).unwrap()), ["sip:b@h"]);
}

#[test]
fn a_star_removes_everything_and_only_with_no_time_and_no_contact() {
    let mut table = Table::default();
    table.register(AOR, &request(1, &["sip:a@h", "sip:b@h"]), NOW).unwrap();
    let star = |cseq, expires, contacts: &[&str]| Register { wildcard: true, expires, ..request(cseq, contacts) };

    assert_eq!(table.register(AOR, &star(2, None, &[]), NOW), Err(Refused::Malformed));
    assert_eq!(table.register(AOR, &star(2, Some(60), &[]), NOW), Err(Refused::Malformed));
    assert_eq!(table.register(AOR, &star(2, Some(0), &["sip:a@h"]), NOW), Err(Refused::Malformed));
    assert_eq!(table.register(AOR, &star(1, Some(0), &[]), NOW), Err(Refused::OutOfOrder));
    assert_eq!(table.bindings(AOR, NOW).len(), 2);
    assert_eq!(table.register(AOR, &star(2, Some(0), &[]), NOW), Ok(vec![]));
    assert_eq!(table.next_expiry(), None);
}

#[test]
fn too_short_a_time_is_refused_and_changes_nothing() {
    let mut table = Table::default();
    for seconds in [1, 59] {
        let mut brief = request(1, &["sip:a@h", "sip:b@h"]);
        brief.contacts[1].expires = Some(seconds);
        assert_eq!(table.register(AOR, &brief, NOW), Err(Refused::TooBrief(60)));
    }
    assert_eq!(table.bindings(AOR, NOW), []);
}

#[test]
fn an_older_request_of_the_same_telephone_changes_nothing() {
    let mut table = Table::default();
    let all = table.register(AOR, &request(7, &["sip:a@h"]), NOW).unwrap();

    assert_eq!(table.register(AOR, &request(6, &["sip:a@h"]), NOW), Err(Refused::OutOfOrder));
    assert_eq!(table.register(AOR, &request(7, &["sip:b@h", "sip:a@h"]), NOW), Err(Refused::OutOfOrder));
    assert_eq!(table.bindings(AOR, NOW), all);

    let restarted = Register { call_id: "after restart".to_owned(), ..request(1, &["sip:a@h"]) };
    assert_eq!(table.register(AOR, &restarted, NOW).unwrap()[0].cseq, 1, "another Call-ID counts anew");
    assert!(table.register(AOR, &request(1, &["sip:a@h"]), NOW).is_ok());
    assert!(table.register(AOR, &request(1, &["sip:a@h"]), after(300)).is_ok(), "what has run out bars nobody");
}

#[test]
fn nobody_has_more_than_ten_contacts_and_the_oldest_gives_way() {
    let mut table = Table::default();
    let many: Vec<String> = (0..11).map(|it| format!("sip:{it}@h")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(table.register(AOR, &request(1, &many), NOW), Err(Refused::TooMany), "at once");
    assert_eq!(table.register(AOR, &request(1, &many[..10]), NOW).unwrap().len(), 10);
    assert_eq!(table.register(AOR, &request(2, &many[..9]), NOW).unwrap().len(), 10, "a refresh takes no more room");

    let after = table.register(AOR, &request(3, &many[10..]), NOW).unwrap();

    assert_eq!((after.len(), uris(&after)[0]), (10, "sip:10@h"));
    assert!(!uris(&after).contains(&"sip:9@h"), "nobody refreshed it");
}

#[test]
fn ten_thousand_register_and_no_more() {
    let mut table = Table::default();
    for desk in 0..10_000 {
        table.register(&format!("sip:{desk}@hotline"), &request(1, &["sip:a@h"]), NOW).unwrap();
    }

    assert_eq!(table.register("sip:more@hotline", &request(1, &["sip:a@h"]), NOW), Err(Refused::TooMany));
    assert_eq!(table.register("sip:more@hotline", &request(1, &[]), NOW), Ok(vec![]));
    assert!(table.register("sip:7@hotline", &request(2, &["sip:a@h"]), after(1)).is_ok());
    assert_eq!(table.expire(after(300)).len(), 9_999);
    assert!(table.register("sip:more@hotline", &request(1, &["sip:a@h"]), after(300)).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut table = Table::default();
    let long = format!("sip:{}@h", "a".repeat(512));
    for contacts in [&["tel:8001"][..], &[""], &["sip:a@h\r\nX: y"], &["sip:a@h", "SIP:a@H"], &[&long]] {
        assert_eq!(table.register(AOR, &request(1, contacts), NOW), Err(Refused::Malformed), "{contacts:?}");
    }
    let mut eager = request(1, &["sip:a@h"]);
    eager.contacts[0].q = Some(1001);
    assert_eq!(table.register(AOR, &eager, NOW), Err(Refused::Malformed));
    assert_eq!(table.register("", &request(1, &["sip:a@h"]), NOW), Err(Refused::Malformed));
    assert_eq!(table.register(&long, &request(1, &["sip:a@h"]), NOW), Err(Refused::Malformed));
    let chatty = Register { call_id: long.clone(), ..request(1, &["sip:a@h"]) };
    assert_eq!(table.register(AOR, &chatty, NOW), Err(Refused::Malformed));
}

#[test]
fn a_lost_connection_takes_its_contacts_along() {
    let mut table = Table::default();
    let over = |flow, uri: &str| Register { flow, call_id: uri.to_owned(), ..request(1, &[uri]) };
    table.register("sip:2@hotline", &over("tcp 1", "sip:a@h"), NOW).unwrap();
    table.register("sip:1@hotline", &over("tcp 1", "sip:a@h"), NOW).unwrap();
    table.register("sip:1@hotline", &over("tcp 2", "sip:b@h"), NOW).unwrap();
    table.register("sip:3@hotline", &over("tcp 2", "sip:c@h"), NOW).unwrap();

    assert_eq!(table.drop_flows(|flow| *flow == "tcp 1"), ["sip:1@hotline", "sip:2@hotline"]);

    assert_eq!(uris(&table.bindings("sip:1@hotline", NOW)), ["sip:b@h"]);
    assert_eq!(table.bindings("sip:2@hotline", NOW), []);
    assert_eq!(uris(&table.bindings("sip:3@hotline", NOW)), ["sip:c@h"]);
    assert_eq!(table.drop_flows(|flow| *flow == "tcp 1"), Vec::<String>::new());
}

proptest! {
    #[test]
    fn whatever_is_asked_the_table_stays_in_order(steps in prop::collection::vec(step(), 0..120)) {
        let (mut table, mut now) = (Table::default(), NOW);
        for step in steps {
            now.0 += step.pause_ms;
            let aor = step.aor.to_string();
            let before = table.bindings(&aor, now);
            match step.what {
                What::Register(request) => {
                    let answer = table.register(&aor, &request, now);
                    let all = table.bindings(&aor, now);
                    match answer {
                        Err(_) => prop_assert_eq!(&all, &before, "a refusal changes nothing"),
                        Ok(told) => {
                            prop_assert_eq!(&told, &all);
                            prop_assert!(!request.wildcard || all.is_empty());
                            let known: HashSet<_> = request.contacts.iter().map(|it| contact::key(&it.uri)).collect();
                            let untouched = |it: &&Binding<u8>| !known.contains(&contact::key(&it.uri));
                            let kept: Vec<_> = before.iter().filter(|_| !request.wildcard).filter(untouched).collect();
                            let others: Vec<_> = all.iter().filter(untouched).collect();
                            prop_assert!(kept.starts_with(&others), "other contacts stay in their order");
                            prop_assert!(others.len() == kept.len() || all.len() == 10, "unless there is no room");
                        }
                    }
                }
                What::Drop(flow) => {
                    let changed = table.drop_flows(|it| *it == flow);
                    let left = table.bindings(&aor, now);
                    prop_assert!(left.iter().all(|it| it.flow != flow));
                    prop_assert!(changed.contains(&aor) || left == before);
                }
                What::Expire => {
                    table.expire(now);
                    prop_assert!(table.next_expiry().is_none_or(|due| due > now));
                    prop_assert_eq!(&table.bindings(&aor, now), &before, "only what nobody sees goes");
                }
            }
            check(&table, now)?;
        }
    }
}

/// What holds whatever happened.
fn check(table: &Table<u8>, now: UnixMs) -> Result<(), TestCaseError> {
    let due: BTreeSet<_> =
        table.records.iter().map(|(aor, all)| (first_due(all).expect("never empty"), Arc::clone(aor))).collect();
    prop_assert_eq!(&due, &table.due);
    for all in table.records.values() {
        prop_assert!((1..=10).contains(&all.len()));
        let keys: HashSet<_> = all.iter().map(|it| contact::key(&it.uri)).collect();
        prop_assert_eq!(keys.len(), all.len(), "no contact twice");
        prop_assert!(all.iter().all(|it| now.until(it.expires_at) <= Duration::from_hours(1)));
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct Step {
    aor: u8,
    pause_ms: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Register(Register<u8>),
    Drop(u8),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = || prop::option::of(prop::sample::select(vec![0, 0, 30, 60, 90, 3600, u32::MAX]));
    let contact = (0..14_u8, seconds(), prop::option::of(0..1100_u16)).prop_map(|(uri, expires, q)| Contact {
        uri: format!("sip:{uri}@h"),
        expires,
        q,
    });
    let contacts = prop::collection::vec(contact, 0..8);
    let register = (0..2_u8, 0..30_u32, contacts, prop::bool::weighted(0.1), seconds(), 0..3_u8);
    let register = register.prop_map(|(call_id, cseq, contacts, wildcard, expires, flow)| {
        What::Register(Register { call_id: call_id.to_string(), cseq, contacts, wildcard, expires, flow })
    });
    let what = prop_oneof![8 => register, 1 => (0..3_u8).prop_map(What::Drop), 1 => Just(What::Expire)];
    (0..3_u8, 0..90_000_i64, what).prop_map(|(aor, pause_ms, what)| Step { aor, pause_ms, what })
}

fn request(cseq: u32, contacts: &[&str]) -> Register<&'static str> {
    let contacts = contacts.iter().map(|uri| Contact { uri: (*uri).to_owned(), expires: None, q: None }).collect();
    Register { call_id: "of the telephone".to_owned(), cseq, contacts, wildcard: false, expires: None, flow: "tcp 1" }
}

fn uris<F>(all: &[Binding<F>]) -> Vec<&str> {
    all.iter().map(|it| it.uri.as_str()).collect()
}

fn after(seconds: i64) -> UnixMs {
    UnixMs(NOW.0 + seconds * 1000)
}
