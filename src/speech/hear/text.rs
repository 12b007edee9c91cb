//! Brings what the model wrote into the shape the rest of the house reads: simplified, full-width punctuation.

use std::sync::LazyLock;

use ferrous_opencc::{OpenCC, config::BuiltinConfig};

static TO_SIMPLIFIED: LazyLock<OpenCC> =
    LazyLock::new(|| OpenCC::from_config(BuiltinConfig::T2s).expect("the dictionary is part of the program"));

/// Traditional characters become simplified ones; the rest stays.
pub fn simplify(text: &str) -> String {
    TO_SIMPLIFIED.convert(text)
}

/// Simplified text with full-width punctuation and no spaces between Chinese characters.
///
/// Points and colons between digits (3.5, 8:30) stay as they are.
pub(super) fn tidy(text: &str) -> String {
    let text: Vec<char> = simplify(text).chars().collect();
    let mut out = String::with_capacity(text.len() * 3);
    for (index, letter) in text.iter().copied().enumerate() {
        let before = out.chars().next_back();
        let after = text[index + 1..].iter().copied().find(|letter| !letter.is_whitespace());
        let between_digits = before.is_some_and(|letter| letter.is_ascii_digit())
            && text.get(index + 1).is_some_and(char::is_ascii_digit);
        let between_latin = before.is_some_and(|letter| letter.is_ascii_graphic())
            && after.is_some_and(|letter| letter.is_ascii_graphic());
        match letter {
            '\u{fffd}' => {}
            _ if letter.is_whitespace() => {
                if between_latin {
                    out.push(' ');
                }
            }
            ',' | '.' | ':' if between_digits => out.push(letter),
            ',' => out.push('，'),
            '.' if before.is_some_and(|letter| letter.is_ascii_alphanumeric()) => out.push('.'),
            '.' => out.push('。'),
            ':' => out.push('：'),
            ';' => out.push('；'),
            '?' => out.push('？'),
            '!' => out.push('！'),
            '(' => out.push('（'),
            ')' => out.push('）'),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_simplified_with_full_width_marks() {
        assert_eq!(tidy(" 你好,我們三號樓 停水了. "), "你好，我们三号楼停水了。");
        assert_eq!(tidy("溫度14.5度,8:30開始,電話13560635778,對嗎?"), "温度14.5度，8:30开始，电话13560635778，对吗？");
        assert_eq!(tidy("OK Google"), "OK Google");
        assert_eq!(tidy(""), "");
    }
}
