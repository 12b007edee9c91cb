//! Officials' turns on the lines (值班表), as people write them down.

use jiff::{
    ToSpan,
    civil::{Date, Time},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{calendar::instant, time::UnixMs};

/// One day's turns.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DayPlan {
    /// All of the day; whatever was planned before is gone.
    pub turns: Vec<TurnPlan>,
}

/// One turn.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnPlan {
    /// Name of the official's account.
    pub person: String,
    /// As it is announced: 副市长, 人大代表.
    pub rank: String,
    /// `09:00`
    pub from: String,
    /// `11:00`; not after `from` means the next day.
    pub to: String,
    /// The desk whose callers go there first; all, if there is none.
    pub desk: Option<String>,
    /// What was announced.
    #[serde(default)]
    pub topics: Vec<String>,
}

/// What is wrong with a plan: the field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RotaError {
    pub field: String,
    pub problem: String,
}

impl RotaError {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Turns of one day.
const MOST: usize = 100;
/// Characters of a rank or a topic.
const LONGEST: usize = 64;
/// Topics of one turn.
const TOPICS: usize = 16;

impl DayPlan {
    /// Whether it can be a day's plan at all.
    pub fn check(&self) -> Result<(), RotaError> {
        if self.turns.len() > MOST {
            return Err(RotaError::new("turns", format!("{} are more than {MOST}", self.turns.len())));
        }
        for (index, turn) in self.turns.iter().enumerate() {
            let at = |field: &str| format!("turns[{index}].{field}");
            let short = |text: &String| (1..=LONGEST).contains(&text.chars().count());
            if !short(&turn.rank) {
                return Err(RotaError::new(at("rank"), format!("has 1 to {LONGEST} characters")));
            }
            if turn.topics.len() > TOPICS || !turn.topics.iter().all(short) {
                return Err(RotaError::new(
                    at("topics"),
                    format!("at most {TOPICS}, each of 1 to {LONGEST} characters"),
                ));
            }
            for (field, text) in [("from", &turn.from), ("to", &turn.to)] {
                time(text).ok_or_else(|| RotaError::new(at(field), format!("`{text}` is no time such as 09:00")))?;
            }
        }
        Ok(())
    }
}

impl TurnPlan {
    /// Beginning and end in the city's time; nothing for times that cannot be read.
    pub fn span(&self, day: Date) -> Option<(UnixMs, UnixMs)> {
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        let last = if to > from { day } else { day.checked_add(1.day()).ok()? };
        Some((instant(day.to_datetime(from)), instant(last.to_datetime(to))))
    }
}

/// Beginning and end of a day in the city's time.
pub fn day(date: Date) -> Option<(UnixMs, UnixMs)> {
    let next = date.checked_add(1.day()).ok()?;
    Some((instant(date.to_datetime(Time::midnight())), instant(next.to_datetime(Time::midnight()))))
}

fn time(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(from: &str, to: &str) -> TurnPlan {
        let (person, rank) = ("wang".into(), "副市长".into());
        TurnPlan { person, rank, from: from.into(), to: to.into(), desk: None, topics: Vec::new() }
    }

    #[test]
    fn a_turn_may_go_over_midnight() {
        let monday = jiff::civil::date(2026, 11, 23);
        let hours = |from: &str, to: &str| {
            let (begin, end) = turn(from, to).span(monday).expect("times");
            (end.0 - begin.0) / 3_600_000
        };
        assert_eq!((hours("09:00", "11:00"), hours("22:00", "02:00"), hours("08:00", "08:00")), (2, 4, 24));
        assert_eq!(turn("09:00", "11:00").span(monday).map(|it| it.0), Some(UnixMs(1_795_395_600_000)));
        assert_eq!(day(monday).map(|(begin, end)| end.0 - begin.0), Some(86_400_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |turn: TurnPlan| DayPlan { turns: vec![turn] }.check().map_err(|error| error.field);
        assert_eq!(wrong(turn("09:00", "11:00")), Ok(()));
        assert_eq!(wrong(turn("9 o'clock", "11:00")), Err("turns[0].from".into()));
        assert_eq!(wrong(turn("09:00", "25:00")), Err("turns[0].to".into()));
        assert_eq!(wrong(TurnPlan { rank: String::new(), ..turn("09:00", "11:00") }), Err("turns[0].rank".into()));
        let topics = vec!["供热".into(); 17];
        assert_eq!(wrong(TurnPlan { topics, ..turn("09:00", "11:00") }), Err("turns[0].topics".into()));
        let many = DayPlan { turns: vec![turn("09:00", "11:00"); 101] };
        assert_eq!(many.check().map_err(|error| error.field), Err("turns".into()));
    }
}
