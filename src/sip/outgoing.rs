//! A phone of ours that is rung: an INVITE to each of its contacts, and the first who answers has the call.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rsipstack::{
    dialog::{
        DialogId,
        dialog::{Dialog, DialogState, DialogStateReceiver},
        invitation::InviteOption,
        invite_dialog::InviteDialog,
    },
    sip::{Auth, Host, HostWithPort, Response, Scheme, StatusCodeKind, Transport, Uri},
    transport::SipAddr,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{
    LegEvent, checks,
    endpoint::Shared,
    incoming::{Answered, Link},
    kind_of,
    leg::{Leg, Talk},
    sdp::{Agreed, Description, Session},
};
use crate::telemetry::Private;

/// Without any answer for so long a phone is not there; the transaction itself would wait 32 s.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// What a phone is counted as that said nothing (RFC 3261 §21.4.5).
const NO_WORD: u16 = 408;

/// Rings phones. Cheap to clone.
#[derive(Clone)]
pub struct Dialler(pub(super) Arc<Shared>);

/// Where a phone is.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it calls itself.
    pub(super) contact: Uri,
    /// Where its words come from: behind a NAT another address, on a stream the connection.
    pub(super) destination: SipAddr,
}

/// What a phone is asked.
pub struct Ring {
    /// All contacts of one phone number of ours.
    pub targets: Vec<Target>,
    /// Shown to the one who is rung.
    pub caller: Option<Private<String>>,
    /// Which of our numbers was dialled.
    pub called: String,
    /// Where we hear the phone.
    pub media: SocketAddr,
}

/// A phone that is being rung. Dropped, it stops ringing.
pub struct Ringing {
    events: mpsc::Receiver<RingEvent>,
    _stop: DropGuard,
}

/// What comes of ringing. After `Answered` and `Refused` there is nothing more.
pub enum RingEvent {
    /// It rings at one contact at least.
    Alerting,
    Answered(Answered, Agreed),
    /// By all contacts; the status that says most. 408 for a phone that is not there.
    Refused(u16),
}

