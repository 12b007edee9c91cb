//! A call that may be taken, and one that was.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rsipstack::sip::{Header, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Span;

use super::{
    LegEnd, LegEvent, checks,
    endpoint::Shared,
    kind_of,
    leg::{Leg, Talk},
    sdp::{Agreed, Forked, Offer},
    siprec::Parties,
    timer::Terms,
};
use crate::telemetry::Private;

/// An INVITE that passed every check. It hears 100 already; answer or refuse it within a second. Dropped, it is refused.
pub struct Incoming {
    /// The number in From, untrusted, or the one that a switch names that forks its call; `None` when withheld.
    pub caller: Option<Private<String>>,
    /// Which of our numbers was dialled; empty where a switch that forks its call does not say.
    pub called: String,
    /// Who speaks in a forked call: answer it with [`Incoming::answer_fork`].
    pub forked: Option<Parties>,
    /// Our address as the caller can reach it.
    pub local: IpAddr,
    /// Where the caller's media comes from, if that is certain before any of it is heard: a carrier says so.
    pub source: Option<SocketAddr>,
    /// The INVITE's part of the trace; the call goes on below it.
    pub span: Span,
    offer: Option<Offer>,
    terms: Option<Terms>,
    link: Option<Link>,
}

/// An answered call. Dropped, it is hung up.
pub struct Answered {
    link: Link,
    over: bool,
}

/// Why an answer did not become a call.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the caller gave up before the answer")]
    Cancelled,
    #[error("answering: {0}")]
    Stack(String),
}

/// The dialog, its events, and the place among the calls at once.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) leg: Arc<Leg>,
    pub(super) events: mpsc::Receiver<LegEvent>,
    /// Of a call that came in.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    pub(super) fn new(
        caller: Option<Private<String>>,
        called: String,
        forked: Option<Parties>,
        local: IpAddr,
        (offer, terms): (Option<Offer>, Option<Terms>),
        link: Link,
    ) -> Self {
        let source = offer.as_ref().and_then(|offer| link.shared.source(offer));
        Self { caller, called, forked, local, source, span: Span::current(), offer, terms, link: Some(link) }
    }

    /// Answers with 200.
    ///
    /// * `media` — where we want to hear the caller, an address they can reach.
    /// * returns — the call, and what was settled; nothing yet if they want our offer, which stands in the 200: then
    ///   [`LegEvent::Settled`] or [`LegEvent::NoAnswer`] follows the ACK.
    pub fn answer(mut self, media: SocketAddr) -> Result<(Answered, Option<Agreed>), AnswerError> {
        let link = self.link.take().ok_or_else(gone)?;
        let mut session = link.shared.session(media);
        let (text, agreed) = match &self.offer {
            None => (session.offer(), None),
            Some(offer) => match session.answer(offer) {
                Ok((text, agreed)) => (text, Some(agreed)),
                Err(error) => {
                    self.link = Some(link);
                    return Err(AnswerError::Stack(error.to_string()));
                }
            },
        };
        if agreed.is_none() {
            link.leg.set_offered();
        }
        Ok((self.accept(link, Talk::Plain(session), text)?, agreed))
    }

    /// Answers a forked call with 200.
    ///
    /// * `media` — where we want to hear the caller and the operator, addresses of one machine that the switch can reach.
    pub fn answer_fork(mut self, media: [SocketAddr; 2]) -> Result<(Answered, Forked), AnswerError> {
        let (link, offer) = (self.link.take().ok_or_else(gone)?, self.offer.take().ok_or_else(gone)?);
        let mut session = link.shared.fork_session(media);
        let sides = link.leg.story().map_or([None; 2], |story| story.sides(&offer, [None; 2]));
        let (text, forked) = session.answer(&offer, sides);
        Ok((self.accept(link, Talk::Fork(session), text)?, forked))
    }

    fn accept(&mut self, link: Link, talk: Talk, text: String) -> Result<Answered, AnswerError> {
        let (leg, forks) = (&link.leg, matches!(talk, Talk::Fork(_)));
        *leg.session() = Some(talk);
        let mut headers = vec![Header::ContentType("application/sdp".into()), checks::allow()];
        headers.extend(checks::timer_headers(self.terms, forks));
        leg.start_timer(self.terms);
        let queued = leg.dialog.accept(Some(headers), Some(text.into_bytes()));
        // accept() only queues the 200; the caller may have given up meanwhile.
        if leg.dialog.state().is_terminated() {
            return Err(AnswerError::Cancelled);
        }
        if let Err(error) = queued {
            self.link = Some(link);
            return Err(AnswerError::Stack(kind_of(&error).into()));
        }
        Ok(Answered::new(link))
    }

    /// Refuses. 503 carries Retry-After.
    ///
    /// * `status` — 400 to 699.
    pub fn refuse(mut self, status: u16) {
        self.end(status);
    }

    /// What to tell the caller about a media port of ours.
    ///
    /// * `bound` — where the port is bound, perhaps to every address.
    pub fn media_address(&self, bound: SocketAddr) -> SocketAddr {
        self.link.as_ref().map_or(bound, |link| link.shared.media_address(bound, self.local))
    }

    /// Whether the caller has given up already.
    pub fn is_cancelled(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.leg.dialog.state().is_terminated())
    }

    fn end(&mut self, status: u16) {
        if let Some(link) = self.link.take() {
            // Fails only if the transaction has ended already.
            let _ = link.leg.dialog.reject(Some(StatusCode::from(status)), None);
        }
    }
}

fn gone() -> AnswerError {
    AnswerError::Stack("the call is gone".into())
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.end(503);
    }
}

impl Answered {
    pub(super) const fn new(link: Link) -> Self {
        Self { link, over: false }
    }

    /// The next thing the other side does. After [`LegEvent::Ended`] there is nothing more.
    pub async fn event(&mut self) -> LegEvent {
        let event = self.link.events.recv().await.unwrap_or(LegEvent::Ended(LegEnd::Failed));
        self.over |= matches!(event, LegEvent::Ended(_));
        event
    }

    /// Who speaks in a forked call, as far as the switch has told by now.
    pub fn parties(&self) -> Option<Parties> {
        self.link.leg.parties()
    }

    /// Answers [`LegEvent::Referred`] in the background. A call that was passed on is no longer theirs: BYE follows.
    pub fn report_transfer(&mut self, taken: bool) {
        self.over |= taken;
        let (leg, shared) = (self.link.leg.clone(), self.link.shared.clone());
        self.link.shared.spawn(async move {
            leg.report_transfer(taken).await;
            if taken {
                leg.hang_up(&shared).await;
            }
        });
    }

    /// Sends BYE in the background: a vanished phone keeps it waiting for 32 s, the call need not.
    pub fn hang_up(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            let (leg, shared) = (self.link.leg.clone(), self.link.shared.clone());
            self.link.shared.spawn(async move { leg.hang_up(&shared).await });
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.hang_up();
    }
}

#[cfg(test)]
impl Answered {
    /// Waits until the connection that the call came over is gone.
    pub(super) async fn connection_lost(&self) {
        if let Some(gone) = &self.link.leg.flow {
            gone.cancelled().await;
        }
    }
}

#[cfg(test)]
impl Incoming {
    /// Our tag, which a caller learns from a 180 or the 200 only.
    pub(super) fn tag(&self) -> String {
        self.link.as_ref().map(|link| link.leg.dialog.id().local_tag).unwrap_or_default()
    }
}
