//! Carries out what [`super::core`] decides for one call, and reports back. Holds no decision itself.

use std::{net::SocketAddr, sync::Arc, time::Duration, time::Instant};

use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, error, info, warn};

use super::{
    announcement::Announcement,
    core::{Action, Call, Event},
    desk::{self, Bridge, Guest, Told},
    ledger::{self, NOTES, Note, Presence},
    line::{Parts, Spoken},
    quality,
    seat::Telephone,
};
use crate::{
    acd,
    domain::{
        call::{Direction, EndReason, Fork, Origin, RecordingState},
        ids::CallId,
        quality::{Quality, Way},
        seat::SeatId,
        time::UnixMs,
    },
    media::{Browser, G711, LegStats, MediaCommand, MediaEvent, Party, RemoteMedia, Srtp, SrtpKey, SrtpSuite, Voices},
    recording::{CallFacts, Closing, Tap},
    sip::{
        AnswerError, Answered, Incoming, LegEvent,
        sdp::{Agreed, Codec, Forked, Suite},
    },
    store::{CallRow, StoredRecording},
    switchboard::{Entry, ORDERS, Order, Part},
};

/// How long sealing may take: hashing and storing the longest recording takes seconds.
const SEALING: Duration = Duration::from_mins(2);

/// One call from INVITE to its last row.
pub(super) async fn call(
    id: CallId,
    incoming: Incoming,
    parts: Arc<Parts>,
    presence: Arc<Presence>,
    media: mpsc::Receiver<MediaEvent>,
    stop: CancellationToken,
) {
    let started = parts.clock.now();
    let facts = CallFacts {
        call: id,
        caller: incoming.caller.clone(),
        called: incoming.called.clone(),
        direction: Direction::Inbound,
        started,
        fork: incoming.forked.as_ref().map(|parties| parties.fork.clone()),
        seat: None,
    };
    let origin = facts.fork.as_ref().map_or(Origin::Line, Fork::origin).name();
    info!(call.id = %id, called = facts.called, caller = ?facts.caller, origin, "call came in");
    let hash = facts.caller_hash(&parts.vault);
    let row = CallRow::begun(id, Direction::Inbound, facts.caller.clone(), facts.called.clone(), started);
    let row = row.found_by(hash).forked(facts.fork.as_ref());
    let (notes, receiver) = mpsc::channel(NOTES);
    let runner = Runner {
        core: if facts.fork.is_some() { Call::forked(parts.longest) } else { Call::new(parts.longest) },
        facts,
        incoming: Some(incoming),
        answered: None,
        ports: Vec::new(),
        tap: None,
        sealed: None,
        stats: LegStats::default(),
        phases: Phases::begin(parts.clock.instant()),
        notes,
        seat: Telephone::default(),
        guest: Telephone::default(),
        orders: None,
        spoken: parts.prompts.now(),
        parts: parts.clone(),
    };
    // Dropping the runner ends the notes, and thereby the ledger.
    tokio::join!(runner.drive(media, stop.clone()), ledger::keep(row, receiver, &parts, &presence, &stop));
}

struct Runner {
    parts: Arc<Parts>,
    spoken: Spoken,
    facts: CallFacts,
    core: Call,
    incoming: Option<Incoming>,
    /// Until the dialog is over or we hung up.
    answered: Option<Answered>,
    /// Where we hear the caller; of a forked call also where we hear the operator.
    ports: Vec<SocketAddr>,
    /// Until it goes to the media plane.
    tap: Option<Tap>,
    sealed: Option<StoredRecording>,
    stats: LegStats,
    phases: Phases,
    notes: mpsc::Sender<Note>,
    seat: Telephone,
    /// Of a third.
    guest: Telephone,
    /// From the switchboard, while the call is in its care.
    orders: Option<mpsc::Receiver<Order>>,
}

/// When what happened, for the closing line.
struct Phases {
    came: Instant,
    answered: Option<Instant>,
    heard: Option<Instant>,
    ended: Option<Instant>,
}

impl Phases {
    fn begin(came: Instant) -> Self {
        Self { came, answered: None, heard: None, ended: None }
    }
}

