//! Which days are meant: 昨天, 上周三, 十月份, 国庆期间, 三天前.
//!
//! A month, weekday or day of the month without more words is the last one that has begun: callers tell what was.

use jiff::{Span, civil::Date};

use super::{
    super::numerals::is_numeral,
    clock::Part,
    read::{Number, ends, number, starts, word, year},
};

/// How exactly words tell a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    Day,
    /// A week, a month or a holiday.
    Weeks,
    Year,
    /// 前几天, 这段时间.
    Vague,
    /// 最近, 刚才: said of anything.
    Now,
}

/// Days as they were said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Days {
    pub end: usize,
    pub grain: Grain,
    /// First and last; `None` for what no calendar tells.
    pub span: Option<(Date, Date)>,
    /// 昨晚 names the part of the day as well.
    pub part: Option<Part>,
    /// The words themselves speak of what is to come.
    pub future: bool,
}

const RELATIVE: [(&str, i32, Option<Part>); 25] = [
    ("大前天", -3, None),
    ("大前儿", -3, None),
    ("前天", -2, None),
    ("前儿个", -2, None),
    ("前儿", -2, None),
    ("前晚", -2, Some(Part::Night)),
    ("昨天", -1, None),
    ("昨日", -1, None),
    ("昨儿个", -1, None),
    ("昨儿", -1, None),
    ("昨晚上", -1, Some(Part::Night)),
    ("昨晚", -1, Some(Part::Night)),
    ("昨夜", -1, Some(Part::DeepNight)),
    ("今天", 0, None),
    ("今日", 0, None),
    ("今儿个", 0, None),
    ("今儿", 0, None),
    ("今早上", 0, Some(Part::Morning)),
    ("今早", 0, Some(Part::Morning)),
    ("今晚上", 0, Some(Part::Night)),
    ("今晚", 0, Some(Part::Night)),
    ("明天", 1, None),
    ("明早", 1, Some(Part::Morning)),
    ("明晚", 1, Some(Part::Night)),
    ("后天", 2, None),
];
const VAGUE: [&str; 28] = [
    "前几天",
    "前两天",
    "前些天",
    "前些日子",
    "前阵子",
    "前一阵子",
    "前一阵",
    "前段时间",
    "前一段时间",
    "前不久",
    "最近几天",
    "最近这几天",
    "最近一段时间",
    "最近",
    "近几天",
    "近两天",
    "近期",
    "近来",
    "这几天",
    "这两天",
    "这些天",
    "这段时间",
    "这一段时间",
    "这阵子",
    "刚刚",
    "刚才",
    "前几年",
    "这几年",
];
const HOLIDAY_TAILS: [&str; 12] =
    ["放假期间", "放假的时候", "期间", "假期", "长假", "放假", "当天", "那天", "那几天", "前后", "的时候", "以后"];

/// The days named at a position.
pub(super) fn days(text: &[char], at: usize, today: Date) -> Option<Days> {
    relative(text, at, today)
        .or_else(|| week(text, at, today))
        .or_else(|| of_year(text, at, today))
        .or_else(|| relative_month(text, at, today))
        .or_else(|| numbered(text, at, today))
        .or_else(|| holiday(text, at, today, None))
        .or_else(|| vague(text, at))
}

fn relative(text: &[char], at: usize, today: Date) -> Option<Days> {
    let (name, offset, part) = RELATIVE.iter().find(|(name, ..)| starts(text, at, name))?;
    let end = at + name.chars().count();
    // 以前天天: the first half belongs to the word before.
    if ends(text, at, "以") || ends(text, at, "之") {
        return None;
    }
    let day = shift(today, Span::new().days(*offset))?;
    Some(Days { end, grain: Grain::Day, span: Some((day, day)), part: *part, future: *offset > 0 })
}

