//! Desks that help each other out, open, close, fill and change.

use super::super::{script::story, *};
use super::DESKS;

#[test]
fn who_waits_too_long_goes_to_the_desk_that_helps_out_with_the_place() {
    story(
        DESKS,
        "0 call A
        30 call B night
        60
        61 left B
        65                  -> move A main night
        66 call C night     -> give up C full
        70 seat 8001        -> ring A 8001",
    );
}

#[test]
fn a_call_comes_back_to_no_desk_where_it_waited() {
    story(
        "overflow_after_seconds = 60
         desks = [{ id = 'main', overflow = 'other' }, { id = 'other', overflow = 'main' }]",
        "0 call A
        60                  -> move A main other
       500 see A waiting 1",
    );
}

#[test]
fn a_full_desk_sends_newcomers_to_the_one_that_helps_out_or_gives_them_up() {
    story(
        DESKS,
        "0 call A fund
           call B fund
           call C fund      -> move C fund main
           call D night
           call E night     -> give up E full
           see E gone
           seat 8001        -> ring C 8001
           seat 8002        -> ring D 8002",
    );
}

#[test]
fn who_can_be_rung_for_at_once_needs_no_room() {
    story(
        DESKS,
        "0 call A night
           seat 8002 hakka  -> ring A 8002
           call B night
           seat 8001 fund   -> ring B 8001
           call C night
           call D fund
         1 refuse B 8001 busy
           see B waiting 1
           see C waiting 2
         2 call E night wants=hakka -> give up E full
           seat 8003        -> ring B 8003
           call F night wants=hakka -> give up F full
           seat 8004        -> ring C 8004
           call G night wants=hakka
           seat 8005
           call H night     -> ring H 8005",
    );
}

#[test]
fn a_closed_desk_sends_newcomers_on_and_keeps_those_who_wait() {
    story(
        DESKS,
        "0 call A
           close main
           call B           -> move B main night
           call C fund
           close night
           call D           -> give up D closed
         1 open main
           call E
           see A waiting 1
           seat 8001        -> ring A 8001",
    );
}

#[test]
fn a_helper_that_is_shut_is_helped_out_by_its_own() {
    story(
        DESKS,
        "0 close fund
           close main
           call A fund      -> move A fund night",
    );
}

#[test]
fn a_desk_that_nobody_knows_is_the_first_one() {
    story(
        DESKS,
        "0 call A nowhere
           seat 8001        -> ring A 8001",
    );
}

#[test]
fn a_new_plan_moves_those_whose_desk_is_gone() {
    story(
        DESKS,
        "0 call A fund
           call B night
           seat 8001 fund   -> ring A 8001
           plan desks = [{ id = 'main' }] -> move A fund main, move B night main
           answer A 8001
           see B waiting 1
           plan misses = 3
           call C night
           see C waiting 2",
    );
}

#[test]
fn a_new_plan_holds_for_those_who_wait() {
    story(
        "position_every_seconds = 45",
        "0 call A
           call B
        15                  -> say A 1, say B 2
        20 plan ring_seconds = 5; give_up_after_seconds = 50
           seat 8001        -> ring A 8001
        25                  -> stop A 8001
        30                  -> ring A 8001
        35                  -> stop A 8001
           see 8001 paused no_answer
        50                  -> give up A too_long, give up B too_long",
    );
}

#[test]
fn a_desk_tells_who_waits_and_for_how_long() {
    let (mut acd, start) = (Distributor::new(plan("callback_after_seconds = 10")), now());
    let main = DeskId::from("main");
    for (number, second) in [(1, 0), (2, 20), (3, 30)] {
        let caller = Caller {
            call: call(number),
            desk: main.clone(),
            wanted: Skills::new(),
            priority: 0,
            preferred: Vec::new(),
        };
        acd.handle(Event::Came(caller), start + seconds(second));
        acd.handle_timeout(start + seconds(second));
    }
    acd.handle(Event::CallBackAsked { call: call(1) }, start + seconds(30));
    acd.handle(Event::SeatPresent { seat: "8001".into(), skills: Skills::new() }, start + seconds(30));
    acd.handle(Event::SeatPresent { seat: "8002".into(), skills: Skills::new() }, start + seconds(31));
    let view = acd.waiting(&main, start + seconds(50));
    let wanted = DeskView { open: true, waiting: 1, ringing: 1, call_backs: 1, longest: seconds(30) };
    assert_eq!(view, wanted);
    assert_eq!(acd.waiting(&"nowhere".into(), start).waiting, 0);
    acd.handle(Event::DeskClosed { desk: main.clone() }, start);
    assert!(!acd.waiting(&main, start).open);
}

#[test]
fn the_number_that_was_dialled_leads_to_its_desk() {
    let plan = plan("desks = [{ id = 'main' }, { id = 'fund', numbers = ['12329'] }]");
    let desk = |number: &str| plan.desk_of(number).expect("a desk").id.to_string();
    assert_eq!([desk("12345"), desk("12329"), desk("110")], ["main", "fund", "main"]);
    assert_eq!(plan.desks[0].numbers, ["12345"], "what no desk names belongs to the first");
}
