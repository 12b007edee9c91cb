use proptest::prelude::*;

use super::*;
use crate::sip::sdp::Codec;

fn agreed(send: bool) -> Agreed {
    Agreed {
        address: ([127, 0, 0, 1], 4000).into(),
        rtcp: None,
        codec: Codec::Pcma,
        payload_type: 8,
        telephone_event: Some(101),
        send,
        receive: true,
        security: None,
        dtls: None,
    }
}

fn seat() -> SeatId {
    "8001".into()
}

/// What these events make the desk of a caller in the line do.
fn play(events: &[Event]) -> (Desk, Vec<Action>, Outcome) {
    let (mut desk, mut actions, mut outcome) = (Desk::default(), VecDeque::new(), Outcome::GoesOn);
    desk.enter(&mut actions);
    for event in events {
        outcome = desk.handle(event.clone(), &mut actions);
    }
    (desk, actions.into(), outcome)
}

#[test]
fn where_nobody_sits_nothing_is_said_and_the_caller_is_not_missed() {
    let (desk, actions, _) = play(&[
        Event::Queued { attended: false },
        Event::Ahead(3),
        Event::GivenUp { why: GivenUp::TooLong, attended: false },
    ]);
    assert_eq!(actions, [Action::Enter { again: false, to: None }]);
    assert!(!desk.is_waited_at());
}

#[test]
fn outside_the_hours_a_caller_is_told_so_even_if_nobody_sits_there() {
    let (.., outcome) = play(&[Event::GivenUp { why: GivenUp::Closed, attended: false }]);
    assert_eq!(outcome, Outcome::Part(Announcement::AfterHours, EndReason::GivenUp));
}

#[test]
fn a_next_seat_rings_once_the_place_of_the_one_before_is_free() {
    let next = SeatId::from("8002");
    let (mut desk, actions, _) = play(&[Event::Ring(seat()), Event::StopRinging(seat()), Event::Ring(next.clone())]);
    assert!(!actions.contains(&Action::Ring(next.clone())), "{actions:?}");
    let mut actions = VecDeque::new();
    desk.handle(Event::PlaceFree, &mut actions);
    assert!(actions.contains(&Action::Ring(next)), "{actions:?}");
}

#[test]
fn a_lost_operator_brings_the_caller_back_into_the_line_first() {
    for loss in [Event::Ended(LegEnd::Expired), Event::Silent] {
        let (desk, actions, outcome) = play(&[Event::Ring(seat()), Event::Answered(agreed(true)), loss]);
        assert_eq!(outcome, Outcome::GoesOn);
        assert!(
            actions.ends_with(&[Action::Tell(Told::TalkEnded), Action::Enter { again: true, to: None }]),
            "{actions:?}"
        );
        assert!(desk.is_waited_at());
    }
}

#[test]
fn a_seat_that_answers_when_ringing_was_stopped_is_let_go() {
    let (_, actions, _) = play(&[Event::Ring(seat()), Event::Answered(agreed(true)), Event::StopRinging(seat())]);
    assert!(actions.contains(&Action::LetSeatGo) && actions.contains(&Action::FreePlace), "{actions:?}");
}

#[test]
fn a_caller_is_held_until_neither_the_telephone_nor_a_person_wants_it() {
    let held = |walk: &[Event]| {
        let talk = [Event::Ring(seat()), Event::Answered(agreed(true))];
        let (_, actions, _) = play(&[&talk[..], walk].concat());
        bridged(&actions).map(|bridge| !bridge.talk)
    };
    let (hold, resume) = (Event::Asked(Control::Hold), Event::Asked(Control::Resume));
    assert_eq!(held(&[]), Some(false));
    assert_eq!(held(std::slice::from_ref(&hold)), Some(true));
    assert_eq!(held(&[hold.clone(), Event::Settled(agreed(false)), resume.clone()]), Some(true));
    assert_eq!(held(&[hold, Event::Settled(agreed(false)), resume, Event::Settled(agreed(true))]), Some(false));
}

