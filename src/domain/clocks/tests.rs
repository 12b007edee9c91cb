//! What the clocks promise, for the demo city's classes and for any calendar that could be announced.

use jiff::civil::Date;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    calendar::{instant, local},
    case::{TRANSITIONS, Transition},
    city::{self, City},
    year::{Holiday, YearPlan},
};

fn city() -> City {
    serde_json::from_str(include_str!("../../../config/demo-city.json")).expect("the demo city is read")
}

fn demo() -> WorkCalendar {
    WorkCalendar::new(&city().calendar).expect("a calendar")
}

fn terms(class: &str) -> Terms {
    Terms::of(&city().time_classes[class]).expect("spans")
}

fn at(text: &str) -> UnixMs {
    instant(text.parse().expect("a local time"))
}

fn of(class: &str, from: &str) -> Deadlines {
    terms(class).deadlines(&demo(), at(from))
}

fn why(class: &str, from: &str, now: &str) -> String {
    let clock = UnitClock::started(at(from), terms(class).counting, of(class, from));
    clock.why(&demo(), at(now)).expect("it runs")
}

#[test]
fn deadlines_follow_the_class_and_its_clock() {
    let general = of("GENERAL", "2026-11-23T09:00");
    assert_eq!(general.sign, at("2026-11-24T17:30"));
    assert_eq!(general.contact, Some(at("2026-11-24T09:00")), "24 hours are hours of the wall clock");
    assert_eq!(general.give_back, Some(at("2026-11-25T17:30")));
    assert_eq!(general.reply, at("2026-11-30T17:30"));
    assert_eq!(general.yellow, at("2026-11-27T17:30"), "one workday before, over the weekend");
    assert_eq!(general.red, at("2026-12-01T08:30"), "the first overdue workday");

    let urgent = of("URGENT", "2026-11-28T20:00");
    assert_eq!((urgent.sign, urgent.give_back), (at("2026-11-28T22:00"), Some(at("2026-11-29T00:00"))));
    assert_eq!(urgent.reply, at("2026-11-30T20:00"), "two days by the clock on the wall");
    assert_eq!((urgent.yellow, urgent.red), (at("2026-11-29T20:00"), urgent.reply));

    let emergency = of("EMERGENCY", "2026-11-28T20:00");
    assert_eq!(emergency.reply, at("2026-11-29T20:00"));
    assert_eq!(emergency.yellow, at("2026-11-29T08:00"), "not before half of the time is over");

    let consult = of("CONSULT", "2026-11-23T16:30");
    assert_eq!(consult.sign, at("2026-11-24T11:30"), "240 working minutes");
    assert_eq!(of("LEADER", "2026-11-23T09:00").give_back, None, "a leader's order is not given back");
}

#[test]
fn every_class_of_the_demo_city_has_deadlines_in_order() {
    for name in city().time_classes.keys() {
        let due = of(name, "2026-11-23T09:00");
        assert!(due.sign <= due.reply && due.yellow < due.reply && due.reply <= due.red, "{name}: {due:?}");
    }
}

#[test]
fn an_extension_keeps_the_original_date_beside_the_new_one() {
    let (calendar, from) = (demo(), at("2026-11-23T09:00"));
    let due = terms("GENERAL").extended(&calendar, from, 10);
    assert_eq!((due.reply, due.original_reply()), (at("2026-12-14T17:30"), at("2026-11-30T17:30")));
    assert_eq!((due.yellow, due.red), (at("2026-12-11T17:30"), at("2026-12-15T08:30")));
    assert_eq!((due.sign, due.give_back), (at("2026-11-24T17:30"), Some(at("2026-11-25T17:30"))), "only the answer");
    let clock = UnitClock::started(from, Counting::WorkTime, due);
    assert_eq!(
        clock.why(&calendar, at("2026-12-01T09:00")).expect("it runs"),
        "应于 2026-12-14 17:30 回复（原定 2026-11-30 17:30，延期 10 个工作日），还剩 9 个工作日"
    );
    let urgent = terms("URGENT").extended(&calendar, at("2026-11-28T20:00"), 3);
    assert_eq!(urgent.reply, at("2026-12-03T20:00"));
}

