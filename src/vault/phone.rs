//! One number, one spelling: what is hashed to find a person's calls again.

use crate::domain::number;

/// The digits of a number as everybody would dial it in the country; empty if there are none. Numbers from the line have
/// the city's area code already.
pub fn normalised(number: &str) -> String {
    number::national(number, "").chars().filter_map(digit).collect()
}

/// Full-width digits are what Chinese keyboards give.
fn digit(letter: char) -> Option<char> {
    match letter {
        '0'..='9' => Some(letter),
        '０'..='９' => char::from_digit(u32::from(letter) - u32::from('０'), 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mobile_number_has_one_spelling() {
        for spelling in
            ["13806352219", "+86 138-0635-2219", "8613806352219", "008613806352219", "013806352219", "１３８ 0635 2219"]
        {
            assert_eq!(normalised(spelling), "13806352219", "{spelling}");
        }
    }

    #[test]
    fn other_numbers_keep_their_digits() {
        for (spelling, digits) in [
            ("0635-8412345", "06358412345"),
            ("12345", "12345"),
            ("+1 (202) 555-0143", "0012025550143"),
            ("86", "86"),
            ("0086 10 6512 3456", "01065123456"),
            ("anonymous", ""),
        ] {
            assert_eq!(normalised(spelling), digits, "{spelling}");
        }
    }
}
