//! One dialog: what the stack reports about it, and what it leaves to us.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::{
        dialog::{Dialog, DialogState, DialogStateReceiver, TerminatedReason},
        invite_dialog::InviteDialog,
    },
    sip::{Header, Method, Request, StatusCode, headers::untyped, prelude::HeadersExt, typed},
    transaction::{key::TransactionRole, transaction::Transaction},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    LegEnd, LegEvent,
    checks::{self, Refusal},
    endpoint::{Shared, answer},
    kind_of,
    refresh::Refresh,
    sdp::{Description, ForkSession, Session},
    siprec::{self, Parties, Said, Story},
    timer::{Due, Terms, Timer},
};
use crate::clock::Clock;

/// Events that wait for the call's task; more than a call ever makes at once.
pub(super) const EVENTS: usize = 32;

/// How long the ACK before a request may need after it. Whoever really asks at the wrong moment hears so this much later.
const BEHIND_ACK: Duration = Duration::from_millis(200);

/// What the endpoint, the watcher and the call share of one dialog.
pub(super) struct Leg {
    pub(super) dialog: InviteDialog,
    /// The TCP or TLS connection it came over; cancelled when that is gone.
    pub(super) flow: Option<CancellationToken>,
    /// Empty until we answer.
    session: Mutex<Option<Talk>>,
    /// What the switch has said that forks this call to us.
    pub(super) fork: Option<Mutex<Story>>,
    /// Our offer is in the 200; their answer comes with the ACK.
    offered: AtomicBool,
    /// A re-INVITE of theirs is not finished.
    reinviting: AtomicBool,
    /// A re-INVITE of ours is not finished.
    pub(super) ours: AtomicBool,
    /// An ACK has come, or a re-INVITE of theirs is finished.
    moved_on: Notify,
    /// Highest CSeq of theirs.
    cseq: AtomicU32,
    clock: Clock,
    timer: Mutex<Timer>,
    /// The watcher has to look at the timer again.
    timer_set: Notify,
    /// No BYE can be sent; the dialog is over all the same.
    lost: CancellationToken,
    events: mpsc::Sender<LegEvent>,
}

/// Our side of offer and answer.
pub(super) enum Talk {
    Plain(Session),
    Fork(ForkSession),
}

impl Talk {
    /// What we said last.
    pub(super) fn again(&self) -> Option<String> {
        match self {
            Self::Plain(session) => session.again(),
            Self::Fork(session) => session.again(),
        }
    }

    /// Our offer, where they want one.
    fn offer(&mut self) -> String {
        match self {
            Self::Plain(session) => session.offer(),
            // Answered, so it has said something.
            Self::Fork(session) => session.again().unwrap_or_default(),
        }
    }

    /// Takes their answer to [`Talk::offer`].
    fn accept(&mut self, answer: &Description) -> Option<LegEvent> {
        match self {
            Self::Plain(session) => session.accept(answer).ok().map(LegEvent::Settled),
            Self::Fork(session) => Some(LegEvent::SettledFork(session.accept(answer))),
        }
    }

    /// Takes their answer to [`Talk::again`].
    pub(super) fn accept_again(&mut self, answer: &Description) -> Option<LegEvent> {
        match self {
            Self::Plain(session) => session.accept_again(answer).ok().map(LegEvent::Settled),
            Self::Fork(session) => Some(LegEvent::SettledFork(session.accept(answer))),
        }
    }
}

/// An answer within the dialog, and what it settles once it is out.
struct Verdict {
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Vec<u8>>,
    events: Vec<LegEvent>,
    /// Of a 2xx.
    terms: Option<Terms>,
}

impl From<Refusal> for Verdict {
    fn from(Refusal(status, headers): Refusal) -> Self {
        Self { status, headers, body: None, events: Vec::new(), terms: None }
    }
}

