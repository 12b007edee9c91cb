//! When it happened or since when, in the caller's words, and the span of time they mean on the city's calendar.
//!
//! Of all times in a call most are of something else: when the heating was paid for, when somebody promised to come,
//! when the children go to school. So every expression is weighed by the words around it, and a doubtful one is none.

mod clock;
mod cues;
mod days;
mod length;
mod read;

use std::ops::Range;

use jiff::{
    Span as Shift,
    civil::{Date, DateTime, Time as Clock},
};

use super::heard::{Heard, Span};
use crate::domain::{
    calendar::{instant, local},
    draft::{Alternative, Field, Occurred, Source},
    time::UnixMs,
    transcript::Channel,
};
use clock::Part;
use cues::{
    ASKS, ASKS_ELSE, BACKGROUND, BESIDE, COMES_AGAIN, COMING, LASTING_AFTER, LASTING_BEFORE, ONWARD, OWNED, WRITTEN,
};
use days::Grain;
use read::{ends, starts, word};

/// Expressions of one call that are weighed.
const MENTIONS: usize = 64;
/// Alternatives that are shown.
const ALTERNATIVES: usize = 3;
/// Characters of the words that are kept.
const LONGEST: usize = 40;
/// Weight below which an expression is of something else.
const ENOUGH: f32 = 2.5;
/// The same for a question, where times are mostly those of an appointment.
const ENOUGH_TO_ASK: f32 = 5.0;
/// Characters after an expression that tell what it is the time of.
const REACH: usize = 14;

/// An expression of time with the weight of the words around it.
#[derive(Clone, Debug)]
struct Mention {
    utterance: usize,
    characters: Range<usize>,
    text: String,
    /// First and last moment, local time.
    stretch: Option<(DateTime, DateTime)>,
    weight: f32,
    nature: Nature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Point,
    /// 三个月 up to the call.
    Length,
    /// 每天晚上十点以后.
    Again,
}

/// What stands at a position.
#[derive(Clone, Copy, Debug)]
struct Expression {
    end: usize,
    nature: Nature,
    /// Before the words around it are looked at.
    weight: f32,
    stretch: Option<(DateTime, DateTime)>,
    future: bool,
    /// 以来 or 开始 is part of it.
    since: bool,
    /// It says itself where it ends: 六月份到九月份.
    ends: bool,
}

/// Fills the field.
///
/// * `started` — when the call began; nothing is later unless the words say so.
/// * `asks` — the caller only asks how something is done.
pub(super) fn find(heard: &Heard, started: UnixMs, asks: bool) -> Field<Occurred> {
    let now = local(started);
    let mut mentions = mentions(heard, now);
    let enough = if asks { ENOUGH_TO_ASK } else { ENOUGH };
    mentions.retain(|mention| mention.weight >= enough);
    mentions.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let Some(best) = mentions.first() else { return Field::default() };
    // 一个多星期 and 每天晚上十点以后 say one thing together.
    let partner = mentions.iter().find(|other| {
        matches!((best.nature, other.nature), (Nature::Length, Nature::Again) | (Nature::Again, Nature::Length))
    });
    let (value, spans) = match partner {
        Some(other) => {
            let (length, again) = if best.nature == Nature::Length { (best, other) } else { (other, best) };
            let text = format!("{}，{}", length.text, again.text);
            (occurred(text, length.stretch), vec![length, again])
        }
        None => (occurred(best.text.clone(), best.stretch), vec![best]),
    };
    let mut alternatives: Vec<Alternative<Occurred>> = Vec::new();
    for other in &mentions {
        let used = spans.iter().any(|known| std::ptr::eq(*known, other));
        let known = value.text.contains(&other.text) || alternatives.iter().any(|known| known.value.text == other.text);
        if !used && !known && alternatives.len() < ALTERNATIVES {
            let value = occurred(other.text.clone(), other.stretch);
            alternatives.push(Alternative { value, confidence: (other.weight * 0.06).min(0.4) });
        }
    }
    let evidence = spans
        .iter()
        .map(|mention| heard.evidence(&Span { utterance: mention.utterance, characters: mention.characters.clone() }));
    Field {
        evidence: evidence.collect(),
        confidence: (0.4 + 0.07 * best.weight).min(0.9),
        value: Some(value),
        source: Some(Source::Speech),
        alternatives,
    }
}

fn occurred(text: String, stretch: Option<(DateTime, DateTime)>) -> Occurred {
    let (from, to) = stretch.map(|(from, to)| (instant(from).0, instant(to).0)).unzip();
    Occurred { text, from, to }
}

