//! How far a transcript is from what was said: character error rate over simplified text without punctuation, numerals
//! folded, so that 八点 equals 8点 and 幺三八 equals 138.

use super::simplify;

/// Edits and characters; sums over calls give the rate of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Insertions, deletions and substitutions.
    pub edits: usize,
    /// Characters that were said.
    pub said: usize,
}

impl Errors {
    /// Compares what was heard with what was said.
    pub fn between(said: &str, heard: &str) -> Self {
        let (said, heard): (Vec<char>, Vec<char>) = (fold(said).chars().collect(), fold(heard).chars().collect());
        Self { edits: distance(&said, &heard), said: said.len() }
    }

    /// Edits per character said; 0 when nothing was said and nothing heard.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand characters")]
    pub fn rate(self) -> f64 {
        match (self.edits, self.said) {
            (0, _) => 0.0,
            (edits, said) => edits as f64 / said.max(1) as f64,
        }
    }
}

impl std::ops::AddAssign for Errors {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.said += other.said;
    }
}

/// Simplified, lower case, no punctuation or spaces, numerals as digits.
pub fn fold(text: &str) -> String {
    let letters: Vec<char> = simplify(text).chars().filter(|letter| letter.is_alphanumeric()).collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = letters.as_slice();
    while let Some(first) = rest.first() {
        let numerals = rest.iter().take_while(|letter| is_numeral(**letter)).count();
        if numerals == 0 {
            out.extend(wide_to_plain(*first).to_lowercase());
            rest = &rest[1..];
        } else {
            let (run, others) = rest.split_at(numerals);
            fold_numeral(run, &mut out);
            rest = others;
        }
    }
    out
}

/// A run of numerals: a number with tens and hundreds where it is one, its digits where it is read out.
fn fold_numeral(run: &[char], out: &mut String) {
    if run.iter().all(|letter| unit(*letter).is_some_and(|unit| unit > 10)) {
        // 千万, 百 alone: words, not numbers.
        out.extend(run);
    } else if let Some(value) = run.iter().any(|letter| unit(*letter).is_some()).then(|| number(run)).flatten() {
        out.push_str(&value.to_string());
    } else {
        for letter in run {
            match digit(*letter) {
                Some(digit) => out.push_str(&digit.to_string()),
                None if *letter == '十' => out.push_str("10"),
                None => out.push(*letter),
            }
        }
    }
}

/// 十四 = 14, 三百零五 = 305, 两千五 stays unread (`None`): 2005 or 2500. ASCII digits may stand for a digit: 3百.
fn number(run: &[char]) -> Option<u64> {
    let (mut total, mut section, mut pending) = (0_u64, 0_u64, None::<u64>);
    let mut smallest = u64::MAX;
    let mut after_zero = false;
    for letter in run {
        if let Some(value) = digit(*letter) {
            pending = match pending {
                None if value == 0 => {
                    after_zero = true;
                    continue;
                }
                None => Some(value),
                // 16万: ASCII digits in a row are one number.
                Some(before) if letter.is_ascii_digit() && before < 100_000_000 => Some(before * 10 + value),
                Some(_) => return None,
            };
            continue;
        }
        let unit = unit(*letter)?;
        if unit == 10_000 {
            if total > 0 {
                return None;
            }
            total = (section + pending.take().unwrap_or(0)) * unit;
            (section, smallest) = (0, u64::MAX);
        } else {
            if unit >= smallest {
                return None;
            }
            smallest = unit;
            let count = pending.take().or((unit == 10).then_some(1))?;
            section += count * unit;
        }
        after_zero = false;
    }
    match pending {
        Some(value) if smallest > 10 && smallest != u64::MAX && !after_zero && value < 10 => None,
        value => Some(total + section + value.unwrap_or(0)),
    }
}

fn is_numeral(letter: char) -> bool {
    digit(letter).is_some() || unit(letter).is_some()
}

fn digit(letter: char) -> Option<u64> {
    Some(match wide_to_plain(letter) {
        '零' | '〇' => 0,
        '一' | '幺' => 1,
        '二' | '两' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        plain => u64::from(plain.to_digit(10)?),
    })
}

const fn unit(letter: char) -> Option<u64> {
    match letter {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1000),
        '万' => Some(10_000),
        _ => None,
    }
}

/// Ｆｕｌｌ－ｗｉｄｔｈ letters and digits become plain ones.
fn wide_to_plain(letter: char) -> char {
    match u32::from(letter) {
        code @ 0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(letter),
        _ => letter,
    }
}

/// Levenshtein distance.
fn distance(said: &[char], heard: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (index, letter) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[heard.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numerals_fold_to_digits() {
        for (text, folded) in [
            ("八点", "8点"),
            ("8点", "8点"),
            ("幺三八，零六三五，二二幺九", "13806352219"),
            ("138 0635 2219", "13806352219"),
            ("三零二", "302"),
            ("十四度", "14度"),
            ("晚上十一点以后", "晚上11点以后"),
            ("二十三个农民工", "23个农民工"),
            ("八十多岁", "80多岁"),
            ("十六万多", "160000多"),
            ("16万多", "160000多"),
            ("三百零五", "305"),
            ("一千零一", "1001"),
            ("两千五", "2千5"),
            ("十月份", "10月份"),
            ("千万别来", "千万别来"),
            ("三十一万两千", "312000"),
            ("您好，一二三四五热线！", "您好12345热线"),
            ("樓 道裡", "楼道里"),
            ("ＡＢ１２", "ab12"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn the_rate_counts_edits_per_character_said() {
        let errors = Errors::between("我们三号楼停水了。", "我们3号楼挺水");
        assert_eq!(errors, Errors { edits: 2, said: 8 });
        assert!((errors.rate() - 0.25).abs() < 1e-9);
        assert_eq!(Errors::between("", "").rate().to_bits(), 0);
    }

    proptest! {
        #[test]
        fn folding_never_panics_and_is_stable(text in "[零一二三幺两十百千万0-9点号a，。]{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(Errors::between(&text, &text).edits, 0);
            prop_assert!(once.chars().all(char::is_alphanumeric));
        }
    }
}
