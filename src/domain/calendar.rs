//! Working time: which days are worked, knowing holidays and 调休, and when a length of time ends.
//!
//! The rule (the city's own wording): a request received after work hours or on a day off counts from the start of the
//! next workday; `n wd` ends with the last work hour of the n-th workday after that day. What a time class makes of it
//! stands in `clocks`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::Offset,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    city,
    time::UnixMs,
    year::{Year, YearError, YearPlan},
};

/// The whole country is on UTC+8, without summer time since 1991.
const ZONE: Offset = Offset::constant(8);
/// Days looked ahead for a workday. A checked year has fewer days off in a row, two of them too.
const HORIZON: usize = 120;
/// The Monday that workdays are counted from.
const EPOCH: Date = Date::constant(1970, 1, 5);

/// A length of time as the city writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// `5wd`: to the end of the n-th workday after the first.
    WorkDays(u32),
    /// `4wh`: hours within work hours.
    WorkHours(u32),
    /// `24h`, `30min` and the `…_min` keys of a `7x24` class: hours of the wall clock, in minutes.
    Minutes(u32),
    /// `90wmin` and the `…_min` keys of a `workday` class: minutes within work hours.
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
    #[error("calendar.weekend: every day is a day off")]
    NoWorkday,
    #[error("calendar of {year}: {problems}")]
    Year { year: i16, problems: YearError },
    #[error("calendar of {0}: there are two of them")]
    Twice(i16),
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
    years: BTreeMap<i16, Known>,
    /// Workdays up to and with a special day, more (调休) or fewer (holidays) than the weeks alone would give.
    corrections: BTreeMap<Date, i64>,
}

#[derive(Clone, Debug)]
struct Known {
    year: Year,
    revision: u64,
}

/// A day as the calendar has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day<'a> {
    pub date: Date,
    pub kind: DayKind,
    /// The holiday's.
    pub name: Option<&'a str>,
}

/// Why a day is worked or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    Workday,
    Weekend,
    Holiday,
    /// 调休: a weekend day that is worked.
    Makeup,
}

/// Where a year's days come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    pub year: i16,
    /// Counts what was ever in force; 0 for the settings' own.
    pub revision: u64,
    /// The notice; absent where nothing is known but the week's pattern.
    pub source: Option<String>,
    /// Not announced, or not known at all: due dates may still move.
    pub provisional: bool,
}

impl DayKind {
    /// Whether people work on such a day.
    pub const fn is_worked(self) -> bool {
        matches!(self, Self::Workday | Self::Makeup)
    }
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
            "wmin" => Ok(Self::WorkMinutes(number)),
            "h" => Ok(Self::Minutes(number * 60)),
            "min" => Ok(Self::Minutes(number)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkDays(number) => write!(f, "{number}wd"),
            Self::WorkHours(number) => write!(f, "{number}wh"),
            Self::WorkMinutes(number) => write!(f, "{number}wmin"),
            Self::Minutes(number) if number % 60 == 0 => write!(f, "{}h", number / 60),
            Self::Minutes(number) => write!(f, "{number}min"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
        let mut read = Self { hours, weekend, years: BTreeMap::new(), corrections: BTreeMap::new() };
        for plan in calendar.plans() {
            if read.years.contains_key(&plan.year) {
                return Err(CalendarError::Twice(plan.year));
            }
            read = read.with(&plan, 0)?;
        }
        Ok(read)
    }

    /// The calendar with one year put in the place of what it had.
    ///
    /// * `revision` — what the year is called in [`Origin`].
    ///
    /// # Errors
    /// A year that cannot be used.
    pub fn with(mut self, plan: &YearPlan, revision: u64) -> Result<Self, CalendarError> {
        let year =
            Year::read(plan, &self.weekend).map_err(|problems| CalendarError::Year { year: plan.year, problems })?;
        self.years.insert(plan.year, Known { year, revision });
        self.corrections = self.corrected();
        Ok(self)
    }

    /// Whether people work on this day.
    pub fn is_workday(&self, day: Date) -> bool {
        self.day_of(day).kind.is_worked()
    }

    /// What the calendar says of a day.
    pub fn day_of(&self, date: Date) -> Day<'_> {
        let year = self.years.get(&date.year()).map(|known| &known.year);
        let name = year.and_then(|year| year.off.get(&date)).map(String::as_str);
        let kind = if name.is_some() {
            DayKind::Holiday
        } else if year.is_some_and(|year| year.worked.contains(&date)) {
            DayKind::Makeup
        } else if self.is_weekend(date) {
            DayKind::Weekend
        } else {
            DayKind::Workday
        };
        Day { date, kind, name }
    }

