//! The two clocks of a case, as pure functions of what happened.
//!
//! The *citizen's clock* starts when the case is registered and runs until it ends, whatever the units do meanwhile: a return,
//! another unit, a redo or a question to the caller neither stops nor resets it. The *unit's clock*, one for each unit's part,
//! runs on the city's working days from the order to the unit's answer, and goes on after an answer that was sent back.
//!
//! Source: the city's rules on the two clocks, cards and extensions: yellow one workday before the answer is due, red on the
//! first overdue workday; an extension keeps the original date beside the new one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    calendar::{CalendarError, Span, WorkCalendar},
    case::State,
    city::TimeClass,
    time::UnixMs,
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Which time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Work hours on workdays.
    WorkTime,
    /// `7x24`: the calendar says nothing, and a workday is 24 hours.
    RoundTheClock,
}

/// What an order asks of its unit: the time class as it stood when the order was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub counting: Counting,
    /// Absent: by the time the answer is due.
    pub sign: Option<Span>,
    /// First contact with the caller, where the class asks for one.
    pub contact: Option<Span>,
    /// 退单: how long the unit may say that it is not responsible; absent where it may not.
    pub give_back: Option<Span>,
    pub reply: Span,
}

/// When a unit has to have done what, and when its card changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    pub sign: UnixMs,
    /// First contact with the caller, where the class asks for one.
    pub contact: Option<UnixMs>,
    /// Until here the unit may give the order back.
    #[serde(default)]
    pub give_back: Option<UnixMs>,
    /// With the extension, where one was granted.
    pub reply: UnixMs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extended>,
    /// From here the card is yellow: one workday before the answer is due, never in the first half of the time.
    pub yellow: UnixMs,
    /// From here it is red: the first overdue workday; at once where the clock never stops.
    pub red: UnixMs,
}

/// The warning on a unit's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Card {
    None,
    Yellow,
    Red,
}

/// 延期: more time for the answer. Both dates are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// Workdays granted, all extensions together.
    pub workdays: u32,
    /// When the answer was due before.
    pub original: UnixMs,
}

/// The clock of the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CitizenClock {
    /// The registration (T01), or the answer or refusal in the call that did not hold; it never changes again.
    pub started: Option<UnixMs>,
    /// The end that holds. A case that is taken up again had no end: its clock has run all the time.
    pub ended: Option<UnixMs>,
    /// Ends that did not hold, oldest first.
    pub taken_back: Vec<UnixMs>,
}

/// The clock of one unit's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitClock {
    counting: Counting,
    due: Deadlines,
    /// From when to when it ran; only the last stretch may be open.
    ran: Vec<(UnixMs, Option<UnixMs>)>,
}

impl Terms {
    /// Reads a time class.
    ///
    /// # Errors
    /// A length of time that cannot be read.
    pub fn of(class: &TimeClass) -> Result<Self, CalendarError> {
        let counting = if class.clock == "7x24" { Counting::RoundTheClock } else { Counting::WorkTime };
        let span = |minutes: Option<u32>, text: Option<&str>| match (minutes, text) {
            (Some(minutes), _) => Ok(Some(counting.span(Span::WorkMinutes(minutes)))),
            (None, Some(text)) => text.parse().map(|span| Some(counting.span(span))),
            (None, None) => Ok(None),
        };
        Ok(Self {
            counting,
            sign: span(class.sign_min, class.sign.as_deref())?,
            contact: span(class.contact_min, class.contact.as_deref())?,
            give_back: span(None, class.return_limit.as_deref())?,
            reply: counting.span(class.reply.parse()?),
        })
    }

    /// What a unit has to keep.
    ///
    /// * `from` — when it was asked.
    pub fn deadlines(&self, calendar: &WorkCalendar, from: UnixMs) -> Deadlines {
        let end = |span: Span| calendar.after(from, span);
        let reply = end(self.reply);
        let (yellow, red) = self.counting.cards(calendar, from, reply);
        Deadlines {
            sign: self.sign.map_or(reply, end),
            contact: self.contact.map(end),
            give_back: self.give_back.map(end),
            reply,
            extension: None,
            yellow,
            red,
        }
    }

