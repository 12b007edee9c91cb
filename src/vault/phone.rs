//! One number, one spelling: what is hashed to find a person's calls again.

/// The digits of a number as everybody would dial it in the city; empty if there are none.
///
/// A mobile number (11 digits, `13` to `19`) loses what stands before it: the country's code (`+86`, `86`, `0086`) or
/// the long-distance `0`. Everything else keeps its digits.
pub fn normalised(number: &str) -> String {
    let digits: String = number.chars().filter_map(digit).collect();
    let mobile = ["0086", "86", "0"].iter().find_map(|before| digits.strip_prefix(before).filter(|it| is_mobile(it)));
    mobile.map(str::to_owned).unwrap_or(digits)
}

fn is_mobile(digits: &str) -> bool {
    digits.len() == 11 && matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..])
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
            ("+1 (202) 555-0143", "12025550143"),
            ("86", "86"),
            ("0086 10 6512 3456", "00861065123456"),
            ("anonymous", ""),
        ] {
            assert_eq!(normalised(spelling), digits, "{spelling}");
        }
    }
}
