//! Stories of one case, and random walks through all of them.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::{
    calendar::WorkCalendar,
    city::City,
    draft::{Field, Source, Urgency},
    ids::UserId,
    role::Role,
};

/// Monday 2026-11-23, 09:00 in the city.
const NOW: UnixMs = UnixMs(1_795_395_600_000);

#[test]
fn a_confirmed_case_is_registered_and_starts_the_citizens_clock() {
    let desk = Desk::new();
    let mut case = desk.draft();
    let after = desk.act(&mut case, &agent(), "confirm", json!({"read_back": true})).expect("confirmed");
    assert_eq!(case.state(), State::Registered);
    assert_eq!(case.citizen.started, Some(NOW));
    assert_eq!(case.time_class.as_deref(), Some("URGENT"), "water is urgent");
    assert_eq!((case.version, case.seq), (2, 2));
    assert_eq!(after.by.role, Some(Role::Agent));
}

#[test]
fn nothing_is_confirmed_without_the_fields_the_recording_and_the_reading_back() {
    let desk = Desk::new();
    let mut empty = desk.draft();
    empty.fields.title = Field::default();
    empty.fields.category = Field::default();
    let confirm = json!({"read_back": true});
    assert_eq!(
        desk.act(&mut empty, &agent(), "confirm", confirm.clone()),
        Err(Refusal::Missing(vec!["title", "category"]))
    );

    let mut case = desk.draft();
    assert!(matches!(desk.act(&mut case, &agent(), "confirm", json!({})), Err(Refusal::Guard { .. })));
    let unrecorded = Desk { recorded: false, ..Desk::new() };
    assert!(matches!(unrecorded.act(&mut case, &agent(), "confirm", confirm.clone()), Err(Refusal::Guard { .. })));
    assert_eq!((case.state(), case.version), (State::Draft, 1));

    let mut web = desk.draft();
    (web.inlet, web.call) = (Inlet::Web, None);
    assert!(desk.act(&mut web, &agent(), "confirm", confirm.clone()).is_err(), "a web request needs its own words");
    web.original = Some("停水两天了".into());
    assert!(desk.act(&mut web, &agent(), "confirm", confirm).is_ok());
}

#[test]
fn a_confirmed_case_is_dispatched_by_the_catalogue() {
    let desk = Desk::new();
    let mut case = desk.registered("0101", "E009");
    desk.act(&mut case, &dispatcher(), "dispatch", json!({})).expect("dispatched");
    let lead = case.lead().expect("one lead");
    assert_eq!(lead.unit, "371526-ZJ");
    assert_eq!(case.orders.iter().map(|order| order.part).collect::<Vec<_>>(), [Part::Lead, Part::Co]);
    assert_eq!(case.time_class.as_deref(), Some("GENERAL"));
    let due = "2026-11-30T17:30:00.000+08:00";
    assert_eq!(case.unit_due().map(WorkCalendar::rfc3339).as_deref(), Some(due));
    let days = |days: i64| UnixMs(NOW.0 + days * 86_400_000);
    assert_eq!([case.card(NOW), case.card(days(5)), case.card(days(8))], [Card::None, Card::Yellow, Card::Red]);
}

#[test]
fn a_dispatcher_may_choose_within_the_rules() {
    let desk = Desk::new();
    let chosen = json!({"lead": "371526-CG", "co": ["ZJ"], "time_class": "EMERGENCY"});
    let mut case = desk.registered("0101", "E009");
    desk.act(&mut case, &dispatcher(), "dispatch", chosen).expect("dispatched");
    assert_eq!(case.orders.iter().map(|order| order.unit.as_str()).collect::<Vec<_>>(), ["371526-CG", "ZJ"]);
    assert_eq!(case.time_class.as_deref(), Some("EMERGENCY"));

    for wrong in [
        json!({"lead": "NOBODY"}),
        json!({"lead": "371526-BUS"}),
        json!({"lead": "371526-TOWN"}),
        json!({"lead": "ZJ", "co": ["ZJ"]}),
        json!({"co": ["CG", "CG"]}),
        json!({"time_class": "REDO"}),
    ] {
        let mut case = desk.registered("0101", "E009");
        assert!(matches!(desk.act(&mut case, &dispatcher(), "dispatch", wrong), Err(Refusal::Guard { .. })));
    }
    let mut case = desk.registered("0101", "E009");
    let refused = desk.act(&mut case, &agent(), "dispatch", json!({})).expect_err("not an agent's");
    assert!(refused.is_right());
}