impl Leg {
    /// * `flow` — cancelled when the connection it came over is gone; nothing for UDP.
    /// * `fork` — what the switch says that forks this call to us.
    pub(super) fn new(
        dialog: InviteDialog,
        cseq: u32,
        flow: Option<CancellationToken>,
        fork: Option<Story>,
        clock: Clock,
    ) -> (Arc<Self>, mpsc::Receiver<LegEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let leg = Self {
            dialog,
            flow,
            session: Mutex::new(None),
            fork: fork.map(Mutex::new),
            offered: AtomicBool::new(false),
            reinviting: AtomicBool::new(false),
            ours: AtomicBool::new(false),
            moved_on: Notify::new(),
            cseq: AtomicU32::new(cseq),
            clock,
            timer: Mutex::default(),
            timer_set: Notify::new(),
            lost: CancellationToken::new(),
            events,
        };
        (Arc::new(leg), receiver)
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Option<Talk>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn story(&self) -> Option<MutexGuard<'_, Story>> {
        Some(self.fork.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who speaks in a forked call, as far as the switch has told.
    pub(super) fn parties(&self) -> Option<Parties> {
        Some(self.story()?.parties().clone())
    }

    /// Whether the INVITE was ours.
    fn we_called(&self) -> bool {
        self.dialog.role() == TransactionRole::Client
    }

    fn timer(&self) -> MutexGuard<'_, Timer> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_offered(&self) {
        self.offered.store(true, Ordering::Release);
    }

    /// Begins the session's time anew.
    pub(super) fn start_timer(&self, terms: Option<Terms>) {
        self.timer().handle_agreed(terms, self.clock.instant());
        self.timer_set.notify_one();
    }

    /// Follows the dialog to its end and tells the call.
    pub(super) async fn watch(self: &Arc<Self>, mut reports: DialogStateReceiver, shared: &Arc<Shared>) {
        let (mut acked, mut expired, mut refreshes) = (false, false, JoinSet::new());
        let end = loop {
            let due = self.timer().poll_timeout();
            tokio::select! {
                state = reports.recv() => match state {
                    None => break LegEnd::Failed,
                    Some(DialogState::Confirmed(..)) => {
                        if !acked {
                            acked = true;
                            self.tell(LegEvent::Acked).await;
                        }
                        if self.offered.swap(false, Ordering::AcqRel) {
                            let event = self.take_answer();
                            self.tell(event).await;
                        }
                        self.moved_on.notify_waiters();
                    }
                    Some(DialogState::Updated(_, request, handle)) => {
                        let Verdict { status, headers, body, events, terms } = self.negotiate(&request);
                        let taken = status == StatusCode::OK;
                        if handle.respond(status, Some(headers), body).await.is_err() {
                            debug!("the re-INVITE was gone before its answer");
                        } else if taken {
                            self.refreshed_by(&request, terms);
                        }
                        for event in events {
                            self.tell(event).await;
                        }
                    }
                    Some(DialogState::Terminated(_, reason)) => break match reason {
                        TerminatedReason::UacBye if !self.we_called() => LegEnd::FarHungUp,
                        TerminatedReason::UasBye if self.we_called() => LegEnd::FarHungUp,
                        TerminatedReason::UacBye | TerminatedReason::UasBye if expired => LegEnd::Expired,
                        TerminatedReason::UacBye | TerminatedReason::UasBye => LegEnd::WeHungUp,
                        TerminatedReason::UacCancel => LegEnd::Cancelled,
                        TerminatedReason::Timeout => LegEnd::AckTimeout,
                        _ => LegEnd::Failed,
                    },
                    // The rest is answered before the dialog sees it, or changes nothing for the call.
                    Some(_) => {}
                },
                () = self.lost.cancelled() => break if expired { LegEnd::Expired } else { LegEnd::WeHungUp },
                () = self.timer_set.notified() => {}
                () = self.until(due) => match self.timer().handle_timeout(self.clock.instant()) {
                    Some(Due::Refresh(interval)) => {
                        let refresh = Refresh { leg: self.clone(), shared: shared.clone(), interval };
                        refreshes.spawn(refresh.run());
                    }
                    Some(Due::Expire) => {
                        expired = true;
                        let (leg, shared) = (self.clone(), shared.clone());
                        shared.clone().spawn(async move { leg.hang_up(&shared).await });
                    }
                    None => {}
                },
                Some(Ok((outcome, event))) = refreshes.join_next() => {
                    self.timer().handle_refreshed(outcome, self.clock.instant());
                    if let Some(event) = event {
                        self.tell(event).await;
                    }
                }
            }
        };
        self.tell(LegEvent::Ended(end)).await;
    }

    async fn tell(&self, event: LegEvent) {
        // A call that no longer listens has ended by its own doing.
        let _ = self.events.send(event).await;
    }

    /// Their answer to our offer, from the ACK.
    fn take_answer(&self) -> LegEvent {
        let body = self.dialog.last_remote_ack().map(|ack| ack.body).unwrap_or_default();
        let answer = Description::parse(&body).ok();
        let settled = answer.and_then(|answer| self.session().as_mut()?.accept(&answer));
        settled.unwrap_or(LegEvent::NoAnswer)
    }

    /// Reads what a request within the dialog offers and tells.
    fn read(&self, request: &Request) -> Result<Said, Refusal> {
        if self.fork.is_some() { siprec::read(request) } else { Ok(Said::plain(checks::description(request)?)) }
    }

    /// Answers a new offer within the dialog; without one makes ours.
    fn negotiate(&self, request: &Request) -> Verdict {
        let checked = checks::session_timer(request).and_then(|terms| Ok((terms, self.read(request)?)));
        let (terms, said) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return refusal.into(),
        };
        let mut session = self.session();
        let Some(session) = session.as_mut() else {
            return Refusal(StatusCode::ServerInternalError, Vec::new()).into();
        };
        let mut story = self.story();
        let mut events = Vec::new();
        if story.as_mut().is_some_and(|story| story.take(&said)) {
            events.push(LegEvent::Told);
        }
        let text = match (&said.offer, session) {
            (None, _) if request.method == Method::Update => None,
            (None, session) => {
                self.set_offered();
                Some(session.offer())
            }
            (Some(offer), Talk::Plain(session)) => match session.answer(offer) {
                Ok((text, agreed)) => {
                    events.push(LegEvent::Settled(agreed));
                    Some(text)
                }
                Err(_) => return Refusal(StatusCode::NotAcceptableHere, Vec::new()).into(),
            },
            (Some(offer), Talk::Fork(session)) => {
                let sides = story.map_or([None; 2], |story| story.sides(offer, session.taken()));
                let (text, forked) = session.answer(offer, sides);
                events.push(LegEvent::SettledFork(forked));
                Some(text)
            }
        };
        let body = text.map(String::into_bytes);
        let mut headers = vec![checks::allow()];
        headers.extend(checks::timer_headers(terms, self.fork.is_some()));
        headers.extend(body.as_ref().map(|_| Header::ContentType("application/sdp".into())));
        Verdict { status: StatusCode::OK, headers, body, events, terms }
    }

