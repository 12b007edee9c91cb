//! How a syllable sounds, and how easily one is taken for another.
//!
//! Tones are dropped: a recogniser keeps them badly. The near sounds are those that Mandarin speakers of the north
//! and recognisers mix up: en/eng, in/ing, an/ang, zh/z, ch/c, sh/s, h/f, n/l.

use std::sync::LazyLock;

use pinyin::ToPinyinMulti;

/// Cost of another sound that many people do not tell apart.
const NEAR: f32 = 0.25;
/// Cost of a sound that a recogniser now and then takes for it.
const FAR: f32 = 0.55;
/// Cost of a reading that is not the character's common one.
const RARE_READING: f32 = 0.12;
/// Readings kept of one character.
const READINGS: usize = 3;

/// Initials; the first is "none".
const INITIALS: [&str; 22] =
    ["", "zh", "ch", "sh", "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "r", "z", "c", "s"];
/// Finals, with `v` for ü; `y` and `w` are written out (`yan` is `ian`).
const FINALS: [&str; 37] = [
    "a", "o", "e", "i", "u", "v", "ai", "ei", "ao", "ou", "an", "ang", "en", "eng", "ong", "er", "ia", "ie", "iao",
    "iu", "ian", "iang", "in", "ing", "iong", "ua", "uo", "uai", "ui", "uan", "uang", "un", "ueng", "ve", "van", "vn",
    "io",
];
const NEAR_INITIALS: [(&str, &str); 6] = [("zh", "z"), ("ch", "c"), ("sh", "s"), ("h", "f"), ("n", "l"), ("l", "r")];
const FAR_INITIALS: [(&str, &str); 17] = [
    ("zh", "ch"),
    ("z", "c"),
    ("b", "p"),
    ("d", "t"),
    ("g", "k"),
    ("j", "q"),
    ("q", "x"),
    ("j", "x"),
    ("zh", "j"),
    ("ch", "q"),
    ("sh", "x"),
    ("g", "h"),
    ("k", "h"),
    ("ch", "sh"),
    ("c", "s"),
    ("zh", "c"),
    ("ch", "z"),
];
const NEAR_FINALS: [(&str, &str); 7] =
    [("an", "ang"), ("en", "eng"), ("in", "ing"), ("ian", "iang"), ("uan", "uang"), ("un", "ong"), ("vn", "iong")];
const FAR_FINALS: [(&str, &str); 24] = [
    ("in", "en"),
    ("ing", "eng"),
    ("ong", "eng"),
    ("ou", "uo"),
    ("e", "uo"),
    ("ei", "ui"),
    ("ie", "ve"),
    ("i", "v"),
    ("u", "v"),
    ("un", "vn"),
    ("uan", "ian"),
    ("ai", "ei"),
    ("ao", "ou"),
    ("iu", "ou"),
    ("ia", "a"),
    ("ua", "a"),
    ("ian", "in"),
    ("uan", "an"),
    ("uang", "ang"),
    ("van", "ian"),
    ("ao", "iao"),
    ("en", "un"),
    ("iong", "ong"),
    ("e", "a"),
];

struct Costs {
    initials: [[f32; INITIALS.len()]; INITIALS.len()],
    finals: [[f32; FINALS.len()]; FINALS.len()],
}

static COSTS: LazyLock<Costs> = LazyLock::new(|| Costs {
    initials: table(&INITIALS, &NEAR_INITIALS, &FAR_INITIALS, 0.75),
    finals: table(&FINALS, &NEAR_FINALS, &FAR_FINALS, 0.8),
});

fn table<const N: usize>(
    names: &[&str; N],
    near: &[(&str, &str)],
    far: &[(&str, &str)],
    otherwise: f32,
) -> [[f32; N]; N] {
    let mut costs = [[otherwise; N]; N];
    for (row, a) in names.iter().enumerate() {
        for (column, b) in names.iter().enumerate() {
            let has = |pairs: &[(&str, &str)]| pairs.iter().any(|pair| *pair == (*a, *b) || *pair == (*b, *a));
            if a == b {
                costs[row][column] = 0.0;
            } else if has(near) {
                costs[row][column] = NEAR;
            } else if has(far) {
                costs[row][column] = FAR;
            }
        }
    }
    costs
}

/// A toneless syllable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Syllable {
    initial: u8,
    last: u8,
}

impl Syllable {
    /// From toneless pinyin; `None` for what is no syllable (`hm`).
    fn parse(plain: &str) -> Option<Self> {
        let plain = plain.replace('ü', "v");
        let (initial, last) = match plain.as_bytes().first()? {
            b'y' => ("", y_final(&plain)),
            b'w' => ("", w_final(&plain)),
            _ => {
                let initial = INITIALS[1..].iter().find(|name| plain.starts_with(**name)).copied().unwrap_or("");
                (initial, plain_final(initial, &plain[initial.len()..]))
            }
        };
        let initial = INITIALS.iter().position(|name| *name == initial)?;
        let last = FINALS.iter().position(|name| *name == last)?;
        Some(Self { initial: u8::try_from(initial).ok()?, last: u8::try_from(last).ok()? })
    }