#[test]
fn an_emergency_is_dispatched_as_one() {
    let desk = Desk::new();
    for (urgency, class) in [(Urgency::SafetyHazard, "URGENT"), (Urgency::EmergencyNow, "EMERGENCY")] {
        let mut case = desk.registered("0101", "E009");
        case.fields.urgency.value = Some(urgency);
        desk.act(&mut case, &dispatcher(), "dispatch", json!({})).expect("dispatched");
        assert_eq!(case.time_class.as_deref(), Some(class));
    }
}

#[test]
fn only_questions_praise_and_suggestions_are_answered_on_the_spot() {
    let desk = Desk::new();
    let mut case = desk.draft();
    let answer = json!({"answer_text": "已告知办理流程"});
    assert!(desk.act(&mut case, &agent(), "answer_on_spot", answer.clone()).is_err(), "a 求助 is handled");
    case.fields.request_type.value = Some("咨询".into());
    assert!(desk.act(&mut case, &agent(), "answer_on_spot", json!({"answer_text": " "})).is_err());
    desk.act(&mut case, &agent(), "answer_on_spot", answer).expect("closed");
    assert_eq!(case.state(), State::Closed);
}

#[test]
fn a_refusal_needs_its_code_the_way_to_go_and_for_nuisance_the_shift_leader() {
    let desk = Desk::new();
    let n2 = json!({"reason": "N2", "path": "向法院起诉"});
    let n7 = json!({"reason": "N7", "path": "已告知后果"});
    for (actor, body) in [(agent(), json!({"reason": "N9", "path": "x"})), (agent(), json!({"reason": "N2"}))] {
        assert!(matches!(desk.act(&mut desk.draft(), &actor, "refuse", body), Err(Refusal::Guard { .. })));
    }
    assert!(desk.act(&mut desk.draft(), &agent(), "refuse", n7.clone()).expect_err("not alone").is_right());
    assert!(desk.act(&mut desk.draft(), &leader(), "refuse", n2.clone()).expect_err("an agent's").is_right());
    for (actor, body) in [(agent(), n2), (leader(), n7)] {
        let mut case = desk.draft();
        desk.act(&mut case, &actor, "refuse", body).expect("not accepted");
        assert_eq!(case.state(), State::NotAccepted);
    }
}

#[test]
fn a_draft_is_voided_by_the_shift_leader_alone() {
    let desk = Desk::new();
    let silent = json!({"reason": "silent"});
    assert!(desk.act(&mut desk.draft(), &agent(), "void", silent.clone()).expect_err("not an agent").is_right());
    assert!(desk.act(&mut desk.draft(), &leader(), "void", json!({})).is_err());
    assert!(matches!(Command::parse("void", json!({"reason": "boring"})), Err(Refusal::Body { .. })));
    let mut case = desk.draft();
    desk.act(&mut case, &leader(), "void", silent).expect("void");
    assert_eq!(case.phase, Phase::Void { reason: VoidReason::Silent });
}

#[test]
fn a_draft_joins_only_a_case_that_has_its_callback_before_it() {
    let parent = CaseId::new(Uuid::from_u128(7));
    for state in State::ALL {
        let desk = Desk { parent: Some(Parent { id: parent, state }), ..Desk::new() };
        let mut case = desk.draft();
        let joined = desk.act(&mut case, &agent(), "merge_into", json!({"parent": parent})).is_ok();
        assert_eq!(joined, state.takes_others(), "{state:?}");
    }
    let desk = Desk::new();
    let mut case = desk.draft();
    assert!(desk.act(&mut case, &agent(), "merge_into", json!({"parent": parent})).is_err(), "there is no such case");
    let itself = case.id;
    assert!(desk.act(&mut case, &agent(), "merge_into", json!({"parent": itself})).is_err());
}

#[test]
fn the_actions_offered_are_those_of_the_role_and_the_state() {
    let desk = Desk::new();
    let draft = desk.draft();
    assert_eq!(draft.allowed_actions(&agent()), ["confirm", "answer_on_spot", "refuse", "merge_into"]);
    assert_eq!(draft.allowed_actions(&leader()), ["refuse", "void"]);
    assert_eq!(draft.allowed_actions(&dispatcher()), ["merge_into"]);
    let mut case = desk.registered("0101", "E009");
    assert!(case.allowed_actions(&agent()).is_empty());
    assert_eq!(case.allowed_actions(&dispatcher()), ["dispatch", "merge_into"]);
    desk.act(&mut case, &dispatcher(), "dispatch", json!({})).expect("dispatched");
    assert!(case.allowed_actions(&person(&Role::ALL)).is_empty(), "signing has no command yet");
}

