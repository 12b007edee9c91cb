//! Who of a forked call is the caller and who the seat, and which stream is whose. Pure.
//!
//! The rule, for people in docs/OPERATIONS.md: a participant whose address has one of the line's numbers or matches
//! `siprec.seats` is ours, everybody else is a citizen. The caller is the first citizen who speaks, the operator the first
//! seat, else the line's number. Where that leaves a side empty, the streams are taken in their order: caller first.

use super::{
    super::checks,
    metadata::{Metadata, Participant},
};
use crate::{
    domain::{call::Fork, number},
    telemetry::Private,
};

/// What the line knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The line's public numbers.
    pub numbers: Vec<String>,
    /// The city's own.
    pub area_code: String,
    /// Extensions of seats; `?` stands for one sign, `*` for any number of them.
    pub seats: Vec<String>,
}

/// Who speaks with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// The caller's number as it is dialled within the country; `None` when withheld or not said.
    pub caller: Option<Private<String>>,
    /// Which of the line's numbers was called; `None` when not said.
    pub called: Option<String>,
    pub fork: Fork,
}

impl Parties {
    /// What was known stays: later words only add.
    pub(super) fn add(&mut self, later: Self) {
        self.caller = self.caller.take().or(later.caller);
        self.called = self.called.take().or(later.called);
        self.fork.seat = self.fork.seat.take().or(later.fork.seat);
        self.fork.session_id = self.fork.session_id.take().or(later.fork.session_id);
        self.fork.told |= later.fork.told;
    }
}

/// The caller's and the operator's of something.
pub type Sides<T> = [Option<T>; 2];

/// Who is who.
#[derive(Clone, Copy, Debug)]
struct Cast<'a> {
    caller: Option<&'a Participant>,
    operator: Option<&'a Participant>,
}

impl Rule {
    /// Reads caller, number and seat.
    pub fn parties(&self, metadata: &Metadata) -> Parties {
        let cast = self.cast(metadata);
        let all = || metadata.participants.iter().flat_map(|it| &it.addresses);
        let seat = cast.operator.and_then(|it| it.addresses.iter().find_map(|address| self.seat(address)));
        let caller = cast
            .caller
            .and_then(|it| it.addresses.iter().find_map(|address| checks::number_in(address, &self.area_code)));
        let called = all().find_map(|address| self.line(address));
        Parties { caller, called, fork: Fork { seat, session_id: metadata.session.clone(), told: true } }
    }

    /// Gives each side a stream.
    ///
    /// * `streams` — those that can be taken: index of the m-line, label.
    /// * `before` — what was given last.
    pub fn sides(
        &self,
        metadata: Option<&Metadata>,
        streams: &[(usize, Option<&str>)],
        before: Sides<usize>,
    ) -> Sides<usize> {
        let mut given: Sides<usize> = [None; 2];
        let open = |index: usize| streams.iter().any(|(it, _)| *it == index);
        if let Some(metadata) = metadata {
            let cast = self.cast(metadata);
            for (side, slot) in given.iter_mut().enumerate() {
                let theirs =
                    |label: Option<&str>| label.is_some_and(|label| self.side_of(metadata, cast, label) == Some(side));
                let mut fit = streams.iter().filter(|(_, label)| theirs(*label)).map(|(index, _)| *index);
                *slot = fit.clone().find(|index| before[side] == Some(*index)).or_else(|| fit.next());
            }
        }
        for side in 0..2 {
            if given[side].is_none() {
                let free = |index: usize| !given.contains(&Some(index)) && open(index);
                // What the other side had before is its own, unless it has another one now.
                let other = before[1 - side].filter(|_| given[1 - side].is_none());
                let next = streams.iter().map(|(index, _)| *index).find(|index| free(*index) && other != Some(*index));
                given[side] = before[side].filter(|index| free(*index)).or(next);
            }
        }
        given
    }