fn mentions(heard: &Heard, now: DateTime) -> Vec<Mention> {
    let mut all = Vec::new();
    for (utterance, said) in heard.of(Channel::Caller) {
        let question = heard.asked(utterance);
        if question.is_some_and(|question| ASKS_ELSE.within(question)) {
            continue;
        }
        let asked = question.is_some_and(|question| ASKS.within(question));
        let text = said.mended(&WRITTEN);
        let mut at = 0;
        while at < text.len() && all.len() < MENTIONS {
            let Some(expression) = expression(&text, at, now, asked) else {
                at += 1;
                continue;
            };
            all.push(weigh(&text, utterance, at, expression, now, asked));
            at = all[all.len() - 1].characters.end.max(at + 1);
        }
    }
    all
}

/// The longest expression of time that begins at a position.
///
/// * `asked` — a time is expected: 早上 alone counts as well.
fn expression(text: &[char], at: usize, now: DateTime, asked: bool) -> Option<Expression> {
    if let Some(expression) = again(text, at) {
        return Some(expression);
    }
    let Some(mut first) = moment(text, at, now, asked) else {
        let length = length::length(text, at, now)?;
        return lasts(text, at, length.end, asked).then_some(Expression {
            end: length.end,
            nature: Nature::Length,
            weight: 3.0,
            stretch: length.since.map(|since| (since, now)),
            future: false,
            since: false,
            ends: false,
        });
    };
    // 六月份到九月份, 上周三到昨天.
    if let Some((joint, _)) = word(text, first.end, &["一直到", "到了", "到", "至"])
        && let Some(last) = moment(text, joint, now, true)
    {
        first.end = last.end;
        first.ends = true;
        first.weight = first.weight.max(last.weight);
        first.stretch = match (first.stretch, last.stretch) {
            (Some((from, _)), Some((_, to))) if from <= to => Some((from, to)),
            // 十一月到三月: the first is of the year before.
            _ => None,
        };
    }
    if let Some((end, name)) =
        word(text, first.end, &["以来", "开始", "起", "以后", "之后", "左右", "前后", "以前", "之前", "期间"])
    {
        first.end = end;
        first.since = matches!(name, "以来" | "开始" | "起");
        if matches!(name, "以前" | "之前") {
            first.stretch = None;
        }
    }
    Some(first)
}

/// Days with part and hour, or an hour alone.
fn moment(text: &[char], at: usize, now: DateTime, asked: bool) -> Option<Expression> {
    let days = days::days(text, at, now.date());
    let from = days.map_or(at, |days| days.end);
    let from = if days.is_some() && starts(text, from, "的") { from + 1 } else { from };
    let known = days.and_then(|days| days.part);
    let time = clock::time(text, from, known);
    let (nature, future) = (Nature::Point, days.is_some_and(|days| days.future));
    let Some(days) = days else {
        let time = time.filter(|time| time.exact || asked)?;
        // An hour without its day may be that of every day: the words have to do.
        let weight = if time.exact { 3.0 } else { 1.0 };
        return Some(Expression { end: time.end, nature, weight, stretch: None, future, since: false, ends: false });
    };
    let part = time.and_then(|time| time.part).or(known);
    let base = match days.grain {
        Grain::Day => 4.0,
        Grain::Weeks => 3.5,
        Grain::Vague => 2.5,
        Grain::Year | Grain::Now => 2.0,
    };
    let weight = base + if time.is_some_and(|time| time.exact) { 1.0 } else { 0.0 };
    let whole = days.span.map(|(first, last)| (midnight(first), last_moment(last)));
    let one_day = days.span.filter(|(first, last)| first == last).map(|(first, _)| first);
    let hours = match time {
        Some(time) if time.exact => time.hours,
        _ => part.map(Part::hours),
    };
    let stretch = match (one_day, hours) {
        (Some(day), Some(hours)) => at_minutes(day, hours.from).zip(at_minutes(day, hours.to)),
        _ => whole,
    };
    let end = time.map_or(days.end, |time| time.end);
    Some(Expression { end, nature, weight, stretch, future, since: false, ends: false })
}

