//! The signalling of one call of a load, without sockets: fed with messages and the time, drained of actions.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    audio::Codec,
    phone::{ALLOW, EVENTS},
    sdp::{self, FarMedia},
    sip::{Dialog, Message, branch, token},
    timers::{GIVE_UP, Repeats, T2},
};

/// What the runner has to do.
#[derive(Debug)]
pub(super) enum Action {
    Send(String),
    /// The call is up: sound goes there from now on.
    Talk(FarMedia),
    /// The far side moved.
    Move(FarMedia),
    /// No more sound.
    Hush,
    Over(End),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Answered, and our BYE was answered with 200.
    Completed,
    Refused(u16),
    Failed(&'static str),
}

/// What does not change in a call.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) codecs: Vec<Codec>,
    /// From the answer to our BYE.
    pub(super) length: Duration,
    /// Our own RTP address.
    pub(super) media: SocketAddr,
}

/// One call.
pub(super) struct Caller {
    terms: Terms,
    dialog: Dialog,
    session: u64,
    branch: String,
    began: Instant,
    state: State,
    /// The ACK of the 200, for each time the 200 comes.
    ack: Option<String>,
    /// Their BYE came while ours was on its way.
    crossed: bool,
    actions: VecDeque<Action>,
    pub(super) setup: Option<Duration>,
    /// Requests sent again.
    pub(super) repeated: u32,
}

enum State {
    Ringing { request: String, clock: Repeats },
    Talking { until: Instant },
    Leaving { request: String, clock: Repeats, verdict: End },
    Over,
}

impl Caller {
    /// Begins with the INVITE.
    pub(super) fn new(dialog: Dialog, terms: Terms, now: Instant) -> Self {
        let (session, branch) = (u64::from(fastrand::u32(1..)), branch());
        let offer = sdp::describe(terms.media, session, &terms.codecs, Some(EVENTS));
        let request = dialog.request("INVITE", 1, &branch, &[("Allow", ALLOW)], &offer);
        let clock = Repeats::new(dialog.tcp, GIVE_UP, now);
        Self {
            terms,
            session,
            branch,
            began: now,
            actions: VecDeque::from([Action::Send(request.clone())]),
            state: State::Ringing { request, clock },
            dialog,
            ack: None,
            crossed: false,
            setup: None,
            repeated: 0,
        }
    }