#[test]
fn a_caller_who_is_passed_on_asks_for_that_seat_first() {
    let to = SeatId::from("8002");
    let talk = [Event::Ring(seat()), Event::Answered(agreed(true))];
    let asked = Event::Asked(Control::Transfer(to.clone()));
    let referred = |to: &SeatId, there| Event::Referred { to: to.clone(), there };
    for (event, reported) in [(asked, None), (referred(&to, true), Some(true))] {
        let (desk, actions, _) = play(&[&talk[..], &[event]].concat());
        assert!(actions.contains(&Action::LetSeatGo) && desk.is_waited_at());
        assert_eq!(actions.last(), Some(&Action::Enter { again: true, to: Some(to.clone()) }));
        assert_eq!(actions.contains(&Action::ReportTransfer(true)), reported.is_some());
    }
    for event in [referred(&to, false), referred(&seat(), true)] {
        let (_, actions, _) = play(&[&talk[..], &[event]].concat());
        assert_eq!(actions.last(), Some(&Action::ReportTransfer(false)));
        assert!(!actions.contains(&Action::LetSeatGo));
    }
}

fn third() -> SeatId {
    "8009".into()
}

fn join(part: Part) -> Event {
    Event::Asked(Control::Join(third(), part))
}

/// The last word on who hears whom.
fn bridged(actions: &[Action]) -> Option<Bridge> {
    actions.iter().rev().find_map(|it| if let Action::Bridge(bridge) = it { Some(*bridge) } else { None })
}

#[test]
fn a_third_is_rung_once_and_changes_how_it_takes_part() {
    let talk = [Event::Ring(seat()), Event::Answered(agreed(true)), join(Part::Listen)];
    let (mut desk, actions, _) = play(&talk);
    assert!(actions.ends_with(&[Action::Tell(Told::Busy(third())), Action::RingGuest(third())]));
    let mut actions = VecDeque::new();
    desk.handle(Event::Guest(Guest::Answered(agreed(true))), &mut actions);
    for part in [Part::Whisper, Part::Barge, Part::Listen] {
        desk.handle(join(part), &mut actions);
        let actions = actions.make_contiguous();
        assert_eq!(bridged(actions), Some(Bridge { talk: true, operator: true, guest: Some(part) }));
        assert!(!actions.contains(&Action::RingGuest(third())));
    }
    actions.clear();
    desk.handle(Event::Guest(Guest::Ended), &mut actions);
    let actions: Vec<_> = actions.into();
    assert_eq!(bridged(&actions), Some(Bridge { talk: true, operator: true, guest: None }));
    assert!(actions.contains(&Action::FreeGuestPlace) && actions.contains(&Action::Tell(Told::Free(third()))));
}

#[test]
fn an_operator_who_leaves_a_conference_leaves_the_caller_to_the_third() {
    let conference = [
        Event::Ring(seat()),
        Event::Answered(agreed(true)),
        join(Part::Conference),
        Event::Guest(Guest::Answered(agreed(true))),
        Event::Ended(LegEnd::FarHungUp),
    ];
    let (mut desk, actions, outcome) = play(&conference);
    assert_eq!(outcome, Outcome::GoesOn);
    assert!(actions.contains(&Action::NoteSeat(third())) && !desk.is_waited_at());
    assert_eq!(bridged(&actions), Some(Bridge { talk: true, operator: false, guest: Some(Part::Conference) }));
    let outcome = desk.handle(Event::Guest(Guest::Ended), &mut VecDeque::new());
    assert_eq!(outcome, Outcome::HangUp(EndReason::LineHungUp));
}

