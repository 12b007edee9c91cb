//! How long it has gone on: 三个月, 一个多星期, 四五天, 半个月.

use jiff::{Span, civil::DateTime};

use super::read::{ends, number, starts, word};

/// Longest count that is taken for a length of time.
const MOST: u32 = 400;
/// Units with the days one of them has at the most; months and years are counted by the calendar.
const UNITS: [&str; 14] =
    ["个星期", "个礼拜", "星期", "礼拜", "周", "个月", "年", "天", "个小时", "小时", "个钟头", "钟头", "宿", "个晚上"];

/// A length of time as it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub end: usize,
    /// When it began, if the words are exact.
    pub since: Option<DateTime>,
}

/// The length of time at a position, counted back from `now`.
pub(super) fn length(text: &[char], at: usize, now: DateTime) -> Option<Length> {
    const FIXED: [&str; 17] = [
        "大半年",
        "小半年",
        "多半年",
        "半年多",
        "半年",
        "大半个月",
        "半个多月",
        "半个月",
        "个把月",
        "个把星期",
        "一上午",
        "一下午",
        "一整天",
        "一晚上",
        "一夜",
        "很长时间",
        "好长时间",
    ];
    if belongs_to_another_word(text, at) {
        return None;
    }
    if let Some((end, name)) = word(text, at, &FIXED) {
        let back = match name {
            "半年" => Some(Span::new().months(-6)),
            "半个月" => Some(Span::new().days(-15)),
            _ => None,
        };
        let since = back.and_then(|back| now.checked_add(back).ok());
        return fits(text, end).then_some(Length { end, since });
    }
    let (count, end, exact) = match number(text, at) {
        Some(number) if number.value <= MOST && number.value > 0 => (number.value, number.end, true),
        Some(_) => return None,
        None => (0, word(text, at, &["好几", "几", "好多", "十几", "十来", "数"])?.0, false),
    };
    // 十来天, 二十多天, 一个多星期, 两年多.
    let (end, loose) = word(text, end, &["来", "多", "几"]).map_or((end, false), |(end, _)| (end, true));
    let (end, unit, inner) = match word(text, end, &["个多星期", "个多礼拜", "个多月", "个多小时"]) {
        Some((end, unit)) => (end, unit, true),
        None => word(text, end, &UNITS).map(|(end, unit)| (end, unit, false))?,
    };
    let (end, after) = word(text, end, &["多", "左右"]).map_or((end, false), |(end, _)| (end, true));
    if !fits(text, end) || unit == "年" && starts(text, end, "级") {
        return None;
    }
    let back = i32::try_from(count).ok().filter(|_| exact && !loose && !inner && !after).and_then(|count| match unit {
        "年" => Some(Span::new().years(-count)),
        "个月" => Some(Span::new().months(-count)),
        "天" => Some(Span::new().days(-count)),
        "个小时" | "小时" | "个钟头" | "钟头" => Some(Span::new().hours(-count)),
        "宿" | "个晚上" => None,
        _ => Some(Span::new().days(-7 * count)),
    });
    // Days begin in the morning: 三天 is since the day three days ago.
    let since = back.and_then(|back| now.checked_add(back).ok()).map(|since| {
        let by_the_clock = unit.contains("小时") || unit.contains("钟头");
        if by_the_clock { since } else { since.date().to_datetime(jiff::civil::Time::midnight()) }
    });
    Some(Length { end, since })
}

/// 第三天, 这两天, 过几天, 剩八个月, 交一年的 are no lengths of the matter.
fn belongs_to_another_word(text: &[char], at: usize) -> bool {
    const BEFORE: [&str; 26] = [
        "第", "这", "那", "前", "近", "过", "等", "再", "每", "剩", "还有", "隔", "差", "后", "头", "某", "哪", "满",
        "缓", "最多", "下", "上", "一年", "晚", "提前", "早",
    ];
    BEFORE.iter().any(|word| ends(text, at, word) && !(*word == "等" && ends(text, at, "已经等")))
}

/// Whether what follows leaves it a length: not 三天前, 三天之内, 一个月三千, 24小时热线, 一年级.
fn fits(text: &[char], end: usize) -> bool {
    const AFTER: [&str; 27] = [
        "前", "以前", "之前", "后", "之后", "以后", "内", "以内", "之内", "级", "龄", "纪", "大", "假", "卡", "份",
        "到晚", "热线", "服务", "营业", "才", "能", "可以", "期", "工期", "的", "一次",
    ];
    let next = text.get(end);
    word(text, end, &AFTER).is_none() && !next.is_some_and(|next| super::super::numerals::is_numeral(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on Wednesday, 25 November 2026, 10:00.
    fn read(words: &str) -> Option<(usize, String)> {
        let text: Vec<char> = words.chars().collect();
        let length = length(&text, 0, DateTime::constant(2026, 11, 25, 10, 0, 0, 0))?;
        Some((length.end, length.since.map_or_else(|| "words".into(), |since| since.strftime("%F %H:%M").to_string())))
    }

    #[test]
    fn a_length_counts_back_from_the_call() {
        for (words, end, since) in [
            ("三个月没发工资", 3, "2026-08-25 00:00"),
            ("四五天没有人来", 3, "2026-11-20 00:00"),
            ("两年了", 2, "2024-11-25 00:00"),
            ("3天了", 2, "2026-11-22 00:00"),
            ("两个星期了", 4, "2026-11-11 00:00"),
            ("五个小时了", 4, "2026-11-25 05:00"),
            ("半个月了", 3, "2026-11-10 10:00"),
            ("一个多星期了", 5, "words"),
            ("十来天了", 3, "words"),
            ("好几个月了", 4, "words"),
            ("半年多了", 3, "words"),
        ] {
            assert_eq!(read(words), Some((end, since.to_owned())), "{words}");
        }
    }

    #[test]
    fn ages_rates_and_deadlines_are_no_length() {
        for words in ["一年级", "三天之内", "三天前", "一个月三千块", "24小时热线", "八十岁", "一天到晚", "2680块"]
        {
            assert_eq!(read(words), None, "{words}");
        }
    }
}