    fn cost(self, other: Self) -> f32 {
        let costs = &*COSTS;
        let initial = costs.initials[usize::from(self.initial)][usize::from(other.initial)];
        let last = costs.finals[usize::from(self.last)][usize::from(other.last)];
        (initial + last).min(1.0)
    }
}

fn y_final(plain: &str) -> &str {
    match &plain[1..] {
        "u" | "v" => "v",
        "uan" => "van",
        "ue" => "ve",
        "un" => "vn",
        "i" => "i",
        "in" => "in",
        "ing" => "ing",
        "a" => "ia",
        "an" => "ian",
        "ang" => "iang",
        "ao" => "iao",
        "e" => "ie",
        "ou" => "iu",
        "ong" => "iong",
        other => {
            if other == "o" {
                "io"
            } else {
                ""
            }
        }
    }
}

fn w_final(plain: &str) -> &str {
    match &plain[1..] {
        "u" => "u",
        "a" => "ua",
        "o" => "uo",
        "ai" => "uai",
        "ei" => "ui",
        "an" => "uan",
        "ang" => "uang",
        "en" => "un",
        "eng" => "ueng",
        _ => "",
    }
}

fn plain_final<'a>(initial: &str, last: &'a str) -> &'a str {
    match (initial, last) {
        ("j" | "q" | "x", "u") => "v",
        ("j" | "q" | "x", "uan") => "van",
        (_, "ue") => "ve",
        ("j" | "q" | "x", "un") => "vn",
        ("b" | "p" | "m" | "f", "o") => "uo",
        _ => last,
    }
}

/// The ways a character may be read, commonest first; digits are read as in Chinese.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    list: [Syllable; READINGS],
    len: u8,
}

impl Reading {
    /// `None` for punctuation and everything else that is not spoken as one syllable.
    pub fn of(character: char) -> Option<Self> {
        let character = match character {
            '0'..='9' => "零一二三四五六七八九".chars().nth(character.to_digit(10)? as usize)?,
            '０'..='９' => "零一二三四五六七八九".chars().nth((character as usize) - ('０' as usize))?,
            '〇' => '零',
            other => other,
        };
        let mut reading = Self { list: [Syllable { initial: 0, last: 0 }; READINGS], len: 0 };
        let all = character.to_pinyin_multi()?;
        for index in 0..all.count() {
            let Some(syllable) = Syllable::parse(all.get(index).plain()) else { continue };
            let known = &reading.list[..usize::from(reading.len)];
            if !known.contains(&syllable) && usize::from(reading.len) < READINGS {
                reading.list[usize::from(reading.len)] = syllable;
                reading.len += 1;
            }
        }
        (reading.len > 0).then_some(reading)
    }

    /// How far apart two characters sound: 0 the same, 1 nothing in common.
    pub fn cost(self, other: Self) -> f32 {
        let mut best = 1.0_f32;
        for (i, a) in self.list[..usize::from(self.len)].iter().enumerate() {
            for (j, b) in other.list[..usize::from(other.len)].iter().enumerate() {
                let rare = if i + j == 0 { 0.0 } else { RARE_READING };
                best = best.min(a.cost(*b) + rare);
            }
        }
        best
    }

    /// Whether the two sound the same in their common readings.
    pub fn same(self, other: Self) -> bool {
        self.list[0] == other.list[0]
    }

    /// The commonest reading as a number, for hashing; the same for characters that sound alike.
    pub fn code(self) -> u16 {
        u16::from(self.list[0].initial) * 64 + u16::from(self.list[0].last)
    }
}

/// The readings of all spoken characters of a text.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    text.chars().filter_map(Reading::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(a: char, b: char) -> f32 {
        Reading::of(a).expect("spoken").cost(Reading::of(b).expect("spoken"))
    }

    #[test]
    fn every_common_character_has_a_reading_that_parses() {
        for character in "一丁七万丈三上下不与丑专且世丘丙业丛东丝丢两严丧个中丰临为主丽举虐略女绿约云用翁而哟".chars()
        {
            assert!(Reading::of(character).is_some(), "{character}");
        }
        assert!(Reading::of('，').is_none());
    }

    #[test]
    fn sounds_that_are_mixed_up_cost_little_and_others_much() {
        assert!(cost('园', '元') < 0.01);
        assert!(cost('新', '兴') < 0.3);
        assert!(cost('镇', '怎') < 0.3);
        assert!(cost('柳', '牛') < 0.3);
        assert!(cost('湖', '福') < 0.3);
        assert!(cost('湖', '天') > 0.9);
    }

    #[test]
    fn a_digit_sounds_as_it_is_read() {
        assert!(cost('3', '三') < 0.01);
        assert!(cost('９', '九') < 0.01);
    }
}