impl Target {
    /// A phone at an address, over UDP.
    ///
    /// * `contact` — a SIP URI.
    /// * returns — nothing for what is no URI.
    pub fn udp(contact: &str, address: SocketAddr) -> Option<Self> {
        let contact = Uri::try_from(contact).ok()?;
        Some(Self { contact, destination: SipAddr { r#type: Some(Transport::Udp), addr: address.into() } })
    }
}

impl Ringing {
    /// The next thing that happens.
    pub async fn event(&mut self) -> RingEvent {
        self.events.recv().await.unwrap_or(RingEvent::Refused(NO_WORD))
    }
}

impl Dialler {
    /// Rings a phone.
    pub fn ring(&self, ring: Ring) -> Ringing {
        let (sender, events) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let attempt = Attempt { shared: self.0.clone(), ring, stop: stop.clone(), events: sender };
        self.0.spawn(attempt.run());
        Ringing { events, _stop: stop.drop_guard() }
    }
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dialler")
    }
}

/// All branches of one ringing.
struct Attempt {
    shared: Arc<Shared>,
    ring: Ring,
    stop: CancellationToken,
    events: mpsc::Sender<RingEvent>,
}

/// An INVITE that is under way.
struct Branch {
    shared: Arc<Shared>,
    target: Target,
    dialog: InviteDialog,
    states: DialogStateReceiver,
    session: Session,
}

impl Attempt {
    async fn run(self) {
        let Self { shared, ring, stop, events } = self;
        let mut branches = JoinSet::new();
        for target in &ring.targets {
            let Some(option) = option(&shared, &ring, target) else { continue };
            branches.spawn(invite(shared.clone(), target.clone(), option, stop.clone(), events.clone()));
        }
        let mut best = None;
        while let Some(done) = branches.join_next().await {
            match done {
                Ok(Ok((answered, agreed))) => {
                    // The others stop; one that answered at the same moment is hung up as it is dropped.
                    let taken = !stop.is_cancelled();
                    stop.cancel();
                    if taken {
                        let _ = events.send(RingEvent::Answered(answered, agreed)).await;
                    }
                }
                Ok(Err(status)) => best = best.max(Some((weight(status), status))),
                Err(_) => {}
            }
        }
        if !stop.is_cancelled() {
            let _ = events.send(RingEvent::Refused(best.map_or(NO_WORD, |(_, status)| status))).await;
        }
    }
}

/// How much a refusal says: that nobody there wants the call, that it is busy, anything else, nothing.
const fn weight(status: u16) -> u8 {
    match status {
        600.. => 3,
        486 => 2,
        NO_WORD => 0,
        _ => 1,
    }
}

/// The INVITE for a contact, and our side of offer and answer.
///
/// * returns — nothing for a browser where the line has no certificate for it.
fn option(shared: &Shared, ring: &Ring, target: &Target) -> Option<(InviteOption, Session)> {
    let peer = target.destination.get_socketaddr().ok();
    let transport = target.destination.r#type.unwrap_or(Transport::Udp);
    let door = shared.door_towards(transport, peer);
    let mut session = shared.session_towards(transport, shared.media_address(ring.media, door.address.ip()))?;
    let offer = session.offer();
    let number = ring.caller.as_ref().map_or("anonymous", |number| number.0.as_str());
    let own = HostWithPort { host: Host::IpAddr(door.address.ip()), port: None };
    let from = |user: &str| Uri {
        scheme: Some(Scheme::Sip),
        auth: Some(Auth { user: user.to_owned(), password: None }),
        host_with_port: own.clone(),
        ..Uri::default()
    };
    let secure = target.contact.scheme == Some(Scheme::Sips);
    let option = InviteOption {
        caller: from(number),
        callee: target.contact.clone(),
        destination: Some(target.destination.clone()),
        content_type: Some("application/sdp".into()),
        offer: Some(offer.into_bytes()),
        contact: door.contact(&ring.called, secure),
        headers: Some(vec![checks::allow_refer()]),
        ..InviteOption::default()
    };
    Some((option, session))
}

/// Rings one contact until it answers, refuses, is not there, or is not wanted any more.
async fn invite(
    shared: Arc<Shared>,
    target: Target,
    (option, session): (InviteOption, Session),
    stop: CancellationToken,
    events: mpsc::Sender<RingEvent>,
) -> Result<(Answered, Agreed), u16> {
    let (reports, states) = shared.layer.new_dialog_state_channel();
    let (dialog, mut outcome) = shared.layer.clone().do_invite_async(option, reports).map_err(|error| {
        debug!(error = kind_of(&error), "an INVITE of ours was not made");
        NO_WORD
    })?;
    let mut branch = Branch { shared, target, dialog, states, session };
    let first_word = tokio::time::sleep(FIRST_WORD);
    tokio::pin!(first_word);
    let (mut heard, mut alerted) = (false, false);
    loop {
        tokio::select! {
            biased;
            done = &mut outcome => return match done {
                Ok(Ok((id, Some(response)))) => branch.finish(id, &response, &stop).await,
                // A 200 that names no Contact, a connection that broke.
                _ => Err(NO_WORD),
            },
            () = stop.cancelled() => {
                // CANCEL waits for a first answer by itself; a 200 that crosses it is hung up by the stack.
                let _ = branch.dialog.cancel().await;
                let patience = branch.shared.transaction_time();
                if timeout(patience, &mut outcome).await.is_err() {
                    outcome.abort();
                }
                return Err(NO_WORD);
            }
            Some(state) = branch.states.recv() => match state {
                DialogState::Trying(_) => heard = true,
                DialogState::Early(..) => {
                    heard = true;
                    if !std::mem::replace(&mut alerted, true) {
                        let _ = events.send(RingEvent::Alerting).await;
                    }
                }
                _ => {}
            },
            () = &mut first_word, if !heard => {
                outcome.abort();
                return Err(NO_WORD);
            }
        }
    }
}

impl Branch {
    /// Makes a call of a final answer.
    async fn finish(
        mut self,
        id: DialogId,
        response: &Response,
        stop: &CancellationToken,
    ) -> Result<(Answered, Agreed), u16> {
        let status = response.status_code.code();
        if response.status_code.kind() != StatusCodeKind::Successful {
            return Err(status);
        }
        if self.dialog.state().is_terminated() {
            return Err(NO_WORD);
        }
        let answer = Description::parse(&response.body).ok();
        let agreed = answer.and_then(|answer| self.session.accept(&answer).ok());
        self.keep_way_back();
        let Self { shared, target, dialog, states, session } = self;
        let peer = target.destination.get_socketaddr().ok();
        let flow = peer.and_then(|peer| shared.streams.flow(target.destination.r#type?, peer));
        let (leg, events) = Leg::new(dialog, 0, flow, None, shared.clock.clone());
        *leg.session() = Some(Talk::Plain(session));
        shared.keep(&id, &leg, states);
        let mut answered = Answered::new(Link { shared, leg, events, _place: None });
        match agreed {
            Some(agreed) if !stop.is_cancelled() => Ok((answered, agreed)),
            _ => {
                answered.hang_up();
                // Its end is nobody's news.
                while !matches!(answered.event().await, LegEvent::Ended(_)) {}
                Err(488)
            }
        }
    }

    /// What we send within the dialog goes where the phone's words come from: its Contact may be an address behind a NAT, or
    /// that of a listener where there is only a connection.
    fn keep_way_back(&mut self) {
        let target = self.dialog.snapshot().remote_uri;
        let contact = SipAddr::try_from(&target).ok().map(|address| address.addr);
        if contact.as_ref() != Some(&self.target.destination.addr) {
            let mut uri: Uri = self.target.destination.clone().into();
            uri.auth = target.auth;
            Dialog::Invite(self.dialog.clone()).set_remote_target(uri, None);
        }
    }
}