    /// Every day of a year; of a year beyond the calendar none.
    pub fn days(&self, year: i16) -> impl Iterator<Item = Day<'_>> {
        let first = Date::new(year, 1, 1).unwrap_or(Date::MIN);
        let days = first.series(jiff::Span::new().days(1)).take_while(move |day| day.year() == year);
        days.map(|day| self.day_of(day))
    }

    /// Where the days of a year come from.
    pub fn origin(&self, year: i16) -> Origin {
        match self.years.get(&year) {
            Some(Known { year: known, revision }) => Origin {
                year,
                revision: *revision,
                source: Some(known.plan.source.clone()),
                provisional: known.plan.provisional,
            },
            None => Origin { year, revision: 0, source: None, provisional: true },
        }
    }

    /// The year as it was written down, if there is one.
    pub fn plan(&self, year: i16) -> Option<&YearPlan> {
        self.years.get(&year).map(|known| &known.year.plan)
    }

    /// Whether a date counted from one moment to another may still move, because a year between was not announced yet.
    pub fn is_provisional(&self, from: UnixMs, to: UnixMs) -> bool {
        let (from, to) = (local(from).year(), local(to).year());
        // The first unknown year ends it, and those that can be known are a hundred.
        (from..=to).any(|year| self.years.get(&year).is_none_or(|known| known.year.plan.provisional))
    }

    /// The end of a span that starts at `from`.
    pub fn after(&self, from: UnixMs, span: Span) -> UnixMs {
        match span {
            Span::Minutes(minutes) => from + Duration::from_secs(u64::from(minutes) * 60),
            Span::WorkDays(days) => self.close_of(self.counts_from(local(from)).date(), days),
            Span::WorkHours(hours) => self.after_work_minutes(from, i64::from(hours) * 60),
            Span::WorkMinutes(minutes) => self.after_work_minutes(from, i64::from(minutes)),
        }
    }

    /// Work time between two moments, in milliseconds; negative if `to` is the earlier one.
    pub fn worked_ms(&self, from: UnixMs, to: UnixMs) -> i64 {
        self.worked_until(local(to)) - self.worked_until(local(from))
    }

    /// Workdays that lie after the day of `from`, up to and with the day of `to`; negative if `to` is the earlier one.
    pub fn workdays_between(&self, from: UnixMs, to: UnixMs) -> i64 {
        let after = |at: UnixMs| local(at).date().tomorrow().map_or(0, |next| self.workdays_before(next));
        after(to) - after(from)
    }

    /// The last work hour's end, `days` workdays after the day of `due`: where an extension of `due` leads.
    pub fn workdays_later(&self, due: UnixMs, days: u32) -> UnixMs {
        self.close_of(local(due).date(), days)
    }

    /// One workday before, at the same time of the day.
    pub fn workday_before(&self, due: UnixMs) -> UnixMs {
        let due = local(due);
        let eve = due.date().yesterday().map_or(due.date(), |day| self.workday_on_or_before(day));
        instant(eve.to_datetime(due.time()))
    }

    /// When work begins for the first time on a later day, or on this one if it has not begun yet.
    pub fn opening_after(&self, at: UnixMs) -> UnixMs {
        instant(self.next_opening(local(at)))
    }

    /// The city's day that a moment lies in, `20261123`.
    pub fn day(at: UnixMs) -> String {
        local(at).date().strftime("%Y%m%d").to_string()
    }

    /// A moment as the city reads it, RFC 3339 with its zone: `2026-11-23T09:00:00.000+08:00`.
    pub fn rfc3339(at: UnixMs) -> String {
        local(at).strftime("%Y-%m-%dT%H:%M:%S%.3f+08:00").to_string()
    }

    /// A moment for people, `2026-11-23 09:00`.
    pub fn minute(at: UnixMs) -> String {
        local(at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// Where counting begins: the moment itself on a workday until the last work hour, else the next opening.
    fn counts_from(&self, at: DateTime) -> DateTime {
        if self.is_workday(at.date()) && at.time() < self.close() { at } else { self.next_opening(at) }
    }

    fn close_of(&self, mut day: Date, days: u32) -> UnixMs {
        for _ in 0..days {
            day = self.workday_after(day);
        }
        instant(day.to_datetime(self.close()))
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

    fn is_weekend(&self, day: Date) -> bool {
        self.weekend.contains(&day.weekday().to_monday_one_offset())
    }

    /// Work time since the epoch.
    fn worked_until(&self, at: DateTime) -> i64 {
        let length = |from: Time, to: Time| i64::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
        let day: i64 = self.hours.iter().map(|(open, close)| length(*open, *close)).sum();
        let today: i64 = if self.is_workday(at.date()) {
            self.hours.iter().map(|(open, close)| length(*open, at.time().clamp(*open, *close))).sum()
        } else {
            0
        };
        self.workdays_before(at.date()) * day + today
    }

    /// Workdays from the epoch to the day before this one; negative before the epoch.
    fn workdays_before(&self, day: Date) -> i64 {
        let days = day.duration_since(EPOCH).as_hours() / 24;
        let (weeks, rest) = (days.div_euclid(7), days.rem_euclid(7));
        let worked = |days: i64| {
            (1..=days).filter(|day| !self.weekend.iter().any(|off| i64::from(*off) == *day)).map(|_| 1).sum::<i64>()
        };
        let special = self.corrections.range(..day).next_back().map_or(0, |(_, sum)| *sum);
        weeks * worked(7) + worked(rest) + special
    }

    fn corrected(&self) -> BTreeMap<Date, i64> {
        let mut sum = 0;
        let years = self.years.values().map(|known| &known.year);
        let off = years.clone().flat_map(|year| year.off.keys()).filter(|day| !self.is_weekend(**day));
        let days: BTreeMap<Date, i64> =
            off.map(|day| (*day, -1)).chain(years.flat_map(|year| &year.worked).map(|day| (*day, 1))).collect();
        let summed = days.into_iter().map(|(day, change)| {
            sum += change;
            (day, sum)
        });
        summed.collect()
    }
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