    fn cast<'a>(&self, metadata: &'a Metadata) -> Cast<'a> {
        let there = |it: &&Participant| !it.left;
        let any_there = metadata.participants.iter().any(|it| !it.left);
        let people: Vec<&Participant> = metadata.participants.iter().filter(|it| there(it) || !any_there).collect();
        let ours = |it: &&&Participant| self.is_ours(it);
        let speaks = |it: &&&Participant| !it.sends.is_empty();
        let seat = people.iter().find(|it| it.addresses.iter().any(|address| self.seat(address).is_some()));
        let operator = seat.or_else(|| people.iter().find(ours));
        let is = |one: Option<&&'a Participant>, it: &&&Participant| one.is_some_and(|one| one.id == it.id);
        let citizens = || people.iter().filter(|it| !self.is_ours(it));
        let others = || people.iter().filter(|it| !is(operator, it));
        // Two seats that talk with each other: the first of them calls.
        let caller = citizens()
            .find(speaks)
            .or_else(|| citizens().next())
            .or_else(|| others().find(speaks))
            .or_else(|| others().next());
        let rest = || people.iter().filter(|it| !is(caller, it));
        let operator = operator.or_else(|| rest().find(speaks)).or_else(|| rest().next());
        Cast { caller: caller.copied(), operator: operator.copied() }
    }

    /// 0 for the caller, 1 for the operator; nothing for a stream of neither or of both.
    fn side_of(&self, metadata: &Metadata, cast: Cast<'_>, label: &str) -> Option<usize> {
        let ids: Vec<&str> = metadata.streams.iter().filter(|it| it.label == label).map(|it| it.id.as_str()).collect();
        let speaks = |it: &Participant| it.sends.iter().any(|sent| ids.contains(&sent.as_str()));
        let caller = cast.caller.is_some_and(speaks);
        let is_caller = |it: &Participant| cast.caller.is_some_and(|caller| caller.id == it.id);
        let operator = cast.operator.is_some_and(speaks)
            || metadata.participants.iter().any(|it| !it.left && !is_caller(it) && self.is_ours(it) && speaks(it));
        match (caller, operator) {
            (true, false) => Some(0),
            (false, true) => Some(1),
            _ => None,
        }
    }

    fn is_ours(&self, participant: &Participant) -> bool {
        participant.addresses.iter().any(|address| self.seat(address).is_some() || self.line(address).is_some())
    }

    /// The extension in an address, if it is a seat's.
    fn seat(&self, address: &str) -> Option<String> {
        let user = checks::uri_user(address)?;
        self.seats.iter().any(|pattern| fits(pattern, &user)).then_some(user)
    }

    /// Which of the line's numbers an address has.
    fn line(&self, address: &str) -> Option<String> {
        let user = checks::uri_user(address)?;
        self.numbers.iter().find(|own| number::reaches(&user, own, &self.area_code)).cloned()
    }
}

