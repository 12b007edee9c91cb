//! What of a person may be seen without asking: enough to tell two people apart, too little to find one.

/// Digits in a row from which a text is taken to hold a number of somebody.
const RUN: usize = 7;
/// Digits as people write and say them; 幺 is said for 1 on the telephone.
const SPOKEN: &str = "零〇一二三四五六七八九幺两";
/// What may stand between two digits of one number.
const BETWEEN: &str = " -–—_.,，、·()（）\u{3000}";

/// `138****2219`: the first three and the last four digits; of short numbers only the last two.
pub fn number(number: &str) -> String {
    let signs: Vec<char> = number.chars().collect();
    let (first, last) = kept(signs.len());
    let hidden = signs.len() - first - last;
    signs.iter().take(first).chain(&vec!['*'; hidden]).chain(&signs[signs.len() - last..]).collect()
}

/// `王**`, whatever the name's length.
pub fn name(name: &str) -> String {
    name.chars().next().map(|first| format!("{first}**")).unwrap_or_default()
}

/// Hides every number of seven digits or more in a text: written, spoken, full-width, with signs between them.
pub fn digits(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut masked = signs.clone();
    let mut run: Vec<usize> = Vec::new();
    for at in 0..=signs.len() {
        match signs.get(at) {
            Some(sign) if is_digit(*sign) => run.push(at),
            // One or two signs between digits do not end a number.
            Some(sign) if !run.is_empty() && BETWEEN.contains(*sign) && at - run[run.len() - 1] <= 2 => {}
            _ => {
                if run.len() >= RUN {
                    let (first, last) = kept(run.len());
                    for place in &run[first..run.len() - last] {
                        masked[*place] = '*';
                    }
                }
                run.clear();
            }
        }
    }
    masked.into_iter().collect()
}

/// Hides a value that is known to be somebody's wherever a text repeats it.
pub fn known(text: &str, value: &str, shown: &str) -> String {
    if value.chars().count() < 2 { text.to_owned() } else { text.replace(value, shown) }
}

/// How many digits of a number stay at its begin and its end.
const fn kept(length: usize) -> (usize, usize) {
    match length {
        0 | 1 => (0, 0),
        2..=7 => (0, 2),
        _ => (3, 4),
    }
}

fn is_digit(sign: char) -> bool {
    sign.is_ascii_digit() || ('０'..='９').contains(&sign) || SPOKEN.contains(sign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_only_what_tells_them_apart() {
        assert_eq!(number("13806352219"), "138****2219");
        assert_eq!(number("063582219"), "063**2219");
        assert_eq!(number("8221234"), "*****34");
        assert_eq!(number("12345"), "***45");
        assert_eq!((number("1"), number("")), ("*".into(), String::new()));
    }

    #[test]
    fn names_keep_the_surname() {
        assert_eq!((name("王丽"), name("欧阳明华"), name("")), ("王**".into(), "欧**".into(), String::new()));
    }

    #[test]
    fn numbers_in_a_text_are_found_however_they_are_written() {
        assert_eq!(digits("电话13806352219,请回电"), "电话138****2219,请回电");
        assert_eq!(digits("138 0635 2219"), "138 **** 2219");
        assert_eq!(digits("１３８０６３５２２１９"), "１３８****２２１９");
        assert_eq!(digits("幺三八零六三五二二幺九"), "幺三八****二二幺九");
        assert_eq!(digits("138，0635，2219。"), "138，****，2219。");
        assert_eq!(
            digits("3号楼2单元1502室,2026年11月23日"),
            "3号楼2单元1502室,2026年11月23日",
            "no number of somebody"
        );
    }

    #[test]
    fn a_known_value_is_hidden_wherever_it_is_repeated() {
        assert_eq!(known("我叫王丽,王丽住三号楼", "王丽", "王**"), "我叫王**,王**住三号楼");
        assert_eq!(known("我姓王", "王", "王**"), "我姓王", "a single letter is in too many words");
    }

    proptest! {
        #[test]
        fn no_seven_digits_in_a_row_stay_clear_and_masking_twice_is_masking_once(text in "[0-9０-９一三幺 ,，a号\\-]{0,60}") {
            let masked = digits(&text);
            prop_assert_eq!(masked.chars().count(), text.chars().count());
            let longest = masked.split(|sign| !is_digit(sign)).map(|run| run.chars().count()).max().unwrap_or(0);
            prop_assert!(longest < RUN, "{}", masked);
            prop_assert_eq!(digits(&masked), masked);
        }

        #[test]
        fn any_text_can_be_masked(text in ".{0,80}") {
            let _ = (digits(&text), number(&text), name(&text));
        }
    }
}
