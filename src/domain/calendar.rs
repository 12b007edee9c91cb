//! Working time: when an answer is due, knowing holidays and 调休.
//!
//! The rule (the city's own wording): a request received after work hours or on a day off counts from the start of the
//! next workday; `n wd` ends with the last work hour of the n-th workday after that day; classes with the clock `7x24`
//! ignore the calendar, so that there a `wd` is 24 hours.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use super::{
    city::{self, TimeClass},
    time::UnixMs,
};

/// The whole country is on UTC+8, without summer time since 1991.
const ZONE: Offset = Offset::constant(8);
/// Days looked ahead for a workday; more days off in a row are a mistake in the settings.
const HORIZON: usize = 60;

/// A length of time as the city writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// `5wd`: to the end of the n-th workday after the first.
    WorkDays(u32),
    /// `4wh`: hours within work hours.
    WorkHours(u32),
    /// `24h`, `30min` and the `…_min` keys of a `7x24` class: hours of the wall clock, in minutes.
    Minutes(u32),
    /// The `…_min` keys of a `workday` class: minutes within work hours.
    WorkMinutes(u32),
}

/// What keeps a calendar from being used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error(
        "calendar.work_hours: `{0}` to `{1}` is not a span of a day such as 08:30 to 12:00, after the span before it"
    )]
    Hours(String, String),
    #[error("calendar.work_hours: there are none")]
    NoHours,
    #[error("calendar: `{0}` is not a date such as 2026-02-16")]
    Date(String),
    #[error("calendar.weekend: every day is a day off")]
    NoWorkday,
    #[error("`{0}` is not a length of time such as 5wd, 4wh, 24h or 30min")]
    Span(String),
    #[error("time_classes.{class}: {problem}")]
    Class { class: String, problem: String },
}

/// The city's work hours and days off.
#[derive(Clone, Debug)]
pub struct WorkCalendar {
    /// In order, not overlapping, not empty.
    hours: Vec<(Time, Time)>,
    weekend: BTreeSet<i8>,
    days_off: BTreeSet<Date>,
    makeup: BTreeSet<Date>,
}

/// When a unit has to have done what, and when its card changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deadlines {
    pub sign: UnixMs,
    /// First contact with the caller, where the class asks for one.
    pub contact: Option<UnixMs>,
    pub reply: UnixMs,
    /// From here the card is yellow: one workday before the answer is due, never in the first half of the time.
    pub yellow: UnixMs,
    /// From here it is red: the first overdue workday; at once where the clock never stops.
    pub red: UnixMs,
}

impl FromStr for Span {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || CalendarError::Span(text.to_owned());
        let digits = text.find(|sign: char| !sign.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u32 = number.parse().ok().filter(|number| *number <= 10_000).ok_or_else(wrong)?;
        match unit {
            "wd" => Ok(Self::WorkDays(number)),
            "wh" => Ok(Self::WorkHours(number)),
            "h" => Ok(Self::Minutes(number * 60)),
            "min" => Ok(Self::Minutes(number)),
            _ => Err(wrong()),
        }
    }
}

