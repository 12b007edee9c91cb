//! One answered call as a state machine. Pure: the runner feeds it events and the time, then drains the actions.
//!
//! Two promises hold whatever happens in whatever order: a call ends once, and a recording that was begun is sealed
//! exactly once, before the end is noted.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    announcement::Announcement,
    desk::{self, Desk, Outcome, Told},
};
use crate::{
    domain::{
        call::{EndReason, RecordingState},
        seat::SeatId,
    },
    sip::{
        LegEnd,
        sdp::{Agreed, Forked},
    },
};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A pair of RTP ports is ours, or none is free.
    PortOpened,
    PortRefused,
    /// The recording's file is open, or cannot be written.
    RecordingOpened,
    RecordingRefused,
    /// The 200 is out; what was settled, unless they want our offer.
    Answered(Option<Agreed>),
    /// The same of a forked call.
    AnsweredFork(Forked),
    /// The caller gave up before our 200.
    Cancelled,
    /// The 200 could not be sent.
    AnswerFailed,
    /// Offer and answer settled something new.
    Settled(Agreed),
    SettledFork(Forked),
    /// The ACK brought no usable answer to our offer.
    NoAnswer,
    /// An announcement was said to its end.
    Said(Announcement),
    /// No RTP and no RTCP for too long.
    Silent,
    /// The dialog is over.
    FarEnded(LegEnd),
    /// The house stops and its patience is over.
    StopAsked,
    /// The ports are free again and the recording got its last sample.
    MediaClosed,
    /// The recording lies in the archive, or could not be put there.
    Sealed,
    SealFailed,
    /// Something happened on the operators' side.
    Desk(desk::Event),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    OpenPort,
    OpenRecording,
    /// Send the 200.
    Answer,
    /// Refuse the INVITE with this status.
    Refuse(u16),
    /// The call is in the books as answered.
    NoteAnswered,
    /// From now on both sides are recorded.
    Record,
    Connect(Agreed),
    /// Hear both sides of a forked call.
    Listen(Forked),
    Play(Announcement),
    StopPlaying,
    /// Send BYE.
    HangUp,
    CloseMedia,
    Seal(EndReason),
    /// Ask the switchboard for an operator.
    ///
    /// * `again` — one was lost in mid-talk, or has passed the caller on.
    /// * `to` — the seat that is asked for.
    Enter {
        again: bool,
        to: Option<SeatId>,
    },
    Tell(Told),
    /// The switchboard forgets the call.
    LeaveLine,
    /// Give the seat a place in the media plane and ring its telephones.
    Ring(SeatId),
    StopRinging,
    /// Take the seat's place away; answered by [`desk::Event::PlaceFree`].
    FreePlace,
    ConnectSeat(Agreed),
    /// From now on these hear each other.
    Bridge(desk::Bridge),
    /// Give a third a place in the media plane and ring their telephones.
    RingGuest(SeatId),
    StopRingingGuest,
    /// Take the third's place away; answered by [`desk::Guest::PlaceFree`].
    FreeGuestPlace,
    ConnectGuest(Agreed),
    /// Send BYE to the third.
    LetGuestGo,
    /// The seat's extension goes to the books.
    NoteSeat(SeatId),
    /// Send BYE to the seat.
    LetSeatGo,
    /// Tell the seat's telephone what became of the transfer that it asked for.
    ReportTransfer(bool),
    /// The call is over: the last action.
    NoteEnded(EndReason, RecordingState),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Opening,
    Preparing,
    Answering,
    Talking { until: Instant },
    Parting { until: Instant, last: Announcement, reason: EndReason },
    Closing { reason: EndReason, until: Instant },
    Sealing { reason: EndReason },
    Over,
}

/// One call.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts, true in several states each")]
pub struct Call {
    state: State,
    longest: Duration,
    /// A switch sends us both sides of a call of its own: we only listen.
    forked: bool,
    port: bool,
    recording: bool,
    welcomed: bool,
    /// Asked to stop before there was anything to hang up.
    stop: bool,
    desk: Desk,
    actions: VecDeque<Action>,
}

impl Call {
    /// Longest goodbye; then BYE comes all the same.
    pub const PARTING: Duration = Duration::from_secs(10);
    /// How long the media plane may take to close a leg, which takes it a tick.
    pub const CLOSING: Duration = Duration::from_secs(3);

