//! Stories from the heard call to the dispatched case, on a real database.

mod calendar;
mod views;

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        call::{Direction, EndReason, RecordingState},
        draft::{Field, Source},
        ids::UserId,
        role::Role,
        transcript::Utterance,
    },
    jobs::{Kind, Queue},
    store::{
        CallRow, StoredRecording,
        testing::{MONDAY_NINE, TestStore, on_every_database},
    },
    telemetry::Private,
};

on_every_database! {
    async fn a_heard_call_becomes_a_draft_once(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        let id = house.drafted(call).await;
        let view = house.cases.get(id, &agent()).await.expect("the draft");
        assert_eq!((view.number.as_str(), view.state, view.version), ("20261123-000001", State::Draft, 1));
        assert_eq!(view.call_id, Some(call.to_string()));
        assert_eq!(view.allowed_actions, ["confirm", "answer_on_spot", "refuse", "merge_into"]);
        assert_eq!(view.fields.category.value.as_deref(), Some("0202"));
        let row = test.store.call(call).await.expect("a look").expect("the call");
        assert_eq!(row.case_id, Some(id));

        let mut tx = test.store.begin().await.expect("a writer");
        let heard = transcript(Some("停水了"));
        let again = house.cases.draft_from_call(&mut tx, call, &heard, fields()).await.expect("an answer");
        assert_eq!(again, Drafted::Case(id), "the same call makes no second case");
    }

    async fn a_caller_who_did_not_speak_is_called_back(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(None).await;
        house.draft(call).await;
        let owed = test.store.callbacks(Some(CallbackKind::Missed), None, None, 10).await.expect("a list");
        assert_eq!((owed.len(), owed[0].call_id, owed[0].reason.as_str()), (1, Some(call), "silent"));
        let (cases, _) = house.cases.list(Wanted { limit: 10, ..Wanted::default() }, &agent()).await.expect("a list");
        assert!(cases.is_empty());
    }

    async fn a_draft_is_corrected_confirmed_and_dispatched(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        let id = house.drafted(call).await;
        let edit = Command::Edit {
            fields: Box::new(serde_json::from_value(json!({"title": "三号楼停水"})).expect("edits")),
        };
        let view = house.cases.run(id, 1, edit, &agent()).await.expect("corrected");
        assert_eq!((view.version, view.fields.title.source), (2, Some(Source::Operator)));
        let view = house.cases.act(id, 2, "confirm", json!({"version": 2, "read_back": true}), &agent()).await;
        assert_eq!(view.expect("confirmed").clocks.citizen_started.as_deref(), Some("2026-11-23T09:00:00.000+08:00"));
        let view = house.cases.act(id, 3, "dispatch", json!({"version": 3}), &dispatcher()).await.expect("dispatched");
        assert_eq!((view.state, view.lead.as_deref(), view.version), (State::Dispatched, Some("WATER"), 4));
        assert_eq!(view.clocks.unit_due.as_deref(), Some("2026-11-25T09:00:00.000+08:00"), "two days, round the clock");

        let events = house.cases.events(id, &agent()).await.expect("a history");
        let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        assert_eq!(names, ["draft", "edit", "confirm", "dispatch"]);
        assert_eq!(events[1].data["was"]["title"]["value"], "停水", "the machine's value is kept");
        assert_eq!(events[1].data["fields"]["title"], "三号楼停水");
        assert_eq!(events[1].by.name, "li");

        let row = test.store.case_row(id).await.expect("a look").expect("a row");
        let replayed = Case::replay(id, history(test.store.case_events(id).await.expect("events")).expect("read"));
        assert_eq!(row_of(&replayed.expect("a case")), row, "the row is what the events say");
    }

    async fn two_people_on_one_case_the_second_hears_what_changed(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        let id = house.drafted(call).await;
        let confirm = || house.cases.act(id, 1, "confirm", json!({"read_back": true}), &AGENT);
        let (one, two) = tokio::join!(confirm(), confirm());
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        assert_eq!(won.expect("one of them").version, 2);
        match lost.expect_err("the other") {
            CaseError::Stale { version: 2, since, .. } => {
                assert_eq!(since.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["confirm"]);
            }
            other => panic!("{other}"),
        }
        assert!(matches!(
            house.cases.act(id, 9, "dispatch", json!({}), &dispatcher()).await,
            Err(CaseError::Stale { version: 2, .. })
        ));
    }

    async fn a_case_waits_for_its_recording(test: TestStore) {
        let house = House::new(&test);
        let call = house.open_call().await;
        let id = house.drafted(call).await;
        let confirm = json!({"read_back": true});
        let refused = house.cases.act(id, 1, "confirm", confirm.clone(), &agent()).await;
        assert!(matches!(refused, Err(CaseError::Refused(Refusal::Guard { .. }))));
        house.seal(call).await;
        house.cases.act(id, 1, "confirm", confirm, &agent()).await.expect("confirmed");
    }

    async fn a_joined_case_is_noted_at_the_one_that_goes_on(test: TestStore) {
        let house = House::new(&test);
        let (first, second) = (house.call(Some("停水了")).await, house.call(Some("还没水")).await);
        let (parent, child) = (house.drafted(first).await, house.drafted(second).await);
        let merge = json!({"parent": parent});
        assert!(house.cases.act(child, 1, "merge_into", merge.clone(), &agent()).await.is_err(), "a draft takes none");
        house.cases.act(parent, 1, "confirm", json!({"read_back": true}), &agent()).await.expect("confirmed");
        let view = house.cases.act(child, 1, "merge_into", merge, &agent()).await.expect("joined");
        assert_eq!((view.state, view.merged_into), (State::Merged, Some(parent.to_string())));
        let parent = house.cases.get(parent, &agent()).await.expect("it goes on");
        assert_eq!((parent.joined, parent.version), (vec![child.to_string()], 2), "nobody's edit is stale for that");
        house.cases.act(parent.id.parse().expect("an id"), 2, "dispatch", json!({}), &dispatcher()).await.expect("on");
    }

    async fn what_one_may_not_see_does_not_exist(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        let id = house.drafted(call).await;
        let water = person(&[Role::UnitLiaison], Some("WATER"));
        let auditor = person(&[Role::Auditor], None);
        for stranger in [&water, &auditor] {
            assert!(matches!(house.cases.get(id, stranger).await, Err(CaseError::NotFound(_))));
            let acted = house.cases.act(id, 1, "nonsense", json!({}), stranger).await;
            assert!(matches!(acted, Err(CaseError::NotFound(_))));
            assert!(house.cases.events(id, stranger).await.is_err());
        }
        house.cases.act(id, 1, "confirm", json!({"read_back": true}), &agent()).await.expect("confirmed");
        house.cases.act(id, 2, "dispatch", json!({}), &dispatcher()).await.expect("dispatched");
        assert_eq!(house.cases.get(id, &water).await.expect("its order").lead.as_deref(), Some("WATER"));
        let all = Wanted { limit: 10, ..Wanted::default() };
        assert_eq!(house.cases.list(all.clone(), &water).await.expect("a list").0.len(), 1);
        let gas = person(&[Role::UnitLiaison], Some("GAS"));
        let foreign = Wanted { unit: Some("WATER".into()), ..all.clone() };
        assert!(house.cases.list(foreign, &gas).await.expect("a list").0.is_empty());
        assert!(house.cases.list(all, &auditor).await.expect("a list").0.is_empty());
        let nothing = CaseId::new(Uuid::nil());
        assert!(matches!(house.cases.get(nothing, &agent()).await, Err(CaseError::NotFound(_))));
    }

    async fn a_secret_callers_name_number_and_words_are_not_for_the_unit(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        let id = house.drafted(call).await;
        let edits = json!({"secret": true, "caller_name": "张三", "callback_phone": "13800000000"});
        let edit = Command::Edit { fields: Box::new(serde_json::from_value(edits).expect("edits")) };
        house.cases.run(id, 1, edit, &agent()).await.expect("corrected");
        house.cases.act(id, 2, "confirm", json!({"read_back": true}), &agent()).await.expect("confirmed");
        house.cases.act(id, 3, "dispatch", json!({}), &dispatcher()).await.expect("dispatched");
        let water = person(&[Role::UnitHandler], Some("WATER"));
        let seen = serde_json::to_string(&house.cases.get(id, &water).await.expect("its order")).expect("JSON");
        let told = serde_json::to_string(&house.cases.events(id, &water).await.expect("a history")).expect("JSON");
        for word in ["张三", "13800000000"] {
            assert!(!seen.contains(word) && !told.contains(word), "{word}");
        }
        let ours = house.cases.get(id, &agent()).await.expect("ours");
        assert_eq!(ours.fields.caller_name.value.as_deref(), Some("张**"), "masked until somebody says what for");
    }

    async fn lists_go_on_where_the_page_before_ended(test: TestStore) {
        let house = House::new(&test);
        let mut ids = Vec::new();
        for minute in 0..5 {
            // Ids of one millisecond have no order among themselves.
            test.clock.set(UnixMs(MONDAY_NINE.0 + minute * 60_000));
            let call = house.call(Some("停水了")).await;
            ids.push(house.drafted(call).await.to_string());
        }
        ids.reverse();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = house.cases.list(Wanted { limit: 2, after, ..Wanted::default() }, &agent()).await.expect("a page");
            found.extend(page.into_iter().map(|view| view.id));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, ids);
    }

    async fn the_drafter_drafts_what_was_heard_and_gives_up_on_what_cannot_be(test: TestStore) {
        let house = House::new(&test);
        let call = house.call(Some("停水了")).await;
        house.queue.enqueue(Kind::Draft, "no call").await.expect("added");
        house.queue.enqueue(Kind::Draft, call).await.expect("added");
        let stopping = CancellationToken::new();
        let draftsman: Draftsman = Arc::new(|_, caller, _| {
            assert_eq!(caller, Some("13800000000"));
            fields()
        });
        let drafter = tokio::spawn(drafter_loop(house.cases.clone(), house.queue.clone(), draftsman, stopping.clone()));
        let bound = Duration::from_secs(20);
        let case = tokio::time::timeout(bound, async {
            loop {
                // Jobs of one millisecond are taken in any order: both have to be done with before the drafter is stopped.
                let case = test.store.call(call).await.expect("a look").expect("the call").case_id;
                if let Some(id) = case && !house.queue.dead_letters().await.expect("a list").is_empty() {
                    break id;
                }
                tokio::task::yield_now().await;
            }
        });
        let case = case.await.expect("drafted in time");
        house.cases.get(case, &agent()).await.expect("a draft");
        stopping.cancel();
        tokio::time::timeout(bound, drafter).await.expect("stopped in time").expect("no panic");
        let letters = house.queue.dead_letters().await.expect("a list");
        assert_eq!(letters.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["no call"]);
    }
}

