//! What is derived from the events, held against them.

use std::collections::BTreeMap;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use super::*;
use crate::{
    cases::{Rebuild, rebuild, snapshot::case_of},
    store::Which,
};

/// Editors at once, cases they share, edits each of them makes.
const EDITORS: usize = 20;
const CASES: usize = 5;
const EDITS: usize = 3;

on_every_database! {
    async fn damaged_views_are_made_anew_from_the_events(test: TestStore) {
        let house = House::new(&test);
        let id = house.dispatched().await;
        house.corrected().await;
        let before = everything(&test).await;
        let unharmed = rebuild(&test.store, Rebuild::Check, |_, _| {}).await.expect("compared");
        assert_eq!((unharmed.cases, unharmed.differed, unharmed.first), (2, 0, None));
        for (damage, part) in [
            ("UPDATE cases SET state = 'void', version = 77, unit_due = 1", "row"),
            ("UPDATE cases SET number = number || 'x', search = 'nothing', created = 0", "row"),
            ("UPDATE cases SET view = '{}'", "row"),
            ("UPDATE cases SET shape = 0", "row"),
            ("DELETE FROM case_units", "units"),
            ("UPDATE case_units SET state = 'closed'", "units"),
            ("DELETE FROM case_words", "words"),
            ("DELETE FROM corrections", "corrections"),
            ("UPDATE corrections SET heard = '\"nothing\"'", "corrections"),
        ] {
            test.meddle(damage).await;
            let found = rebuild(&test.store, Rebuild::Check, |_, _| {}).await.expect("compared");
            assert_eq!(found.first.map(|(_, part)| part), Some(part), "{damage}");
            assert_ne!(everything(&test).await, before, "a comparison mends nothing: {damage}");
            let mut told = Vec::new();
            let made = rebuild(&test.store, Rebuild::All, |done, of| told.push((done, of))).await.expect("made anew");
            assert_eq!((made.differed, told.last()), (found.differed, Some(&(2, 2))));
            assert_eq!(everything(&test).await, before, "{damage}");
        }
        let page = house.cases.list(Wanted { q: Some("停水".into()), unit: Some("WATER".into()), limit: 9, ..Wanted::default() }, &agent()).await;
        assert_eq!(page.expect("a page").0[0].id, id.to_string());
    }

    async fn a_view_of_another_version_is_read_from_the_events_until_its_turn_comes(test: TestStore) {
        let house = House::new(&test);
        let id = house.dispatched().await;
        let before = house.cases.get(id, &agent()).await.expect("the case");
        test.meddle("UPDATE cases SET shape = 0, view = ''").await;
        assert_eq!(house.cases.get(id, &agent()).await.expect("from its events"), before);
        let all = Wanted { limit: 9, ..Wanted::default() };
        assert_eq!(house.cases.list(all, &agent()).await.expect("a page").0, [before]);
        assert_eq!(rebuild(&test.store, Rebuild::Outdated, |_, _| {}).await.expect("made anew").differed, 1);
        assert_eq!(rebuild(&test.store, Rebuild::Outdated, |_, _| {}).await.expect("nothing left").cases, 0);
    }

    async fn whatever_people_do_the_view_is_what_the_events_tell(test: TestStore) {
        let house = House::new(&test);
        let steps = proptest::collection::vec((0..WISHES.len(), 0..3_usize), 1..9);
        let mut runner = TestRunner::deterministic();
        for walk in 0..24_i64 {
            test.clock.set(UnixMs(MONDAY_NINE.0 + walk * 60_000));
            let call = house.call(Some("停水了")).await;
            let id = house.drafted(call).await;
            for (wish, who) in steps.new_tree(&mut runner).expect("steps").current() {
                let actor = [agent(), dispatcher(), person(&[Role::ShiftLeader], None)][who].clone();
                let version = house.cases.get(id, &agent()).await.expect("the case").version;
                let (action, body) = WISHES[wish];
                let body: Value = serde_json::from_str(body).expect("JSON");
                // Many wishes are refused; those that are not must leave the views right.
                let _ = match action {
                    "edit" => {
                        let fields = Box::new(serde_json::from_value(body).expect("edits"));
                        house.cases.run(id, version, Command::Edit { fields }, &actor).await
                    }
                    action => house.cases.act(id, version, action, body, &actor).await,
                };
            }
            let row = test.store.case_row(id).await.expect("a look").expect("a row");
            let told = Case::replay(id, history(test.store.case_events(id).await.expect("events")).expect("read"));
            assert_eq!(case_of(&test.store, row).await.expect("the view"), told.expect("the history"));
        }
        let found = rebuild(&test.store, Rebuild::Check, |_, _| {}).await.expect("compared");
        assert_eq!((found.cases, found.first), (24, None));
    }

    async fn a_search_finds_exact_words_and_goes_on_where_the_page_before_ended(test: TestStore) {
        let house = House::new(&test);
        let mut ids = Vec::new();
        for place in 0..5_i64 {
            // Two cases of each moment.
            test.clock.set(UnixMs(MONDAY_NINE.0 + place / 2));
            let call = house.call(Some("停水了")).await;
            let id = house.drafted(call).await;
            let title = format!("光岳新村{place}号楼停水");
            house.edit(id, 1, json!({"title": title, "description": "从昨晚起没有水"})).await;
            ids.push(id.to_string());
        }
        let find = async |q: &str, limit: u32| {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let wanted = Wanted { q: Some(q.into()), limit, after, ..Wanted::default() };
                let (page, next) = house.cases.list(wanted, &agent()).await.expect("a page");
                found.extend(page.into_iter().map(|view| view.id));
                after = next;
                if after.is_none() {
                    return found;
                }
            }
        };
        let mut all = find("停水", 2).await;
        assert_eq!(all, find("停水", 50).await, "pages have the order of the whole");
        all.sort();
        ids.sort();
        assert_eq!(all, ids);
        for (q, hits) in [
            ("3号楼", 1), ("光岳新村 没有水", 5), ("停", 5), ("20261123-000004", 1), ("20261123", 5), ("000004", 1),
            ("新村号", 0), ("水停", 0), ("！？", 0), ("昨晚 煤气", 0), ("13号楼", 0), ("\"停水\" OR 煤气*", 0), ("'停水':*", 5),
        ] {
            assert_eq!(find(q, 50).await.len(), hits, "{q}");
        }
    }

    async fn parallel_editors_lose_no_update(test: TestStore) {
        let house = House::new(&test);
        let mut cases = Vec::new();
        for _ in 0..CASES {
            let call = house.call(Some("停水了")).await;
            cases.push(house.drafted(call).await);
        }
        let editors: Vec<_> = (0..EDITORS)
            .map(|editor| {
                let (services, case) = (house.cases.clone(), cases[editor % CASES]);
                tokio::spawn(async move {
                    let mut tries = 0;
                    for edit in 0..EDITS {
                        let title = format!("{editor}号第{edit}次");
                        loop {
                            tries += 1;
                            let version = services.get(case, &AGENT).await.expect("the case").version;
                            let fields = serde_json::from_value(json!({"title": title})).expect("edits");
                            match services.run(case, version, Command::Edit { fields: Box::new(fields) }, &AGENT).await {
                                Ok(view) => {
                                    assert_eq!(view.version, version + 1, "nobody's edit is written over unseen");
                                    break;
                                }
                                Err(CaseError::Stale { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    tries
                })
            })
            .collect();
        let mut tries = 0;
        for editor in editors {
            tries += editor.await.expect("an editor ends");
        }
        assert!(tries >= EDITORS * EDITS);
        let mut accepted = BTreeMap::new();
        for case in cases {
            let view = house.cases.get(case, &agent()).await.expect("the case");
            assert_eq!(usize::try_from(view.version), Ok(1 + EDITORS / CASES * EDITS), "every edit made one version");
            for event in house.cases.events(case, &agent()).await.expect("a history").iter().skip(1) {
                *accepted.entry(event.data["fields"]["title"].to_string()).or_insert(0) += 1;
            }
        }
        assert_eq!(accepted.len(), EDITORS * EDITS, "each is in a history: {accepted:?}");
        assert!(accepted.values().all(|times| *times == 1), "and once");
        assert_eq!(rebuild(&test.store, Rebuild::Check, |_, _| {}).await.expect("compared").first, None);
    }
}

/// What people try, sensible or not.
const WISHES: [(&str, &str); 9] = [
    ("edit", r#"{"title": "三号楼停水", "wanted": "恢复供水"}"#),
    ("edit", r#"{"category": "0501", "place": "E003"}"#),
    ("edit", r#"{"category": null, "caller_name": "张三", "urgency": "safety_hazard"}"#),
    ("edit", r#"{"secret": true}"#),
    ("edit", r#"{"secret": false, "description": "没有水了"}"#),
    ("confirm", r#"{"read_back": true}"#),
    ("dispatch", r#"{"lead": "WATER", "co": ["GAS"]}"#),
    ("answer_on_spot", r#"{"answer_text": "今晚恢复"}"#),
    ("refuse", r#"{"reason": "N1", "path": "请拨打110"}"#),
];

impl House {
    /// A case that a unit has.
    async fn dispatched(&self) -> CaseId {
        let call = self.call(Some("停水了")).await;
        let id = self.drafted(call).await;
        self.cases.act(id, 1, "confirm", json!({"read_back": true}), &agent()).await.expect("confirmed");
        let lead = json!({"lead": "WATER", "co": ["GAS"]});
        self.cases.act(id, 2, "dispatch", lead, &dispatcher()).await.expect("dispatched");
        id
    }

    /// A draft whose category was heard wrong.
    async fn corrected(&self) {
        let call = self.call(Some("停水了")).await;
        let id = self.drafted(call).await;
        self.edit(id, 1, json!({"category": "0501", "title": "水管坏了"})).await;
    }

    async fn edit(&self, id: CaseId, version: u64, fields: Value) {
        let fields = Box::new(serde_json::from_value(fields).expect("edits"));
        self.cases.run(id, version, Command::Edit { fields }, &agent()).await.expect("corrected");
    }
}

/// All cases with all that is derived from them, as text.
async fn everything(test: &TestStore) -> String {
    let mut tx = test.store.begin().await.expect("a writer");
    let all = tx.cases_as_stored(Which::All, None, 100).await.expect("all");
    tx.roll_back().await.expect("left alone");
    format!("{all:#?}")
}