impl Runner {
    async fn drive(mut self, mut media: mpsc::Receiver<MediaEvent>, stop: CancellationToken) {
        let mut asked = false;
        loop {
            while let Some(action) = self.core.poll_action() {
                if let Some(event) = self.act(action).await {
                    self.core.handle(event, self.parts.clock.instant());
                }
            }
            if self.core.is_over() {
                return;
            }
            let due = self.core.poll_timeout().map(|(due, _)| due);
            let event = tokio::select! {
                event = next(&mut self.answered) => self.of_leg(event).await,
                Some(event) = media.recv() => self.of_media(event),
                event = self.seat.event(&self.parts.phones.registrar) => Some(Event::Desk(event)),
                event = self.guest.event(&self.parts.phones.registrar) => self.of_guest(event),
                order = order(&mut self.orders) => Some(Event::Desk(of_order(order))),
                () = stop.cancelled(), if !asked => {
                    asked = true;
                    Some(Event::StopAsked)
                }
                () = until(due) => None,
            };
            let now = self.parts.clock.instant();
            match event {
                Some(event) => self.core.handle(event, now),
                None => self.core.handle_timeout(now),
            }
        }
    }

    async fn of_leg(&mut self, event: LegEvent) -> Option<Event> {
        match event {
            // Only phones of ours may pass their caller on.
            LegEvent::Acked | LegEvent::Referred(_) => None,
            LegEvent::Settled(agreed) => Some(Event::Settled(agreed)),
            LegEvent::SettledFork(forked) => Some(Event::SettledFork(forked)),
            LegEvent::Told => {
                self.learn().await;
                None
            }
            LegEvent::NoAnswer => Some(Event::NoAnswer),
            LegEvent::Digit { duration_ms, .. } => {
                debug!(call.id = %self.facts.call, duration_ms, "key by INFO");
                None
            }
            LegEvent::Ended(end) => {
                self.answered = None;
                Some(Event::FarEnded(end))
            }
        }
    }

    fn of_guest(&mut self, event: desk::Event) -> Option<Event> {
        let event = match event {
            desk::Event::Answered(agreed) => Guest::Answered(agreed),
            desk::Event::Refused(_) => Guest::Refused,
            desk::Event::Settled(agreed) => Guest::Settled(agreed),
            desk::Event::Ended(_) => Guest::Ended,
            // Whoever is a guest passes nobody on.
            desk::Event::Referred { .. } => {
                self.guest.report_transfer(false);
                return None;
            }
            _ => return None,
        };
        Some(Event::Desk(desk::Event::Guest(event)))
    }

    fn of_media(&mut self, event: MediaEvent) -> Option<Event> {
        match event {
            MediaEvent::FirstPacket { party: Party::CALLER, .. } => {
                self.phases.heard.get_or_insert(self.parts.clock.instant());
                None
            }
            MediaEvent::Digit { party, duration_ms, .. } => {
                debug!(call.id = %self.facts.call, ?party, duration_ms, "key");
                None
            }
            MediaEvent::PromptEnded { name, party: Party::CALLER, .. } => {
                Announcement::from_name(&name).map(Event::Said)
            }
            MediaEvent::Silent { party: Party::CALLER, .. } => Some(Event::Silent),
            MediaEvent::Silent { party: Party::GUEST, .. } => Some(Event::Desk(desk::Event::Guest(Guest::Silent))),
            MediaEvent::Silent { .. } => Some(Event::Desk(desk::Event::Silent)),
            MediaEvent::Left { party: Party::GUEST, .. } => Some(Event::Desk(desk::Event::Guest(Guest::PlaceFree))),
            MediaEvent::Left { .. } => Some(Event::Desk(desk::Event::PlaceFree)),
            MediaEvent::FirstPacket { .. } | MediaEvent::PromptEnded { .. } => None,
            MediaEvent::Closed { stats, .. } => {
                self.stats = stats;
                Some(Event::MediaClosed)
            }
        }
    }