const DEMO: &str = include_str!("../../config/demo-city.json");

struct House {
    cases: Cases,
    queue: Queue,
}

impl House {
    fn new(test: &TestStore) -> Self {
        Self::of(test.store.clone())
    }

    fn of(store: Store) -> Self {
        let city = serde_json::from_str(DEMO).expect("the demo city is read");
        let cases = Cases::new(store.clone(), Arc::new(city)).expect("a calendar");
        Self { cases, queue: Queue::new(store) }
    }

    /// A call that goes on.
    async fn open_call(&self) -> CallId {
        let store = self.cases.store();
        let id = CallId::new(store.clock().uuid());
        let caller = Some(Private("13800000000".into()));
        let row = CallRow::begun(id, Direction::Inbound, caller, "12345".into(), store.clock().now());
        let mut tx = store.begin().await.expect("a writer");
        tx.add_call(&row).await.expect("added");
        tx.put_transcript(id, &transcript(Some("停水了"))).await.expect("heard");
        tx.commit().await.expect("committed");
        id
    }

    async fn seal(&self, call: CallId) {
        let recording = StoredRecording { key: format!("{call}.wav"), sha256: "00".into(), samples: 8000 };
        let now = self.cases.store().clock().now();
        self.queue
            .call_ended(call, now, EndReason::CallerHungUp, RecordingState::Sealed, Some(&recording), None)
            .await
            .expect("ended");
    }