/// Whether a pattern fits the whole of a text.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, read));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == text[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((behind, reach)) = star else { return false };
                star = Some((behind, reach + 1));
                (at, read) = (behind, reach + 1);
            }
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::metadata::Stream, *};

    fn rule() -> Rule {
        Rule { numbers: vec!["12345".into()], area_code: "0635".into(), seats: vec!["8???".into(), "agent-*".into()] }
    }

    /// Participants by address; the n-th speaks in the stream labelled n (from 1).
    fn talk(addresses: &[&str]) -> Metadata {
        let each = || addresses.iter().enumerate().map(|(at, address)| ((at + 1).to_string(), *address));
        Metadata {
            complete: true,
            session: Some("s".into()),
            participants: each()
                .map(|(n, address)| Participant {
                    id: format!("p{n}"),
                    addresses: vec![address.into()],
                    sends: vec![format!("t{n}")],
                    left: false,
                })
                .collect(),
            streams: each().map(|(n, _)| Stream { id: format!("t{n}"), label: n }).collect(),
        }
    }

    /// Caller, number, seat.
    fn said(addresses: &[&str]) -> String {
        let Parties { caller, called, fork } = rule().parties(&talk(addresses));
        let all = [caller.map(|it| it.reveal().clone()), called, fork.seat];
        all.map(|it| it.unwrap_or_else(|| "-".into())).join(" ")
    }

    const LABELS: [(usize, Option<&str>); 3] = [(0, Some("1")), (1, Some("2")), (2, Some("3"))];

    #[test]
    fn the_seat_is_known_by_its_extension_the_line_by_its_number_and_the_caller_by_being_neither() {
        let citizen = "sip:+8613806352219@sbc;transport=udp;user=phone";
        assert_eq!(said(&[citizen, "sip:8001@pbx"]), "13806352219 - 8001");
        assert_eq!(said(&["sip:8001@pbx", citizen]), "13806352219 - 8001");
        assert_eq!(said(&[citizen, "sip:063512345@pbx"]), "13806352219 12345 -");
        assert_eq!(said(&["tel:8412345", "sip:12345@x", "sip:agent-7@x"]), "06358412345 12345 agent-7");
        assert_eq!(said(&["sip:anonymous@x", "sip:8001@x"]), "- - 8001");
        assert_eq!(said(&["sip:8001@x", "sip:8002@x"]), "8002 - 8001", "two seats");
        assert_eq!(said(&[citizen, "sip:ext9@x"]), "13806352219 - -", "nobody's seat");
        assert_eq!(said(&[]), "- - -");
    }

    #[test]
    fn streams_go_to_the_side_of_who_speaks_in_them() {
        let sides = |addresses: &[&str], streams, before| rule().sides(Some(&talk(addresses)), streams, before);
        let none = [None; 2];
        assert_eq!(sides(&["sip:138@x", "sip:8001@x"], &LABELS[..2], none), [Some(0), Some(1)]);
        assert_eq!(sides(&["sip:8001@x", "sip:138@x"], &LABELS[..2], none), [Some(1), Some(0)]);
        assert_eq!(
            sides(&["sip:8001@x", "sip:138@x", "sip:139@x"], &LABELS, none),
            [Some(1), Some(0)],
            "a third is left out"
        );
        assert_eq!(sides(&["sip:8001@x", "sip:138@x"], &LABELS[..1], none), [None, Some(0)], "one side alone");
        let strange = [(0, Some("7")), (1, None)];
        assert_eq!(
            sides(&["sip:8001@x", "sip:138@x"], &strange, none),
            [Some(0), Some(1)],
            "unknown labels: their order"
        );
        assert_eq!(rule().sides(None, &LABELS, none), [Some(0), Some(1)]);
        assert_eq!(rule().sides(None, &LABELS[..1], none), [Some(0), None]);
        assert_eq!(
            rule().sides(None, &LABELS[1..2], [Some(0), Some(1)]),
            [None, Some(1)],
            "the caller's stream is gone"
        );
        assert_eq!(rule().sides(None, &[], [Some(0), Some(1)]), none);
    }

    #[test]
    fn a_mixed_stream_is_taken_only_if_there_is_no_other() {
        let mut both = talk(&["sip:138@x", "sip:8001@x"]);
        both.streams.insert(0, Stream { id: "mix".into(), label: "0".into() });
        for participant in &mut both.participants {
            participant.sends.push("mix".into());
        }
        let streams = [(0, Some("0")), (1, Some("1")), (2, Some("2"))];
        assert_eq!(rule().sides(Some(&both), &streams, [None; 2]), [Some(1), Some(2)]);
        assert_eq!(rule().sides(Some(&both), &streams[..1], [None; 2]), [Some(0), None]);
    }

    #[test]
    fn a_call_that_is_transferred_goes_on_with_the_new_seats_stream() {
        let mut moved = talk(&["sip:138@x", "sip:8001@x", "sip:8002@x"]);
        let before = [Some(0), Some(1)];
        assert_eq!(rule().sides(Some(&moved), &LABELS, before), before, "while both seats are there");
        assert_eq!(rule().sides(Some(&moved), &[LABELS[0], LABELS[2]], before), [Some(0), Some(2)]);
        moved.participants[1].left = true;
        assert_eq!(rule().sides(Some(&moved), &[LABELS[0], LABELS[2]], before), [Some(0), Some(2)]);
        assert_eq!(rule().parties(&moved).fork.seat.as_deref(), Some("8002"));
    }

    #[test]
    fn patterns_fit_whole_extensions() {
        for (pattern, text, wanted) in [
            ("8???", "8001", true),
            ("8???", "800", false),
            ("8???", "80011", false),
            ("8*", "8", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("?", "长", true),
            ("8001", "8001", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_stream_is_given_twice_and_none_that_is_not_there(
            addresses in prop::collection::vec(prop::sample::select(vec!["sip:138@x", "sip:8001@x", "sip:12345@x", "", "x"]), 0..5),
            streams in prop::collection::btree_set(0..6_usize, 0..6),
            before in prop::array::uniform2(prop::option::of(0..6_usize)),
            told: bool,
        ) {
            let labels: Vec<String> = (0..6).map(|n| n.to_string()).collect();
            let streams: Vec<_> = streams.into_iter().map(|at| (at, Some(labels[at].as_str()))).collect();
            let metadata = talk(&addresses);
            let given = rule().sides(told.then_some(&metadata), &streams, before);
            prop_assert!(given[0].is_none() || given[0] != given[1]);
            prop_assert!(given.iter().flatten().all(|index| streams.iter().any(|(it, _)| it == index)));
            prop_assert!(streams.is_empty() || given != [None; 2], "something is recorded");
        }
    }
}