impl WorkCalendar {
    /// Reads the city's calendar.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub fn new(calendar: &city::Calendar) -> Result<Self, CalendarError> {
        let mut hours: Vec<(Time, Time)> = Vec::new();
        for (from, to) in &calendar.work_hours {
            let wrong = || CalendarError::Hours(from.clone(), to.clone());
            let span: (Time, Time) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
            if span.0 >= span.1 || hours.last().is_some_and(|before| before.1 > span.0) {
                return Err(wrong());
            }
            hours.push(span);
        }
        if hours.is_empty() {
            return Err(CalendarError::NoHours);
        }
        let weekend: BTreeSet<i8> = calendar.weekend.iter().copied().collect();
        if (1..=7).all(|day| weekend.contains(&day)) {
            return Err(CalendarError::NoWorkday);
        }
        let days_off = dates(calendar.holidays_on_weekdays.values().flatten())?;
        Ok(Self { hours, weekend, days_off, makeup: dates(calendar.makeup_workdays.values().flatten())? })
    }

    /// Whether people work on this day.
    pub fn is_workday(&self, day: Date) -> bool {
        self.makeup.contains(&day)
            || (!self.weekend.contains(&day.weekday().to_monday_one_offset()) && !self.days_off.contains(&day))
    }

    /// The end of a span that starts at `from`.
    pub fn after(&self, from: UnixMs, span: Span) -> UnixMs {
        match span {
            Span::Minutes(minutes) => from + Duration::from_secs(u64::from(minutes) * 60),
            Span::WorkDays(days) => {
                let mut day = self.counts_from(local(from)).date();
                for _ in 0..days {
                    day = self.workday_after(day);
                }
                instant(day.to_datetime(self.close()))
            }
            Span::WorkHours(hours) => self.after_work_minutes(from, i64::from(hours) * 60),
            Span::WorkMinutes(minutes) => self.after_work_minutes(from, i64::from(minutes)),
        }
    }

    /// What a unit has to keep when a case of this class is dispatched to it.
    ///
    /// # Errors
    /// A length of time that cannot be read.
    pub fn deadlines(&self, class: &TimeClass, from: UnixMs) -> Result<Deadlines, CalendarError> {
        let round_the_clock = class.clock == "7x24";
        let end = |minutes: Option<u32>, text: Option<&str>| -> Result<Option<UnixMs>, CalendarError> {
            let span = match (minutes, text) {
                (Some(minutes), _) if round_the_clock => Span::Minutes(minutes),
                (Some(minutes), _) => Span::WorkMinutes(minutes),
                (None, Some(text)) => around(text.parse()?, round_the_clock),
                (None, None) => return Ok(None),
            };
            Ok(Some(self.after(from, span)))
        };
        let reply = self.after(from, around(class.reply.parse()?, round_the_clock));
        let half = UnixMs(from.0 + (reply.0 - from.0) / 2);
        let (day_before, red) = if round_the_clock {
            (UnixMs(reply.0 - 24 * 3_600_000), reply)
        } else {
            let due = local(reply);
            let eve = due.date().yesterday().map_or(due.date(), |day| self.workday_on_or_before(day));
            (instant(eve.to_datetime(due.time())), instant(self.next_opening(due)))
        };
        Ok(Deadlines {
            sign: end(class.sign_min, class.sign.as_deref())?.unwrap_or(reply),
            contact: end(class.contact_min, class.contact.as_deref())?,
            reply,
            yellow: day_before.max(half),
            red,
        })
    }

    /// The city's day that a moment lies in, `20261123`.
    pub fn day(at: UnixMs) -> String {
        local(at).date().strftime("%Y%m%d").to_string()
    }

    /// A moment as the city reads it, RFC 3339 with its zone: `2026-11-23T09:00:00.000+08:00`.
    pub fn rfc3339(at: UnixMs) -> String {
        local(at).strftime("%Y-%m-%dT%H:%M:%S%.3f+08:00").to_string()
    }

    /// Where counting begins: the moment itself on a workday until the last work hour, else the next opening.
    fn counts_from(&self, at: DateTime) -> DateTime {
        if self.is_workday(at.date()) && at.time() < self.close() { at } else { self.next_opening(at) }
    }

    fn after_work_minutes(&self, from: UnixMs, minutes: i64) -> UnixMs {
        let start = self.counts_from(local(from));
        let (mut day, mut since) = (start.date(), start.time());
        let mut left = minutes * 60_000;
        loop {
            for (open, close) in &self.hours {
                let begin = since.max(*open);
                if begin >= *close {
                    continue;
                }
                let length = (instant(day.to_datetime(*close)).0) - (instant(day.to_datetime(begin)).0);
                if left <= length {
                    return UnixMs(instant(day.to_datetime(begin)).0 + left);
                }
                left -= length;
            }
            let next = self.workday_after(day);
            if next == day {
                // The end of representable time.
                return instant(day.to_datetime(self.close()));
            }
            (day, since) = (next, Time::midnight());
        }
    }

    fn next_opening(&self, after: DateTime) -> DateTime {
        if self.is_workday(after.date()) && after.time() < self.open() {
            return after.date().to_datetime(self.open());
        }
        self.workday_after(after.date()).to_datetime(self.open())
    }

    fn workday_after(&self, day: Date) -> Date {
        day.series(jiff::Span::new().days(1))
            .skip(1)
            .take(HORIZON)
            .find(|day| self.is_workday(*day))
            .unwrap_or_else(|| day.tomorrow().unwrap_or(day))
    }

    fn workday_on_or_before(&self, day: Date) -> Date {
        let back = day.series(jiff::Span::new().days(-1)).take(HORIZON);
        { back }.find(|day| self.is_workday(*day)).unwrap_or(day)
    }

    fn open(&self) -> Time {
        self.hours.first().map_or(Time::midnight(), |(open, _)| *open)
    }

    fn close(&self) -> Time {
        self.hours.last().map_or(Time::MAX, |(_, close)| *close)
    }
}