    pub(super) fn call_id(&self) -> &str {
        &self.dialog.call_id
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Caller::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Ringing { clock, .. } | State::Leaving { clock, .. } => Some(clock.next()),
            State::Talking { until } => Some(*until),
            State::Over => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Ringing { clock, .. } if clock.give_up <= now => {
                let cancel = self.dialog.request("CANCEL", 1, &self.branch, &[], "");
                self.actions.push_back(Action::Send(cancel));
                self.finish(End::Failed("no answer to the INVITE within 32 s"));
            }
            State::Leaving { clock, .. } if clock.give_up <= now => {
                self.finish(End::Failed("no answer to the BYE within 32 s"));
            }
            State::Ringing { request, clock } | State::Leaving { request, clock, .. } => {
                if clock.due(now) {
                    self.repeated += 1;
                    self.actions.push_back(Action::Send(request.clone()));
                }
            }
            State::Talking { until } if *until <= now => self.leave(End::Completed, now),
            State::Talking { .. } | State::Over => {}
        }
    }

    pub(super) fn handle_message(&mut self, message: &Message, now: Instant) {
        match (message.status, message.cseq()) {
            (None, _) => self.serve(message),
            (Some(status), Some((1, "INVITE"))) => self.answered(status, message, now),
            (Some(200..), Some((2, "BYE"))) => self.left(message.status.unwrap_or(0)),
            _ => {}
        }
    }

    /// The connection is gone: nothing can be sent any more.
    pub(super) fn cut_off(&mut self) {
        if !matches!(self.state, State::Over) {
            self.finish(End::Failed("the connection to the far side broke"));
        }
    }

    fn answered(&mut self, status: u16, message: &Message, now: Instant) {
        match (&mut self.state, status) {
            (State::Ringing { clock, .. }, 100..200) => clock.again = None,
            (State::Ringing { .. }, 200..300) => {
                self.setup = Some(now - self.began);
                self.dialog.confirm(message);
                let ack = self.dialog.request("ACK", 1, &branch(), &[], "");
                self.actions.push_back(Action::Send(ack.clone()));
                self.ack = Some(ack);
                match sdp::read(&message.body, &self.terms.codecs) {
                    Ok(far) => {
                        self.state = State::Talking { until: now + self.terms.length };
                        self.actions.push_back(Action::Talk(far));
                    }
                    Err(_) => self.leave(End::Failed("an answer whose sound cannot be used"), now),
                }
            }
            (State::Ringing { .. }, _) => {
                let mut dialog = self.dialog.clone();
                dialog.to = message.header("To").unwrap_or_default().into();
                let ack = dialog.request("ACK", 1, &self.branch, &[], "");
                self.actions.push_back(Action::Send(ack));
                self.finish(End::Refused(status));
            }
            // The 200 again: our ACK was lost.
            (_, 200..300) => self.actions.extend(self.ack.clone().map(Action::Send)),
            _ => {}
        }
    }

    fn leave(&mut self, verdict: End, now: Instant) {
        self.actions.push_back(Action::Hush);
        let request = self.dialog.request("BYE", 2, &branch(), &[], "");
        self.actions.push_back(Action::Send(request.clone()));
        self.state = State::Leaving { request, clock: Repeats::new(self.dialog.tcp, T2, now), verdict };
    }

    fn left(&mut self, status: u16) {
        if let State::Leaving { verdict, .. } = &self.state {
            let fine = status == 200 || self.crossed;
            let end = if fine { *verdict } else { End::Failed("a BYE that was not answered with 200") };
            self.finish(end);
        }
    }

    fn serve(&mut self, request: &Message) {
        let contact = self.dialog.contact.clone();
        let headers = [("Contact", contact.as_str()), ("Allow", ALLOW)];
        let mut answer = |status: &str, body: &str| {
            self.actions.push_back(Action::Send(request.answer(status, &token(), &headers, body)));
        };
        match request.method.as_deref().unwrap_or_default() {
            "ACK" => {}
            "INVITE" => match sdp::read(&request.body, &self.terms.codecs) {
                Ok(far) => {
                    answer("200 OK", &sdp::describe(self.terms.media, self.session, &self.terms.codecs, Some(EVENTS)));
                    self.actions.push_back(Action::Move(far));
                }
                Err(_) => answer("488 Not Acceptable Here", ""),
            },
            "BYE" => {
                answer("200 OK", "");
                if matches!(self.state, State::Leaving { .. }) {
                    self.crossed = true;
                } else {
                    self.actions.push_back(Action::Hush);
                    self.finish(End::Failed("hung up by the far side"));
                }
            }
            "OPTIONS" | "INFO" | "UPDATE" | "NOTIFY" => answer("200 OK", ""),
            _ => answer("501 Not Implemented", ""),
        }
    }

    fn finish(&mut self, end: End) {
        self.state = State::Over;
        self.actions.push_back(Action::Over(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timers::T1;

    const LENGTH: Duration = Duration::from_secs(5);
    const SDP: &str = "v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/AVP 8\r\n";

    fn caller(now: Instant) -> (Caller, Message) {
        let local = "10.0.0.1:5070".parse().unwrap();
        let dialog = Dialog::new("sip:12345@10.0.0.9", local, "13800000000", None, false);
        let terms = Terms { codecs: vec![Codec::Alaw], length: LENGTH, media: "10.0.0.1:6000".parse().unwrap() };
        let mut caller = Caller::new(dialog, terms, now);
        let invite = sent(&mut caller).remove(0);
        (caller, invite)
    }

    /// Requests and answers it sends; other actions are dropped.
    fn sent(caller: &mut Caller) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(action) = caller.poll_action() {
            if let Action::Send(text) = action {
                all.push(Message::parse(text.as_bytes()).unwrap());
            }
        }
        all
    }

    fn end(caller: &mut Caller) -> Option<End> {
        std::iter::from_fn(|| caller.poll_action())
            .find_map(|action| if let Action::Over(end) = action { Some(end) } else { None })
    }

    fn hear(caller: &mut Caller, request: &Message, status: &str, body: &str, now: Instant) {
        let answer = request.answer(status, "far", &[("Contact", "<sip:line@10.0.0.9>")], body);
        caller.handle_message(&Message::parse(answer.as_bytes()).unwrap(), now);
    }

    #[test]
    fn a_call_is_acknowledged_held_for_its_length_and_hung_up() {
        let start = Instant::now();
        let (mut caller, invite) = caller(start);
        hear(&mut caller, &invite, "200 OK", SDP, start + T1);
        assert_eq!(caller.setup, Some(T1));
        assert_eq!(sent(&mut caller)[0].method.as_deref(), Some("ACK"));
        assert_eq!(caller.poll_timeout(), Some(start + T1 + LENGTH));
        hear(&mut caller, &invite, "200 OK", SDP, start + T1 * 2);
        assert_eq!(sent(&mut caller)[0].method.as_deref(), Some("ACK"), "a repeated 200 is acknowledged again");

        caller.handle_timeout(start + T1 + LENGTH);
        let bye = sent(&mut caller).remove(0);
        assert_eq!(bye.method.as_deref(), Some("BYE"));
        hear(&mut caller, &bye, "200 OK", "", start + T1 + LENGTH);
        assert_eq!((end(&mut caller), caller.poll_timeout()), (Some(End::Completed), None));
    }

    #[test]
    fn an_invite_nobody_answers_is_repeated_and_given_up_after_32_seconds() {
        let start = Instant::now();
        let (mut caller, _) = caller(start);
        let mut invites = 0;
        let over = loop {
            let due = caller.poll_timeout().unwrap();
            caller.handle_timeout(due);
            match caller.poll_action() {
                Some(Action::Send(text)) if text.starts_with("INVITE") => invites += 1,
                _ => break (due - start, end(&mut caller)),
            }
        };
        assert_eq!(invites, 6, "at 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s");
        assert!(matches!(over, (GIVE_UP, Some(End::Failed(_)))), "{over:?}");
    }

    #[test]
    fn a_refusal_ends_the_call_and_a_bye_of_theirs_fails_it() {
        let start = Instant::now();
        let (mut refused, invite) = caller(start);
        hear(&mut refused, &invite, "503 Service Unavailable", "", start);
        assert_eq!(end(&mut refused), Some(End::Refused(503)));

        let (mut left, invite) = caller(start);
        hear(&mut left, &invite, "200 OK", SDP, start);
        sent(&mut left);
        let bye = left.dialog.request("BYE", 1, "z9hG4bKfar", &[], "");
        left.handle_message(&Message::parse(bye.as_bytes()).unwrap(), start);
        assert_eq!(end(&mut left), Some(End::Failed("hung up by the far side")));
    }
}
