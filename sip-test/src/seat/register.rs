//! A seat's registration, without sockets: fed with answers and the time, drained of requests.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    digest::{self, Algorithm, Challenge},
    phone::{ALLOW, ms},
    sip::{Dialog, Message, address, branch, parameter, token},
    timers::{Repeats, T2},
};

/// Longest wait for the answer to a REGISTER.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A refresh that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Challenges answered for one REGISTER: the first, and a nonce that went stale meanwhile.
const MOST_TRIES: u32 = 3;

/// What a registrar said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RegisterReport {
    /// Which REGISTER of the seat it was: 1 for the first, more for those that keep it fresh.
    pub number: u32,
    /// Final status; 0 while, or because, there is no answer.
    pub status: u16,
    /// First line of that answer.
    pub reason: String,
    /// Of the last 401 or 407, in its order.
    pub challenges: Vec<Challenge>,
    /// How the last one was answered.
    pub answered_with: Option<Algorithm>,
    /// How many challenges came before the final answer.
    pub challenged: u32,
    /// All bindings of the number, as header values.
    pub contacts: Vec<String>,
    /// Seconds for which ours is good.
    pub expires: Option<u64>,
    /// Seconds; with a 423.
    pub min_expires: Option<u64>,
    pub took_ms: u64,
}

impl RegisterReport {
    pub fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the seat never was registered, and gives up.
    pub(super) fn is_hopeless(&self) -> bool {
        self.number == 1 && !self.is_accepted()
    }
}

/// Who registers, and how.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) secret: String,
    /// Answers this challenge alone; else the first it knows.
    pub(super) algorithm: Option<Algorithm>,
    /// Seconds asked for.
    pub(super) expires: u64,
}

pub(super) struct Registration {
    identity: Identity,
    /// Builds the requests; REGISTER makes no dialog.
    dialog: Dialog,
    cseq: u32,
    /// Answered before, and how often.
    challenge: Option<(Challenge, u32)>,
    /// Header name of the answer to it.
    header: &'static str,
    state: State,
    requests: VecDeque<String>,
    /// The last REGISTER's.
    pub(super) report: RegisterReport,
}

enum State {
    Asking { asked: Asked, leaving: bool },
    Bound { refresh: Instant },
    Over,
}

struct Asked {
    request: String,
    branch: String,
    clock: Repeats,
    began: Instant,
    tries: u32,
}

impl Registration {
    /// Begins with the first REGISTER.
    ///
    /// * `dialog` — from our number to itself, targeted at the registrar.
    pub(super) fn new(identity: Identity, dialog: Dialog, now: Instant) -> Self {
        let mut registration = Self {
            identity,
            dialog,
            cseq: 0,
            challenge: None,
            header: "Authorization",
            state: State::Over,
            requests: VecDeque::new(),
            report: RegisterReport::default(),
        };
        registration.begin(false, now);
        registration
    }

    pub(super) fn poll_request(&mut self) -> Option<String> {
        self.requests.pop_front()
    }