/// Where the clock never stops, a workday is a day.
const fn around(span: Span, round_the_clock: bool) -> Span {
    match span {
        Span::WorkDays(days) if round_the_clock => Span::Minutes(days * 24 * 60),
        Span::WorkHours(hours) if round_the_clock => Span::Minutes(hours * 60),
        span => span,
    }
}

fn dates<'a>(texts: impl Iterator<Item = &'a String>) -> Result<BTreeSet<Date>, CalendarError> {
    texts.map(|text| text.parse().map_err(|_| CalendarError::Date(text.clone()))).collect()
}

/// A moment as the clocks of the city show it.
pub fn local(at: UnixMs) -> DateTime {
    ZONE.to_datetime(Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    }))
}

/// The moment at which the clocks of the city show this.
pub fn instant(at: DateTime) -> UnixMs {
    UnixMs(ZONE.to_timestamp(at).map_or(i64::MAX, Timestamp::as_millisecond))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::city::City;

    fn city() -> City {
        serde_json::from_str(include_str!("../../config/demo-city.json")).expect("the demo city is read")
    }

    fn at(text: &str) -> UnixMs {
        instant(text.parse().expect("a local time"))
    }

    fn after(from: &str, span: &str) -> String {
        let calendar = WorkCalendar::new(&city().calendar).expect("a calendar");
        let end = calendar.after(at(from), span.parse().expect("a span"));
        local(end).strftime("%Y-%m-%d %H:%M").to_string()
    }

    #[test]
    fn five_workdays_end_with_the_fifth_workday_after_the_first() {
        assert_eq!(after("2026-11-23T09:00", "5wd"), "2026-11-30 17:30");
        assert_eq!(after("2026-11-23T13:00", "1wd"), "2026-11-24 17:30", "the lunch break is in the day");
    }

    #[test]
    fn what_comes_after_hours_counts_from_the_next_workday() {
        assert_eq!(after("2026-11-23T17:29", "1wd"), "2026-11-24 17:30");
        assert_eq!(after("2026-11-23T17:30", "1wd"), "2026-11-25 17:30");
        assert_eq!(after("2026-11-27T20:00", "1wd"), "2026-12-01 17:30", "from Friday night to Monday");
        assert_eq!(after("2026-11-23T03:00", "1wd"), "2026-11-24 17:30", "before the opening it is that day");
    }

    #[test]
    fn spring_festival_2026_with_its_makeup_days() {
        // Saturday 14 February is worked, 15 to 23 February are off, Saturday 28 February is worked.
        assert_eq!(after("2026-02-13T10:00", "1wd"), "2026-02-14 17:30");
        assert_eq!(after("2026-02-13T10:00", "2wd"), "2026-02-24 17:30");
        assert_eq!(
            after("2026-02-18T10:00", "5wd"),
            "2026-03-02 17:30",
            "counted from the 24th; the 28th is a workday"
        );
        assert_eq!(after("2026-02-14T16:30", "4wh"), "2026-02-24 11:30");
    }

    #[test]
    fn national_day_and_mid_autumn_2026() {
        assert_eq!(after("2026-09-30T09:00", "5wd"), "2026-10-13 17:30", "10 October is a worked Saturday");
        assert_eq!(after("2026-09-18T09:00", "1wd"), "2026-09-20 17:30", "20 September is a worked Sunday");
    }

    #[test]
    fn working_hours_leave_out_lunch_nights_and_weekends() {
        assert_eq!(after("2026-11-23T10:00", "4wh"), "2026-11-23 16:00");
        assert_eq!(after("2026-11-23T12:30", "1wh"), "2026-11-23 15:00");
        assert_eq!(after("2026-11-27T16:30", "4wh"), "2026-11-30 11:30");
        assert_eq!(after("2026-11-28T10:00", "1wh"), "2026-11-30 09:30");
    }

    #[test]
    fn hours_and_minutes_run_through_the_night() {
        assert_eq!(after("2026-11-27T20:00", "24h"), "2026-11-28 20:00");
        assert_eq!(after("2026-11-27T23:45", "30min"), "2026-11-28 00:15");
        for wrong in ["", "wd", "5", "5x", "-1h", "99999wd", "5 wd"] {
            assert_eq!(wrong.parse::<Span>(), Err(CalendarError::Span(wrong.into())));
        }
    }

    #[test]
    fn deadlines_follow_the_class_and_its_clock() {
        let city = city();
        let calendar = WorkCalendar::new(&city.calendar).expect("a calendar");
        let of = |class: &str, from: &str| calendar.deadlines(&city.time_classes[class], at(from)).expect("spans");
        let general = of("GENERAL", "2026-11-23T09:00");
        assert_eq!(general.sign, at("2026-11-24T17:30"));
        assert_eq!(general.contact, Some(at("2026-11-24T09:00")));
        assert_eq!(general.reply, at("2026-11-30T17:30"));
        assert_eq!(general.yellow, at("2026-11-27T17:30"), "one workday before, over the weekend");
        assert_eq!(general.red, at("2026-12-01T08:30"), "the first overdue workday");

        let urgent = of("URGENT", "2026-11-28T20:00");
        assert_eq!(urgent.sign, at("2026-11-28T22:00"));
        assert_eq!(urgent.reply, at("2026-11-30T20:00"), "two days by the clock on the wall");
        assert_eq!((urgent.yellow, urgent.red), (at("2026-11-29T20:00"), urgent.reply));

        let emergency = of("EMERGENCY", "2026-11-28T20:00");
        assert_eq!(emergency.reply, at("2026-11-29T20:00"));
        assert_eq!(emergency.yellow, at("2026-11-29T08:00"), "not before half of the time is over");

        let consult = of("CONSULT", "2026-11-23T16:30");
        assert_eq!(consult.sign, at("2026-11-24T11:30"), "240 working minutes");
    }

    #[test]
    fn every_class_of_the_demo_city_has_deadlines_in_order() {
        let city = city();
        let calendar = WorkCalendar::new(&city.calendar).expect("a calendar");
        for (name, class) in &city.time_classes {
            let due = calendar.deadlines(class, at("2026-11-23T09:00")).expect("spans");
            assert!(due.sign <= due.reply && due.yellow < due.reply && due.reply <= due.red, "{name}: {due:?}");
        }
    }

    #[test]
    fn the_day_of_a_number_is_the_citys() {
        assert_eq!(
            WorkCalendar::day(UnixMs(1_795_392_000_000 - 3_600_000)),
            "20261123",
            "23:00 UTC is the next morning"
        );
        assert_eq!(WorkCalendar::rfc3339(at("2026-11-23T09:00")), "2026-11-23T09:00:00.000+08:00");
    }

    #[test]
    fn times_far_outside_are_no_reason_to_panic() {
        let calendar = WorkCalendar::new(&city().calendar).expect("a calendar");
        for at in [i64::MIN, i64::MAX, 0] {
            for span in [Span::WorkDays(5), Span::WorkHours(4), Span::Minutes(60), Span::WorkMinutes(10_000)] {
                let _ = calendar.after(UnixMs(at), span);
            }
            let _ = (WorkCalendar::day(UnixMs(at)), WorkCalendar::rfc3339(UnixMs(at)));
        }
    }
}