#[test]
fn an_operator_speaks_with_a_colleague_first_while_the_caller_hears_music() {
    let consulted = [
        Event::Ring(seat()),
        Event::Answered(agreed(true)),
        Event::Asked(Control::Hold),
        join(Part::Conference),
        Event::Guest(Guest::Answered(agreed(true))),
    ];
    let (mut desk, actions, _) = play(&consulted);
    assert_eq!(bridged(&actions), Some(Bridge { talk: false, operator: true, guest: Some(Part::Conference) }));
    let mut actions = VecDeque::new();
    desk.handle(Event::Ended(LegEnd::FarHungUp), &mut actions);
    let actions: Vec<_> = actions.into();
    assert!(actions.contains(&Action::StopPlaying), "the music ends: {actions:?}");
    assert_eq!(bridged(&actions), Some(Bridge { talk: true, operator: false, guest: Some(Part::Conference) }));
}

#[test]
fn an_operator_who_does_not_wait_for_the_colleague_leaves_the_caller_to_do_so() {
    let (desk, actions, outcome) = play(&[
        Event::Ring(seat()),
        Event::Answered(agreed(true)),
        Event::Asked(Control::Hold),
        join(Part::Conference),
        Event::Ended(LegEnd::FarHungUp),
    ]);
    assert_eq!(outcome, Outcome::GoesOn);
    assert!(desk.is_waited_at() && actions.contains(&Action::StopRingingGuest), "{actions:?}");
    let again = Action::Enter { again: true, to: Some(third()) };
    assert!(actions.ends_with(&[Action::Tell(Told::TalkEnded), again]), "{actions:?}");
}

#[test]
fn whoever_listens_goes_when_the_operator_does() {
    let talk = [
        Event::Ring(seat()),
        Event::Answered(agreed(true)),
        join(Part::Listen),
        Event::Guest(Guest::Answered(agreed(true))),
    ];
    for (end, waits) in [
        (Event::Ended(LegEnd::FarHungUp), false),
        (Event::Silent, true),
        (Event::Asked(Control::Transfer("8002".into())), true),
    ] {
        let (mut desk, mut actions, outcome) = play(&[&talk[..], &[end]].concat());
        if outcome != Outcome::GoesOn {
            let mut last = VecDeque::new();
            desk.quit(&mut last);
            actions.extend(last);
        }
        assert!(actions.contains(&Action::LetGuestGo), "{actions:?}");
        assert_eq!(desk.is_waited_at(), waits);
    }
}

#[test]
fn music_that_was_cut_is_begun_again_once() {
    let (mut desk, actions, _) = play(&[Event::Queued { attended: true }]);
    assert!(actions.ends_with(&[Action::Play(Announcement::Wait), Action::Play(Announcement::Music)]));
    let mut actions = VecDeque::new();
    desk.handle(Event::Ahead(2), &mut actions);
    assert_eq!(actions, [Action::StopPlaying, Action::Play(Announcement::Ahead(2))]);
    actions.clear();
    // Cut for a ring and back before the media plane has said so.
    desk.handle(Event::Ring(seat()), &mut actions);
    desk.handle(Event::StopRinging(seat()), &mut actions);
    actions.clear();
    for cut in [Announcement::Music, Announcement::Ringback] {
        desk.said(cut, &mut actions);
    }
    assert_eq!(actions, [], "what plays now has not ended");
    desk.said(Announcement::Music, &mut actions);
    assert_eq!(actions, [Action::Play(Announcement::Music)]);
}

