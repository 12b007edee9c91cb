//! Telephone numbers: one number, one spelling, however trunks and people write it. Source: YD/T 1283, ITU-T E.164.

/// A number as it is dialled within the country, digits alone.
///
/// * a mobile number has its 11 digits, `13806352219`;
/// * a number of the fixed network its area code, `06358412345`;
/// * a short one (`12345`, `110`, `95533`) stands alone, also when the city's own area code was dialled before it;
/// * 400 and 800 stand alone; other countries begin with `00`.
///
/// What is no number (letters, `*`, `#`) stays as it is, without blanks around it.
///
/// * `area_code` — the city's own, `0635`; empty where numbers without one shall keep none.
pub fn national(number: &str, area_code: &str) -> String {
    let number = number.trim();
    let Some(mut digits) = digits(number) else { return number.to_owned() };
    if number.starts_with(['+', '＋']) {
        digits.insert_str(0, "00");
    }
    let mut rest = digits.as_str();
    let mut from_abroad = false;
    loop {
        if let Some(behind) = rest.strip_prefix("0086").filter(|behind| !behind.is_empty()) {
            (rest, from_abroad) = (behind, true);
        } else if let Some(behind) = rest.strip_prefix("86").filter(|behind| is_whole(behind, area_code)) {
            (rest, from_abroad) = (behind, true);
        } else {
            break;
        }
    }
    if rest.starts_with("00") {
        return rest.to_owned();
    }
    let behind = rest.strip_prefix('0').unwrap_or(rest);
    if is_mobile(behind) {
        return behind.to_owned();
    }
    // Without a zero it could be a number of the city's own network.
    if let Some(short) = short_behind(rest, area_code).filter(|_| from_abroad || rest.starts_with('0')) {
        return short.to_owned();
    }
    if rest.starts_with('0') {
        return rest.to_owned();
    }
    if is_fixed(rest) && (from_abroad || !rest.starts_with('1')) {
        return format!("0{rest}");
    }
    if is_local(rest) {
        return format!("{area_code}{rest}");
    }
    rest.to_owned()
}

/// Whether what was dialled is this number of ours.
pub fn reaches(dialled: &str, own: &str, area_code: &str) -> bool {
    // A trunk that adds the country's code to everything adds it to 12345, where it could be a number of seven digits.
    dialled == own
        || dialled.strip_prefix("86") == Some(own)
        || national(dialled, area_code) == national(own, area_code)
}

/// The digits, if there is nothing but what people put between them. Full-width digits are what Chinese keyboards give.
fn digits(number: &str) -> Option<String> {
    let mut digits = String::with_capacity(number.len());
    for (at, letter) in number.chars().enumerate() {
        match letter {
            '0'..='9' => digits.push(letter),
            '０'..='９' => digits.extend(char::from_digit(u32::from(letter) - u32::from('０'), 10)),
            '+' | '＋' if at == 0 => {}
            ' ' | '\u{a0}' | '\u{3000}' | '-' | '－' | '–' | '.' | '/' | '(' | ')' | '（' | '）' => {}
            _ => return None,
        }
    }
    (!digits.is_empty()).then_some(digits)
}

/// Whether a country's code stands before it for good: it is whole without.
fn is_whole(digits: &str, area_code: &str) -> bool {
    let behind = digits.strip_prefix('0').unwrap_or(digits);
    is_mobile(behind) || is_fixed(behind) || is_service(behind) || short_behind(digits, area_code).is_some()
}

/// A short number behind the city's own area code, with or without its zero.
fn short_behind<'a>(digits: &'a str, area_code: &str) -> Option<&'a str> {
    let own = area_code.strip_prefix('0').filter(|own| !own.is_empty())?;
    let short = digits.strip_prefix('0').unwrap_or(digits).strip_prefix(own)?;
    ((3..=6).contains(&short.len()) && short.starts_with(['1', '9'])).then_some(short)
}