/// 每天晚上十点以后, 天天早上, 每周末, 周一到周五.
fn again(text: &[char], at: usize) -> Option<Expression> {
    let week = word(text, at, &["周一到周五", "周一至周五", "星期一到星期五", "周六周日", "周六日"]);
    let (from, name) = week.or_else(|| word(text, at, &COMES_AGAIN))?;
    let from = if name.ends_with('周') || name.ends_with("星期") {
        text.get(from).filter(|day| "一二三四五六日天".contains(**day)).map_or(from, |_| from + 1)
    } else {
        from
    };
    let known = name.contains('晚').then_some(Part::Night);
    let time = clock::time(text, from, known).or_else(|| {
        let (end, _) = word(text, from, &["周末", "节假日", "冬天", "夏天", "下雨天"])?;
        clock::time(text, end, None).or(Some(clock::Time { end, part: None, exact: false, hours: None }))
    });
    // 天天 and 每天 alone say little.
    let alone = matches!(name, "每天都是" | "每天到" | "每天" | "每日" | "天天" | "每到" | "一到" | "每逢");
    if alone && time.is_none() {
        return None;
    }
    let end = time.map_or(from, |time| time.end);
    let end = word(text, end, &["以后", "之后", "过后", "左右", "以前", "之前", "开始"]).map_or(end, |(end, _)| end);
    let weight = if time.is_some_and(|time| time.exact) { 4.5 } else { 3.5 };
    Some(Expression { end, nature: Nature::Again, weight, stretch: None, future: false, since: false, ends: false })
}

/// Whether the words around make a length of time one that lasts: 停了三天了, 三个月没发.
fn lasts(text: &[char], at: usize, end: usize, asked: bool) -> bool {
    if OWNED.iter().any(|word| ends(text, at, word)) || ends(text, at, "有") && starts(text, at, "一天") {
        return false;
    }
    asked || LASTING_BEFORE.iter().any(|word| ends(text, at, word)) || word(text, end, &LASTING_AFTER).is_some()
}

/// Weighs an expression by its clause.
fn weigh(text: &[char], utterance: usize, at: usize, expression: Expression, now: DateTime, asked: bool) -> Mention {
    let cut = |sign: &char| !sign.is_alphanumeric();
    let end = expression.end;
    let start = text[..at].iter().rposition(cut).map_or(0, |pause| pause + 1);
    let before: String = text[start..at].iter().collect();
    let rest = &text[end..];
    // 昨天下午，我母亲…: with nothing behind it in its clause the next one tells.
    let rest = if rest.first().is_some_and(cut) { &rest[1..] } else { rest };
    let after: String = rest.iter().take_while(|sign| !cut(sign)).take(REACH).collect();

    let from = ["从", "自从", "自", "打从", "打"].into_iter().find(|word| before.ends_with(word));
    let at_once = from.is_some() || expression.since || ONWARD.iter().any(|word| after.starts_with(word));
    // 今年墙皮就往下掉: the one it happens to may stand between.
    let soon = after.chars().take(8).any(|sign| sign == '就');
    let onward = expression.nature == Nature::Point && !expression.ends && (at_once || soon);
    let mut weight = expression.weight;
    let has = |words: &[&str], text: &str| words.iter().any(|word| text.contains(word));
    if onward {
        weight += if at_once { 2.0 } else { 1.0 };
    }
    if asked {
        weight += 3.0;
    }
    if expression.future {
        weight -= 6.0;
    }
    let around = format!("{before}{after}");
    if has(&BACKGROUND, &after) || has(&BACKGROUND, &before) {
        weight -= 4.0;
    }
    if has(&COMING, &around) || after.contains('吗') || after.starts_with('要') || before.ends_with('到') && !onward
    {
        weight -= 3.0;
    }
    if BESIDE.iter().any(|word| after.starts_with(word)) || has(&["差点", "险些"], &after) {
        weight -= 2.0;
    }
    let usual = ["天天", "老", "总", "经常", "一直", "又", "频繁", "隔三差五", "都"];
    if usual.iter().any(|word| after.starts_with(word)) {
        weight += 1.0;
    }
    let stretch = expression.stretch.and_then(|(from, to)| {
        let to = if onward && !expression.future { now.max(from) } else { to };
        if expression.future {
            return Some((from, to));
        }
        (from <= now).then(|| (from, to.min(now)))
    });
    // 从十月份开始 belongs together; 从昨天晚上就 does not.
    let back = from.filter(|_| expression.since).map_or(0, |from| from.chars().count());
    let characters = at - back..end;
    let words: String = text[characters.clone()].iter().take(LONGEST).collect();
    Mention { utterance, characters, text: words, stretch, weight, nature: expression.nature }
}

fn midnight(day: Date) -> DateTime {
    day.to_datetime(Clock::midnight())
}

fn last_moment(day: Date) -> DateTime {
    day.to_datetime(Clock::constant(23, 59, 59, 999_000_000))
}

fn at_minutes(day: Date, minutes: i32) -> Option<DateTime> {
    midnight(day).checked_add(Shift::new().minutes(minutes)).ok()
}

#[cfg(test)]
mod tests;