    /// When to call [`Registration::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Asking { asked, .. } => Some(asked.clock.next()),
            State::Bound { refresh } => Some(*refresh),
            State::Over => None,
        }
    }

    /// Whether no answer is waited for.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(self.state, State::Asking { .. })
    }

    /// Whether nothing is to come any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the binding was, or is being, taken back.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Over | State::Asking { leaving: true, .. })
    }

    /// Takes the binding back.
    pub(super) fn leave(&mut self, now: Instant) {
        self.begin(true, now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Asking { asked, .. } if asked.clock.give_up <= now => {
                self.report.reason = format!("no answer within {} s", PATIENCE.as_secs());
                self.settle(now);
            }
            State::Asking { asked, .. } => {
                if asked.clock.due(now) {
                    self.requests.push_back(asked.request.clone());
                }
            }
            State::Bound { refresh } if *refresh <= now => self.begin(false, now),
            State::Bound { .. } | State::Over => {}
        }
    }

    pub(super) fn handle_answer(&mut self, answer: &Message, now: Instant) {
        let State::Asking { asked, .. } = &self.state else { return };
        let status = answer.status.unwrap_or(0);
        if status < 200 || answer.branch() != Some(&asked.branch) {
            return;
        }
        if matches!(status, 401 | 407) && self.take_challenge(answer, status) {
            self.ask(now);
            return;
        }
        self.report.status = status;
        answer.start.clone_into(&mut self.report.reason);
        self.report.contacts = answer.headers("Contact").flat_map(listed).collect();
        self.report.expires = if status < 300 { self.granted(answer) } else { None };
        self.report.min_expires = answer.header("Min-Expires").and_then(|text| text.parse().ok());
        self.settle(now);
    }

    fn begin(&mut self, leaving: bool, now: Instant) {
        self.report = RegisterReport { number: self.report.number + 1, ..RegisterReport::default() };
        let clock = Repeats::new(self.dialog.tcp, T2, now);
        let asked = Asked { request: String::new(), branch: String::new(), clock, began: now, tries: 0 };
        self.state = State::Asking { asked, leaving };
        self.ask(now);
    }

    /// Sends a REGISTER with all that is known by now.
    fn ask(&mut self, now: Instant) {
        let State::Asking { asked, leaving } = &mut self.state else { return };
        self.cseq += 1;
        asked.branch = branch();
        let expires = if *leaving { 0 } else { self.identity.expires }.to_string();
        let proof = self.challenge.as_mut().and_then(|(challenge, count)| {
            *count += 1;
            let request = digest::Request {
                user: &self.identity.user,
                secret: &self.identity.secret,
                method: "REGISTER",
                uri: &self.dialog.target,
                cnonce: &token(),
                count: *count,
            };
            digest::authorization(challenge, &request)
        });
        let mut headers = vec![("Expires", expires.as_str()), ("Allow", ALLOW)];
        headers.extend(proof.as_ref().map(|proof| (self.header, proof.as_str())));
        asked.request = self.dialog.request("REGISTER", self.cseq, &asked.branch, &headers, "");
        asked.clock = Repeats::new(self.dialog.tcp, T2, now);
        asked.clock.give_up = now + PATIENCE;
        asked.tries += 1;
        self.requests.push_back(asked.request.clone());
    }

    /// Whether there is one to answer, and another answer is worth a try.
    fn take_challenge(&mut self, answer: &Message, status: u16) -> bool {
        let State::Asking { asked, .. } = &self.state else { return false };
        let (asks, tells) = if status == 401 {
            ("WWW-Authenticate", "Authorization")
        } else {
            ("Proxy-Authenticate", "Proxy-Authorization")
        };
        self.report.challenged += 1;
        self.report.challenges = answer.headers(asks).filter_map(Challenge::parse).collect();
        let wanted = self.identity.algorithm;
        let fit =
            |challenge: &&Challenge| challenge.known().is_some_and(|known| wanted.is_none_or(|wanted| wanted == known));
        let Some(fitting) = self.report.challenges.iter().find(fit).cloned() else { return false };
        // The same secret would be refused again, unless only the nonce was too old.
        if asked.tries > 1 && !(fitting.stale && asked.tries < MOST_TRIES) {
            return false;
        }
        self.report.answered_with = fitting.known();
        self.challenge = Some((fitting, 0));
        self.header = tells;
        true
    }

    /// Seconds granted to our binding.
    fn granted(&self, answer: &Message) -> Option<u64> {
        let own = address(&self.dialog.contact);
        let ours = self.report.contacts.iter().find(|contact| address(contact) == own);
        let said = ours.and_then(|contact| parameter(contact, "expires")).or_else(|| answer.header("Expires"));
        said.and_then(|text| text.trim().parse().ok())
    }

    fn settle(&mut self, now: Instant) {
        let State::Asking { asked, leaving } = &self.state else { return };
        self.report.took_ms = ms(now - asked.began);
        let accepted = self.report.is_accepted();
        let half = Duration::from_secs(self.report.expires.unwrap_or(self.identity.expires)) / 2;
        self.state = match (leaving, accepted) {
            (true, _) => State::Over,
            // A grant of nothing would be asked for without end.
            (false, true) => State::Bound { refresh: now + half.max(Duration::from_millis(500)) },
            (false, false) => State::Bound { refresh: now + AGAIN },
        };
    }
}