    /// A call that is over, recorded and heard.
    async fn call(&self, said: Option<&str>) -> CallId {
        let call = self.open_call().await;
        self.seal(call).await;
        let mut tx = self.cases.store().begin().await.expect("a writer");
        tx.put_transcript(call, &transcript(said)).await.expect("heard");
        tx.commit().await.expect("committed");
        call
    }

    async fn draft(&self, call: CallId) -> Drafted {
        let transcript = self.cases.store().transcript(call).await.expect("a look").expect("heard");
        let mut tx = self.cases.store().begin().await.expect("a writer");
        let drafted = self.cases.draft_from_call(&mut tx, call, &transcript, fields()).await.expect("drafted");
        tx.commit().await.expect("committed");
        drafted
    }

    async fn drafted(&self, call: CallId) -> CaseId {
        match self.draft(call).await {
            Drafted::Case(id) => id,
            Drafted::Missed => panic!("the caller spoke"),
        }
    }
}

fn transcript(said: Option<&str>) -> Transcript {
    let utterance =
        |channel, text: &str| Utterance { channel, start_ms: 0, end_ms: 900, text: text.into(), confidence: 0.9 };
    let mut utterances = vec![utterance(Channel::Operator, "您好")];
    utterances.extend(said.map(|text| utterance(Channel::Caller, text)));
    Transcript { utterances, r#final: true }
}

fn fields() -> Draft {
    let heard = |text: &str| Field {
        value: Some(text.to_owned()),
        confidence: 0.9,
        source: Some(Source::Speech),
        ..Field::default()
    };
    Draft {
        title: heard("停水"),
        description: heard("停水了"),
        category: heard("0202"),
        request_type: heard("求助"),
        ..Draft::default()
    }
}

static AGENT: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(agent);

fn person(roles: &[Role], unit: Option<&str>) -> Actor {
    let user = UserId::new(Uuid::from_u128(9));
    Actor::Person { user, name: "li".into(), roles: roles.to_vec(), unit: unit.map(str::to_owned) }
}

fn agent() -> Actor {
    person(&[Role::Agent], None)
}

fn dispatcher() -> Actor {
    person(&[Role::Dispatcher], None)
}