/// 上周三, 这个礼拜, 周末.
fn week(text: &[char], at: usize, today: Date) -> Option<Days> {
    let prefixes = ["上上个", "上上", "上个", "上", "这个", "这", "本", "下个", "下"];
    let (from, prefix) = word(text, at, &prefixes).map_or((at, None), |(end, prefix)| (end, Some(prefix)));
    let (from, name) = word(text, from, &["星期", "礼拜", "周"])?;
    // 一周一次 counts weeks, 每周三 and 周一到周五 come again.
    if prefix.is_none() && at > 0 && (is_numeral(text[at - 1]) || "每个".contains(text[at - 1])) {
        return None;
    }
    let weekday = text.get(from).and_then(|sign| match sign {
        '天' | '日' => Some(6),
        '1'..='7' => sign.to_digit(10).and_then(|day| i32::try_from(day).ok()).map(|day| day - 1),
        other => "一二三四五六".chars().position(|day| day == *other).and_then(|day| i32::try_from(day).ok()),
    });
    let weekend = name == "周" && text.get(from) == Some(&'末') || starts(text, from, "六日");
    let monday = shift(today, Span::new().days(-i32::from(today.weekday().to_monday_zero_offset())))?;
    let back = match prefix {
        Some("上上个" | "上上") => -14,
        Some("上个" | "上") => -7,
        Some("下个" | "下") => 7,
        _ => 0,
    };
    let future = back > 0;
    let day = |offset: i32| shift(monday, Span::new().days(back + offset));
    if weekend {
        let length = if starts(text, from, "末") { 1 } else { 2 };
        let mut first = day(5)?;
        if prefix.is_none() && first > today {
            first = shift(first, Span::new().days(-7))?;
        }
        let last = shift(first, Span::new().days(1))?;
        return Some(Days { end: from + length, grain: Grain::Weeks, span: Some((first, last)), part: None, future });
    }
    match (weekday, prefix) {
        (Some(weekday), _) => {
            let mut named = day(weekday)?;
            if prefix.is_none() && named > today {
                named = shift(named, Span::new().days(-7))?;
            }
            let span = Some((named, named));
            Some(Days { end: from + 1, grain: Grain::Day, span, part: None, future })
        }
        // 周 alone is a word in many others.
        (None, Some(_)) if !text.get(from).is_some_and(|next| "围边转到期年".contains(*next)) => {
            Some(Days { end: from, grain: Grain::Weeks, span: Some((day(0)?, day(6)?)), part: None, future })
        }
        _ => None,
    }
}

/// 去年, 今年三月, 2025年国庆.
fn of_year(text: &[char], at: usize, today: Date) -> Option<Days> {
    let named = [("大前年", -3), ("前年", -2), ("去年", -1), ("今年", 0), ("明年", 1)];
    let (number, end) = match named.iter().find(|(name, _)| starts(text, at, name)) {
        Some((name, offset)) => (today.year().checked_add(*offset)?, at + name.chars().count()),
        None => year(text, at)?,
    };
    let future = number > today.year();
    let inner = if starts(text, end, "的") { end + 1 } else { end };
    if let Some((month, end)) = month(text, inner) {
        return in_month(text, Date::new(number, month, 1).ok()?, end, future);
    }
    if let Some(holiday) = holiday(text, inner, today, Some(number)) {
        return Some(Days { future, ..holiday });
    }
    let seasons =
        ["春天", "夏天", "秋天", "冬天", "春节", "上半年", "下半年", "年初", "年底", "年前", "暑假", "寒假", "入冬"];
    if let Some((end, _)) = word(text, inner, &seasons) {
        return Some(Days { end, grain: Grain::Weeks, span: None, part: None, future });
    }
    let span = (Date::new(number, 1, 1).ok()?, Date::new(number, 12, 31).ok()?);
    Some(Days { end, grain: Grain::Year, span: Some(span), part: None, future })
}

/// 上个月, 这个月三号, 月初.
fn relative_month(text: &[char], at: usize, today: Date) -> Option<Days> {
    let prefixes = [
        ("上上个月", -2),
        ("上上月", -2),
        ("上个月", -1),
        ("上月", -1),
        ("这个月", 0),
        ("本月", 0),
        ("这月", 0),
        ("下个月", 1),
        ("下月", 1),
    ];
    let (name, offset) = prefixes.iter().find(|(name, _)| starts(text, at, name))?;
    let first = shift(today.first_of_month(), Span::new().months(*offset))?;
    in_month(text, first, at + name.chars().count(), *offset > 0)
}

/// 十月份, 10月3号, 3号 with words that make it a day, 三天前.
fn numbered(text: &[char], at: usize, today: Date) -> Option<Days> {
    if let Some(days) = ago(text, at, today) {
        return Some(days);
    }
    if let Some((month, end)) = month(text, at) {
        let mut first = Date::new(today.year(), month, 1).ok()?;
        if first > today {
            first = shift(first, Span::new().years(-1))?;
        }
        return in_month(text, first, end, false);
    }
    let Number { value, end, .. } = number(text, at)?;
    let (end, _) = word(text, end, &["号"])?;
    let tails = ["那天", "早上", "上午", "中午", "下午", "晚上", "凌晨", "夜里", "就", "开始", "起", "以后", "到"];
    let spoken =
        word(text, end, &tails).is_some() || ends(text, at, "从") && word(text, end, &["楼", "院", "线"]).is_none();
    let day = i8::try_from(value).ok().filter(|_| spoken)?;
    let mut named = Date::new(today.year(), today.month(), day).ok();
    if named.is_none_or(|named| named > today) {
        let before = shift(today.first_of_month(), Span::new().months(-1))?;
        named = Date::new(before.year(), before.month(), day).ok();
    }
    let named = named?;
    Some(Days { end, grain: Grain::Day, span: Some((named, named)), part: None, future: false })
}