#[test]
fn why_a_card_is_shown_is_said_in_one_line() {
    let general = |now| why("GENERAL", "2026-11-23T09:00", now);
    assert_eq!(general("2026-11-23T10:00"), "应于 2026-11-30 17:30 回复，还剩 5 个工作日");
    assert_eq!(general("2026-11-27T17:30"), "黄牌：应于 2026-11-30 17:30 回复，还剩 1 个工作日");
    assert_eq!(general("2026-11-30T10:00"), "黄牌：应于 2026-11-30 17:30 回复，今日到期，还剩工作时间 5 小时 30 分");
    assert_eq!(general("2026-11-30T17:30"), "黄牌：应于 2026-11-30 17:30 回复，已到期，下一个工作日起红牌");
    assert_eq!(general("2026-12-01T08:29"), "黄牌：应于 2026-11-30 17:30 回复，已到期，下一个工作日起红牌");
    assert_eq!(general("2026-12-01T08:30"), "红牌：应于 2026-11-30 17:30 回复，已超 1 个工作日");
    assert_eq!(general("2026-12-02T08:29"), "红牌：应于 2026-11-30 17:30 回复，已超 1 个工作日");
    assert_eq!(general("2026-12-05T12:00"), "红牌：应于 2026-11-30 17:30 回复，已超 4 个工作日", "a Saturday");
    assert_eq!(general("2026-12-07T08:30"), "红牌：应于 2026-11-30 17:30 回复，已超 5 个工作日");
    let emergency = |now| why("EMERGENCY", "2026-11-28T20:00", now);
    assert_eq!(emergency("2026-11-29T08:00"), "黄牌：应于 2026-11-29 20:00 回复，还剩 12 小时");
    assert_eq!(emergency("2026-11-29T20:05"), "红牌：应于 2026-11-29 20:00 回复，已超 5 分钟");
    assert_eq!(emergency("2026-11-29T23:20"), "红牌：应于 2026-11-29 20:00 回复，已超 3 小时 20 分");
}

#[test]
fn a_units_clock_stops_with_its_answer_and_goes_on_when_that_is_sent_back() {
    let calendar = demo();
    let mut clock = UnitClock::started(at("2026-11-23T09:00"), Counting::WorkTime, of("GENERAL", "2026-11-23T09:00"));
    clock.stop(at("2026-11-23T11:00"));
    assert_eq!(clock.elapsed_ms(&calendar, at("2026-11-24T17:30")), 2 * HOUR_MS, "the review is not the unit's time");
    assert_eq!((clock.card(at("2026-12-02T09:00")), clock.why(&calendar, at("2026-12-02T09:00"))), (Card::None, None));
    clock.resume(at("2026-11-24T09:00"));
    clock.resume(at("2026-11-24T10:00"));
    assert_eq!(clock.elapsed_ms(&calendar, at("2026-11-24T10:30")), 3 * HOUR_MS + HOUR_MS / 2);
    assert_eq!(clock.remaining_ms(&calendar, at("2026-11-30T16:30")), HOUR_MS);
    assert_eq!(clock.card(at("2026-12-02T09:00")), Card::Red, "the date stood");
}

#[test]
fn a_citizens_clock_ends_with_the_case_and_an_end_that_did_not_hold_never_was() {
    let mut clock = CitizenClock::default();
    let hour = |hour: i64| UnixMs(hour * HOUR_MS);
    clock.moved(State::Draft, hour(0));
    assert_eq!(clock.elapsed_ms(hour(5)), 0, "nothing was promised yet");
    for (at, state) in [(1, State::Registered), (2, State::Dispatched), (3, State::Registered), (4, State::NeedInfo)] {
        clock.moved(state, hour(at));
    }
    assert_eq!((clock.started, clock.elapsed_ms(hour(9))), (Some(hour(1)), 8 * HOUR_MS));
    clock.moved(State::Closed, hour(10));
    clock.moved(State::Archived, hour(50));
    assert_eq!((clock.ended, clock.elapsed_ms(hour(60))), (Some(hour(10)), 9 * HOUR_MS));
    clock.moved(State::Handling, hour(70));
    assert_eq!((clock.ended, clock.elapsed_ms(hour(80))), (None, 79 * HOUR_MS), "reopened: it has run all the time");
    assert_eq!(clock.taken_back, [hour(10)], "and the end that did not hold is remembered");
}

