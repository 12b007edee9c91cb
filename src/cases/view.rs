//! A case as the outside sees it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::sight::Sight;
use crate::domain::{
    calendar::WorkCalendar,
    case::{Actor, By, Card, Case, Inlet, OrderState, Outcome, Part, Phase, Recorded, State},
    city::City,
    draft::{Alternative, Draft, Field, Occurred, Urgency},
    time::UnixMs,
};

/// One case. Times are RFC 3339 with the city's zone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct View {
    pub id: String,
    /// `20261123-000017`; the citizen learns it when the case is confirmed.
    pub number: String,
    pub state: State,
    /// To be sent back with every change.
    pub version: u64,
    pub call_id: Option<String>,
    pub channel: Inlet,
    pub fields: Fields,
    /// Fields that are not shown as they are; `POST …/reveal` shows them for a purpose.
    pub masked: Vec<&'static str>,
    /// The request's own words, where it did not come by voice.
    pub original: Option<String>,
    pub urgency: Urgency,
    pub clocks: Clocks,
    /// What the one who asks may do now.
    pub allowed_actions: Vec<&'static str>,
    /// Key of the city's time classes; absent in a draft.
    pub time_class: Option<String>,
    /// The unit that leads, once dispatched: `WATER` or `371526-ZJ`.
    pub lead: Option<String>,
    /// Units that help.
    pub co: Vec<String>,
    pub orders: Vec<OrderView>,
    /// How it ended, where it has.
    pub outcome: Option<String>,
    /// What the caller was told in the call, or the way they were pointed to.
    pub answer_text: Option<String>,
    /// The case that goes on instead of this one.
    pub merged_into: Option<String>,
    /// Other cases that go on in this one.
    pub joined: Vec<String>,
    pub created: String,
    pub updated: String,
}

/// All fields; every key is always there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Fields {
    pub title: Field<String>,
    pub description: Field<String>,
    /// Code of a leaf of the category tree.
    pub category: Field<String>,
    pub request_type: Field<String>,
    /// Most specific id: area `371526`, town `371526/鱼邱湖街道`, estate `E009`.
    pub place: Field<String>,
    pub address: Field<String>,
    pub caller_name: Field<String>,
    pub callback_phone: Field<String>,
    pub occurred_at: Field<OccurredView>,
    pub wanted: Field<String>,
    pub urgency: Field<Urgency>,
    pub secret: Field<bool>,
}

/// When the matter happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OccurredView {
    /// The caller's words.
    pub text: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The two clocks of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Clocks {
    /// Runs from the confirmation to the end and never starts anew.
    pub citizen_started: Option<String>,
    /// When the leading unit's answer is due.
    pub unit_due: Option<String>,
    pub card: Card,
    /// The leading unit's clock in one line, for people: `红牌：应于 2026-11-30 17:30 回复，已超 1 个工作日`.
    pub why: Option<String>,
    /// A date was counted through a year whose days off are not announced yet: it may still move.
    pub provisional: bool,
    /// When the case ended, by the last end that holds.
    pub citizen_ended: Option<String>,
    /// When the answer was due before it was extended.
    pub original_due: Option<String>,
    /// Until the answer is due, in minutes of the time that counts for the unit; negative once it is late.
    pub remaining_minutes: Option<i64>,
}

/// One unit's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderView {
    pub unit: String,
    pub part: Part,
    pub state: OrderState,
    pub dispatched: String,
    pub sign_due: String,
    pub contact_due: Option<String>,
    /// Until here the unit may give it back.
    pub return_due: Option<String>,
    pub reply_due: String,
}

/// One event of the history.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventView {
    pub seq: u64,
    /// The case's version once it is in.
    pub version: u64,
    pub at: String,
    pub by: By,
    /// The life cycle's action, or `draft`, `edit`, `joined`, `recalculated`.
    pub event: String,
    /// What belongs to the event: the fields of a draft, the values before and after an edit, the units …
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

impl View {
    pub(super) fn of(case: &Case, actor: &Actor, city: &City, calendar: &WorkCalendar, now: UnixMs) -> Self {
        let sight = Sight::of(case, actor);
        let (outcome, answer_text, merged_into) = end_of(case);
        let mut fields = Fields::of(&case.fields);
        let masked = sight.dim(&mut fields, case, city);
        let units =
            |part: Part| case.orders.iter().filter(move |order| order.part == part).map(|order| order.unit.clone());
        Self {
            id: case.id.to_string(),
            number: case.number.clone(),
            state: case.state(),
            version: case.version,
            call_id: case.call.map(|id| id.to_string()),
            channel: case.inlet,
            urgency: case.fields.urgency.value.unwrap_or_default(),
            fields,
            masked,
            original: case.original.clone().and_then(|text| sight.words(text, case)),
            clocks: Clocks::of(case, calendar, now),
            allowed_actions: case.allowed_actions(actor),
            time_class: case.time_class.clone(),
            lead: units(Part::Lead).next(),
            co: units(Part::Co).collect(),
            orders: case.orders.iter().map(OrderView::of).collect(),
            outcome,
            answer_text: answer_text.and_then(|text| sight.words(text, case)),
            merged_into,
            joined: case.joined.iter().map(ToString::to_string).collect(),
            created: WorkCalendar::rfc3339(case.created),
            updated: WorkCalendar::rfc3339(case.updated),
        }
    }
}