    /// An INVITE that may be taken.
    ///
    /// * `longest` — from the answer to the goodbye.
    pub fn new(longest: Duration) -> Self {
        Self {
            state: State::Opening,
            longest,
            forked: false,
            port: false,
            recording: false,
            welcomed: false,
            stop: false,
            desk: Desk::default(),
            actions: VecDeque::from([Action::OpenPort]),
        }
    }

    /// A call that a switch forks to us: nothing is ever said in it.
    pub fn forked(longest: Duration) -> Self {
        Self { forked: true, ..Self::new(longest) }
    }

    /// Takes what happened. Events that come too late change nothing.
    pub fn handle(&mut self, event: Event, now: Instant) {
        use {Action as A, Event as E, State as S};
        match (self.state, event) {
            (S::Opening, E::PortOpened) => {
                self.port = true;
                self.go(S::Preparing, [A::OpenRecording]);
            }
            (S::Preparing, E::RecordingOpened) => {
                self.recording = true;
                self.go(S::Answering, [A::Answer]);
            }
            (S::Opening, E::PortRefused) | (S::Preparing, E::RecordingRefused) => {
                self.actions.push_back(A::Refuse(503));
                self.end(EndReason::Failed, now);
            }
            (S::Answering, E::Answered(settled)) => {
                self.answered(now);
                if let Some(agreed) = settled {
                    self.connect(agreed);
                }
                self.stop_if_asked(now);
            }
            (S::Answering, E::AnsweredFork(forked)) => {
                self.answered(now);
                self.actions.push_back(A::Listen(forked));
                self.stop_if_asked(now);
            }
            (S::Answering, E::AnswerFailed) => self.end(EndReason::Failed, now),
            (S::Answering, E::Cancelled) => self.end(EndReason::Cancelled, now),
            (S::Talking { .. } | S::Parting { .. }, E::Settled(agreed)) => self.connect(agreed),
            (S::Talking { .. }, E::SettledFork(forked)) => self.actions.push_back(A::Listen(forked)),
            (S::Talking { .. } | S::Parting { .. }, E::NoAnswer) => self.hang_up(EndReason::AckTimeout, now),
            (S::Talking { .. } | S::Parting { .. }, E::Silent) => self.hang_up(EndReason::MediaTimeout, now),
            (S::Talking { .. }, E::Said(Announcement::Welcome)) if !self.forked => self.desk.enter(&mut self.actions),
            (S::Talking { .. }, E::Said(which)) => self.desk.said(which, &mut self.actions),
            (S::Talking { .. }, E::Desk(event)) => match self.desk.handle(event, &mut self.actions) {
                Outcome::GoesOn => {}
                Outcome::HangUp(reason) => self.hang_up(reason, now),
                Outcome::Part(last, reason) => self.part(last, reason, now),
            },
            (S::Parting { last, reason, .. }, E::Said(which)) if which == last => self.hang_up(reason, now),
            (S::Talking { .. } | S::Parting { .. }, E::FarEnded(end)) => self.end(self.reason(end), now),
            (S::Talking { .. } | S::Parting { .. }, E::MediaClosed) => {
                self.port = false;
                self.hang_up(EndReason::Failed, now);
            }
            (S::Talking { .. } | S::Parting { .. }, E::StopAsked) => self.hang_up(EndReason::LineHungUp, now),
            (S::Opening | S::Preparing | S::Answering, E::StopAsked) => self.stop = true,
            (S::Closing { reason, .. }, E::MediaClosed) => self.closed(reason),
            (S::Sealing { reason }, E::Sealed) => self.go(S::Over, [A::NoteEnded(reason, RecordingState::Sealed)]),
            (S::Sealing { reason }, E::SealFailed) => self.go(S::Over, [A::NoteEnded(reason, RecordingState::Failed)]),
            _ => {}
        }
    }