#[test]
fn moves_without_a_command_are_refused_and_unknown_words_are_unknown() {
    for action in ["sign", "reply", "callback_done", "archive", "progress"] {
        assert_eq!(Command::parse(action, json!({})), Err(Refusal::Unavailable { action: known(action) }));
    }
    assert_eq!(Command::parse("resolve", json!({})), Err(Refusal::Unknown("resolve".into())));
    assert!(matches!(Command::parse("confirm", json!([])), Err(Refusal::Body { .. })));
    assert_eq!(Command::parse("confirm", Value::Null), Ok(Command::Confirm(Confirm { read_back: false })));
}

#[test]
fn fields_are_corrected_until_the_case_is_out_of_the_house() {
    let desk = Desk::new();
    let mut case = desk.draft();
    let edit = |category: &str| Command::Edit {
        fields: Box::new(serde_json::from_value(json!({"category": category})).expect("edits")),
    };
    desk.run(&mut case, &agent(), edit("0101")).expect("corrected");
    assert_eq!(case.fields.category.source, Some(Source::Operator));
    assert_eq!(case.version, 2);
    assert!(desk.run(&mut case, &agent(), edit("0101")).is_err(), "nothing would change");
    assert!(desk.run(&mut case, &dispatcher(), edit("0102")).expect_err("not yet theirs").is_right());
    assert!(matches!(desk.run(&mut case, &agent(), edit("0000")), Err(Refusal::Fields(_))));
    desk.act(&mut case, &agent(), "confirm", json!({"read_back": true})).expect("confirmed");
    desk.run(&mut case, &dispatcher(), edit("0102")).expect("the dispatcher knows better");
    desk.act(&mut case, &dispatcher(), "dispatch", json!({})).expect("dispatched");
    assert!(matches!(desk.run(&mut case, &agent(), edit("0101")), Err(Refusal::State { .. })));
}

#[test]
fn a_unit_sees_its_own_orders_and_an_administrator_none() {
    let desk = Desk::new();
    let mut case = desk.registered("0101", "E009");
    desk.act(&mut case, &dispatcher(), "dispatch", json!({})).expect("dispatched");
    let of = |unit: &str| of_unit(unit);
    assert!(case.is_visible_to(&of("371526-ZJ")) && case.is_visible_to(&of("371526-TOWN")));
    assert!(!case.is_visible_to(&of("371521-ZJ")) && !case.is_visible_to(&of("ZJ")));
    assert!(!case.is_visible_to(&person(&[Role::Sysadmin])));
    assert!(case.is_visible_to(&agent()));
}

