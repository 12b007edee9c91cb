//! Reading words and numbers out of a row of characters.

use super::super::numerals::{fold, is_numeral};

/// Numerals of one number; a longer run is a telephone number.
const LONGEST: usize = 5;

/// A number as it was said: 四五 is up to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub value: u32,
    /// Of 四五 the 4.
    pub least: u32,
    /// Where it ends.
    pub end: usize,
}

/// Which of the words stands at a position, and where it ends. The first that fits is taken: longer ones first.
pub(super) fn word<'a>(text: &[char], at: usize, words: &[&'a str]) -> Option<(usize, &'a str)> {
    words.iter().find(|word| starts(text, at, word)).map(|word| (at + word.chars().count(), *word))
}

/// Whether a word stands at a position.
pub(super) fn starts(text: &[char], at: usize, word: &str) -> bool {
    let mut rest = text.get(at..).unwrap_or_default().iter();
    word.chars().all(|wanted| rest.next() == Some(&wanted))
}

/// Whether a word ends just before a position.
pub(super) fn ends(text: &[char], end: usize, word: &str) -> bool {
    end.checked_sub(word.chars().count()).is_some_and(|start| starts(text, start, word))
}

/// The whole number that stands at a position, in characters or digits.
pub(super) fn number(text: &[char], at: usize) -> Option<Number> {
    let before = at.checked_sub(1).map(|before| text[before]);
    if before.is_some_and(|before| is_numeral(before) || "第.:：-".contains(before)) {
        return None;
    }
    let run = text.get(at..)?.iter().take(LONGEST + 1).take_while(|sign| is_numeral(**sign)).count();
    if run == 0 || run > LONGEST {
        return None;
    }
    let (words, end) = (&text[at..at + run], at + run);
    let value: u32 = fold(words)?.parse().ok()?;
    // 四五天, 十四五天: two digits in a row, one apart, are two guesses.
    let plain = |sign: char| "一二两三四五六七八九".find(sign).and_then(|_| fold(&[sign])?.parse::<u32>().ok());
    if let [.., first, second] = words
        && let (Some(first), Some(second)) = (plain(*first), plain(*second))
        && second == first + 1
    {
        let tens = fold(&words[..run - 2]).and_then(|tens| tens.parse::<u32>().ok()).unwrap_or(0);
        return Some(Number { value: tens + second, least: tens + first, end });
    }
    Some(Number { value, least: value, end })
}

/// A year of four digits: 2025 or 二零二五, and where it ends.
pub(super) fn year(text: &[char], at: usize) -> Option<(i16, usize)> {
    if at > 0 && is_numeral(text[at - 1]) {
        return None;
    }
    let four = text.get(at..at + 4).filter(|four| four.iter().all(|sign| is_numeral(*sign)))?;
    if four.iter().any(|sign| "十百".contains(*sign)) || text.get(at + 4) != Some(&'年') {
        return None;
    }
    let year: i16 = fold(four)?.parse().ok()?;
    (1950..2100).contains(&year).then_some((year, at + 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Option<(u32, u32, usize)> {
        let text: Vec<char> = words.chars().collect();
        number(&text, 0).map(|number| (number.least, number.value, number.end))
    }

    #[test]
    fn numbers_are_read_in_both_ways_of_writing_them() {
        assert_eq!(read("八点"), Some((8, 8, 1)));
        assert_eq!(read("11点"), Some((11, 11, 2)));
        assert_eq!(read("二十三号"), Some((23, 23, 3)));
        assert_eq!(read("四五天"), Some((4, 5, 2)));
        assert_eq!(read("十四五天"), Some((14, 15, 3)));
        assert_eq!(read("13806352219"), None, "a telephone number");
        assert_eq!(read("天"), None);
    }

    #[test]
    fn a_year_has_four_digits() {
        let read = |words: &str| year(&words.chars().collect::<Vec<_>>(), 0);
        assert_eq!(read("二零二五年十月"), Some((2025, 5)));
        assert_eq!(read("2024年"), Some((2024, 5)));
        assert_eq!(read("2680块"), None);
    }
}
