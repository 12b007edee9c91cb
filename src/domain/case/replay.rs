//! From events to a case. Nothing here decides anything; an event that cannot have happened is a damaged history.

use super::{
    By, Case, Event, Inlet, Order, OrderState, Outcome, Part, Persons, Phase, Recorded, State, Transition,
    event::Dispatched,
};
use crate::domain::{
    clocks::{CitizenClock, Terms},
    draft::Source,
    ids::CaseId,
    time::UnixMs,
};

/// A history that does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("case {0} has no history")]
    Empty(CaseId),
    #[error("case {id}: event {seq} cannot follow while the case is {}", state.as_str())]
    Impossible { id: CaseId, seq: u64, state: State },
}

impl Case {
    /// The case that a history tells of.
    ///
    /// # Errors
    /// A history that is empty or damaged.
    pub fn replay(id: CaseId, history: impl IntoIterator<Item = Recorded>) -> Result<Self, ReplayError> {
        let mut history = history.into_iter();
        let first = history.next().ok_or(ReplayError::Empty(id))?;
        let mut case = Self::begin(id, first)?;
        for recorded in history {
            case.apply(recorded)?;
        }
        Ok(case)
    }

    /// Gives a decided event its place in the history and takes it in.
    ///
    /// # Errors
    /// An event that this case cannot have; one that [`Case::decide`] gave is never refused.
    pub fn record(&mut self, event: Event, by: By, at: UnixMs) -> Result<Recorded, ReplayError> {
        let version = self.version + u64::from(event.counts());
        let recorded = Recorded { seq: self.seq + 1, version, at, by, event };
        self.apply(recorded.clone())?;
        Ok(recorded)
    }

    /// The first event of a case.
    pub fn first(event: Event, by: By, at: UnixMs) -> Recorded {
        Recorded { seq: 1, version: 1, at, by, event }
    }

    fn begin(id: CaseId, first: Recorded) -> Result<Self, ReplayError> {
        let Event::Draft { number, inlet, call, original, fields } = first.event else {
            return Err(ReplayError::Impossible { id, seq: first.seq, state: State::Draft });
        };
        let mut persons = Persons::default();
        persons.note(&fields);
        Ok(Self {
            id,
            number,
            inlet,
            call,
            original,
            uploader: first.by.unit.filter(|_| inlet == Inlet::UnitUpload),
            created: first.at,
            updated: first.at,
            seq: first.seq,
            version: first.version,
            fields: *fields,
            persons,
            phase: Phase::Draft,
            citizen: CitizenClock::default(),
            time_class: None,
            orders: Vec::new(),
            ever_signed: false,
            joined: Vec::new(),
        })
    }

    fn apply(&mut self, recorded: Recorded) -> Result<(), ReplayError> {
        let Recorded { seq, version, at, by: _, event } = recorded;
        let impossible = ReplayError::Impossible { id: self.id, seq, state: self.state() };
        let row = match event.action() {
            Some(action) => Some(Transition::find(self.state(), action).ok_or_else(|| impossible.clone())?),
            None => None,
        };
        if seq != self.seq + 1 {
            return Err(impossible);
        }
        match event {
            Event::Draft { .. } => return Err(impossible),
            Event::Edit { fields, was: _ } => {
                fields.apply(&mut self.fields, Source::Operator);
                self.persons.note(&self.fields);
            }
            Event::Joined { child } => self.joined.push(child),
            Event::Confirm { time_class } => {
                self.phase = Phase::Registered;
                self.time_class = Some(time_class);
            }
            Event::AnswerOnSpot { answer_text } => {
                self.phase = Phase::Closed { outcome: Outcome::AnsweredOnSpot { answer_text } };
            }
            Event::Refuse { reason, path } => self.phase = Phase::NotAccepted { reason, path },
            Event::Void { reason } => self.phase = Phase::Void { reason },
            Event::MergeInto { parent } => self.phase = Phase::Merged { parent },
            Event::Dispatch { lead, co, copies: _, time_class, terms } => {
                self.phase = Phase::Dispatched;
                self.time_class = Some(time_class);
                self.orders = vec![order(lead, Part::Lead, terms, at)];
                self.orders.extend(co.into_iter().map(|to| order(to, Part::Co, terms, at)));
            }
            Event::Recalculated { orders, calendar: _, why: _ } => {
                for new in orders {
                    let order = self.orders.iter_mut().find(|order| order.unit == new.unit);
                    order.ok_or_else(|| impossible.clone())?.due = new.due;
                }
            }
        }
        debug_assert!(row.is_none_or(|row| row.to == self.state()), "the table and the replay agree");
        if row.is_some_and(|row| row.to != self.state()) {
            return Err(impossible);
        }
        if row.is_some() {
            self.citizen.moved(self.state(), at);
        }
        self.ever_signed |= self.state() == State::Handling;
        (self.seq, self.version, self.updated) = (seq, version, at);
        Ok(())
    }
}

fn order(to: Dispatched, part: Part, terms: Option<Terms>, at: UnixMs) -> Order {
    Order { unit: to.unit, part, state: OrderState::Dispatched, dispatched: at, terms, due: to.due }
}