/// 十月 or 10月份, and where it ends.
fn month(text: &[char], at: usize) -> Option<(i8, usize)> {
    let Number { value, least, end } = number(text, at)?;
    let month = i8::try_from(value).ok().filter(|month| (1..=12).contains(month) && value == least)?;
    word(text, end, &["月份", "月"]).map(|(end, _)| (month, end))
}

/// What is said of a month: its beginning, middle or end, or a day of it.
fn in_month(text: &[char], first: Date, at: usize, future: bool) -> Option<Days> {
    let last = first.last_of_month();
    let whole = |end| Days { end, grain: Grain::Weeks, span: Some((first, last)), part: None, future };
    let at = if starts(text, at, "的") { at + 1 } else { at };
    let parts = [
        ("月初", 1, 10),
        ("初", 1, 10),
        ("中旬", 11, 20),
        ("上旬", 1, 10),
        ("下旬", 21, 31),
        ("月底", 21, 31),
        ("底", 21, 31),
        ("末", 21, 31),
    ];
    if let Some((name, from, to)) = parts.iter().find(|(name, ..)| starts(text, at, name)) {
        let day = |day: i8| Date::new(first.year(), first.month(), day.min(last.day())).ok();
        return Some(Days { span: Some((day(*from)?, day(*to)?)), ..whole(at + name.chars().count()) });
    }
    if let Some(Number { value, end, .. }) = number(text, at)
        && let Some((end, _)) = word(text, end, &["号", "日"])
        && !text.get(end).is_some_and(|next| "楼院线店".contains(*next))
        && let Some(day) = i8::try_from(value).ok().and_then(|day| Date::new(first.year(), first.month(), day).ok())
    {
        return Some(Days { end, grain: Grain::Day, span: Some((day, day)), part: None, future });
    }
    // 的 belongs to what follows when nothing of the month does.
    Some(whole(if at > 0 && text[at - 1] == '的' { at - 1 } else { at }))
}

/// 三天前, 两个月以前, 半年前.
fn ago(text: &[char], at: usize, today: Date) -> Option<Days> {
    let (count, end, exact) = match number(text, at) {
        Some(number) => (i32::try_from(number.value).ok()?, number.end, number.value == number.least),
        None => (0, word(text, at, &["半", "好几", "几"])?.0, false),
    };
    let (end, unit) =
        word(text, end, &["个多星期", "个星期", "个礼拜", "星期", "礼拜", "周", "个多月", "个月", "天", "年多", "年"])?;
    let (end, _) = word(text, end, &["以前", "之前", "前"])?;
    let exact = exact && !unit.contains('多') && count <= 1000;
    let back = match unit {
        "天" => Span::new().days(-count),
        "年" => Span::new().years(-count),
        "个月" => Span::new().months(-count),
        _ => Span::new().days(-7 * count.min(1000)),
    };
    let span = if exact { shift(today, back) } else { None }.map(|day| match unit {
        "天" => (day, day),
        "年" => (Date::constant(day.year(), 1, 1), Date::constant(day.year(), 12, 31)),
        "个月" => (day.first_of_month(), day.last_of_month()),
        _ => (shift(day, Span::new().days(-3)).unwrap_or(day), shift(day, Span::new().days(3)).unwrap_or(day)),
    });
    let grain = if unit == "天" && exact { Grain::Day } else { Grain::Weeks };
    Some(Days { end, grain, span, part: None, future: false })
}

/// 国庆节期间; those of the moon have no fixed day and stay words.
///
/// * `year` — the year that was named with it.
fn holiday(text: &[char], at: usize, today: Date, named: Option<i16>) -> Option<Days> {
    // Some are numbers as well (五一 in a telephone number): they need a word that makes them a time.
    const FIXED: [(&str, i8, i8, i8, bool); 8] = [
        ("国庆节", 10, 1, 7, false),
        ("国庆", 10, 1, 7, false),
        ("十一", 10, 1, 7, true),
        ("劳动节", 5, 1, 5, false),
        ("五一", 5, 1, 5, true),
        ("元旦", 1, 1, 3, false),
        ("双十一", 11, 11, 11, false),
        ("六一儿童节", 6, 1, 1, false),
    ];
    const MOON: [&str; 13] = [
        "春节",
        "过年",
        "大年初一",
        "年初一",
        "除夕",
        "元宵节",
        "正月十五",
        "清明节",
        "清明",
        "端午节",
        "端午",
        "中秋节",
        "中秋",
    ];
    if let Some((name, month, from, to, bare)) = FIXED.iter().find(|(name, ..)| starts(text, at, name)) {
        let end = at + name.chars().count();
        let tail = word(text, end, &HOLIDAY_TAILS).filter(|(_, tail)| *tail != "以后");
        if *bare && (tail.is_none() || at > 0 && text[at - 1].is_ascii_digit()) {
            return None;
        }
        let date = |year: i16, day: i8| Date::new(year, *month, day).ok();
        let mut year = named.unwrap_or(today.year());
        if named.is_none() && date(year, *from)? > today {
            year -= 1;
        }
        let span = Some((date(year, *from)?, date(year, *to)?));
        let end = tail.map_or(end, |(end, _)| end);
        return Some(Days { end, grain: Grain::Weeks, span, part: None, future: false });
    }
    let (end, _) = word(text, at, &MOON)?;
    let end = word(text, end, &HOLIDAY_TAILS).filter(|(_, tail)| *tail != "以后").map_or(end, |(end, _)| end);
    Some(Days { end, grain: Grain::Weeks, span: None, part: None, future: false })
}

