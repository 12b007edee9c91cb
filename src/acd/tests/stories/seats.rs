//! What a seat does, and what it is spared.

use super::super::{script::story, *};

#[test]
fn a_seat_that_lets_it_ring_is_followed_by_the_next() {
    story(
        "",
        "0 seat 8001
         1 seat 8002
         2 call A           -> ring A 8001
        17                  -> stop A 8001, ring A 8002
           see 8001 idle
        20 answer A 8002",
    );
}

#[test]
fn a_seat_that_lets_two_in_a_row_ring_is_paused_until_it_is_ready() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
        15                  -> stop A 8001
           see 8001 idle
        20                  -> ring A 8001
        25 refuse A 8001 unreachable
           see 8001 paused no_answer
        90 see A waiting 1
           ready 8001       -> ring A 8001
       105                  -> stop A 8001
           see 8001 idle",
    );
}

#[test]
fn an_answer_forgives_a_miss_and_a_refusal_is_none() {
    story(
        "wrap_up_seconds = 0",
        "0 seat 8001
           call A           -> ring A 8001
        15                  -> stop A 8001
        20                  -> ring A 8001
        21 answer A 8001
        30 end A
           call B           -> ring B 8001
        45                  -> stop B 8001
        50                  -> ring B 8001
        51 refuse B 8001 declined
           see 8001 idle
        56                  -> ring B 8001
        57 refuse B 8001 busy
           see 8001 idle",
    );
}

#[test]
fn a_seat_that_refused_is_left_in_peace_for_a_moment_by_all_callers() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
           call B
         1 refuse A 8001 busy
         4 see 8001 idle
         6                  -> ring A 8001",
    );
}

#[test]
fn a_wrap_up_ends_by_time_or_by_hand() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
         1 answer A 8001
        10 left A
           call B
           see 8001 wrap_up
        12 done 8001        -> ring B 8001
        13 answer B 8001
        20 end B
        50 see 8001 idle",
    );
}

#[test]
fn a_pause_in_a_talk_counts_from_the_end_of_the_notes() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
         1 answer A 8001
         5 pause 8001 meal
           see 8001 talking
         9 end A
           see 8001 wrap_up
           call B
        39 see 8001 paused meal
        90 ready 8001       -> ring B 8001",
    );
}

#[test]
fn a_seat_that_pauses_goes_or_speaks_elsewhere_while_it_rings_gives_the_call_on() {
    for away in ["pause 8001 rest", "gone 8001", "busy 8001"] {
        story(
            "",
            &format!(
                "0 seat 8001
                 1 seat 8002
                   call A           -> ring A 8001
                 5 {away}           -> stop A 8001, ring A 8002
                   answer A 8001
                   see A ringing(8002)"
            ),
        );
    }
}

#[test]
fn a_seat_that_loses_its_telephone_keeps_its_talk_and_its_pause() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
         1 answer A 8001
         2 gone 8001
           see 8001 talking
         9 end A
           see 8001 offline
           pause 8001 training
        10 seat 8001
           see 8001 paused training
           call B
        11 ready 8001       -> ring B 8001",
    );
}

#[test]
fn a_seat_that_speaks_on_another_call_gets_none() {
    story(
        "",
        "0 seat 8001
         1 busy 8001
           see 8001 talking
           call A
        60 free 8001        -> ring A 8001",
    );
}

#[test]
fn a_seat_changes_its_state_and_tells_when() {
    let (mut acd, start) = (Distributor::new(plan("")), now());
    let seat = crate::domain::seat::SeatId::from("8001");
    let at = |second: u64| start + seconds(second);
    acd.handle(Event::SeatAbsent { seat: seat.clone() }, start);
    assert_eq!(drain(&mut acd), [], "a seat is offline until it is present");
    acd.handle(Event::SeatPresent { seat: seat.clone(), skills: skills("hakka") }, at(5));
    acd.handle(Event::SeatPresent { seat: seat.clone(), skills: skills("hakka,fund") }, at(6));
    assert_eq!(drain(&mut acd), [Order::SeatChanged { seat: seat.clone(), state: SeatState::Idle }]);
    let views: Vec<_> = acd.seats().collect();
    let skills = skills("hakka,fund");
    assert_eq!(views, [SeatView { seat: &seat, skills: &skills, state: SeatState::Idle, since: at(5) }]);
    acd.handle(Event::SeatPaused { seat: seat.clone(), reason: Pause::Meal }, at(7));
    let state = SeatState::Paused { reason: Pause::Meal };
    assert_eq!(drain(&mut acd), [Order::SeatChanged { seat, state }]);
    for reason in Pause::ALL {
        assert_eq!(Pause::from_name(reason.name()), Some(reason));
    }
}