#[test]
fn refusals_mean_what_the_rfc_says() {
    use RingFailure as F;
    let wanted = [(486, F::Busy), (600, F::Busy), (603, F::Declined), (480, F::Declined), (487, F::NoAnswer)];
    for (status, how) in wanted.into_iter().chain([(404, F::Unreachable), (408, F::Unreachable), (503, F::Unreachable)])
    {
        assert_eq!(failure(status), how, "{status}");
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop::sample::select(vec![
        E::Queued { attended: true },
        E::Queued { attended: false },
        E::Ring(seat()),
        E::Ring("8002".into()),
        E::StopRinging(seat()),
        E::Ahead(2),
        E::GivenUp { why: GivenUp::Full, attended: true },
        E::Answered(agreed(true)),
        E::Answered(agreed(false)),
        E::Refused(603),
        E::Settled(agreed(true)),
        E::Settled(agreed(false)),
        E::Ended(LegEnd::FarHungUp),
        E::Ended(LegEnd::Failed),
        E::Silent,
        E::Asked(Control::Hold),
        E::Asked(Control::Resume),
        E::Asked(Control::Transfer("8002".into())),
        E::Referred { to: "8002".into(), there: true },
        E::Referred { to: "8002".into(), there: false },
        join(Part::Listen),
        join(Part::Conference),
        E::Guest(Guest::Answered(agreed(true))),
        E::Guest(Guest::Refused),
        E::Guest(Guest::Ended),
        E::Guest(Guest::Silent),
        E::Guest(Guest::PlaceFree),
        E::PlaceFree,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever happens in whatever order, a seat is rung only in a free place and let go of in the end, and the line is left
    /// as often as it is entered for the first time.
    #[test]
    fn no_walk_leaves_a_seat_behind(walk in prop::collection::vec(any_event(), 0..40)) {
        let (mut desk, mut actions) = (Desk::default(), VecDeque::new());
        desk.enter(&mut actions);
        let (mut place_taken, mut ringing, mut talking) = (false, false, false);
        let (mut third_place, mut third_rings, mut third_talks) = (false, false, false);
        let mut check = |actions: &mut VecDeque<Action>, ringing: &mut bool, talking: &mut bool,
                         third_rings: &mut bool, third_talks: &mut bool| {
            for action in actions.drain(..) {
                match action {
                    Action::Ring(_) => {
                        prop_assert!(!place_taken && !*ringing && !*talking);
                        (place_taken, *ringing) = (true, true);
                    }
                    Action::StopRinging => *ringing = false,
                    Action::LetSeatGo => *talking = false,
                    Action::FreePlace => place_taken = false,
                    Action::RingGuest(_) => {
                        prop_assert!(!third_place && !*third_rings && !*third_talks);
                        (third_place, *third_rings) = (true, true);
                    }
                    Action::StopRingingGuest => *third_rings = false,
                    Action::LetGuestGo => *third_talks = false,
                    Action::FreeGuestPlace => third_place = false,
                    Action::ConnectGuest(_) => prop_assert!(*third_talks && third_place),
                    Action::ConnectSeat(_) => prop_assert!(*talking && place_taken),
                    _ => {}
                }
            }
            Ok(())
        };
        for event in walk {
            // A telephone says only what fits: it answers or refuses where it rings, and ends where it talks.
            match event {
                Event::Answered(_) if ringing => (ringing, talking) = (false, true),
                Event::Refused(_) if ringing => ringing = false,
                Event::Ended(_) if talking => talking = false,
                Event::Guest(Guest::Answered(_)) if third_rings => (third_rings, third_talks) = (false, true),
                Event::Guest(Guest::Refused) if third_rings => third_rings = false,
                Event::Guest(Guest::Ended) if third_talks => third_talks = false,
                Event::Guest(Guest::Silent) if third_talks => {}
                Event::Settled(_) | Event::Silent | Event::Referred { .. } if talking => {}
                Event::Guest(Guest::PlaceFree) => {}
                Event::Guest(_)
                | Event::Answered(_)
                | Event::Refused(_)
                | Event::Ended(_)
                | Event::Settled(_)
                | Event::Silent
                | Event::Referred { .. } => continue,
                _ => {}
            }
            let outcome = desk.handle(event, &mut actions);
            check(&mut actions, &mut ringing, &mut talking, &mut third_rings, &mut third_talks)?;
            if outcome != Outcome::GoesOn {
                break;
            }
        }
        desk.quit(&mut actions);
        check(&mut actions, &mut ringing, &mut talking, &mut third_rings, &mut third_talks)?;
        prop_assert!(!ringing && !talking && !third_rings && !third_talks);
        desk.quit(&mut actions);
        prop_assert!(actions.is_empty());
    }
}