/// Values of a header that may hold several, divided by commas outside of brackets and quotation marks.
fn listed(line: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0_i32, false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth -= 1,
            ',' if !quoted && depth <= 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [(&str, &str); 2] = [
        ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"one\", algorithm=MD5, qop=\"auth\""),
        ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"two\", algorithm=SHA-256, qop=\"auth\""),
    ];

    fn registration(algorithm: Option<Algorithm>, now: Instant) -> Registration {
        let local = "10.0.0.1:5070".parse().unwrap();
        let dialog = Dialog::new("sip:8001@10.0.0.9", local, "8001", None, false);
        let identity = Identity { user: "8001".into(), secret: "s".into(), algorithm, expires: 60 };
        Registration::new(identity, dialog, now)
    }

    fn sent(registration: &mut Registration) -> Message {
        Message::parse(registration.poll_request().unwrap().as_bytes()).unwrap()
    }

    fn hear(registration: &mut Registration, request: &Message, status: &str, headers: &[(&str, &str)], now: Instant) {
        let answer = Message::parse(request.answer(status, "far", headers, "").as_bytes()).unwrap();
        registration.handle_answer(&answer, now);
    }

    #[test]
    fn a_challenge_is_answered_as_ordered_and_the_binding_kept_fresh_with_the_same_nonce() {
        let now = Instant::now();
        let mut seat = registration(Some(Algorithm::Sha256), now);
        let first = sent(&mut seat);
        assert_eq!((first.method.as_deref(), first.header("Authorization")), (Some("REGISTER"), None));
        hear(&mut seat, &first, "401 Unauthorized", &BOTH, now);
        let second = sent(&mut seat);
        let proof = second.header("Authorization").unwrap();
        assert!(proof.contains("nonce=\"two\"") && proof.contains("nc=00000001"), "{proof}");
        assert_eq!(second.cseq(), Some((2, "REGISTER")));
        let contacts = [("Contact", "<sip:8001@10.0.0.7>;expires=9, <sip:8001@10.0.0.1:5070>;expires=40")];
        hear(&mut seat, &second, "200 OK", &contacts, now);
        assert_eq!((seat.report.status, seat.report.expires, seat.report.contacts.len()), (200, Some(40), 2));
        assert_eq!((seat.report.challenged, seat.report.answered_with), (1, Some(Algorithm::Sha256)));

        let due = now + Duration::from_secs(20);
        assert_eq!(seat.poll_timeout(), Some(due), "half of what was granted");
        seat.handle_timeout(due);
        let refresh = sent(&mut seat);
        assert!(refresh.header("Authorization").unwrap().contains("nc=00000002"));
        let stale = [("WWW-Authenticate", "Digest realm=\"r\", nonce=\"three\", algorithm=SHA-256, stale=true")];
        hear(&mut seat, &refresh, "401 Unauthorized", &stale, due);
        let again = sent(&mut seat);
        assert!(again.header("Authorization").unwrap().contains("nonce=\"three\""), "a stale nonce is no refusal");
        hear(&mut seat, &again, "200 OK", &[], due);

        seat.leave(due);
        let leave = sent(&mut seat);
        assert_eq!(leave.header("Expires"), Some("0"));
        hear(&mut seat, &leave, "200 OK", &[], due);
        assert!(seat.is_over() && seat.report.status == 200);
    }

    #[test]
    fn a_wrong_secret_is_tried_once_and_an_unknown_challenge_not_at_all() {
        let now = Instant::now();
        let mut seat = registration(None, now);
        let first = sent(&mut seat);
        hear(&mut seat, &first, "401 Unauthorized", &BOTH, now);
        let second = sent(&mut seat);
        assert!(second.header("Authorization").unwrap().contains("algorithm=MD5"), "the first one it knows");
        hear(&mut seat, &second, "401 Unauthorized", &BOTH, now);
        assert_eq!((seat.poll_request(), seat.report.status, seat.report.challenged), (None, 401, 2));

        let mut seat = registration(Some(Algorithm::Sha256), now);
        let first = sent(&mut seat);
        hear(&mut seat, &first, "401 Unauthorized", &BOTH[..1], now);
        assert!(seat.poll_request().is_none() && seat.is_settled());
        assert_eq!((seat.report.status, seat.report.challenges[0].nonce.as_str()), (401, "one"));
    }

    #[test]
    fn a_register_nobody_answers_is_repeated_and_given_up_after_five_seconds() {
        let start = Instant::now();
        let mut seat = registration(None, start);
        let mut sent = 0;
        while !seat.is_settled() {
            sent += std::iter::from_fn(|| seat.poll_request()).count();
            let due = seat.poll_timeout().unwrap();
            seat.handle_timeout(due);
        }
        assert_eq!((sent, seat.report.status), (4, 0), "at 0, 0.5, 1.5 and 3.5 s");
    }
}
