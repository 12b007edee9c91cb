//! Spoken numbers as digits: 三零二 is 302, 二十三 is 23.

/// Characters that numbers are spoken with.
pub(super) fn is_numeral(character: char) -> bool {
    character.is_ascii_digit() || "零〇一二两三四五六七八九十百幺".contains(character)
}

/// The digits of a spoken number below ten thousand; `None` for what is no number.
pub(super) fn fold(words: &[char]) -> Option<String> {
    if words.is_empty() || !words.iter().all(|character| is_numeral(*character)) {
        return None;
    }
    let value = |character: char| match character {
        '零' | '〇' => Some(0),
        '一' | '幺' => Some(1),
        '二' | '两' => Some(2),
        '三' => Some(3),
        '四' => Some(4),
        '五' => Some(5),
        '六' => Some(6),
        '七' => Some(7),
        '八' => Some(8),
        '九' => Some(9),
        other => other.to_digit(10),
    };
    if !words.iter().any(|character| "十百".contains(*character)) {
        return Some(words.iter().filter_map(|character| value(*character)).map(|digit| digit.to_string()).collect());
    }
    let (mut total, mut digit) = (0_u32, None);
    for character in words.iter().take(8) {
        match character {
            '十' => total += digit.take().unwrap_or(1) * 10,
            '百' => total += digit.take().unwrap_or(1) * 100,
            other => digit = value(*other),
        }
    }
    Some((total + digit.unwrap_or(0)).to_string())
}

/// The text with every number before one of `units` in digits: 三号楼 → 3号楼.
pub(super) fn fold_before(text: &str, units: &[&str]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut folded = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = (at..characters.len()).find(|next| !is_numeral(characters[*next])).unwrap_or(characters.len());
        let rest: String = characters[end..].iter().take(3).collect();
        match fold(&characters[at..end]) {
            Some(digits) if units.iter().any(|unit| rest.starts_with(unit)) => {
                folded.push_str(&digits);
                at = end;
            }
            _ => {
                let next = end.max(at + 1);
                folded.extend(&characters[at..next]);
                at = next;
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fold_in_both_ways_of_saying_them() {
        let fold = |words: &str| super::fold(&words.chars().collect::<Vec<_>>());
        assert_eq!(fold("三零二").as_deref(), Some("302"));
        assert_eq!(fold("二十三").as_deref(), Some("23"));
        assert_eq!(fold("十").as_deref(), Some("10"));
        assert_eq!(fold("一百零五").as_deref(), Some("105"));
        assert_eq!(fold("楼"), None);
        assert_eq!(fold_before("我们三号楼八点停水", &["号楼"]), "我们3号楼八点停水");
    }
}