    /// Where the caller's media comes from, if that is certain already.
    fn source(&self) -> Option<SocketAddr> {
        self.incoming.as_ref().and_then(|incoming| incoming.source)
    }

    /// Does one thing; what comes of it at once is the next event.
    async fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::OpenPort => {
                let (media, call) = (&self.parts.media, self.facts.call);
                let opened = match self.facts.fork {
                    None => media.open(call, self.source()).map(|port| vec![port]),
                    Some(_) => media.open_fork(call).map(Vec::from),
                };
                match opened {
                    Ok(ports) => {
                        self.ports = ports;
                        Some(Event::PortOpened)
                    }
                    Err(error) => Some(self.failed(&error, "no media port", Event::PortRefused)),
                }
            }
            Action::OpenRecording => match self.parts.archive.start(self.facts.clone()).await {
                Ok(tap) => {
                    self.tap = Some(tap);
                    Some(Event::RecordingOpened)
                }
                Err(error) => Some(self.failed(&error, "the recording cannot be begun", Event::RecordingRefused)),
            },
            Action::Answer => Some(self.answer()),
            Action::Refuse(status) => {
                if let Some(incoming) = self.incoming.take() {
                    incoming.refuse(status);
                }
                None
            }
            Action::NoteAnswered => {
                let now = self.parts.clock.instant();
                self.phases.answered = Some(now);
                metrics::counter!("hotline_calls_answered_total").increment(1);
                metrics::histogram!("hotline_call_setup_seconds").record(now - self.phases.came);
                self.note(Note::Answered(self.wall(now))).await;
                None
            }
            Action::Record => {
                let tap = self.tap.take()?;
                if self.command(MediaCommand::Record(tap)) {
                    return None;
                }
                // A line that cannot record does not talk.
                self.command(MediaCommand::Close);
                Some(Event::MediaClosed)
            }
            Action::Connect(agreed) => {
                self.command(MediaCommand::Connect(Party::CALLER, remote(&agreed)));
                None
            }
            Action::Listen(Forked { caller, operator }) => {
                let sides = [caller, operator].map(|side| side.as_ref().map(remote));
                self.command(MediaCommand::Listen(sides));
                None
            }
            Action::Play(which) => {
                if let Some(prompt) = self.spoken.get(which) {
                    self.command(MediaCommand::Play(Party::CALLER, prompt));
                }
                None
            }
            Action::StopPlaying => {
                self.command(MediaCommand::StopPlaying(Party::CALLER));
                None
            }
            Action::HangUp => {
                if let Some(mut answered) = self.answered.take() {
                    answered.hang_up();
                }
                None
            }
            Action::CloseMedia => {
                self.end();
                (!self.command(MediaCommand::Close)).then_some(Event::MediaClosed)
            }
            Action::Enter { again, to } => {
                let (sender, orders) = mpsc::channel(ORDERS);
                self.orders = Some(orders);
                let entry = Entry { call: self.facts.call, called: self.facts.called.clone(), again, to };
                self.parts.switchboard.enter(entry, sender).await;
                None
            }
            Action::Tell(told) => {
                self.tell(told).await;
                None
            }
            Action::LeaveLine => {
                self.orders = None;
                self.parts.switchboard.tell(acd::Event::Left { call: self.facts.call }).await;
                None
            }
            Action::Ring(seat) => self.ring(&seat, Party::OPERATOR).map(Event::Desk),
            Action::StopRinging => {
                self.seat.stop_ringing();
                None
            }
            Action::FreePlace => {
                let asked = self.command(MediaCommand::Leave(Party::OPERATOR));
                (!asked).then_some(Event::Desk(desk::Event::PlaceFree))
            }
            Action::RingGuest(seat) => {
                let refused = self.ring(&seat, Party::GUEST);
                refused.map(|_| Event::Desk(desk::Event::Guest(Guest::Refused)))
            }
            Action::StopRingingGuest => {
                self.guest.stop_ringing();
                None
            }
            Action::FreeGuestPlace => {
                let asked = self.command(MediaCommand::Leave(Party::GUEST));
                (!asked).then_some(Event::Desk(desk::Event::Guest(Guest::PlaceFree)))
            }
            Action::ConnectGuest(agreed) => {
                self.command(MediaCommand::Connect(Party::GUEST, remote(&agreed)));
                None
            }
            Action::LetGuestGo => {
                self.guest.let_go();
                None
            }
            Action::ConnectSeat(agreed) => {
                self.command(MediaCommand::Connect(Party::OPERATOR, remote(&agreed)));
                None
            }
            Action::Bridge(bridge) => {
                for (hearer, voices) in voices(bridge) {
                    self.command(MediaCommand::Hear(hearer, voices));
                }
                None
            }
            Action::NoteSeat(seat) => {
                info!(call.id = %self.facts.call, %seat, "a seat took the call");
                self.facts.seat = Some(seat.to_string());
                self.parts.archive.amend(self.facts.clone());
                // While the database is away the sidecar alone knows.
                let _ = self.notes.try_send(Note::Told(Box::new(self.facts.clone())));
                None
            }
            Action::ReportTransfer(taken) => {
                self.seat.report_transfer(taken);
                None
            }
            Action::LetSeatGo => {
                self.seat.let_go();
                None
            }
            Action::Seal(reason) => Some(self.seal(reason).await),
            Action::NoteEnded(reason, state) => {
                let at = self.end();
                let recording = self.sealed.take();
                let quality = quality::rate(&self.stats).map(Box::new);
                self.close(reason, state, quality.as_deref());
                self.note(Note::Ended { at, reason, state, recording, quality }).await;
                None
            }
        }
    }

    fn answer(&mut self) -> Event {
        let Some(incoming) = self.incoming.take() else { return Event::AnswerFailed };
        let answer = match *self.ports.as_slice() {
            [port] => {
                let media = incoming.media_address(port);
                incoming.answer(media).map(|(answered, agreed)| (answered, Event::Answered(agreed)))
            }
            [caller, operator] => {
                let media = [caller, operator].map(|port| incoming.media_address(port));
                incoming.answer_fork(media).map(|(answered, forked)| (answered, Event::AnsweredFork(forked)))
            }
            _ => return Event::AnswerFailed,
        };
        match answer {
            Ok((answered, event)) => {
                self.answered = Some(answered);
                event
            }
            Err(AnswerError::Cancelled) => Event::Cancelled,
            Err(error @ AnswerError::Stack(_)) => self.failed(&error, "the 200 cannot be sent", Event::AnswerFailed),
        }
    }

    /// Rings a seat.
    ///
    /// * returns — what comes of it at once: nothing if it rings.
    fn ring(&mut self, seat: &SeatId, party: Party) -> Option<desk::Event> {
        let (call, who) = (self.facts.call, format!("seat:{seat}"));
        let media = match self.parts.media.join(call, party, &who) {
            Ok(media) => media,
            Err(error) => {
                warn!(call.id = %call, %seat, %error, "a seat cannot be heard, so it is not rung");
                return Some(desk::Event::Refused(503));
            }
        };
        let shown = (self.facts.caller.clone(), self.facts.called.clone());
        let telephone = if party == Party::GUEST { &mut self.guest } else { &mut self.seat };
        let rings = telephone.ring(&self.parts.phones, seat, shown, media);
        (!rings).then_some(desk::Event::Refused(404))
    }

    async fn tell(&self, told: Told) {
        let call = self.facts.call;
        self.parts
            .switchboard
            .tell(match told {
                Told::Answered(seat) => acd::Event::Answered { call, seat },
                Told::Refused(seat, how) => acd::Event::Refused { call, seat, how },
                Told::TalkEnded => acd::Event::TalkEnded { call },
                Told::Busy(seat) => acd::Event::SeatBusy { seat },
                Told::Free(seat) => acd::Event::SeatFree { seat },
            })
            .await;
    }

    /// The switch that forks the call said more about who speaks: sidecar and row say so too.
    async fn learn(&mut self) {
        let Some(parties) = self.answered.as_ref().and_then(Answered::parties) else { return };
        if let Some(called) = parties.called {
            self.facts.called = called;
        }
        (self.facts.caller, self.facts.fork) = (parties.caller, Some(parties.fork));
        info!(call.id = %self.facts.call, caller = ?self.facts.caller, "the switch says who speaks");
        self.parts.archive.amend(self.facts.clone());
        self.note(Note::Told(Box::new(self.facts.clone()))).await;
    }

    async fn seal(&mut self, reason: EndReason) -> Event {
        self.tap = None;
        let closing = Closing { ended: self.end(), reason };
        match timeout(SEALING, self.parts.archive.seal(self.facts.call, closing)).await {
            Ok(Ok(sealed)) => {
                if let Some(trouble) = &sealed.trouble {
                    error!(call.id = %self.facts.call, trouble, dropped = sealed.dropped_samples, "recording trouble");
                }
                let (key, sha256, samples) = (sealed.key, sealed.sha256, sealed.samples);
                self.sealed = Some(StoredRecording { key, sha256, samples });
                Event::Sealed
            }
            Ok(Err(error)) => self.failed(&error, "the recording stays in the spool folder", Event::SealFailed),
            Err(_) => {
                error!(call.id = %self.facts.call, "sealing takes too long; the recording stays in the spool folder");
                Event::SealFailed
            }
        }
    }

    /// Tells the leg; says so if it cannot be told.
    fn command(&self, command: MediaCommand) -> bool {
        match self.parts.media.command(self.facts.call, command) {
            Ok(()) => true,
            Err(error) => {
                warn!(call.id = %self.facts.call, %error, "the media leg does not listen");
                false
            }
        }
    }

    fn failed(&self, error: &dyn std::error::Error, what: &str, event: Event) -> Event {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        error!(call.id = %self.facts.call, %error, cause, "{what}");
        event
    }

    async fn note(&self, note: Note) {
        // The ledger listens as long as this runner lives.
        let _ = self.notes.send(note).await;
    }

    /// The moment the call was over, noted once.
    fn end(&mut self) -> UnixMs {
        let ended = *self.phases.ended.get_or_insert(self.parts.clock.instant());
        self.wall(ended)
    }

    /// A moment of the call in wall time, as it would be had nobody set the clock since the call came in: a call ends after
    /// it began.
    fn wall(&self, moment: Instant) -> UnixMs {
        self.facts.started + moment.saturating_duration_since(self.phases.came)
    }

    /// The one closing line.
    fn close(&self, reason: EndReason, recording: RecordingState, quality: Option<&Quality>) {
        let now = self.parts.clock.instant();
        let span = |from: Option<Instant>, to: Option<Instant>| {
            let span = to.zip(from).map(|(to, from)| to.saturating_duration_since(from)).unwrap_or_default();
            u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
        };
        let phases = &self.phases;
        let outcome = reason.outcome().name();
        self.count(reason, recording, now);
        if let Some(quality) = quality {
            quality::measure(quality);
        }
        let mos = |way: fn(&Quality) -> &Option<Way>| quality.and_then(|it| Some(way(it).as_ref()?.mos));
        Span::current().record("call.end_reason", reason.name());
        info!(
            call.id = %self.facts.call,
            outcome,
            reason = reason.name(),
            recording = recording.name(),
            answer_ms = span(Some(phases.came), phases.answered),
            first_packet_ms = span(phases.answered, phases.heard),
            talk_ms = span(phases.answered, phases.ended),
            seal_ms = span(phases.ended, Some(now)),
            received = self.stats.heard.received,
            sent = self.stats.sent,
            lost = self.stats.heard.lost,
            late = self.stats.heard.late,
            jitter_ms = self.stats.heard.jitter_ms,
            round_trip_ms = quality.and_then(|it| it.round_trip_ms),
            mos_heard = mos(|it| &it.heard),
            mos_reported = mos(|it| &it.reported),
            "call ended"
        );
    }
}

