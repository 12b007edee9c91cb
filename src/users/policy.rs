//! Which passwords may be used. Pure.
//!
//! Source: GB/T 22239-2019 §8.1.4.1 (passwords have to be complex and changed regularly), SP 800-63B §3.1.1.2 (no
//! common ones, nothing made of the user's name).

use std::collections::BTreeSet;

/// Longest password, bytes; what is longer is not even hashed.
pub(super) const LONGEST: usize = 256;
/// Kinds of signs there have to be: capitals, small letters, digits, others (Chinese among them).
const KINDS: usize = 3;
/// Different signs there have to be.
const DIFFERENT: usize = 5;

/// What the commonest passwords are made of, once digits and signs are taken off and `@` is an `a` again.
const COMMON: &[&str] = &[
    "abc",
    "abcabc",
    "abcd",
    "abcde",
    "abcdef",
    "abcdefg",
    "admin",
    "administrator",
    "asdf",
    "asdfgh",
    "asdfghjkl",
    "changeme",
    "china",
    "default",
    "dragon",
    "football",
    "guest",
    "hello",
    "hotline",
    "huawei",
    "iloveyou",
    "letmein",
    "liaocheng",
    "login",
    "manager",
    "master",
    "monkey",
    "nihao",
    "operator",
    "pass",
    "passpass",
    "passwd",
    "password",
    "princess",
    "qaz",
    "qazwsx",
    "qazwsxedc",
    "qwe",
    "qweasd",
    "qweasdzxc",
    "qwer",
    "qwert",
    "qwerty",
    "qwertyuiop",
    "rexian",
    "root",
    "secret",
    "shandong",
    "summer",
    "sunshine",
    "superman",
    "system",
    "temp",
    "test",
    "tester",
    "user",
    "welcome",
    "winter",
    "woaini",
    "woaiwojia",
    "zaq",
    "zaqwsx",
    "zhongguo",
    "zxc",
    "zxcvbn",
    "zxcvbnm",
];

/// Why a password may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    #[error("the password is shorter than {0} signs")]
    Short(usize),
    #[error("the password is longer than {LONGEST} bytes")]
    Long,
    #[error("the password needs {KINDS} of these: capitals, small letters, digits, other signs")]
    Plain,
    #[error("the password holds the user's name")]
    Name,
    #[error("the password is among the commonest ones")]
    Common,
    #[error("the password is one of the user's latest ones")]
    Former,
}

impl Weak {
    /// For programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short(_) => "short",
            Self::Long => "long",
            Self::Plain => "plain",
            Self::Name => "name",
            Self::Common => "common",
            Self::Former => "former",
        }
    }
}

/// Whether somebody of this name may have this password, as far as the text tells.
///
/// * `shortest` — signs.
pub(super) fn check(password: &str, name: &str, shortest: usize) -> Result<(), Weak> {
    if password.len() > LONGEST {
        return Err(Weak::Long);
    }
    if password.chars().count() < shortest {
        return Err(Weak::Short(shortest));
    }
    let kind = |sign: char| match sign {
        sign if sign.is_uppercase() => 0,
        sign if sign.is_lowercase() => 1,
        sign if sign.is_numeric() => 2,
        _ => 3,
    };
    if password.chars().map(kind).collect::<BTreeSet<_>>().len() < KINDS {
        return Err(Weak::Plain);
    }
    let folded = password.to_lowercase();
    if name.chars().count() > 1 && folded.contains(&name.to_lowercase()) {
        return Err(Weak::Name);
    }
    let different = folded.chars().collect::<BTreeSet<_>>().len();
    if different < DIFFERENT || is_common(&folded) {
        return Err(Weak::Common);
    }
    Ok(())
}

/// `P@ssw0rd2026!` is `password`: digits and signs at the ends are dropped, those inside are read as letters.
fn is_common(folded: &str) -> bool {
    let core = folded.trim_matches(|sign: char| !sign.is_alphabetic());
    let letters: String = core
        .chars()
        .filter_map(|sign| match sign {
            '@' | '4' => Some('a'),
            '0' => Some('o'),
            '1' | '!' => Some('i'),
            '3' => Some('e'),
            '$' | '5' => Some('s'),
            '7' => Some('t'),
            sign => Some(sign).filter(|sign| sign.is_alphabetic()),
        })
        .collect();
    COMMON.contains(&letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_passwords_are_taken() {
        for good in ["Tuesday-rain-7", "correct horse 42", "雨天的星期二Rain7", "aB3$aB3$xy", "Zq8#mmPassword"] {
            assert_eq!(check(good, "li", 10), Ok(()), "{good}");
        }
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        for (weak, why) in [
            ("aB3$", Weak::Short(10)),
            ("correct horse battery", Weak::Plain),
            ("1234567890", Weak::Plain),
            ("雨天的星期二下雨了在这里", Weak::Plain),
            ("Wang.Fang-2026", Weak::Name),
            ("P@ssw0rd2026!", Weak::Common),
            ("Hotline#12345", Weak::Common),
            ("12345-Qwerty", Weak::Common),
            ("Pa55word!!99", Weak::Common),
            ("Aa1Aa1Aa1Aa1", Weak::Common),
        ] {
            assert_eq!(check(weak, "wang.fang", 10), Err(why), "{weak}");
        }
        assert_eq!(check(&"aB3$".repeat(100), "li", 10), Err(Weak::Long));
    }

    #[test]
    fn the_length_is_counted_in_signs_and_bounded_in_bytes() {
        assert_eq!(check("雨天的星期二下雨aB", "li", 10), Ok(()));
        assert_eq!(check("雨天的星期二下雨a", "li", 10), Err(Weak::Short(10)));
    }
}
