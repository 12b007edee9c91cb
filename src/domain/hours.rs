//! When a desk takes calls.

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::{
    calendar::{WorkCalendar, local},
    time::UnixMs,
};

/// As settings say it: `7x24`, `work`, `08:00-20:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Hours {
    /// Always. Source: GB/T 33358-2016, which advises it for the line as a whole.
    #[default]
    Always,
    /// The work hours of the city's calendar.
    Work,
    /// Each day from one time to another; over midnight if that is the earlier one.
    Daily { from: Time, to: Time },
}

impl Hours {
    /// Whether the desk takes calls at this moment.
    pub fn open_at(self, at: UnixMs, calendar: &WorkCalendar) -> bool {
        let time = local(at).time();
        match self {
            Self::Always => true,
            Self::Work => calendar.worked_ms(at, UnixMs(at.0 + 1)) > 0,
            Self::Daily { from, to } if from < to => from <= time && time < to,
            Self::Daily { from, to } => from <= time || time < to,
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let daily = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (time(from)?, time(to)?);
            (from != to).then_some(Self::Daily { from, to })
        };
        match text.as_str() {
            "7x24" => Ok(Self::Always),
            "work" => Ok(Self::Work),
            _ => daily().ok_or_else(|| format!("`{text}` is none of 7x24, work, 08:00-20:00")),
        }
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        match hours {
            Hours::Always => "7x24".into(),
            Hours::Work => "work".into(),
            Hours::Daily { from, to } => format!("{}-{}", from.strftime("%H:%M"), to.strftime("%H:%M")),
        }
    }
}

/// `08:00`, and `24:00` for the midnight that ends a day.
fn time(text: &str) -> Option<Time> {
    match text.trim() {
        "24:00" => Some(Time::midnight()),
        text if text.len() == 5 => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{calendar::instant, city::City};

    #[test]
    fn hours_are_read_as_they_are_written() {
        for text in ["7x24", "work", "08:00-20:00", "18:30-08:30"] {
            assert_eq!(Hours::try_from(text.to_owned()).map(String::from), Ok(text.to_owned()));
        }
        assert_eq!(Hours::try_from("08:00-24:00".to_owned()).map(String::from), Ok("08:00-00:00".to_owned()));
        for text in ["", "always", "8-20", "08:00", "08:00-08:00", "08:00-25:00", "00:00-24:00"] {
            assert!(Hours::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_desk_is_open_in_its_hours_also_over_midnight_and_by_the_calendar() {
        let city: City = serde_json::from_str(include_str!("../../config/demo-city.json")).expect("the demo city");
        let calendar = WorkCalendar::new(&city.calendar).expect("a calendar");
        let open = |hours: &str, at: &str| {
            let hours = Hours::try_from(hours.to_owned()).expect("hours");
            hours.open_at(instant(at.parse().expect("a moment")), &calendar)
        };
        for (hours, at, wanted) in [
            ("7x24", "2026-11-22T03:00", true),
            ("08:00-20:00", "2026-11-22T08:00", true),
            ("08:00-20:00", "2026-11-22T20:00", false),
            ("08:00-24:00", "2026-11-22T23:59", true),
            ("08:00-24:00", "2026-11-22T00:00", false),
            ("18:30-08:30", "2026-11-22T18:30", true),
            ("18:30-08:30", "2026-11-22T08:29", true),
            ("18:30-08:30", "2026-11-22T12:00", false),
            ("work", "2026-11-23T09:00", true),
            ("work", "2026-11-23T03:00", false),
            ("work", "2026-11-22T09:00", false),
        ] {
            assert_eq!(open(hours, at), wanted, "{hours} at {at}");
        }
    }
}
