//! Text as a search index sees it. Chinese has no gaps between words, so each character stands with its neighbour:
//! 停水了 is 停水 · 水了 · 了. Whatever was written is then found again as an exact run of such pairs, and a single
//! character as the beginning of one. Digits and other letters are whole runs, in lower case.

/// Longest run of digits or letters, characters; what is longer is cut, in texts and in searches alike.
const LONGEST: usize = 64;
/// Words kept of one text. PostgreSQL counts positions up to 16,383.
const MOST: usize = 16_000;

/// Words that have to stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    pub words: Vec<String>,
    /// The last word may go on: it is the beginning of one.
    pub open: bool,
}

/// The words of a text, in order.
pub fn indexed(text: &str) -> Vec<String> {
    let mut words: Vec<_> = runs(text).iter().flat_map(Run::words).collect();
    words.truncate(MOST);
    words
}

/// What a search asks for: all of its phrases, which are parted by spaces. A search without a letter or digit asks for
/// nothing that can be found.
pub fn wanted(search: &str) -> Vec<Phrase> {
    search.split_whitespace().filter_map(phrase).collect()
}

fn phrase(text: &str) -> Option<Phrase> {
    let runs = runs(text);
    let mut words: Vec<_> = runs.iter().flat_map(Run::words).collect();
    words.truncate(MOST);
    let open = match runs.last()? {
        Run::Letters(_) => true,
        Run::Characters(characters) => {
            // The text may go on behind the last pair.
            if characters.len() > 1 {
                words.pop();
            }
            characters.len() == 1
        }
    };
    Some(Phrase { words, open })
}

/// A stretch of one kind.
enum Run {
    Characters(Vec<char>),
    Letters(String),
}

impl Run {
    fn words(&self) -> Vec<String> {
        match self {
            Self::Letters(word) => vec![word.chars().take(LONGEST).collect()],
            Self::Characters(characters) => {
                let pairs = characters.windows(2).map(|pair| pair.iter().collect());
                pairs.chain(characters.last().map(char::to_string)).collect()
            }
        }
    }
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut joined = false;
    for sign in text.chars().map(narrow).flat_map(char::to_lowercase) {
        match (sign, runs.last_mut()) {
            (sign, _) if !sign.is_alphanumeric() => {
                joined = false;
                continue;
            }
            (sign, Some(Run::Characters(run))) if joined && stands_alone(sign) => run.push(sign),
            (sign, Some(Run::Letters(run))) if joined && !stands_alone(sign) => run.push(sign),
            (sign, _) if stands_alone(sign) => runs.push(Run::Characters(vec![sign])),
            (sign, _) => runs.push(Run::Letters(sign.into())),
        }
        joined = true;
    }
    runs
}

/// `１２Ａ` as people with a Chinese keyboard type it is `12A`.
fn narrow(sign: char) -> char {
    match sign {
        '！'..='～' => char::from_u32(u32::from(sign) - 0xFEE0).unwrap_or(sign),
        other => other,
    }
}

/// Scripts that are written without gaps: Chinese, kana, hangul.
const fn stands_alone(sign: char) -> bool {
    matches!(sign, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an index does: each phrase stands somewhere, word after word.
    fn finds(text: &str, search: &str) -> bool {
        let (text, phrases) = (indexed(text), wanted(search));
        !phrases.is_empty()
            && phrases.iter().all(|phrase| {
                text.windows(phrase.words.len()).any(|stretch| {
                    let whole = phrase.words.len() - usize::from(phrase.open);
                    stretch[..whole] == phrase.words[..whole]
                        && (!phrase.open || stretch[whole].starts_with(&phrase.words[whole]))
                })
            })
    }

    #[test]
    fn a_character_stands_with_its_neighbour_and_the_last_one_alone() {
        assert_eq!(indexed("停水了"), ["停水", "水了", "了"]);
        assert_eq!(indexed("3号楼，停水"), ["3", "号楼", "楼", "停水", "水"]);
        assert_eq!(indexed("20261123-000017\nＡ１2b!"), ["20261123", "000017", "a12b"]);
        assert!(indexed("……").is_empty());
    }

    #[test]
    fn what_was_written_is_found_and_what_was_not_is_not() {
        let text = "20261123-000017\n光岳新村3号楼停水\n从昨晚ABC_2起没有水";
        for there in [
            "停",
            "村",
            "水",
            "停水",
            "新村3号",
            "3号楼",
            "光岳新村 没有水",
            "000017",
            "20261123-0000",
            "2026",
            "abc",
            "楼",
        ] {
            assert!(finds(text, there), "{there}");
        }
        for absent in ["水停", "号新村", "1123", "停水 煤气", "光岳3号", "bc", "！", "", "2号楼"] {
            assert!(!finds(text, absent), "{absent}");
        }
    }

    #[test]
    fn a_run_without_end_is_cut_alike_in_texts_and_searches() {
        let endless = "9".repeat(5_000);
        assert_eq!(indexed(&endless)[0].len(), LONGEST);
        assert!(finds(&endless, &endless));
        assert_eq!(indexed(&"水".repeat(20_000)).len(), MOST);
    }

    proptest! {
        #[test]
        fn every_stretch_of_a_chinese_text_is_found(text in "[停水管道三号楼]{1,30}", from in 0..30_usize, length in 1..30_usize) {
            let characters: Vec<char> = text.chars().collect();
            let from = from % characters.len();
            let until = (from + length).min(characters.len());
            let stretch: String = characters[from..until].iter().collect();
            prop_assert!(finds(&text, &stretch));
        }

        #[test]
        fn nothing_found_is_absent(text in "[停水管道]{1,12}", search in "[停水管道]{1,3}") {
            prop_assert_eq!(finds(&text, &search), text.contains(&search));
        }

        #[test]
        fn words_hold_no_sign_that_an_index_could_mistake(text in "\\PC{0,40}") {
            for word in indexed(&text) {
                prop_assert!(!word.is_empty() && word.chars().all(char::is_alphanumeric));
            }
        }
    }
}
