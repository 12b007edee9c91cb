//! What callers hear while they wait, and how waiting ends.

use super::super::script::story;
use super::DESKS;

#[test]
fn a_caller_hears_the_position_after_a_while_and_then_again_and_again() {
    story(
        "position_every_seconds = 45",
        "0 call A
           call B
        15                  -> say A 1, say B 2
        20 left A
        60                  -> say B 1
       105                  -> say B 1
       110 seat 8001        -> ring B 8001
       125                  -> stop B 8001
       130                  -> ring B 8001
       145                  -> stop B 8001
       150                  -> say B 1",
    );
}

#[test]
fn a_telling_that_fell_into_a_ring_comes_after_it() {
    story(
        "position_every_seconds = 45",
        "0 call A
         5 seat 8001        -> ring A 8001
        20                  -> stop A 8001, say A 1
        25                  -> ring A 8001",
    );
}

#[test]
fn a_call_back_is_offered_once_and_keeps_the_place() {
    story(
        "callback_after_seconds = 60\nposition_every_seconds = 45",
        "0 call A
         1 call B
        15                  -> say A 1
        16                  -> say B 2
        30 key A
           see A waiting 1
        60                  -> say A 1, offer A
        61                  -> say B 2, offer B
        65 key A            -> note A
           see A noted 1
           left A
           see A noted 1
           key A
       106                  -> say B 2 and key
       110 seat 8001        -> dial A 8001
           answer A 8001
           see A talking(8001)
       130 end A
       151                  -> say B 1 and key
       160                  -> ring B 8001",
    );
}

#[test]
fn a_call_back_whose_seat_does_not_answer_keeps_its_place() {
    story(
        "callback_after_seconds = 10",
        "0 call A
        10                  -> offer A
           key A            -> note A
        11 call B
        12 seat 8001        -> dial A 8001
        21                  -> offer B
        27                  -> stop A 8001
           see A noted 1
        28 seat 8002        -> dial A 8002
           answer A 8002
           end A
        32                  -> ring B 8001",
    );
}

#[test]
fn a_key_pressed_while_a_seat_rings_counts_if_nobody_answers() {
    let begin = "0 call A
        10                  -> offer A
        11 seat 8001        -> ring A 8001
        12 key A";
    for (rest, end) in [
        ("13 answer A 8001", "see A talking(8001)"),
        ("13 refuse A 8001 declined -> note A", "see A noted 1"),
        ("13 left A -> stop A 8001, note A, dial A 8001", "see A ringing(8001)"),
        ("26 -> stop A 8001, note A", "see A noted 1"),
    ] {
        story("callback_after_seconds = 10", &format!("{begin}\n{rest}\n{end}"));
    }
}

#[test]
fn no_more_call_backs_are_offered_than_can_be_noted() {
    story(
        "callback_after_seconds = 10\ncapacity = 2",
        "0 call A
           call B
        10                  -> offer A, offer B
           key A            -> note A
        11 call C
        21
        30 left B
        31                  -> offer C
           key C            -> note C
        40 call D
        50
        60 dropped A
           see A gone
        65                  -> offer D",
    );
}

#[test]
fn a_call_back_noted_before_a_restart_is_dialled_in_turn_and_only_while_the_desk_is_open() {
    story(
        DESKS,
        "0 close main
           owed A           -> note A
           owed A
           seat 8001
        60 see 8001 idle
           open main        -> dial A 8001
        61 dropped A        -> stop A 8001
           see 8001 idle
           owed B fund      -> note B
           owed C fund      -> note C
           owed D fund      -> give up D full",
    );
}

#[test]
fn who_waits_longer_than_anybody_may_is_given_up() {
    story(
        "give_up_after_seconds = 300",
        "0 call A
       290 seat 8001        -> ring A 8001
       305                  -> stop A 8001, give up A too_long
           see A gone",
    );
}