    /// The same with more time for the answer; the original date stays beside the new one.
    ///
    /// * `workdays` — all extensions together.
    pub fn extended(&self, calendar: &WorkCalendar, from: UnixMs, workdays: u32) -> Deadlines {
        let due = self.deadlines(calendar, from);
        if workdays == 0 {
            return due;
        }
        let reply = match self.counting {
            Counting::WorkTime => calendar.workdays_later(due.reply, workdays),
            Counting::RoundTheClock => UnixMs(due.reply.0.saturating_add(i64::from(workdays) * DAY_MS)),
        };
        let (yellow, red) = self.counting.cards(calendar, from, reply);
        Deadlines { reply, extension: Some(Extended { workdays, original: due.reply }), yellow, red, ..due }
    }

    /// The dates that the calendar gives now, for an order with `due`.
    pub fn recalculated(&self, calendar: &WorkCalendar, from: UnixMs, due: &Deadlines) -> Deadlines {
        self.extended(calendar, from, due.extension.map_or(0, |extension| extension.workdays))
    }
}

impl Counting {
    /// Where the clock never stops, a workday is a day.
    const fn span(self, span: Span) -> Span {
        match (self, span) {
            (Self::RoundTheClock, Span::WorkDays(days)) => Span::Minutes(days * 24 * 60),
            (Self::RoundTheClock, Span::WorkHours(hours)) => Span::Minutes(hours * 60),
            (Self::RoundTheClock, Span::WorkMinutes(minutes)) => Span::Minutes(minutes),
            (_, span) => span,
        }
    }

    fn cards(self, calendar: &WorkCalendar, from: UnixMs, reply: UnixMs) -> (UnixMs, UnixMs) {
        let (eve, red) = match self {
            Self::WorkTime => (calendar.workday_before(reply), calendar.opening_after(reply)),
            Self::RoundTheClock => (UnixMs(reply.0.saturating_sub(DAY_MS)), reply),
        };
        let half = UnixMs(from.0.midpoint(reply.0));
        (eve.max(half), red)
    }

    /// The time that counts between two moments, in milliseconds.
    fn between(self, calendar: &WorkCalendar, from: UnixMs, to: UnixMs) -> i64 {
        match self {
            Self::WorkTime => calendar.worked_ms(from, to),
            Self::RoundTheClock => to.0.saturating_sub(from.0),
        }
    }
}

impl Deadlines {
    /// When the answer was due before any extension; rates are reported by this date too.
    pub fn original_reply(&self) -> UnixMs {
        self.extension.map_or(self.reply, |extension| extension.original)
    }

    /// The card of a running clock.
    pub fn card(&self, now: UnixMs) -> Card {
        match now {
            now if now >= self.red => Card::Red,
            now if now >= self.yellow => Card::Yellow,
            _ => Card::None,
        }
    }
}

impl CitizenClock {
    /// Takes in that the case came to stand in `state`.
    pub fn moved(&mut self, state: State, at: UnixMs) {
        match state {
            State::Closed | State::NotAccepted | State::Merged | State::Void => self.ended = Some(at),
            // A draft promised nothing yet, and what is put away ended with its closing.
            State::Draft | State::Archived => {}
            // An end that did not hold never was: whoever was refused or answered wrongly has waited since then.
            _ => {
                let end = self.ended.take();
                self.started.get_or_insert(end.unwrap_or(at));
                self.taken_back.extend(end);
            }
        }
    }

    /// How long the caller has waited, in milliseconds by the wall clock; nothing before the registration.
    pub fn elapsed_ms(&self, now: UnixMs) -> i64 {
        let until = self.ended.filter(|ended| *ended < now).unwrap_or(now);
        self.started.map_or(0, |started| until.0.saturating_sub(started.0).max(0))
    }
}

