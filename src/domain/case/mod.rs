//! A case (工单) as a state machine: a command, an actor and the time go in, one event or a refusal comes out.
//!
//! The history of a case *is* its event list; [`Case::replay`] gives its state. [`TRANSITIONS`] is the trade's table of
//! moves: every event that is a move goes through it, when it is decided and when it is replayed. A move of the table
//! without a command yet is refused and offered to nobody, so filling one in means a variant of [`Command`] and
//! [`Event`], an arm in `decide` and one in `replay`, and a word in the command's list.

mod actor;
mod command;
mod decide;
mod event;
mod fields;
mod lifecycle;
mod recalculate;
mod refusal;
mod replay;
pub mod routing;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use actor::{Actor, By};
pub use command::{AnswerOnSpot, Command, Confirm, Dispatch, MergeInto, Refuse, Void};
pub use decide::{Decision, Facts, Parent};
pub use event::{Dispatched, Event, Recorded, Redated, VoidReason};
pub use fields::{Edits, FieldProblem, Was};
pub use lifecycle::{State, TRANSITIONS, Transition};
pub use refusal::Refusal;
pub use replay::ReplayError;

pub use super::clocks::Card;
use super::{
    calendar::WorkCalendar,
    clocks::{CitizenClock, Counting, Deadlines, Terms, UnitClock},
    draft::Draft,
    ids::{CallId, CaseId},
    time::UnixMs,
};

/// A case as its events have made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub id: CaseId,
    /// `20261123-000017`.
    pub number: String,
    pub inlet: Inlet,
    pub call: Option<CallId>,
    /// The request's own words, where it did not come by voice.
    pub original: Option<String>,
    /// The unit that uploaded it: it sees the case, and hears how it ends.
    pub uploader: Option<String>,
    pub created: UnixMs,
    pub updated: UnixMs,
    /// Events so far.
    pub seq: u64,
    /// Grows with field and state events.
    pub version: u64,
    pub fields: Draft,
    /// Every name and address that stood in the fields: words repeat a misheard one after it was corrected.
    pub persons: Persons,
    pub phase: Phase,
    pub citizen: CitizenClock,
    pub time_class: Option<String>,
    /// One lead and any number of helpers, of the present dispatch.
    pub orders: Vec<Order>,
    /// A unit has taken it on: from now on only the call-back ends it.
    pub ever_signed: bool,
    /// Cases that were merged into this one.
    pub joined: Vec<CaseId>,
}

/// What has named a person in a case, to be hidden from those who may not see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persons {
    pub names: Vec<String>,
    pub addresses: Vec<String>,
}

impl Persons {
    fn note(&mut self, fields: &Draft) {
        for (known, value) in [(&mut self.names, &fields.caller_name), (&mut self.addresses, &fields.address)] {
            if let Some(value) = &value.value
                && !known.contains(value)
            {
                known.push(value.clone());
            }
        }
    }
}

/// Where a case stands, with what is true only there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Draft,
    Registered,
    NeedInfo,
    Dispatched,
    Handling,
    Replied,
    Callback,
    Suspended,
    Closed { outcome: Outcome },
    Archived { outcome: Outcome },
    NotAccepted { reason: String, path: String },
    Merged { parent: CaseId },
    Void { reason: VoidReason },
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 即时答复: in the call itself.
    AnsweredOnSpot { answer_text: String },
}

/// How a request reached the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Inlet {
    /// 12345来电.
    Phone,
    /// 漏接回拨.
    MissedCallback,
    /// 网站.
    Web,
    /// 微信小程序.
    Wechat,
    /// 手机APP.
    App,
    /// 短信.
    Sms,
    /// 省平台转办.
    Province,
    /// 110转入.
    From110,
    /// 12315转入.
    From12315,
    /// 领导留言板.
    LeaderBoard,
    /// 单位上传.
    UnitUpload,
    /// 领导接听.
    Official,
    /// 国务院互联网+督查.
    StateCouncil,
}

/// One unit's part of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub unit: String,
    pub part: Part,
    pub state: OrderState,
    pub dispatched: UnixMs,
    /// The time class as it stood then; absent in orders of versions that did not keep it.
    pub terms: Option<Terms>,
    pub due: Deadlines,
}