#[test]
fn terms_are_stored_as_the_city_writes_them() {
    for name in city().time_classes.keys() {
        let text = serde_json::to_string(&terms(name)).expect("text");
        assert_eq!(serde_json::from_str::<Terms>(&text).expect("terms"), terms(name), "{text}");
    }
    let stored = serde_json::to_value(terms("CONSULT")).expect("JSON");
    assert_eq!((stored["sign"].as_str(), stored["contact"].as_str()), (Some("240wmin"), Some("1wd")));
}

/// Work hours from the small hours on, any weekend of up to three days, and two years with any days off.
#[derive(Clone, Debug)]
struct Settings {
    hours: Vec<(String, String)>,
    weekend: Vec<i8>,
    years: Vec<YearPlan>,
}

impl Settings {
    fn calendar(&self) -> WorkCalendar {
        let text = serde_json::json!({"work_hours": self.hours, "weekend": self.weekend, "years": self.years});
        let calendar: city::Calendar = serde_json::from_value(text).expect("a calendar");
        WorkCalendar::new(&calendar).expect("a usable calendar")
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let hours = prop::collection::btree_set(0_u16..288, 2..=6).prop_map(|steps| {
        let times: Vec<_> = steps.iter().map(|step| format!("{:02}:{:02}", step / 12, step % 12 * 5)).collect();
        times.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    });
    let weekend = prop::sample::select(vec![vec![6, 7], vec![7], vec![5, 6], vec![1, 6, 7]]);
    (hours, weekend, year(2026), year(2027)).prop_map(|(hours, weekend, first, second)| {
        let years = [first, second].map(|days| plan(days, &weekend));
        Settings { hours, weekend, years: years.into() }
    })
}

/// A year and the offsets of its days off and of weekend days that are worked.
type Days = (i16, Vec<u16>, Vec<u16>);

fn year(year: i16) -> impl Strategy<Value = Days> {
    (Just(year), prop::collection::vec(0_u16..365, 40..90), prop::collection::vec(0_u16..365, 0..30))
}

/// Builds a year that the checks take: the law's own days, then days off up to a plausible number.
fn plan((year, off, worked): Days, weekend: &[i8]) -> YearPlan {
    let day = |offset: u16| Date::constant(year, 1, 1).checked_add(jiff::Span::new().days(offset)).expect("a day");
    let is_off = |day: Date| weekend.contains(&day.weekday().to_monday_one_offset());
    let weekdays = |days: &[Date]| days.iter().filter(|day| !is_off(**day)).count();
    let mut days: Vec<Date> = [(1, 1), (5, 1), (10, 1)].map(|(month, day)| Date::constant(year, month, day)).into();
    for date in off.into_iter().map(day) {
        if !days.contains(&date) && weekdays(&days) < 18 {
            days.push(date);
        }
    }
    let mut makeups: Vec<Date> = Vec::new();
    for date in worked.into_iter().map(day) {
        let plausible = weekdays(&days) > makeups.len() + 10;
        if is_off(date) && !days.contains(&date) && !makeups.contains(&date) && makeups.len() < 6 && plausible {
            makeups.push(date);
        }
    }
    days.sort();
    let holiday = |day: &Date| Holiday { name: "假".into(), from: day.to_string(), to: day.to_string() };
    YearPlan {
        year,
        source: "test".into(),
        provisional: false,
        holidays: days.iter().map(holiday).collect(),
        makeup_workdays: makeups.iter().map(ToString::to_string).collect(),
    }
}

/// A moment of the two years, or near them.
fn moment() -> impl Strategy<Value = UnixMs> {
    (-40_000_i64..2 * 365 * 1440).prop_map(|minutes| UnixMs(at("2026-01-01T00:00").0 + minutes * 60_000))
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let classes: Vec<_> = city().time_classes.keys().map(|name| terms(name)).collect();
    prop::sample::select(classes)
}

fn work_span() -> impl Strategy<Value = Span> {
    prop_oneof![
        (0_u32..30).prop_map(Span::WorkDays),
        (0_u32..60).prop_map(Span::WorkHours),
        (0_u32..2000).prop_map(Span::WorkMinutes)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_date_counted_in_work_time_is_never_on_a_day_off(settings in settings(), from in moment(), span in work_span()) {
        let calendar = settings.calendar();
        let end = calendar.after(from, span);
        prop_assert!(calendar.is_workday(local(end).date()), "{}", WorkCalendar::rfc3339(end));
        prop_assert!(end >= from);
    }

    #[test]
    fn who_asks_later_is_never_due_earlier(settings in settings(), a in moment(), b in moment(), terms in any_terms(), wd in 0_u32..12) {
        let calendar = settings.calendar();
        let (early, late) = (a.min(b), a.max(b));
        let (first, second) = (terms.extended(&calendar, early, wd), terms.extended(&calendar, late, wd));
        for (first, second) in [(first.sign, second.sign), (first.reply, second.reply), (first.red, second.red),
            (first.original_reply(), second.original_reply()), (first.contact.unwrap_or(early), second.contact.unwrap_or(late)),
            (first.give_back.unwrap_or(early), second.give_back.unwrap_or(late))] {
            prop_assert!(first <= second);
        }
    }

    #[test]
    fn cards_only_get_worse_while_time_goes_on(settings in settings(), from in moment(), terms in any_terms(), wd in 0_u32..12, mut looks in prop::collection::vec(0_i64..60 * DAY_MS, 2..9)) {
        let calendar = settings.calendar();
        let due = terms.extended(&calendar, from, wd);
        prop_assert!(from <= due.yellow && due.yellow <= due.reply && due.reply <= due.red && due.original_reply() <= due.reply);
        let clock = UnitClock::started(from, terms.counting, due);
        looks.sort_unstable();
        let (mut card, mut elapsed, mut left) = (Card::None, 0, i64::MAX);
        for look in looks {
            let now = UnixMs(from.0 + look);
            prop_assert!(clock.card(now) >= card && clock.elapsed_ms(&calendar, now) >= elapsed && clock.remaining_ms(&calendar, now) <= left);
            (card, elapsed, left) = (clock.card(now), clock.elapsed_ms(&calendar, now), clock.remaining_ms(&calendar, now));
            prop_assert_eq!(card == Card::Red, now >= due.red);
            let why = clock.why(&calendar, now).expect("it runs");
            prop_assert_eq!(why.starts_with("红牌"), card == Card::Red);
            prop_assert!(!why.contains("已超 0 个") && !why.contains(" -"), "{}", why);
        }
    }

    #[test]
    fn a_day_off_more_never_moves_a_date_forward(settings in settings(), from in moment(), terms in any_terms(), wd in 0_u32..12, offset in 0_u16..700) {
        let before = settings.calendar();
        let day = Date::constant(2026, 1, 1).checked_add(jiff::Span::new().days(offset)).expect("a day");
        let mut settings = settings;
        let plan = settings.years.iter_mut().find(|plan| plan.year == day.year()).expect("one of the two");
        plan.makeup_workdays.retain(|worked| *worked != day.to_string());
        if !plan.holidays.iter().any(|holiday| holiday.from == day.to_string()) {
            plan.holidays.push(Holiday { name: "新".into(), from: day.to_string(), to: day.to_string() });
        }
        prop_assume!(plan.check(&settings.weekend).is_ok());
        let after = settings.calendar();
        let (was, is) = (terms.extended(&before, from, wd), terms.extended(&after, from, wd));
        prop_assert!(is.reply >= was.reply && is.sign >= was.sign && is.red >= was.red && is.original_reply() >= was.original_reply());
    }

    #[test]
    fn work_time_adds_up(settings in settings(), a in moment(), b in moment(), c in moment()) {
        let calendar = settings.calendar();
        prop_assert_eq!(calendar.worked_ms(a, b) + calendar.worked_ms(b, c), calendar.worked_ms(a, c));
        prop_assert_eq!(calendar.worked_ms(a, b), -calendar.worked_ms(b, a));
        prop_assert!(b < a || (0..=b.0 - a.0).contains(&calendar.worked_ms(a, b)));
        prop_assert_eq!(calendar.workdays_between(a, b) + calendar.workdays_between(b, c), calendar.workdays_between(a, c));
    }

    /// The two ways of counting, forth by walking over the days and back by sums, know the same calendar.
    #[test]
    fn what_is_counted_forth_is_measured_back(settings in settings(), from in moment(), minutes in 0_u32..5000, days in 1_u32..40) {
        let calendar = settings.calendar();
        let end = calendar.after(from, Span::WorkMinutes(minutes));
        prop_assert_eq!(calendar.worked_ms(from, end), i64::from(minutes) * 60_000);
        let start = calendar.after(from, Span::WorkDays(0));
        prop_assert_eq!(calendar.workdays_between(start, calendar.after(from, Span::WorkDays(days))), i64::from(days));
    }

    #[test]
    fn calculating_again_changes_nothing_and_only_the_last_calendar_counts(a in settings(), b in settings(), from in moment(), terms in any_terms(), wd in 0_u32..12) {
        let (a, b) = (a.calendar(), b.calendar());
        let first = terms.extended(&a, from, wd);
        prop_assert_eq!(terms.recalculated(&a, from, &first), first);
        let (directly, by_a) = (terms.extended(&b, from, wd), terms.recalculated(&b, from, &first));
        prop_assert_eq!(by_a, directly);
        prop_assert_eq!(terms.recalculated(&b, from, &by_a), directly);
    }

    /// Along any walk through the trade's table of moves.
    #[test]
    fn a_citizens_clock_is_never_stopped_or_set_back_by_what_units_do(steps in prop::collection::vec((0_usize..36, 1_i64..100), 1..60)) {
        let mut clock = CitizenClock::default();
        let (mut state, mut now, mut waited) = (State::Draft, 0, 0);
        let (mut promised, mut ended) = (None, None);
        for (choice, hours) in steps {
            let moves: Vec<&Transition> = TRANSITIONS.iter().filter(|row| row.from == state).collect();
            let Some(row) = moves.get(choice % moves.len().max(1)) else { break };
            now += hours * HOUR_MS;
            let running = clock.started.is_some() && clock.ended.is_none();
            if running {
                prop_assert_eq!(clock.elapsed_ms(UnixMs(now)), now - promised.unwrap_or(now), "all of the wall's time");
            }
            state = row.to;
            clock.moved(state, UnixMs(now));
            let over = matches!(state, State::Closed | State::Archived | State::NotAccepted | State::Merged | State::Void);
            if !over && promised.is_none() {
                promised = Some(ended.unwrap_or(now));
            }
            if over && state != State::Archived {
                ended = Some(now);
            }
            prop_assert_eq!(clock.started, promised.map(UnixMs), "it starts once");
            prop_assert_eq!(clock.ended, ended.filter(|_| over).map(UnixMs));
            prop_assert!(clock.elapsed_ms(UnixMs(now)) >= waited, "waiting never becomes less");
            waited = clock.elapsed_ms(UnixMs(now));
        }
    }

    #[test]
    fn no_moment_is_too_far_away(from in any::<i64>(), now in any::<i64>(), terms in any_terms()) {
        let calendar = demo();
        let due = terms.extended(&calendar, UnixMs(from), 10);
        let mut clock = UnitClock::started(UnixMs(from), terms.counting, due);
        let _ = (clock.why(&calendar, UnixMs(now)), clock.elapsed_ms(&calendar, UnixMs(now)));
        clock.stop(UnixMs(now));
        let _ = (clock.remaining_ms(&calendar, UnixMs(now)), calendar.is_provisional(UnixMs(from), UnixMs(now)));
    }
}