impl UnitClock {
    /// Starts with the order.
    pub fn started(at: UnixMs, counting: Counting, due: Deadlines) -> Self {
        Self { counting, due, ran: vec![(at, None)] }
    }

    /// The unit answered, or the order was taken from it.
    pub fn stop(&mut self, at: UnixMs) {
        if let Some((since, until @ None)) = self.ran.last_mut() {
            *until = Some(at.max(*since));
        }
    }

    /// Its answer was sent back; the dates stand.
    pub fn resume(&mut self, at: UnixMs) {
        if let Some((_, Some(until))) = self.ran.last() {
            self.ran.push((at.max(*until), None));
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.ran.last().is_some_and(|(_, until)| until.is_none())
    }

    /// The time that the unit has had so far, in milliseconds of the time that counts for it.
    pub fn elapsed_ms(&self, calendar: &WorkCalendar, now: UnixMs) -> i64 {
        let stretch = |(since, until): &(UnixMs, Option<UnixMs>)| {
            let until = until.unwrap_or(now).min(now);
            if until > *since { self.counting.between(calendar, *since, until) } else { 0 }
        };
        self.ran.iter().map(stretch).sum()
    }

    /// The time left until the answer is due, in milliseconds of the time that counts; negative once it is late.
    pub fn remaining_ms(&self, calendar: &WorkCalendar, now: UnixMs) -> i64 {
        self.counting.between(calendar, now, self.due.reply)
    }

    /// The card; a clock that does not run has none.
    pub fn card(&self, now: UnixMs) -> Card {
        if self.is_running() { self.due.card(now) } else { Card::None }
    }

    /// The card and its reason in one line, for the desk: `红牌：应于 2026-11-30 17:30 回复，已超 1 个工作日`.
    pub fn why(&self, calendar: &WorkCalendar, now: UnixMs) -> Option<String> {
        if !self.is_running() {
            return None;
        }
        let card = match self.card(now) {
            Card::Red => "红牌：",
            Card::Yellow => "黄牌：",
            Card::None => "",
        };
        let due = WorkCalendar::minute(self.due.reply);
        let extended = self.due.extension.map_or_else(String::new, |extension| {
            let original = WorkCalendar::minute(extension.original);
            format!("（原定 {original}，延期 {} 个工作日）", extension.workdays)
        });
        Some(format!("{card}应于 {due} 回复{extended}，{}", self.distance(calendar, now)))
    }

    fn distance(&self, calendar: &WorkCalendar, now: UnixMs) -> String {
        let due = self.due.reply;
        match self.counting {
            Counting::RoundTheClock if now < due => format!("还剩 {}", hours(due.0.saturating_sub(now.0))),
            Counting::RoundTheClock => format!("已超 {}", hours(now.0.saturating_sub(due.0))),
            Counting::WorkTime if now >= self.due.red => {
                format!("已超 {} 个工作日", overdue_workdays(calendar, due, now))
            }
            Counting::WorkTime if now >= due => "已到期，下一个工作日起红牌".into(),
            Counting::WorkTime => match calendar.workdays_between(now, due) {
                ..=0 => format!("今日到期，还剩工作时间 {}", hours(calendar.worked_ms(now, due))),
                days => format!("还剩 {days} 个工作日"),
            },
        }
    }
}

/// Workdays that have begun since the one on which it was due.
fn overdue_workdays(calendar: &WorkCalendar, due: UnixMs, now: UnixMs) -> i64 {
    let begun = calendar.workdays_between(due, now);
    // Before the opening a workday has not begun.
    let waiting = calendar.workdays_between(now, calendar.opening_after(now)) == 0;
    begun - i64::from(waiting)
}

fn hours(ms: i64) -> String {
    match (ms / HOUR_MS, ms % HOUR_MS / 60_000) {
        (0, minutes) => format!("{minutes} 分钟"),
        (hours, 0) => format!("{hours} 小时"),
        (hours, minutes) => format!("{hours} 小时 {minutes} 分"),
    }
}

#[cfg(test)]
mod tests;