    /// A 2xx went out to a re-INVITE or UPDATE: the session's time begins anew, and later requests go to their new Contact
    /// (RFC 3261 §12.2.2).
    fn refreshed_by(&self, request: &Request, terms: Option<Terms>) {
        self.start_timer(terms);
        let contact = request.contact_header().ok().cloned();
        self.follow(contact, request.typed_contact_headers().unwrap_or_default());
    }

    pub(super) fn follow(&self, contact: Option<untyped::Contact>, parsed: Vec<typed::Contact>) {
        if let Some(target) = parsed.into_iter().next() {
            Dialog::Invite(self.dialog.clone()).set_remote_target(target.uri, contact);
        }
    }

    /// A request within this dialog.
    ///
    /// * `wait` — seconds a request that comes at the wrong moment is told to wait, 0 to 10.
    pub(super) async fn request(&self, mut tx: Transaction, wait: u32) -> rsipstack::Result<()> {
        let cseq = tx.original.cseq_header()?.seq()?;
        if self.cseq.fetch_max(cseq, Ordering::AcqRel) > cseq {
            return answer(tx, Refusal(StatusCode::ServerInternalError, Vec::new())).await;
        }
        match tx.original.method {
            Method::Bye => self.bye(tx).await,
            Method::Invite => self.reinvite(tx, wait).await,
            Method::Update => self.update(tx, wait).await,
            Method::Info => match checks::info(&tx.original) {
                Err(refusal) => answer(tx, refusal).await,
                Ok(digit) => {
                    tx.reply(StatusCode::OK).await?;
                    if let Some((key, duration_ms)) = digit {
                        self.tell(LegEvent::Digit { key, duration_ms }).await;
                    }
                    Ok(())
                }
            },
            Method::Refer if self.we_called() => self.refer(tx).await,
            Method::Options => answer(tx, super::endpoint::capabilities(self.fork.is_some())).await,
            _ => answer(tx, Refusal(StatusCode::MethodNotAllowed, vec![checks::allow()])).await,
        }
    }

    /// REFER (RFC 3515) of a phone of ours: the call decides, and says so by [`Leg::report_transfer`].
    async fn refer(&self, mut tx: Transaction) -> rsipstack::Result<()> {
        match checks::refer_to(&tx.original) {
            Err(refusal) => answer(tx, refusal).await,
            Ok(to) => {
                tx.reply(StatusCode::Accepted).await?;
                self.tell(LegEvent::Referred(to)).await;
                Ok(())
            }
        }
    }