impl Runner {
    /// What a call that is over adds to the metrics.
    fn count(&self, reason: EndReason, recording: RecordingState, now: Instant) {
        let (outcome, phases, stats) = (reason.outcome().name(), &self.phases, &self.stats);
        metrics::counter!("hotline_calls_ended_total", "outcome" => outcome, "reason" => reason.name()).increment(1);
        metrics::counter!("hotline_recordings_total", "state" => recording.name()).increment(1);
        if let Some((from, to)) = phases.answered.zip(phases.ended) {
            metrics::histogram!("hotline_call_duration_seconds").record(to.saturating_duration_since(from));
        }
        if let Some(from) = phases.ended.filter(|_| recording == RecordingState::Sealed) {
            metrics::histogram!("hotline_recording_seal_seconds").record(now.saturating_duration_since(from));
        }
        let heard = &stats.heard;
        for (fate, packets) in [
            ("received", heard.received),
            ("sent", stats.sent),
            ("lost", heard.lost),
            ("late", heard.late),
            ("foreign", heard.foreign),
            ("unproved", heard.unproved),
        ] {
            metrics::counter!("hotline_rtp_packets_total", "fate" => fate).increment(packets);
        }
    }
}

/// Who hears whom, those first who are there.
fn voices(Bridge { talk, operator, guest }: Bridge) -> impl Iterator<Item = (Party, Voices)> {
    let nobody = Voices::NOBODY;
    let add = |voices: Voices, party: Party, so: bool| if so { voices.and(party) } else { voices };
    let heard_by_caller = matches!(guest, Some(Part::Barge | Part::Conference));
    let heard_by_operator = heard_by_caller || guest == Some(Part::Whisper);
    let caller = add(add(nobody, Party::OPERATOR, talk && operator), Party::GUEST, talk && heard_by_caller);
    let at_seat = add(add(nobody, Party::CALLER, talk), Party::GUEST, heard_by_operator);
    let third = add(add(nobody, Party::CALLER, talk), Party::OPERATOR, operator);
    let guest = guest.map(|_| (Party::GUEST, third));
    [(Party::CALLER, caller)].into_iter().chain(operator.then_some((Party::OPERATOR, at_seat))).chain(guest)
}

