//! The telephone of the seat that a call rings at or talks with.

use std::net::SocketAddr;

use super::desk;
use crate::{
    domain::seat::SeatId,
    sip::{Answered, Dialler, LegEvent, Registrar, Ring, RingEvent, Ringing},
    telemetry::Private,
};

/// How seats are rung: where their telephones are, and who dials them.
#[derive(Clone, Debug)]
pub struct Phones {
    pub registrar: Registrar,
    pub dialler: Dialler,
}

/// At most one of the two.
#[derive(Default)]
pub(super) struct Telephone {
    ringing: Option<Ringing>,
    answered: Option<Answered>,
}

impl Telephone {
    /// Rings all telephones of a seat.
    ///
    /// * `caller`, `called` — shown to the operator.
    /// * `media` — where we hear them.
    /// * returns — whether there is any.
    pub fn ring(
        &mut self,
        phones: &Phones,
        seat: &SeatId,
        (caller, called): (Option<Private<String>>, String),
        media: SocketAddr,
    ) -> bool {
        let targets = phones.registrar.targets(seat.as_str());
        let is_there = !targets.is_empty();
        self.ringing = is_there.then(|| phones.dialler.ring(Ring { targets, caller, called, media }));
        is_there
    }

    /// CANCEL, where it rings.
    pub fn stop_ringing(&mut self) {
        self.ringing = None;
    }

    /// BYE, where it talks.
    pub fn let_go(&mut self) {
        self.answered = None;
    }

    /// Tells the telephone that asked for a transfer what became of it.
    pub fn report_transfer(&mut self, taken: bool) {
        if let Some(answered) = &mut self.answered {
            answered.report_transfer(taken);
        }
    }

    /// The next thing that the desk should know; never, while there is no telephone.
    pub async fn event(&mut self, registrar: &Registrar) -> desk::Event {
        loop {
            if let Some(answered) = &mut self.answered {
                match answered.event().await {
                    LegEvent::Settled(agreed) => return desk::Event::Settled(agreed),
                    LegEvent::Ended(end) => {
                        self.answered = None;
                        return desk::Event::Ended(end);
                    }
                    LegEvent::Referred(to) => {
                        let there = !registrar.targets(&to).is_empty();
                        return desk::Event::Referred { to: to.as_str().into(), there };
                    }
                    // Forks are not answered by seats, and keys by INFO mean nothing to a caller.
                    _ => {}
                }
            } else if let Some(ringing) = &mut self.ringing {
                match ringing.event().await {
                    RingEvent::Alerting => {}
                    RingEvent::Answered(answered, agreed) => {
                        self.ringing = None;
                        self.answered = Some(answered);
                        return desk::Event::Answered(agreed);
                    }
                    RingEvent::Refused(status) => {
                        self.ringing = None;
                        return desk::Event::Refused(status);
                    }
                }
            } else {
                std::future::pending::<()>().await;
            }
        }
    }
}