    /// What became of their REFER: the first and last NOTIFY of it (RFC 3515 §2.4.4).
    pub(super) async fn report_transfer(&self, taken: bool) {
        /// Only the phone's own display waits for it.
        const PATIENCE: Duration = Duration::from_secs(2);
        let line = if taken { "SIP/2.0 200 OK\r\n" } else { "SIP/2.0 404 Not Found\r\n" };
        let headers = vec![
            Header::Event("refer".into()),
            Header::SubscriptionState("terminated;reason=noresource".into()),
            Header::ContentType("message/sipfrag;version=2.0".into()),
        ];
        match timeout(PATIENCE, self.dialog.notify(Some(headers), Some(line.into()))).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(error = kind_of(&error), "sending NOTIFY"),
            Err(_) => debug!("the phone that asked for a transfer does not answer a NOTIFY"),
        }
    }

    /// The stack answers a BYE before the answer and forgets the INVITE: that is ended first.
    async fn bye(&self, mut tx: Transaction) -> rsipstack::Result<()> {
        if self.dialog.state().can_cancel() {
            self.dialog.reject(Some(StatusCode::RequestTerminated), None)?;
            return tx.reply(StatusCode::OK).await;
        }
        self.dialog.clone().handle(&mut tx).await
    }

    /// UPDATE (RFC 3311): with an offer where none is open, without one at any time after the ACK.
    async fn update(&self, mut tx: Transaction, wait: u32) -> rsipstack::Result<()> {
        // Metadata alone offer nothing.
        let offers = match self.read(&tx.original) {
            Ok(said) => said.offer.is_some(),
            Err(_) => !tx.original.body.is_empty(),
        };
        if offers && self.ours.load(Ordering::Acquire) {
            return answer(tx, Refusal(StatusCode::RequestPending, Vec::new())).await;
        }
        let ready = || self.dialog.state().is_confirmed() && (!offers || self.settled());
        if !self.soon(ready).await {
            return answer(tx, Refusal::later(StatusCode::ServerInternalError, wait)).await;
        }
        if let Err(refusal) = checks::demands(&tx.original, self.fork.is_some()) {
            return answer(tx, refusal).await;
        }
        let Verdict { status, mut headers, body, events, terms } = self.negotiate(&tx.original);
        let taken = status == StatusCode::OK;
        if taken && let Some(contact) = self.dialog.snapshot().local_contact {
            headers.push(typed::Contact::from(contact).into());
        }
        tx.reply_with(status, headers, body).await?;
        if taken {
            self.refreshed_by(&tx.original, terms);
        }
        for event in events {
            self.tell(event).await;
        }
        Ok(())
    }

    /// A refused re-INVITE changes nothing, so the stack sees only those that will be accepted.
    async fn reinvite(&self, mut tx: Transaction, wait: u32) -> rsipstack::Result<()> {
        if self.ours.load(Ordering::Acquire) {
            return answer(tx, Refusal(StatusCode::RequestPending, Vec::new())).await;
        }
        if !self.soon(|| self.settled()).await {
            return answer(tx, Refusal::later(StatusCode::ServerInternalError, wait)).await;
        }
        let verdict = checks::demands(&tx.original, self.fork.is_some())
            .and_then(|()| checks::session_timer(&tx.original))
            .and_then(|_| self.read(&tx.original));
        if let Err(refusal) = verdict {
            return answer(tx, refusal).await;
        }
        if self.reinviting.swap(true, Ordering::AcqRel) {
            return answer(tx, Refusal::later(StatusCode::ServerInternalError, wait)).await;
        }
        let done = self.dialog.clone().handle(&mut tx).await;
        self.reinviting.store(false, Ordering::Release);
        self.moved_on.notify_waiters();
        done
    }

    /// Acknowledged, and no offer of either side open.
    pub(super) fn settled(&self) -> bool {
        self.dialog.state().is_confirmed()
            && !self.reinviting.load(Ordering::Acquire)
            && !self.offered.load(Ordering::Acquire)
    }

    /// Whether it is so, or becomes so at once: an ACK and the request right behind it take different ways through the
    /// stack, and the request may be here first.
    async fn soon(&self, ready: impl Fn() -> bool) -> bool {
        let wait = async {
            loop {
                let moved_on = self.moved_on.notified();
                if ready() {
                    return;
                }
                moved_on.await;
            }
        };
        timeout(BEHIND_ACK, wait).await.is_ok()
    }

    async fn until(&self, due: Option<Instant>) {
        match due {
            Some(due) => self.clock.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Sends BYE once the dialog allows it, and waits for its answer.
    pub(super) async fn hang_up(&self, shared: &Arc<Shared>) {
        /// BYE may not be sent before the ACK or its time-out (RFC 3261 §15); the watcher owns the reports.
        const LOOK: Duration = Duration::from_millis(100);
        let looks = shared.transaction_time().as_millis() / LOOK.as_millis();
        for _ in 0..=looks {
            let state = self.dialog.state();
            if state.is_confirmed() || state.is_terminated() || state.can_cancel() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let state = self.dialog.state();
        if state.can_cancel() {
            let _ = self.dialog.reject(Some(StatusCode::ServerInternalError), None);
        } else if !state.is_terminated() && !shared.reach(self).await {
            self.lost.cancel();
        } else if let Err(error) = self.dialog.bye().await {
            warn!(error = kind_of(&error), "sending BYE");
        }
    }
}
