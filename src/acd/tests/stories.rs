//! One story for each rule; `script` tells how they are read.

use super::{script::story, *};

/// Three desks: one for everybody, one of a sub-centre that needs a skill, one that helps both out.
const DESKS: &str = r#"
    overflow_after_seconds = 60
    desks = [
        { id = "main", overflow = "night" },
        { id = "fund", skills = ["fund"], overflow = "main", priority = 2, capacity = 2 },
        { id = "night", capacity = 1 },
    ]
"#;

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
           see C waiting 2",
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
fn who_waits_longer_than_anybody_may_is_given_up() {
    story(
        "give_up_after_seconds = 300",
        "0 call A
       290 seat 8001        -> ring A 8001
       305                  -> stop A 8001, give up A too_long
           see A gone",
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
