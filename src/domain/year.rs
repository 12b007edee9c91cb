//! One year's days off and worked weekends, in the words of the State Council's notice: 「春节：2月15日至23日放假调休，
//! 2月14日、2月28日上班」 is a holiday with its first and last day, and two make-up days.
//!
//! The city's settings hold years, the API takes and shows them, the database keeps every one that was ever in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A year as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct YearPlan {
    pub year: i16,
    /// Where it comes from: the notice's number.
    pub source: String,
    /// The notice is not out yet: these are the law's own days, and due dates may still move.
    #[serde(default)]
    pub provisional: bool,
    pub holidays: Vec<Holiday>,
    /// 调休: weekend days on which people work, `2026-02-14`.
    pub makeup_workdays: Vec<String>,
}

/// Days off in a row; the weekends among them may be left in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// 春节.
    pub name: String,
    /// First day off, `2026-02-15`.
    pub from: String,
    /// Last day off.
    pub to: String,
}

/// Why a year cannot be used: every mistake, each with the key that it stands at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|(key, problem)| format!("{key}: {problem}")).collect::<Vec<_>>().join("; "))]
pub struct YearError(pub Vec<(String, String)>);

/// A year that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Year {
    pub(super) plan: YearPlan,
    /// Days off with the holiday's name, weekends among them.
    pub(super) off: BTreeMap<Date, String>,
    pub(super) worked: BTreeSet<Date>,
}

/// Days off in a row under one name; the longest so far were ten (Spring Festival 2020).
const LONGEST: i32 = 16;
/// Weekdays off less worked weekends. Worked weekends are repaid, so that this is the number of days off in the law: 13 since
/// 2025, 11 before, and now and then a special day more.
const PLAUSIBLE: RangeInclusive<usize> = 10..=20;
/// Worked weekend days; the most so far were eight.
const MOST_MAKEUPS: usize = 14;
/// Off in every year since 1949, whatever the notice says: without them a line was forgotten.
const ALWAYS_OFF: [(i8, i8, &str); 3] = [(1, 1, "元旦"), (5, 1, "劳动节"), (10, 1, "国庆节")];
/// Characters of a name or a source.
const LONGEST_TEXT: usize = 200;

impl YearPlan {
    /// Years that can be written down.
    pub const YEARS: RangeInclusive<i16> = 2000..=2100;

    /// Whether the year makes sense.
    ///
    /// * `weekend` — the city's days off of every week, Monday 1.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn check(&self, weekend: &[i8]) -> Result<(), YearError> {
        Year::read(self, &weekend.iter().copied().collect()).map(|_| ())
    }
}

impl Year {
    pub(super) fn read(plan: &YearPlan, weekend: &BTreeSet<i8>) -> Result<Self, YearError> {
        let mut reader = Reader { plan, weekend, off: BTreeMap::new(), worked: BTreeSet::new(), wrong: Vec::new() };
        reader.texts();
        reader.holidays();
        reader.makeups();
        if reader.wrong.is_empty() {
            reader.sums();
        }
        if reader.wrong.is_empty() {
            return Ok(Self { plan: plan.clone(), off: reader.off, worked: reader.worked });
        }
        Err(YearError(reader.wrong))
    }
}

struct Reader<'a> {
    plan: &'a YearPlan,
    weekend: &'a BTreeSet<i8>,
    off: BTreeMap<Date, String>,
    worked: BTreeSet<Date>,
    wrong: Vec<(String, String)>,
}

