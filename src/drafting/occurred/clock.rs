//! The time of day: 晚上八点, 早上七点到九点, 11点半, 20:30.

use super::{
    super::numerals::is_numeral,
    read::{Number, number, starts, word},
};

const HOUR: i32 = 60;

/// A part of the day as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Dawn,
    Morning,
    Forenoon,
    Noon,
    Afternoon,
    Dusk,
    Night,
    /// 半夜, 夜里: into the next morning.
    DeepNight,
}

/// A stretch of the day, minutes after its midnight; beyond 24 hours it is the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hours {
    pub from: i32,
    pub to: i32,
}

/// A time of day as it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    pub end: usize,
    pub part: Option<Part>,
    /// The hour was named, not only the part of the day.
    pub exact: bool,
    /// `None` when the hour may be in the morning or in the evening.
    pub hours: Option<Hours>,
}

const PARTS: [(&str, Part); 34] = [
    ("一大清早", Part::Morning),
    ("大清早", Part::Morning),
    ("一大早", Part::Morning),
    ("后半夜", Part::Dawn),
    ("大半夜", Part::DeepNight),
    ("深更半夜", Part::DeepNight),
    ("三更半夜", Part::DeepNight),
    ("凌晨", Part::Dawn),
    ("清早", Part::Morning),
    ("清晨", Part::Morning),
    ("早晨", Part::Morning),
    ("早上", Part::Morning),
    ("早起", Part::Morning),
    ("一早", Part::Morning),
    ("上午", Part::Forenoon),
    ("头晌", Part::Forenoon),
    ("中午", Part::Noon),
    ("晌午", Part::Noon),
    ("下午", Part::Afternoon),
    ("过晌", Part::Afternoon),
    ("下晌", Part::Afternoon),
    ("傍晚", Part::Dusk),
    ("傍黑", Part::Dusk),
    ("擦黑", Part::Dusk),
    ("晚上", Part::Night),
    ("晚间", Part::Night),
    ("夜晚", Part::Night),
    ("夜里", Part::DeepNight),
    ("夜间", Part::DeepNight),
    ("半夜", Part::DeepNight),
    ("深夜", Part::DeepNight),
    ("黑天", Part::Night),
    ("黑夜", Part::DeepNight),
    ("白天", Part::Forenoon),
];

impl Part {
    pub fn hours(self) -> Hours {
        let (from, to) = match self {
            Self::Dawn => (0, 5),
            Self::Morning => (5, 10),
            Self::Forenoon => (6, 12),
            Self::Noon => (11, 14),
            Self::Afternoon => (12, 18),
            Self::Dusk => (17, 20),
            Self::Night => (18, 24),
            Self::DeepNight => (21, 29),
        };
        Hours { from: from * HOUR, to: to * HOUR - 1 }
    }

    /// Minutes after midnight of an hour said with this part: 晚上八点 is 20, 晚上一点 the next day's 1.
    fn place(self, hour: i32) -> i32 {
        match (self, hour) {
            (Self::Dawn, 12) => 0,
            (Self::Noon, 1..=3) | (Self::Afternoon | Self::Dusk, 1..=11) | (Self::Night | Self::DeepNight, 5..=11) => {
                hour + 12
            }
            (Self::Night | Self::DeepNight, 12) => 24,
            (Self::Night | Self::DeepNight, 0..=4) => hour + 24,
            _ => hour,
        }
    }
}

/// The part of the day named at a position, and where it ends.
pub(super) fn part(text: &[char], at: usize) -> Option<(usize, Part)> {
    let (name, part) = PARTS.iter().find(|(name, _)| starts(text, at, name))?;
    Some((at + name.chars().count(), *part))
}

/// The time of day at a position.
///
/// * `known` — the part of the day that the words before have named.
pub(super) fn time(text: &[char], at: usize, known: Option<Part>) -> Option<Time> {
    let (from, part) = part(text, at).map_or((at, known), |(end, part)| (end, Some(part)));
    let from = if starts(text, from, "的") && part.is_some() { from + 1 } else { from };
    let Some((minute, mut end, loose)) = hour(text, from) else {
        let part = part.filter(|_| from > at)?;
        let end = if text[from - 1] == '的' { from - 1 } else { from };
        return Some(Time { end, part: Some(part), exact: false, hours: Some(part.hours()) });
    };
    // 好一点, 两点意见: an hour without the time of day needs a word that makes it one.
    if part.is_none() && !stands_for_a_time(text, from, end) {
        return None;
    }
    let mut hours = place(part, minute).map(|from| Hours { from, to: from + loose });
    if let Some((joint, _)) = word(text, end, &["一直干到", "一直到", "到", "至", "-", "~", "—"])
        && let Some(until) = until(text, joint, part)
    {
        end = until.end;
        hours = match (hours, until.hours) {
            (Some(start), Some(stop)) => {
                let to = if stop.to < start.from { stop.to + 24 * HOUR } else { stop.to };
                Some(Hours { from: start.from, to })
            }
            _ => None,
        };
    }
    Some(Time { end, part, exact: true, hours })
}