#[test]
fn a_damaged_history_is_named_and_not_guessed() {
    let desk = Desk::new();
    let mut case = desk.draft();
    let id = case.id;
    let history = vec![desk.first(), desk.act(&mut case, &agent(), "confirm", json!({"read_back": true})).expect("ok")];
    assert_eq!(Case::replay(id, history.clone()), Ok(case));
    assert_eq!(Case::replay(id, []), Err(ReplayError::Empty(id)));
    assert!(Case::replay(id, history[1..].to_vec()).is_err(), "the beginning is missing");
    let twice = [history[0].clone(), history[1].clone(), history[1].clone()];
    assert!(Case::replay(id, twice).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whoever asks for whatever: what was granted was offered or an edit, replaying gives the same case, the version
    /// never falls, and a signed case has no other end than its call-back.
    #[test]
    fn any_walk_keeps_the_rules(steps in proptest::collection::vec((0..6_usize, 0..WISHES.len()), 1..24)) {
        let desk = Desk { parent: Some(Parent { id: CaseId::new(Uuid::from_u128(7)), state: State::Handling }), ..Desk::new() };
        let mut case = desk.draft();
        let mut history = vec![desk.first()];
        for (who, what) in steps {
            let actor = everybody(who);
            let (action, body) = WISHES[what];
            let body: Value = serde_json::from_str(body).expect("a wish is JSON");
            let command = if action == "edit" {
                Command::Edit { fields: Box::new(serde_json::from_value(body).expect("edits")) }
            } else {
                let Ok(command) = Command::parse(action, body) else { continue };
                command
            };
            let offered = case.allowed_actions(&actor);
            let before = case.clone();
            if let Ok(recorded) = desk.run(&mut case, &actor, command) {
                prop_assert!(action == "edit" || offered.contains(&action), "{action} was not offered");
                prop_assert!(case.version > before.version && case.seq == before.seq + 1);
                let ended = matches!(case.state(), State::Closed | State::NotAccepted | State::Void);
                prop_assert!(!(before.ever_signed && ended) || before.state() == State::Callback);
                history.push(recorded);
            } else {
                prop_assert_eq!(&case, &before, "a refusal changes nothing");
            }
            prop_assert_eq!(Case::replay(case.id, history.clone()), Ok(case.clone()));
            for stored in &history {
                let text = serde_json::to_string(&stored.event).expect("text");
                prop_assert_eq!(&serde_json::from_str::<Event>(&text).expect("an event"), &stored.event);
            }
        }
    }
}

const WISHES: &[(&str, &str)] = &[
    ("confirm", r#"{"read_back": true}"#),
    ("confirm", "{}"),
    ("answer_on_spot", r#"{"answer_text": "已答复"}"#),
    ("refuse", r#"{"reason": "N1", "path": "拨打110"}"#),
    ("refuse", r#"{"reason": "N7", "path": "告知"}"#),
    ("void", r#"{"reason": "test"}"#),
    ("merge_into", r#"{"parent": "00000000-0000-0000-0000-000000000007"}"#),
    ("dispatch", "{}"),
    ("dispatch", r#"{"lead": "WATER", "co": [], "time_class": "URGENT"}"#),
    ("edit", r#"{"request_type": "咨询"}"#),
    ("edit", r#"{"request_type": "投诉", "category": "0101", "place": "E009"}"#),
    ("edit", r#"{"urgency": "emergency_now"}"#),
    ("edit", r#"{"title": null}"#),
    ("edit", r#"{"title": "停水"}"#),
    ("sign", "{}"),
    ("callback_done", "{}"),
];

fn everybody(index: usize) -> Actor {
    match index {
        0 => agent(),
        1 => leader(),
        2 => dispatcher(),
        3 => person(&[Role::Reviewer, Role::Callback, Role::Supervisor]),
        4 => of_unit("WATER"),
        _ => Actor::System,
    }
}

struct Desk {
    city: City,
    calendar: WorkCalendar,
    recorded: bool,
    parent: Option<Parent>,
}

impl Desk {
    fn new() -> Self {
        let city: City = serde_json::from_str(include_str!("../../../config/demo-city.json")).expect("the demo city");
        let calendar = WorkCalendar::new(&city.calendar).expect("a calendar");
        Self { city, calendar, recorded: true, parent: None }
    }

    fn first(&self) -> Recorded {
        let heard = |text: &str| Field {
            value: Some(text.to_owned()),
            confidence: 0.9,
            source: Some(Source::Speech),
            ..Field::default()
        };
        let fields = Draft {
            title: heard("停水"),
            description: heard("从昨晚八点就停水了"),
            category: heard("0202"),
            request_type: heard("求助"),
            place: heard("E003"),
            ..Draft::default()
        };
        let event = Event::Draft {
            number: "20261123-000001".into(),
            inlet: Inlet::Phone,
            call: Some(CallId::new(Uuid::from_u128(2))),
            original: None,
            fields: Box::new(fields),
        };
        assert!(self.city.leaf("0202").is_some());
        Case::first(event, Actor::System.acting_as(None), NOW)
    }

    fn draft(&self) -> Case {
        Case::replay(CaseId::new(Uuid::from_u128(1)), [self.first()]).expect("a draft")
    }

    fn registered(&self, category: &str, place: &str) -> Case {
        let mut case = self.draft();
        case.fields.category.value = Some(category.into());
        case.fields.place.value = Some(place.into());
        self.act(&mut case, &agent(), "confirm", json!({"read_back": true})).expect("confirmed");
        case
    }

    fn act(&self, case: &mut Case, actor: &Actor, action: &str, body: Value) -> Result<Recorded, Refusal> {
        self.run(case, actor, Command::parse(action, body)?)
    }

    fn run(&self, case: &mut Case, actor: &Actor, command: Command) -> Result<Recorded, Refusal> {
        let facts = Facts { city: &self.city, calendar: &self.calendar, recorded: self.recorded, parent: self.parent };
        let decision = case.decide(command, actor, &facts, NOW)?;
        Ok(case.record(decision.event, decision.by, NOW).expect("what was decided can be recorded"))
    }
}

fn person(roles: &[Role]) -> Actor {
    Actor::Person { user: UserId::new(Uuid::from_u128(9)), name: "li".into(), roles: roles.to_vec(), unit: None }
}

fn of_unit(unit: &str) -> Actor {
    let roles = vec![Role::UnitLiaison, Role::UnitHandler, Role::UnitLeader];
    Actor::Person { user: UserId::new(Uuid::from_u128(8)), name: "wang".into(), roles, unit: Some(unit.into()) }
}

fn agent() -> Actor {
    person(&[Role::Agent])
}

fn leader() -> Actor {
    person(&[Role::ShiftLeader])
}

fn dispatcher() -> Actor {
    person(&[Role::Dispatcher])
}

fn known(action: &str) -> &'static str {
    TRANSITIONS.iter().flat_map(Transition::actions).find(|name| *name == action).expect("an action of the table")
}