fn remote(agreed: &Agreed) -> RemoteMedia {
    let codec = match agreed.codec {
        Codec::Pcma => G711::Alaw,
        Codec::Pcmu => G711::Ulaw,
    };
    let srtp = agreed.security.as_ref().map(|security| {
        let suite = match security.suite {
            Suite::AesCm128HmacSha1_80 => SrtpSuite::AesCm128HmacSha1_80,
            Suite::AesCm128HmacSha1_32 => SrtpSuite::AesCm128HmacSha1_32,
        };
        let key = |master| SrtpKey { suite, master };
        Box::new(Srtp { ours: key(security.ours), theirs: key(security.theirs) })
    });
    let browser = agreed.dtls.as_ref().map(|dtls| {
        let (ours, fingerprint) = (dtls.ours.clone(), dtls.fingerprint);
        Box::new(Browser { ufrag: ours.ufrag, password: ours.password, fingerprint })
    });
    RemoteMedia {
        address: agreed.address,
        rtcp: agreed.rtcp,
        codec,
        payload_type: agreed.payload_type,
        telephone_event: agreed.telephone_event,
        send: agreed.send,
        receive: agreed.receive,
        srtp,
        browser,
    }
}

/// The leg's next event; never, if there is no leg.
async fn next(answered: &mut Option<Answered>) -> LegEvent {
    match answered {
        Some(answered) => answered.event().await,
        None => std::future::pending().await,
    }
}

/// The switchboard's next order; never, while the call is not in its care.
async fn order(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    let next = match orders {
        Some(orders) => orders.recv().await,
        None => None,
    };
    match next {
        Some(order) => order,
        None => std::future::pending().await,
    }
}

fn of_order(order: Order) -> desk::Event {
    match order {
        Order::Queued { attended } => desk::Event::Queued { attended },
        Order::Ring(seat) => desk::Event::Ring(seat),
        Order::StopRinging(seat) => desk::Event::StopRinging(seat),
        Order::SayAhead(callers) => desk::Event::Ahead(callers),
        Order::GiveUp { why, attended } => desk::Event::GivenUp { why, attended },
        Order::Do(control) => desk::Event::Asked(control),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