impl Clocks {
    fn of(case: &Case, calendar: &WorkCalendar, now: UnixMs) -> Self {
        let clock = case.unit_clock();
        let lead = case.lead().filter(|_| clock.is_some());
        let extended = lead.filter(|order| order.due.extension.is_some());
        Self {
            citizen_started: case.citizen.started.map(WorkCalendar::rfc3339),
            citizen_ended: case.citizen.ended.map(WorkCalendar::rfc3339),
            unit_due: case.unit_due().map(WorkCalendar::rfc3339),
            original_due: extended.map(|order| WorkCalendar::rfc3339(order.due.original_reply())),
            card: case.card(now),
            why: clock.as_ref().and_then(|clock| clock.why(calendar, now)),
            provisional: lead.is_some_and(|order| order.is_provisional(calendar)),
            remaining_minutes: clock.map(|clock| clock.remaining_ms(calendar, now).div_euclid(60_000)),
        }
    }
}

impl Fields {
    /// The fields of a draft, nothing hidden.
    pub fn of(draft: &Draft) -> Self {
        let draft = draft.clone();
        Self {
            title: draft.title,
            description: draft.description,
            category: draft.category,
            request_type: draft.request_type,
            place: draft.place,
            address: draft.address,
            caller_name: draft.caller_name,
            callback_phone: draft.callback_phone,
            occurred_at: occurred(draft.occurred_at),
            wanted: draft.wanted,
            urgency: draft.urgency,
            secret: draft.secret,
        }
    }
}

impl OrderView {
    fn of(order: &crate::domain::case::Order) -> Self {
        Self {
            unit: order.unit.clone(),
            part: order.part,
            state: order.state,
            dispatched: WorkCalendar::rfc3339(order.dispatched),
            sign_due: WorkCalendar::rfc3339(order.due.sign),
            contact_due: order.due.contact.map(WorkCalendar::rfc3339),
            return_due: order.due.give_back.map(WorkCalendar::rfc3339),
            reply_due: WorkCalendar::rfc3339(order.due.reply),
        }
    }
}

impl EventView {
    /// * `case` — the case that the event belongs to, as it is now.
    pub(super) fn of(recorded: &Recorded, case: &Case, actor: &Actor) -> Self {
        let Ok(Value::Object(mut data)) = serde_json::to_value(&recorded.event) else {
            unreachable!("an event is a JSON object");
        };
        let event = data.remove("event").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Sight::of(case, actor).dim_event(&mut data, case);
        let (seq, version, by) = (recorded.seq, recorded.version, recorded.by.clone());
        Self { seq, version, at: WorkCalendar::rfc3339(recorded.at), by, event, data }
    }
}

/// An enumeration's word.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn end_of(case: &Case) -> (Option<String>, Option<String>, Option<String>) {
    match &case.phase {
        Phase::Closed { outcome } | Phase::Archived { outcome } => match outcome {
            Outcome::AnsweredOnSpot { answer_text } => {
                (Some("answered_on_spot".into()), Some(answer_text.clone()), None)
            }
        },
        Phase::NotAccepted { reason, path } => (Some(reason.clone()), Some(path.clone()), None),
        Phase::Merged { parent } => (None, None, Some(parent.to_string())),
        Phase::Void { reason } => (Some(word(reason)), None, None),
        _ => (None, None, None),
    }
}

fn occurred(field: Field<Occurred>) -> Field<OccurredView> {
    let rendered = |occurred: Occurred| OccurredView {
        text: occurred.text,
        from: occurred.from.map(|at| WorkCalendar::rfc3339(UnixMs(at))),
        to: occurred.to.map(|at| WorkCalendar::rfc3339(UnixMs(at))),
    };
    Field {
        value: field.value.map(rendered),
        confidence: field.confidence,
        source: field.source,
        evidence: field.evidence,
        alternatives: field
            .alternatives
            .into_iter()
            .map(|other| Alternative { value: rendered(other.value), confidence: other.confidence })
            .collect(),
    }
}