/// 主办 or 协办.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Lead,
    Co,
}

/// Where a unit's part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    Dispatched,
    Signed,
    Replied,
    Returned,
}

impl Case {
    /// The name of the phase.
    pub const fn state(&self) -> State {
        self.phase.state()
    }

    /// The leading unit's part.
    pub fn lead(&self) -> Option<&Order> {
        self.orders.iter().find(|order| order.part == Part::Lead)
    }

    /// When the leading unit's answer is due, while its clock runs.
    pub fn unit_due(&self) -> Option<UnixMs> {
        let running = matches!(self.state(), State::Dispatched | State::Handling);
        self.lead().filter(|_| running).map(|order| order.due.reply)
    }

    /// The card at this moment.
    pub fn card(&self, now: UnixMs) -> Card {
        self.lead().filter(|_| self.unit_due().is_some()).map_or(Card::None, |order| order.due.card(now))
    }

    /// The leading unit's clock, while it runs.
    pub fn unit_clock(&self) -> Option<UnitClock> {
        self.lead().filter(|_| self.unit_due().is_some()).map(Order::clock)
    }

    /// The actions that `actor` may ask for now, in the table's order. Guards speak when one is asked for.
    pub fn allowed_actions(&self, actor: &Actor) -> Vec<&'static str> {
        let mut allowed = Vec::new();
        for row in TRANSITIONS.iter().filter(|row| row.from == self.state() && Command::exists(row)) {
            for action in row.actions() {
                if decide::granted(row, action, actor).is_some() && !allowed.contains(&action) {
                    allowed.push(action);
                }
            }
        }
        allowed
    }

    /// Whether the actor's unit uploaded it.
    pub fn is_upload_of(&self, actor: &Actor) -> bool {
        self.uploader.is_some() && self.uploader.as_deref() == actor.unit()
    }

    /// The units that have a part in it.
    pub fn units(&self) -> Vec<&str> {
        let mut units: Vec<_> = self.orders.iter().map(|order| order.unit.as_str()).collect();
        units.extend(
            self.uploader.as_deref().filter(|uploader| !self.orders.iter().any(|order| order.unit == *uploader)),
        );
        units
    }

    /// Whether the actor may know of the case: a unit sees its own orders, an administrator none.
    pub fn is_visible_to(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Person { .. } if actor.is_administrator() => false,
            Actor::Person { .. } if actor.is_of_unit() => {
                self.is_upload_of(actor) || self.orders.iter().any(|order| Some(order.unit.as_str()) == actor.unit())
            }
            Actor::System | Actor::Person { .. } => true,
        }
    }
}

impl Order {
    /// Its clock, still running.
    pub fn clock(&self) -> UnitClock {
        UnitClock::started(self.dispatched, self.counting(), self.due)
    }

    /// Whether its date may still move, because a year that it was counted through is not announced yet.
    pub fn is_provisional(&self, calendar: &WorkCalendar) -> bool {
        self.counting() == Counting::WorkTime && calendar.is_provisional(self.dispatched, self.due.reply)
    }

    /// Which time counts for it. Orders without terms show it by their red card, which comes at once only round the clock.
    pub fn counting(&self) -> Counting {
        match self.terms {
            Some(terms) => terms.counting,
            None if self.due.red == self.due.reply => Counting::RoundTheClock,
            None => Counting::WorkTime,
        }
    }
}

impl Phase {
    /// Its name.
    pub const fn state(&self) -> State {
        match self {
            Self::Draft => State::Draft,
            Self::Registered => State::Registered,
            Self::NeedInfo => State::NeedInfo,
            Self::Dispatched => State::Dispatched,
            Self::Handling => State::Handling,
            Self::Replied => State::Replied,
            Self::Callback => State::Callback,
            Self::Suspended => State::Suspended,
            Self::Closed { .. } => State::Closed,
            Self::Archived { .. } => State::Archived,
            Self::NotAccepted { .. } => State::NotAccepted,
            Self::Merged { .. } => State::Merged,
            Self::Void { .. } => State::Void,
        }
    }
}

impl Inlet {
    /// Whether the request was spoken: then its recording has to be there, else its text.
    pub const fn is_voice(self) -> bool {
        matches!(self, Self::Phone | Self::MissedCallback | Self::Official)
    }
}
