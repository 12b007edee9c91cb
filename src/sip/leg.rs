//! One dialog: what the stack reports about it, and what it leaves to us.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use rsipstack::{
    dialog::{
        dialog::{DialogState, DialogStateReceiver, TerminatedReason},
        invite_dialog::InviteDialog,
    },
    sip::{Header, Method, Request, StatusCode, prelude::HeadersExt},
    transaction::transaction::Transaction,
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{
    LegEnd, LegEvent,
    checks::{self, Refusal},
    endpoint::answer,
    kind_of,
    sdp::{Description, Session},
};

/// Events that wait for the call's task; more than a call ever makes at once.
pub(super) const EVENTS: usize = 32;

/// What the endpoint, the watcher and the call share of one dialog.
pub(super) struct Leg {
    pub(super) dialog: InviteDialog,
    /// Empty until we answer.
    session: Mutex<Option<Session>>,
    /// Our offer is in the 200; their answer comes with the ACK.
    offered: AtomicBool,
    /// A re-INVITE of theirs is not finished.
    reinviting: AtomicBool,
    /// Highest CSeq of theirs.
    cseq: AtomicU32,
    events: mpsc::Sender<LegEvent>,
}

impl Leg {
    pub(super) fn new(dialog: InviteDialog, cseq: u32) -> (Arc<Self>, mpsc::Receiver<LegEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let (offered, reinviting) = (AtomicBool::new(false), AtomicBool::new(false));
        let leg = Self { dialog, session: Mutex::new(None), offered, reinviting, cseq: AtomicU32::new(cseq), events };
        (Arc::new(leg), receiver)
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_offered(&self) {
        self.offered.store(true, Ordering::Release);
    }

    /// Follows the dialog to its end and tells the call.
    pub(super) async fn watch(&self, mut reports: DialogStateReceiver) {
        let mut acked = false;
        let mut end = LegEnd::Failed;
        while let Some(state) = reports.recv().await {
            match state {
                DialogState::Confirmed(..) => {
                    if !acked {
                        acked = true;
                        self.tell(LegEvent::Acked).await;
                    }
                    if self.offered.swap(false, Ordering::AcqRel) {
                        let event = self.take_answer();
                        self.tell(event).await;
                    }
                }
                DialogState::Updated(_, request, handle) => {
                    let (status, headers, body, event) = self.negotiate(&request);
                    if handle.respond(status, Some(headers), body).await.is_err() {
                        debug!("the re-INVITE was gone before its answer");
                    }
                    if let Some(event) = event {
                        self.tell(event).await;
                    }
                }
                DialogState::Terminated(_, reason) => {
                    end = match reason {
                        TerminatedReason::UacBye => LegEnd::FarHungUp,
                        TerminatedReason::UasBye => LegEnd::WeHungUp,
                        TerminatedReason::UacCancel => LegEnd::Cancelled,
                        TerminatedReason::Timeout => LegEnd::AckTimeout,
                        _ => LegEnd::Failed,
                    };
                    break;
                }
                // The rest is answered before the dialog sees it, or changes nothing for the call.
                _ => {}
            }
        }
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
        let settled = answer.and_then(|answer| self.session().as_mut()?.accept(&answer).ok());
        settled.map_or(LegEvent::NoAnswer, LegEvent::Settled)
    }

    /// Answers a new offer within the dialog; without one makes ours.
    fn negotiate(&self, request: &Request) -> (StatusCode, Vec<Header>, Option<Vec<u8>>, Option<LegEvent>) {
        let sdp = vec![Header::ContentType("application/sdp".into()), checks::allow()];
        let mut session = self.session();
        let Some(session) = session.as_mut() else {
            return (StatusCode::ServerInternalError, Vec::new(), None, None);
        };
        match checks::offer(request) {
            Err(Refusal(status, headers)) => (status, headers, None, None),
            Ok(None) if request.method == Method::Update => (StatusCode::OK, vec![checks::allow()], None, None),
            Ok(None) => {
                self.set_offered();
                (StatusCode::OK, sdp, Some(session.offer().into_bytes()), None)
            }
            Ok(Some(offer)) => match session.answer(&offer) {
                Ok((text, agreed)) => (StatusCode::OK, sdp, Some(text.into_bytes()), Some(LegEvent::Settled(agreed))),
                Err(_) => (StatusCode::NotAcceptableHere, Vec::new(), None, None),
            },
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
            Method::Update => {
                if !self.settled() {
                    return answer(tx, Refusal::later(StatusCode::ServerInternalError, wait)).await;
                }
                if let Err(refusal) = checks::demands(&tx.original) {
                    return answer(tx, refusal).await;
                }
                let (status, headers, body, event) = self.negotiate(&tx.original);
                tx.reply_with(status, headers, body).await?;
                if let Some(event) = event {
                    self.tell(event).await;
                }
                Ok(())
            }
            Method::Info => {
                let digit = digit(&tx.original);
                tx.reply(StatusCode::OK).await?;
                if let Some((key, duration_ms)) = digit {
                    self.tell(LegEvent::Digit { key, duration_ms }).await;
                }
                Ok(())
            }
            Method::Options => answer(tx, super::endpoint::capabilities()).await,
            _ => answer(tx, Refusal(StatusCode::MethodNotAllowed, vec![checks::allow()])).await,
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

    /// A refused re-INVITE changes nothing, so the stack sees only those that will be accepted.
    async fn reinvite(&self, mut tx: Transaction, wait: u32) -> rsipstack::Result<()> {
        if !self.settled() || self.reinviting.swap(true, Ordering::AcqRel) {
            return answer(tx, Refusal::later(StatusCode::ServerInternalError, wait)).await;
        }
        let verdict = checks::demands(&tx.original).and_then(|()| checks::offer(&tx.original));
        let done = match verdict {
            Err(refusal) => answer(tx, refusal).await,
            Ok(_) => self.dialog.clone().handle(&mut tx).await,
        };
        self.reinviting.store(false, Ordering::Release);
        done
    }

    /// Acknowledged, and no offer of either side open.
    fn settled(&self) -> bool {
        self.dialog.state().is_confirmed()
            && !self.reinviting.load(Ordering::Acquire)
            && !self.offered.load(Ordering::Acquire)
    }

    /// Sends BYE once the dialog allows it, and waits for its answer.
    pub(super) async fn hang_up(&self, patience: Duration) {
        /// BYE may not be sent before the ACK or its time-out (RFC 3261 §15); the watcher owns the reports.
        const LOOK: Duration = Duration::from_millis(100);
        let looks = patience.as_millis() / LOOK.as_millis().max(1);
        for _ in 0..=looks {
            if !self.dialog.state().waiting_ack() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let state = self.dialog.state();
        if state.can_cancel() {
            let _ = self.dialog.reject(Some(StatusCode::ServerInternalError), None);
        } else if let Err(error) = self.dialog.bye().await {
            warn!(error = kind_of(&error), "sending BYE");
        }
    }
}

/// The key in an INFO body (`Signal=5`, `Duration=160`).
fn digit(request: &Request) -> Option<(char, u32)> {
    if checks::content_type(request)? != "application/dtmf-relay" {
        return None;
    }
    let body = std::str::from_utf8(&request.body).ok()?;
    let field = |name: &str| {
        let mut lines = body.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let key = field("Signal")?.chars().next()?.to_ascii_uppercase();
    let duration_ms = field("Duration").and_then(|it| it.parse().ok()).unwrap_or(100).min(10_000);
    "0123456789*#ABCD".contains(key).then_some((key, duration_ms))
}