/// The end of a stretch of hours: 九点, 凌晨两点.
fn until(text: &[char], at: usize, known: Option<Part>) -> Option<Time> {
    let (from, own) = part(text, at).map_or((at, None), |(end, part)| (end, Some(part)));
    let (minute, end, _) = hour(text, from)?;
    let part = own.or(known);
    let hours = place(part, minute).map(|minute| Hours { from: minute, to: minute });
    Some(Time { end, part, exact: true, hours })
}

/// Minutes of a spoken hour (without regard to the half of the day), where it ends, and minutes it may last.
fn hour(text: &[char], at: usize) -> Option<(i32, usize, i32)> {
    let Number { value, end, .. } = number(text, at)?;
    let hour = i32::try_from(value).ok().filter(|hour| (0..=24).contains(hour))?;
    if text.get(end).is_some_and(|sign| ":：".contains(*sign)) {
        let minutes: String = text.get(end + 1..end + 3)?.iter().collect();
        let minute: i32 = minutes.parse().ok().filter(|minute| (0..60).contains(minute))?;
        return Some((hour * HOUR + minute, end + 3, 0));
    }
    let (end, _) = word(text, end, &["点钟", "点整", "点"])?;
    let tails = [
        ("半", 30, 0),
        ("一刻", 15, 0),
        ("三刻", 45, 0),
        ("多", 0, 59),
        ("来钟", 0, 59),
        ("左右", 0, 30),
        ("前后", 0, 30),
    ];
    if let Some((tail, minute, loose)) = tails.iter().find(|(tail, ..)| starts(text, end, tail)) {
        return Some((hour * HOUR + minute, end + tail.chars().count(), *loose));
    }
    let minutes = text.get(end..).unwrap_or_default().iter().take_while(|sign| is_numeral(**sign)).count();
    let spoken: Vec<char> = text[end..end + minutes].to_vec();
    let minute = super::super::numerals::fold(&spoken).and_then(|minute| minute.parse::<i32>().ok());
    match minute.filter(|minute| (1..60).contains(minute) && minutes >= 2) {
        Some(minute) => {
            let end = end + minutes;
            Some((hour * HOUR + minute, word(text, end, &["分"]).map_or(end, |(end, _)| end), 0))
        }
        None => Some((hour * HOUR, end, 0)),
    }
}

/// Where the hour lies in the day, if the words tell.
fn place(part: Option<Part>, minute: i32) -> Option<i32> {
    let (hour, rest) = (minute / HOUR, minute % HOUR);
    match part {
        Some(part) => Some(part.place(hour) * HOUR + rest),
        None => (hour > 12).then_some(minute),
    }
}

fn stands_for_a_time(text: &[char], from: usize, end: usize) -> bool {
    const AFTER: [&str; 14] =
        ["以后", "之后", "过后", "以前", "之前", "到", "至", "-", "就", "开始", "左右", "停", "才", "钟"];
    let tail = text[end - 1];
    let bare = tail == '点';
    let before = from.checked_sub(1).map(|before| text[before]);
    let comparison = before.is_some_and(|before| "有好差快早晚多少大小重近远这那高低便".contains(before));
    !comparison
        && (!bare
            || word(text, end, &AFTER).is_some()
            || before.is_some_and(|before| "从天日号晚早到在".contains(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Option<(usize, Option<(i32, i32)>)> {
        let text: Vec<char> = words.chars().collect();
        let time = time(&text, 0, None)?;
        Some((time.end, time.hours.map(|hours| (hours.from, hours.to))))
    }

    #[test]
    fn hours_are_placed_by_the_part_of_the_day() {
        for (words, end, hours) in [
            ("晚上八点", 4, Some((20 * 60, 20 * 60))),
            ("晚上8点半", 5, Some((20 * 60 + 30, 20 * 60 + 30))),
            ("早上七点到九点", 7, Some((7 * 60, 9 * 60))),
            ("凌晨两点", 4, Some((120, 120))),
            ("晚上十二点", 5, Some((24 * 60, 24 * 60))),
            ("半夜一点", 4, Some((25 * 60, 25 * 60))),
            ("下午三点二十", 6, Some((15 * 60 + 20, 15 * 60 + 20))),
            ("下午3点多", 5, Some((15 * 60, 15 * 60 + 59))),
            ("中午十二点", 5, Some((12 * 60, 12 * 60))),
            ("20:30", 5, Some((20 * 60 + 30, 20 * 60 + 30))),
            ("晚上十点到凌晨两点", 9, Some((22 * 60, 26 * 60))),
            ("八点就停了", 2, None),
            ("下午", 2, Some((12 * 60, 18 * 60 - 1))),
        ] {
            assert_eq!(read(words), Some((end, hours)), "{words}");
        }
    }

    #[test]
    fn a_little_and_points_of_order_are_no_hours() {
        for words in ["一点水都没有", "两点意见", "三点要求", "25点以后", "88点"] {
            assert_eq!(read(words), None, "{words}");
        }
    }
}
