//! Stories as they are told: `SECOND what happens -> what is ordered`, one line each.
//!
//! A line without `->` says that nothing is ordered at it, a line without an event that time alone did it. What is ordered
//! at a second that no line names fails the story. A second is left out where it is the one before. `see 8001 idle` and
//! `see A waiting 2` look and change nothing.

use super::*;

/// Plays a story and compares every order; changes of seats are looked at with `see`.
pub fn story(settings: &str, script: &str) {
    let start = now();
    let mut acd = Distributor::new(plan(settings));
    let mut second = 0;
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines {
        let (head, wanted) = line.split_once("->").map_or((line, ""), |(head, wanted)| (head, wanted.trim()));
        let mut words: Vec<&str> = head.split_whitespace().collect();
        if let Some(next) = words.first().and_then(|word| word.parse::<u64>().ok().filter(|it| *it < 8000)) {
            second = next;
            words.remove(0);
        }
        let mut orders = pass(&mut acd, start, second, line);
        let at = start + seconds(second);
        match words.as_slice() {
            [] => {}
            ["see", what, seen @ ..] => assert_eq!(see(&acd, what), seen.join(" "), "{line}"),
            words => {
                acd.handle(event(words), at);
                orders.extend(told(&mut acd));
            }
        }
        assert_eq!(orders.join(", "), wanted, "{line}");
    }
}

/// Lets time pass up to a second; returns what is ordered at that second, and fails at what is ordered before.
fn pass(acd: &mut Distributor, start: Instant, second: u64, line: &str) -> Vec<String> {
    let until = start + seconds(second);
    let mut orders = Vec::new();
    while let Some(due) = acd.poll_timeout().filter(|due| *due <= until) {
        acd.handle_timeout(due);
        assert!(acd.poll_timeout().is_none_or(|next| next > due), "before `{line}`: a timer that never ends");
        let told = told(acd);
        assert!(due == until || told.is_empty(), "before `{line}`, at {:?}: {told:?}", due - start);
        orders.extend(told);
    }
    orders
}

fn event(words: &[&str]) -> Event {
    match *words {
        ["call", who, ref rest @ ..] => Event::Came(caller(who, rest)),
        ["owed", who, ref rest @ ..] => Event::CallBackOwed(caller(who, rest)),
        ["left", who] => Event::Left { call: named(who) },
        ["key", who] => Event::CallBackAsked { call: named(who) },
        ["dropped", who] => Event::CallBackDropped { call: named(who) },
        ["answer", who, seat] => Event::Answered { call: named(who), seat: seat.into() },
        ["refuse", who, seat, how] => Event::Refused { call: named(who), seat: seat.into(), how: failure(how) },
        ["end", who] => Event::TalkEnded { call: named(who) },
        ["seat", seat] => Event::SeatPresent { seat: seat.into(), skills: Skills::new() },
        ["seat", seat, names] => Event::SeatPresent { seat: seat.into(), skills: skills(names) },
        ["gone", seat] => Event::SeatAbsent { seat: seat.into() },
        ["pause", seat, why] => {
            Event::SeatPaused { seat: seat.into(), reason: Pause::from_name(why).expect("a reason") }
        }
        ["ready", seat] => Event::SeatReady { seat: seat.into() },
        ["busy", seat] => Event::SeatBusy { seat: seat.into() },
        ["free", seat] => Event::SeatFree { seat: seat.into() },
        ["done", seat] => Event::WrappedUp { seat: seat.into() },
        ["open", desk] => Event::DeskOpened { desk: desk.into() },
        ["close", desk] => Event::DeskClosed { desk: desk.into() },
        ["plan", ref rest @ ..] => Event::PlanChanged(plan(&rest.join(" ").replace(';', "\n"))),
        _ => panic!("no story has `{words:?}`"),
    }
}

/// `A main wants=hakka priority=2 prefers=8003`
fn caller(who: &str, rest: &[&str]) -> Caller {
    let mut caller =
        Caller { call: named(who), desk: "main".into(), wanted: Skills::new(), priority: 0, preferred: Vec::new() };
    for word in rest {
        match word.split_once('=') {
            None => caller.desk = (*word).into(),
            Some(("wants", names)) => caller.wanted = skills(names),
            Some(("priority", value)) => caller.priority = value.parse().expect("a priority"),
            Some(("prefers", seat)) => caller.preferred.push(seat.into()),
            Some(_) => panic!("no caller has `{word}`"),
        }
    }
    caller
}

fn told(acd: &mut Distributor) -> Vec<String> {
    let of = |call: CallId| char::from(u8::try_from(call.as_u128()).expect("a letter"));
    let orders = drain(acd).into_iter();
    let text = |order: Order| match order {
        Order::Ring { call, seat } => Some(format!("ring {} {seat}", of(call))),
        Order::DialBack { call, seat } => Some(format!("dial {} {seat}", of(call))),
        Order::StopRinging { call, seat } => Some(format!("stop {} {seat}", of(call))),
        Order::SayPosition { call, position, offered: false } => Some(format!("say {} {position}", of(call))),
        Order::SayPosition { call, position, offered: true } => Some(format!("say {} {position} and key", of(call))),
        Order::OfferCallBack { call } => Some(format!("offer {}", of(call))),
        Order::NoteCallBack { call } => Some(format!("note {}", of(call))),
        Order::HandOver { call, from, to } => Some(format!("move {} {from} {to}", of(call))),
        Order::GiveUp { call, reason } => Some(format!("give up {} {}", of(call), reason.name())),
        Order::SeatChanged { .. } => None,
    };
    orders.filter_map(text).collect()
}

/// A seat's state, or where a call is.
fn see(acd: &Distributor, what: &str) -> String {
    if let Some(seat) = acd.seats().find(|seat| seat.seat.as_str() == what) {
        return match seat.state {
            SeatState::Paused { reason } => format!("paused {}", reason.name()),
            state => state.name().into(),
        };
    }
    match acd.call(named(what)) {
        None => "gone".into(),
        Some(CallView { stage: Stage::Waiting, position: Some(position), call_back, .. }) => {
            format!("{} {position}", if call_back { "noted" } else { "waiting" })
        }
        Some(view) => format!("{:?}", view.stage).to_lowercase(),
    }
}

fn named(who: &str) -> CallId {
    call(usize::from(who.as_bytes()[0]))
}

fn failure(how: &str) -> RingFailure {
    match how {
        "busy" => RingFailure::Busy,
        "declined" => RingFailure::Declined,
        "no_answer" => RingFailure::NoAnswer,
        "unreachable" => RingFailure::Unreachable,
        _ => panic!("no seat refuses by `{how}`"),
    }
}