/// 11 digits, `13` to `19`.
fn is_mobile(digits: &str) -> bool {
    digits.len() == 11 && matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..])
}

/// An area code without its zero and 7 or 8 digits: `10` and `2x` have 8, the others 3 digits and 7 or 8.
fn is_fixed(digits: &str) -> bool {
    match digits.as_bytes() {
        [b'1', b'0', ..] | [b'2', ..] => digits.len() == 10,
        [b'3'..=b'9', ..] => (10..=11).contains(&digits.len()) && !is_service(digits),
        _ => false,
    }
}

/// 400 and 800, which have no area code.
fn is_service(digits: &str) -> bool {
    digits.len() == 10 && (digits.starts_with("400") || digits.starts_with("800"))
}

/// 7 or 8 digits of the city's own network.
fn is_local(digits: &str) -> bool {
    (7..=8).contains(&digits.len()) && matches!(digits.as_bytes(), [b'2'..=b'8', ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AREA: &str = "0635";

    #[test]
    fn each_kind_of_number_has_one_spelling() {
        for (spellings, one) in [
            (
                "13806352219|+86 138-0635-2219|8613806352219|008613806352219|013806352219|１３８ 0635 2219",
                "13806352219",
            ),
            (
                "8412345|0635-8412345|(0635) 841.2345|+866358412345|866358412345|0086 635 8412345|+8606358412345",
                "06358412345",
            ),
            ("010-65123456|+86 10 6512 3456|861065123456", "01065123456"),
            ("12345|063512345|+8663512345|8663512345|0635 12345|+8612345", "12345"),
            ("110|+86110|0635110", "110"),
            ("95533|+8695533", "95533"),
            ("4001234567|+864001234567|864001234567|400-123-4567", "4001234567"),
            ("+1 (202) 555-0143|0012025550143", "0012025550143"),
            ("86", "86"),
        ] {
            for spelling in spellings.split('|') {
                assert_eq!(national(spelling, AREA), one, "{spelling}");
            }
        }
    }

    #[test]
    fn another_citys_hotline_and_what_is_no_number_stay_as_they_are() {
        for text in ["053112345", "anonymous", "", "*67", "8001", "1008611"] {
            assert_eq!(national(text, AREA), text);
        }
        assert_eq!(national("8412345", ""), "8412345", "no area code is known");
    }

    #[test]
    fn the_line_is_reached_with_every_code_before_its_number() {
        for dialled in ["12345", "063512345", "+8663512345", "8663512345", "+8612345", "8612345", "008663512345"] {
            assert!(reaches(dialled, "12345", AREA), "{dialled}");
        }
        for dialled in ["053112345", "112345", "123456", "1234", "+112345", "0012345", ""] {
            assert!(!reaches(dialled, "12345", AREA), "{dialled}");
        }
        assert!(reaches("8412345", "06358412345", AREA) && reaches("06358412345", "8412345", AREA));
    }

    proptest! {
        #[test]
        fn what_is_normalised_stays(number in "[+0-9０-９ ()-]{0,24}|\\PC{0,24}", area in "(0635|010|)") {
            let once = national(&number, &area);
            prop_assert_eq!(national(&once, &area), once);
        }

        #[test]
        fn no_code_before_a_number_makes_it_another(
            number in "1[3-9][0-9]{9}|635[2-8][0-9]{6}|10[2-8][0-9]{7}|531[2-8][0-9]{7}", gaps in prop::collection::vec(0..11_usize, 0..4)
        ) {
            let mut written = number.clone();
            for gap in gaps {
                written.insert(gap.min(written.len()), if gap % 2 == 0 { ' ' } else { '-' });
            }
            let one = national(&format!("+86{number}"), AREA);
            for before in ["+86", "86", "0086", "0", "+86 0"] {
                prop_assert_eq!(national(&format!("{before}{written}"), AREA), one.clone(), "{}{}", before, written);
            }
            prop_assert!(one.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