impl Reader<'_> {
    fn texts(&mut self) {
        if !YearPlan::YEARS.contains(&self.plan.year) {
            self.wrong("year", format!("{} is not between 2000 and 2100", self.plan.year));
        }
        if !is_text(&self.plan.source) {
            self.wrong("source", "say where it comes from, in 1 to 200 characters: the number of the notice".into());
        }
    }

    fn holidays(&mut self) {
        for (index, holiday) in self.plan.holidays.iter().enumerate() {
            let key = format!("holidays[{index}]");
            if !is_text(&holiday.name) {
                self.wrong(&format!("{key}.name"), "a holiday has a name of 1 to 200 characters".into());
            }
            let (from, to) =
                (self.date(&format!("{key}.from"), &holiday.from), self.date(&format!("{key}.to"), &holiday.to));
            let (Some(from), Some(to)) = (from, to) else { continue };
            if to < from || (to - from).get_days() >= LONGEST {
                self.wrong(&key, format!("{from} to {to} is not a span of 1 to {LONGEST} days"));
                continue;
            }
            for day in from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to) {
                if let Some(other) = self.off.insert(day, holiday.name.clone()) {
                    self.wrong(&key, format!("{day} is off already, for {other}"));
                }
            }
        }
    }

    fn makeups(&mut self) {
        for (index, text) in self.plan.makeup_workdays.iter().enumerate() {
            let key = format!("makeup_workdays[{index}]");
            let Some(day) = self.date(&key, text) else { continue };
            if let Some(name) = self.off.get(&day) {
                let problem = format!("{day} is off for {name}; a day is either off or worked");
                self.wrong(&key, problem);
            } else if !self.is_weekend(day) {
                self.wrong(&key, format!("{day} is a weekday, which is worked anyway; is the date right?"));
            }
            if !self.worked.insert(day) {
                self.wrong(&key, format!("{day} is there twice"));
            }
        }
    }

    fn sums(&mut self) {
        for (month, day, name) in ALWAYS_OFF {
            let forgotten = Date::new(self.plan.year, month, day)
                .is_ok_and(|day| !self.off.contains_key(&day) && !self.is_weekend(day));
            if forgotten {
                self.wrong("holidays", format!("{}-{month:02}-{day:02}, {name}, is missing", self.plan.year));
            }
        }
        let (off, worked) = (self.off.keys().filter(|day| !self.is_weekend(**day)).count(), self.worked.len());
        if worked > MOST_MAKEUPS {
            self.wrong("makeup_workdays", format!("{worked} worked weekend days are more than {MOST_MAKEUPS}"));
        }
        if !PLAUSIBLE.contains(&off.saturating_sub(worked)) {
            let problem = format!(
                "{off} weekdays off less {worked} worked weekend days are {}; the law gives 13, plausible are {} to {}",
                off.saturating_sub(worked),
                PLAUSIBLE.start(),
                PLAUSIBLE.end()
            );
            self.wrong("holidays", problem);
        }
    }

    fn date(&mut self, key: &str, text: &str) -> Option<Date> {
        match text.parse::<Date>() {
            // Its own reading is wider (`20260216`); one way of writing keeps files comparable.
            Ok(day) if day.to_string() == text && day.year() == self.plan.year => Some(day),
            Ok(day) if day.to_string() == text => {
                let (year, of) = (self.plan.year, day.year());
                self.wrong(key, format!("{day} is not in {year}; import it with the year {of}"));
                None
            }
            _ => {
                self.wrong(key, format!("`{}` is not a date such as 2026-02-16", shown(text)));
                None
            }
        }
    }

    fn is_weekend(&self, day: Date) -> bool {
        self.weekend.contains(&day.weekday().to_monday_one_offset())
    }

    fn wrong(&mut self, key: &str, problem: String) {
        self.wrong.push((key.to_owned(), problem));
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST_TEXT
}

/// The beginning of what somebody sent.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEKEND: [i8; 2] = [6, 7];

    fn plan() -> YearPlan {
        let text = include_str!("../../config/demo-city.json");
        let city: crate::domain::city::City = serde_json::from_str(text).expect("the demo city is read");
        let mut years = city.calendar.years.into_iter();
        years.find(|plan| plan.year == 2026).expect("2026")
    }

    fn problem(change: impl FnOnce(&mut YearPlan)) -> String {
        let mut plan = plan();
        change(&mut plan);
        plan.check(&WEEKEND).expect_err("a mistake").to_string()
    }

    #[test]
    fn a_year_as_announced_is_taken() {
        plan().check(&WEEKEND).expect("2026 as announced");
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let error = problem(|plan| {
            plan.source = " ".into();
            plan.holidays[0].to = "2026-13-01".into();
            plan.makeup_workdays[0] = "2025-01-26".into();
        });
        for words in ["source: say where", "holidays[0].to: `2026-13-01` is not a date", "import it with the year 2025"]
        {
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn a_day_is_either_off_or_worked() {
        let error = problem(|plan| plan.makeup_workdays.push("2026-02-21".into()));
        assert!(error.contains("makeup_workdays[6]: 2026-02-21 is off for 春节"), "{error}");
        let error = problem(|plan| plan.makeup_workdays[0] = "2026-01-05".into());
        assert!(error.contains("2026-01-05 is a weekday"), "{error}");
        let error = problem(|plan| plan.makeup_workdays.push("2026-01-04".into()));
        assert!(error.contains("2026-01-04 is there twice"), "{error}");
        let error = problem(|plan| plan.holidays.push(plan.holidays[1].clone()));
        assert!(error.contains("is off already, for 春节"), "{error}");
    }

    #[test]
    fn a_forgotten_line_or_a_slip_of_the_month_is_seen() {
        let error = problem(|plan| drop(plan.holidays.pop()));
        assert!(error.contains("2026-10-01, 国庆节, is missing"), "{error}");
        let error = problem(|plan| plan.holidays.truncate(1));
        assert!(error.contains("the law gives 13"), "{error}");
        let error = problem(|plan| plan.holidays[1].to = "2026-03-23".into());
        assert!(error.contains("is not a span of 1 to 16 days"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = r#"{"year": 2027, "source": "x", "holidays": [], "makeup_workdays": [], "makeups": []}"#;
        assert!(serde_json::from_str::<YearPlan>(text).expect_err("a slip").to_string().contains("makeups"));
    }
}
