//! Who is rung for, and where.

use super::super::script::story;
use super::DESKS;

#[test]
fn a_caller_is_answered_by_a_free_seat_which_then_writes_its_notes() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
           see 8001 ringing
         3 answer A 8001
           see 8001 talking
        90 end A
           see A gone
           see 8001 wrap_up
       119 call B
       120                  -> ring B 8001",
    );
}

#[test]
fn who_waits_is_rung_for_as_soon_as_a_seat_comes() {
    story(
        "",
        "0 call A
           call B
           see B waiting 2
         7 seat 8001        -> ring A 8001
           see B waiting 1",
    );
}

#[test]
fn who_came_earlier_goes_first() {
    story(
        "wrap_up_seconds = 0",
        "0 seat 8001
           call A           -> ring A 8001
           answer A 8001
         1 call B
         2 call C
         9 end A            -> ring B 8001
           answer B 8001
        20 end B            -> ring C 8001",
    );
}

#[test]
fn a_higher_priority_goes_first_and_that_of_the_desk_counts() {
    story(
        DESKS,
        "0 call A
           call B priority=1
           call C fund
           see C waiting 1
           call D priority=3
         5 seat 8001 fund   -> ring D 8001
           seat 8002 fund   -> ring C 8002
           seat 8003 fund   -> ring B 8003
           seat 8004 fund   -> ring A 8004",
    );
}

#[test]
fn a_call_rings_where_its_desks_and_its_callers_skills_are() {
    story(
        DESKS,
        "0 seat 8001
           seat 8002 fund
           seat 8003 fund,hakka
           call A fund wants=hakka -> ring A 8003
           call B fund      -> ring B 8002
           call C wants=hakka
           call D           -> ring D 8001",
    );
}

#[test]
fn a_callers_wishes_no_longer_bind_after_a_while_but_the_desks_skills_do() {
    story(
        "relax_after_seconds = 20
         desks = [{ id = 'main' }, { id = 'fund', skills = ['fund'] }]",
        "0 seat 8001
           call A wants=hakka
           call B fund wants=hakka
        20                  -> ring A 8001
           see B waiting 1
           seat 8002 fund   -> ring B 8002",
    );
}

#[test]
fn the_seat_that_is_idle_longest_rings() {
    story(
        "wrap_up_seconds = 0",
        "0 seat 8002
         1 seat 8001
         2 call A           -> ring A 8002
           answer A 8002
         3 end A
         4 call B           -> ring B 8001
         5 call C           -> ring C 8002",
    );
}

#[test]
fn an_officials_seat_rings_first_if_it_is_free() {
    story(
        "",
        "0 seat 8001
         1 seat 8009
         2 call A prefers=8009 -> ring A 8009
           call B prefers=8009 -> ring B 8001",
    );
}

#[test]
fn an_official_who_declines_is_not_asked_again_while_others_are_free() {
    story(
        "ring_seconds = 60",
        "0 seat 8001
           seat 8009
           call A prefers=8009 -> ring A 8009
         1 refuse A 8009 declined -> ring A 8001
        31 refuse A 8001 declined -> ring A 8009",
    );
}

#[test]
fn one_call_rings_one_seat_and_one_seat_rings_for_one_call() {
    story(
        "",
        "0 seat 8001
           seat 8002
           call A           -> ring A 8001
           call B           -> ring B 8002
           call C
           call A
         1 answer A 8002
           see A ringing(8001)
           answer A 8001
           see C waiting 1",
    );
}

#[test]
fn a_caller_who_leaves_stops_the_ring_and_costs_the_seat_nothing() {
    story(
        "",
        "0 seat 8001
         1 seat 8002
         2 call A           -> ring A 8001
         4 left A           -> stop A 8001
           see 8001 idle
         5 call B           -> ring B 8001
         6 left B           -> stop B 8001
         7 left B
         8 see B gone",
    );
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    story(
        "",
        "0 seat 8001
           call A           -> ring A 8001
         2 left A           -> stop A 8001
           answer A 8001
           see 8001 idle
           call B           -> ring B 8001
           answer A 8001
           see 8001 ringing
           refuse A 8001 busy
           see 8001 ringing",
    );
}