    /// Takes the time when [`Call::poll_timeout`] was due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|(due, _)| due > now) {
            return;
        }
        match self.state {
            State::Talking { .. } if self.forked => self.hang_up(EndReason::MaxDuration, now),
            State::Talking { .. } => self.part(Announcement::Goodbye, EndReason::MaxDuration, now),
            State::Parting { reason, .. } => self.hang_up(reason, now),
            State::Closing { reason, .. } => self.closed(reason),
            _ => {}
        }
    }

    /// When to call [`Call::handle_timeout`] next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.state {
            State::Talking { until } => Some((until, "longest call")),
            State::Parting { until, .. } => Some((until, "longest goodbye")),
            State::Closing { until, .. } => Some((until, "media closes")),
            _ => None,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the last action was given.
    pub fn is_over(&self) -> bool {
        self.state == State::Over && self.actions.is_empty()
    }

    fn go<const N: usize>(&mut self, state: State, actions: [Action; N]) {
        self.state = state;
        self.actions.extend(actions);
    }

    fn answered(&mut self, now: Instant) {
        self.go(State::Talking { until: now + self.longest }, [Action::Record, Action::NoteAnswered]);
    }

    fn stop_if_asked(&mut self, now: Instant) {
        if self.stop {
            self.hang_up(EndReason::LineHungUp, now);
        }
    }

    fn connect(&mut self, agreed: Agreed) {
        self.actions.push_back(Action::Connect(agreed));
        if !self.welcomed {
            self.welcomed = true;
            self.actions.push_back(Action::Play(Announcement::Welcome));
        }
    }

    /// Says the last words; then the call is hung up.
    fn part(&mut self, last: Announcement, reason: EndReason, now: Instant) {
        self.desk.quit(&mut self.actions);
        let words = [Action::StopPlaying, Action::Play(last)];
        self.go(State::Parting { until: now + Self::PARTING, last, reason }, words);
    }

    fn hang_up(&mut self, reason: EndReason, now: Instant) {
        self.actions.push_back(Action::HangUp);
        self.end(reason, now);
    }

    fn end(&mut self, reason: EndReason, now: Instant) {
        self.desk.quit(&mut self.actions);
        if self.port {
            self.go(State::Closing { reason, until: now + Self::CLOSING }, [Action::CloseMedia]);
        } else {
            self.closed(reason);
        }
    }

    fn closed(&mut self, reason: EndReason) {
        self.port = false;
        if self.recording {
            self.go(State::Sealing { reason }, [Action::Seal(reason)]);
        } else {
            self.go(State::Over, [Action::NoteEnded(reason, RecordingState::None)]);
        }
    }

    fn reason(&self, end: LegEnd) -> EndReason {
        match end {
            LegEnd::FarHungUp if self.forked => EndReason::SwitchHungUp,
            LegEnd::FarHungUp if self.desk.is_waited_at() => EndReason::Abandoned,
            LegEnd::FarHungUp => EndReason::CallerHungUp,
            LegEnd::WeHungUp => EndReason::LineHungUp,
            LegEnd::Cancelled => EndReason::Cancelled,
            LegEnd::AckTimeout => EndReason::AckTimeout,
            LegEnd::Expired => EndReason::SessionExpired,
            LegEnd::Failed => EndReason::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock::Clock, sip::sdp::Codec};

    const LONGEST: Duration = Duration::from_hours(2);

    fn agreed() -> Agreed {
        Agreed {
            address: ([127, 0, 0, 1], 4000).into(),
            rtcp: None,
            codec: Codec::Pcma,
            payload_type: 8,
            telephone_event: Some(101),
            send: true,
            receive: true,
            security: None,
            dtls: None,
        }
    }

    fn now() -> Instant {
        Clock::system().instant()
    }

    fn drain(call: &mut Call) -> Vec<Action> {
        std::iter::from_fn(|| call.poll_action()).collect()
    }

    /// All actions that these events cause.
    fn play(events: &[Event]) -> (Call, Vec<Action>) {
        let (mut call, now) = (Call::new(LONGEST), now());
        let mut actions = drain(&mut call);
        for event in events {
            call.handle(event.clone(), now);
            actions.extend(drain(&mut call));
        }
        (call, actions)
    }

    #[test]
    fn each_way_a_call_can_go_ends_as_it_should() {
        use {Action as A, Announcement::Welcome, EndReason as R, Event as E, RecordingState as Rec};
        let up = [E::PortOpened, E::RecordingOpened];
        let talking = [E::PortOpened, E::RecordingOpened, E::Answered(Some(agreed()))];
        let opened = [A::OpenPort, A::OpenRecording, A::Answer];
        let answered = [
            A::OpenPort,
            A::OpenRecording,
            A::Answer,
            A::Record,
            A::NoteAnswered,
            A::Connect(agreed()),
            A::Play(Welcome),
        ];
        let sealed = |reason| [A::CloseMedia, A::Seal(reason), A::NoteEnded(reason, Rec::Sealed)];
        let rest = [E::MediaClosed, E::Sealed];
        let hung_up = |reason| [&answered[..], &[A::HangUp], &sealed(reason)].concat();
        let table: Vec<(&str, Vec<Event>, Vec<Action>)> = vec![
            ("no port", vec![E::PortRefused], vec![A::OpenPort, A::Refuse(503), A::NoteEnded(R::Failed, Rec::None)]),
            (
                "no disk",
                vec![E::PortOpened, E::RecordingRefused, E::MediaClosed],
                vec![A::OpenPort, A::OpenRecording, A::Refuse(503), A::CloseMedia, A::NoteEnded(R::Failed, Rec::None)],
            ),
            ("cancelled", [&up[..], &[E::Cancelled], &rest].concat(), [&opened[..], &sealed(R::Cancelled)].concat()),
            (
                "caller hangs up",
                [&talking[..], &[E::Said(Welcome), E::FarEnded(LegEnd::FarHungUp)], &rest].concat(),
                [&answered[..], &[A::Enter { again: false, to: None }, A::LeaveLine], &sealed(R::CallerHungUp)]
                    .concat(),
            ),
            (
                "the cancel crossed the 200",
                [&talking[..], &[E::FarEnded(LegEnd::Cancelled)], &rest].concat(),
                [&answered[..], &sealed(R::Cancelled)].concat(),
            ),
            (
                "no ACK",
                [&talking[..], &[E::FarEnded(LegEnd::AckTimeout)], &rest].concat(),
                [&answered[..], &sealed(R::AckTimeout)].concat(),
            ),
            (
                "the caller vanished",
                [&talking[..], &[E::FarEnded(LegEnd::Expired)], &rest].concat(),
                [&answered[..], &sealed(R::SessionExpired)].concat(),
            ),
            ("silence", [&talking[..], &[E::Silent], &rest].concat(), hung_up(R::MediaTimeout)),
            ("stop", [&talking[..], &[E::StopAsked], &rest].concat(), hung_up(R::LineHungUp)),
            ("early stop", [&[E::StopAsked], &talking[..], &rest].concat(), hung_up(R::LineHungUp)),
            (
                "the ACK brings no answer",
                [&up[..], &[E::Answered(None), E::NoAnswer], &rest].concat(),
                [&opened[..], &[A::Record, A::NoteAnswered, A::HangUp], &sealed(R::AckTimeout)].concat(),
            ),
            (
                "the disk fills in the call",
                [&talking[..], &[E::FarEnded(LegEnd::FarHungUp), E::MediaClosed, E::SealFailed]].concat(),
                [&answered[..], &[A::CloseMedia, A::Seal(R::CallerHungUp), A::NoteEnded(R::CallerHungUp, Rec::Failed)]]
                    .concat(),
            ),
        ];
        for (name, events, wanted) in table {
            let (call, actions) = play(&events);
            assert_eq!(actions, wanted, "{name}");
            assert!(call.is_over(), "{name}");
        }
    }

    #[test]
    fn the_welcome_waits_for_the_answer_in_the_ack_and_is_said_once() {
        let settled = Event::Settled(agreed());
        let (_, actions) =
            play(&[Event::PortOpened, Event::RecordingOpened, Event::Answered(None), settled.clone(), settled]);
        let said = actions.iter().filter(|it| matches!(it, Action::Play(_))).count();
        assert_eq!(said, 1);
        assert_eq!(actions.last(), Some(&Action::Connect(agreed())), "a later change only connects anew");
    }

    #[test]
    fn the_longest_call_hears_goodbye_and_then_bye_even_if_the_goodbye_never_ends() {
        let (mut call, _) = play(&[Event::PortOpened, Event::RecordingOpened, Event::Answered(Some(agreed()))]);
        let (due, why) = call.poll_timeout().expect("a call has an end");
        assert_eq!(why, "longest call");
        call.handle_timeout(now());
        assert_eq!(call.poll_action(), None, "not a moment too early");
        call.handle_timeout(due);
        assert_eq!(drain(&mut call), [Action::StopPlaying, Action::Play(Announcement::Goodbye)]);
        let (later, _) = call.poll_timeout().expect("a goodbye has an end");
        assert_eq!(later - due, Call::PARTING);
        call.handle_timeout(later);
        assert_eq!(drain(&mut call), [Action::HangUp, Action::CloseMedia]);
        call.handle_timeout(later + Call::CLOSING);
        assert_eq!(drain(&mut call), [Action::Seal(EndReason::MaxDuration)], "a stuck media thread holds nothing up");
    }

    #[test]
    fn a_forked_call_is_only_listened_to_and_ends_without_a_word() {
        use {Action as A, EndReason as R, Event as E};
        let forked = Forked { caller: Some(agreed()), operator: None };
        let begin = |longest| {
            let (mut call, now) = (Call::forked(longest), now());
            let mut seen = drain(&mut call);
            for event in
                [E::PortOpened, E::RecordingOpened, E::AnsweredFork(forked.clone()), E::SettledFork(forked.clone())]
            {
                call.handle(event, now);
                seen.extend(drain(&mut call));
            }
            let opened = [A::OpenPort, A::OpenRecording, A::Answer, A::Record, A::NoteAnswered];
            assert_eq!(seen, [&opened[..], &[A::Listen(forked.clone()), A::Listen(forked.clone())]].concat());
            (call, now)
        };
        let (mut call, now) = begin(LONGEST);
        call.handle(E::FarEnded(LegEnd::FarHungUp), now);
        call.handle(E::MediaClosed, now);
        assert_eq!(drain(&mut call), [A::CloseMedia, A::Seal(R::SwitchHungUp)]);
        let (mut call, now) = begin(LONGEST);
        call.handle_timeout(now + LONGEST);
        assert_eq!(drain(&mut call), [A::HangUp, A::CloseMedia], "no goodbye");
        let (mut call, now) = begin(LONGEST);
        call.handle(E::Silent, now);
        call.handle(E::MediaClosed, now);
        assert_eq!(drain(&mut call), [A::HangUp, A::CloseMedia, A::Seal(R::MediaTimeout)]);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        use Event as E;
        prop::sample::select(vec![
            E::PortOpened,
            E::PortRefused,
            E::RecordingOpened,
            E::RecordingRefused,
            E::Answered(Some(agreed())),
            E::Answered(None),
            E::AnsweredFork(Forked::default()),
            E::SettledFork(Forked::default()),
            E::Cancelled,
            E::AnswerFailed,
            E::Settled(agreed()),
            E::NoAnswer,
            E::Said(Announcement::Welcome),
            E::Said(Announcement::Goodbye),
            E::Silent,
            E::FarEnded(LegEnd::FarHungUp),
            E::FarEnded(LegEnd::Cancelled),
            E::FarEnded(LegEnd::AckTimeout),
            E::StopAsked,
            E::MediaClosed,
            E::Sealed,
            E::SealFailed,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_walk_ends_a_call_twice_or_leaves_a_recording_unsealed(
            walk in prop::collection::vec((any_event(), any::<bool>()), 0..40), forked: bool
        ) {
            let (mut call, mut now) = (if forked { Call::forked(LONGEST) } else { Call::new(LONGEST) }, now());
            let mut seen = drain(&mut call);
            for (event, wait) in walk {
                if wait && let Some((due, _)) = call.poll_timeout() {
                    now = due;
                    call.handle_timeout(now);
                    seen.extend(drain(&mut call));
                }
                call.handle(event, now);
                seen.extend(drain(&mut call));
            }
            // Whatever is still open comes to its end when each thing asked for is done.
            for event in [
                Event::PortOpened, Event::RecordingOpened, Event::Answered(None), Event::StopAsked, Event::MediaClosed,
                Event::Sealed,
            ] {
                call.handle(event, now);
                seen.extend(drain(&mut call));
            }
            prop_assert!(call.is_over(), "{seen:?}");
            let count = |wanted: fn(&Action) -> bool| seen.iter().filter(|it| wanted(it)).count();
            prop_assert_eq!(count(|it| matches!(it, Action::NoteEnded(..))), 1, "{:?}", seen);
            prop_assert!(matches!(seen.last(), Some(Action::NoteEnded(..))), "{:?}", seen);
            prop_assert!(count(|it| matches!(it, Action::Answer)) <= 1);
            prop_assert!(count(|it| matches!(it, Action::HangUp)) <= 1);
            prop_assert!(count(|it| matches!(it, Action::CloseMedia)) <= 1);
            prop_assert!(count(|it| matches!(it, Action::Answer)) + count(|it| matches!(it, Action::Refuse(_))) <= 1);
            // Answer is asked for exactly when the recording is open.
            prop_assert_eq!(count(|it| matches!(it, Action::Seal(_))), count(|it| matches!(it, Action::Answer)));
            prop_assert_eq!(count(|it| matches!(it, Action::Record)), count(|it| matches!(it, Action::NoteAnswered)));
        }
    }
}