fn vague(text: &[char], at: usize) -> Option<Days> {
    let mut names = VAGUE;
    names.sort_by_key(|name| std::cmp::Reverse(name.chars().count()));
    let (end, name) = word(text, at, &names)?;
    // 最近的医院 is near, not new.
    let now = matches!(name, "最近" | "近期" | "近来" | "刚刚" | "刚才" | "这几天" | "这两天");
    (!(name == "最近" && starts(text, end, "的"))).then_some(Days {
        end,
        grain: if now { Grain::Now } else { Grain::Vague },
        span: None,
        part: None,
        future: false,
    })
}

fn shift(day: Date, by: Span) -> Option<Date> {
    day.checked_add(by).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on Wednesday, 25 November 2026.
    fn read(words: &str) -> Option<String> {
        let text: Vec<char> = words.chars().collect();
        let days = days(&text, 0, Date::constant(2026, 11, 25))?;
        Some(days.span.map_or_else(|| "words".to_owned(), |(first, last)| format!("{first}..{last}")))
    }

    #[test]
    fn days_are_found_from_the_day_of_the_call() {
        for (words, expected) in [
            ("昨天晚上", "2026-11-24..2026-11-24"),
            ("前天", "2026-11-23..2026-11-23"),
            ("大前天", "2026-11-22..2026-11-22"),
            ("昨晚", "2026-11-24..2026-11-24"),
            ("上周三", "2026-11-18..2026-11-18"),
            ("上个星期天", "2026-11-22..2026-11-22"),
            ("上星期", "2026-11-16..2026-11-22"),
            ("上上周五", "2026-11-13..2026-11-13"),
            ("周一", "2026-11-23..2026-11-23"),
            ("周五下午", "2026-11-20..2026-11-20"),
            ("上周末", "2026-11-21..2026-11-22"),
            ("这个礼拜", "2026-11-23..2026-11-29"),
            ("上个月", "2026-10-01..2026-10-31"),
            ("上个月底", "2026-10-21..2026-10-31"),
            ("上个月15号", "2026-10-15..2026-10-15"),
            ("这个月三号", "2026-11-03..2026-11-03"),
            ("十月份", "2026-10-01..2026-10-31"),
            ("10月3号", "2026-10-03..2026-10-03"),
            ("12月", "2025-12-01..2025-12-31"),
            ("六月份到九月份", "2026-06-01..2026-06-30"),
            ("去年", "2025-01-01..2025-12-31"),
            ("去年十月份", "2025-10-01..2025-10-31"),
            ("2025年3月12日", "2025-03-12..2025-03-12"),
            ("二零二五年", "2025-01-01..2025-12-31"),
            ("国庆节期间", "2026-10-01..2026-10-07"),
            ("去年国庆", "2025-10-01..2025-10-07"),
            ("十一期间", "2026-10-01..2026-10-07"),
            ("元旦", "2026-01-01..2026-01-03"),
            ("三天前", "2026-11-22..2026-11-22"),
            ("两个月以前", "2026-09-01..2026-09-30"),
            ("3号那天", "2026-11-03..2026-11-03"),
            ("28号就", "2026-10-28..2026-10-28"),
            ("明天", "2026-11-26..2026-11-26"),
            ("去年冬天", "words"),
            ("过年的时候", "words"),
            ("半年前", "words"),
            ("前几天", "words"),
        ] {
            assert_eq!(read(words).as_deref(), Some(expected), "{words}");
        }
    }

    #[test]
    fn numbers_and_words_that_merely_resemble_a_day_are_none() {
        for words in ["3号楼", "五一零", "周围", "三个月", "13号线", "十一点", "8点", "最近的医院", "35月", "周到"]
        {
            assert_eq!(read(words), None, "{words}");
        }
    }
}
