//! The number to call back: digits in every spoken reading, joined over pauses, checked against the caller id.

use super::{
    heard::{Heard, Phrases, Span},
    sound::Reading,
};
use crate::domain::{
    draft::{Alternative, Field, Source},
    transcript::Channel,
};

/// Fewer digits in a row are a house, a price or a year.
const FEWEST: usize = 7;
/// Digits of one run that are kept.
const MOST: usize = 24;
/// Fillers in a row that a run survives; another word ends it.
const LONGEST_PAUSE: usize = 4;
const FILLERS: &str = "嗯呃啊哦那个然后再是";
/// Edits within which a heard number is the caller id misheard.
const NEAR: usize = 2;

/// The digits as they are read, and 幺 for 1 once more.
const SPOKEN: [char; 12] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九', '洞', '幺'];

/// A run of digits as it was said.
#[derive(Clone, Debug, Default)]
struct Run {
    digits: String,
    spans: Vec<Span>,
    /// Said after words that take back what stood before.
    corrected: bool,
}

/// Fills the field from the caller's words and the caller id.
pub(super) fn find(heard: &Heard, caller_id: Option<&str>) -> Field<String> {
    let caller_id: Option<String> =
        caller_id.map(|id| id.chars().filter(char::is_ascii_digit).collect()).filter(|id: &String| !id.is_empty());
    let runs = runs(heard);
    let spoken = pick(&runs, caller_id.as_deref());
    match (spoken, caller_id) {
        (None, None) => Field::default(),
        (None, Some(id)) => {
            Field { value: Some(id), confidence: 0.8, source: Some(Source::CallerId), ..Field::default() }
        }
        (Some(run), id) => decide(heard, run, &runs, id),
    }
}

/// The last number that can be one; else the last long run.
fn pick<'a>(runs: &'a [Run], caller_id: Option<&str>) -> Option<&'a Run> {
    let good = |run: &&Run| is_number(&run.digits) || caller_id.is_some_and(|id| likeness(&run.digits, id) <= NEAR);
    // A correction may be only half heard; what it corrects no longer counts unless nothing else is a number.
    let from = runs.iter().rposition(|run| run.corrected).unwrap_or(0);
    runs[from..].iter().rev().find(good).or_else(|| runs.iter().rev().find(good)).or_else(|| runs.last())
}

fn decide(heard: &Heard, run: &Run, runs: &[Run], caller_id: Option<String>) -> Field<String> {
    let evidence = run.spans.iter().map(|span| heard.evidence(span)).collect();
    let sure = run.spans.iter().map(|span| heard.said[span.utterance].confidence).fold(1.0_f32, f32::min);
    let plain = is_number(&run.digits);
    let mut field =
        Field { value: None, confidence: 0.0, source: Some(Source::Speech), evidence, alternatives: Vec::new() };
    match caller_id {
        Some(id) if likeness(&run.digits, &id) <= NEAR => {
            field.confidence = if run.digits == id { 0.98 } else { 0.85 };
            if plain && run.digits != id {
                field.alternatives.push(Alternative { value: run.digits.clone(), confidence: 0.15 });
            }
            field.value = Some(id);
        }
        id if plain => {
            field.value = Some(run.digits.clone());
            field.confidence = 0.6 + 0.25 * sure;
            field.alternatives.extend(id.map(|value| Alternative { value, confidence: 0.15 }));
        }
        // No number can look like this: the one the call came from is the safer answer, the heard one is shown.
        Some(id) => {
            field.value = Some(id);
            field.confidence = 0.4;
            field.source = Some(Source::CallerId);
            field.alternatives.push(Alternative { value: run.digits.clone(), confidence: 0.3 });
        }
        None => {
            field.value = Some(run.digits.clone());
            field.confidence = 0.3;
        }
    }
    for other in runs.iter().rev().filter(|other| is_number(&other.digits)) {
        let known = field.value.as_ref() == Some(&other.digits)
            || field.alternatives.iter().any(|alternative| alternative.value == other.digits);
        if !known && field.alternatives.len() < 3 {
            field.alternatives.push(Alternative { value: other.digits.clone(), confidence: 0.1 });
        }
    }
    field
}

/// Eleven digits of a mobile, or a land line with its area code (0635 and seven digits).
fn is_number(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    match bytes {
        [b'1', b'3'..=b'9', rest @ ..] => rest.len() == 9,
        [b'0', b'3', b'1'..=b'9', _, b'2'..=b'8', rest @ ..] => rest.len() == 6,
        [b'0', b'4'..=b'9', _, _, b'2'..=b'8', rest @ ..] => (6..=7).contains(&rest.len()),
        [b'0', b'1' | b'2', rest @ ..] => (9..=10).contains(&rest.len()),
        _ => false,
    }
}

/// All long runs of digits of the caller, in order. A run goes on over pauses and utterances until other words come.
fn runs(heard: &Heard) -> Vec<Run> {
    let corrections = Phrases::new(&["不对", "错了", "说错", "更正", "应该是", "不是"]);
    let mut all: Vec<Run> = Vec::new();
    let mut run = Run::default();
    let mut pause = 0;
    let mut corrected = false;
    for (utterance, said) in heard.of(Channel::Caller) {
        for at in 0..said.sounds.len() {
            if corrections.after(said, at) {
                corrected = true;
                finish(&mut all, &mut run);
            }
            let neighbour = |offset: isize| {
                at.checked_add_signed(offset)
                    .and_then(|at| said.sounds.get(at))
                    .is_some_and(|sound| digit(sound.character, false).is_some())
            };
            // Two sure digits next to it make a sound-alike a digit: 三八 in 1 散 8 0.
            let in_run = neighbour(-1) && neighbour(1)
                || neighbour(1) && neighbour(2)
                || !run.digits.is_empty() && pause == 0 && neighbour(-1) && neighbour(-2);
            let here = at..at + 1;
            if let Some(value) = digit(said.sounds[at].character, in_run) {
                if run.digits.len() < MOST {
                    run.digits.push(value);
                }
                if run.digits.len() == 1 {
                    run.corrected = corrected;
                }
                pause = 0;
                let characters = said.characters(&here);
                match run.spans.last_mut() {
                    Some(last) if last.utterance == utterance => last.characters.end = characters.end,
                    _ => run.spans.push(Span { utterance, characters }),
                }
            } else {
                pause += 1;
                let unit = "十百千万块元点号楼栋层室岁天月年米".contains(said.sounds[at].character);
                let filler = FILLERS.contains(said.sounds[at].character);
                if pause > LONGEST_PAUSE || unit || !filler {
                    finish(&mut all, &mut run);
                }
            }
        }
    }
    finish(&mut all, &mut run);
    all
}

fn finish(all: &mut Vec<Run>, run: &mut Run) {
    let done = std::mem::take(run);
    if done.digits.len() >= FEWEST {
        all.push(done);
    }
}

/// What digit a character is; some only amid others (要 for 幺).
fn digit(character: char, in_run: bool) -> Option<char> {
    let value = match character {
        '0'..='9' => character,
        '０'..='９' => char::from_digit(u32::from(character) - u32::from('０'), 10)?,
        '零' | '〇' | '○' | '洞' => '0',
        '一' | '幺' | '壹' | '吆' => '1',
        '二' | '两' | '贰' | '俩' => '2',
        '三' | '叁' => '3',
        '四' | '肆' => '4',
        '五' | '伍' => '5',
        '六' | '陆' => '6',
        '七' | '柒' | '拐' => '7',
        '八' | '捌' => '8',
        '九' | '玖' | '勾' => '9',
        '吧' | '了' | '是' => return None,
        other if in_run => {
            let reading = Reading::of(other)?;
            let position =
                SPOKEN.iter().position(|digit| Reading::of(*digit).is_some_and(|known| known.same(reading)))?;
            return char::from_digit(u32::try_from(position % 10).ok()?, 10);
        }
        _ => return None,
    };
    Some(value)
}

/// Edits between the caller id and the part of a run that is most like it; digits doubled around it do not count.
fn likeness(run: &str, id: &str) -> usize {
    if run.len() <= id.len() {
        return distance(run, id);
    }
    let shortest = id.len().saturating_sub(NEAR).max(1);
    let parts = (0..run.len()).flat_map(|from| {
        let longest = (from + id.len() + NEAR).min(run.len());
        (from + shortest..=longest).map(move |to| &run[from..to])
    });
    parts.map(|part| distance(part, id)).min().unwrap_or(usize::MAX)
}

/// Edits (digit lost, added, changed) between two numbers.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::heard;

    fn number(words: &[&str], caller_id: Option<&str>) -> (Option<String>, Option<Source>) {
        let field = find(&heard(words), caller_id);
        (field.value, field.source)
    }

    #[test]
    fn groups_are_joined_in_every_reading_of_the_digits() {
        for words in [
            "幺三八，零六三五，二二幺九。",
            "138 0635 2219",
            "要三八、洞六三五，两二要九",
            "１３８０６３５２２１９",
            "我的电话是138嗯0635然后2219",
        ] {
            assert_eq!(number(&[words], None).0.as_deref(), Some("13806352219"), "{words}");
        }
        assert_eq!(number(&["幺三八，零六三五", "二二幺九"], None).0.as_deref(), Some("13806352219"));
    }

    #[test]
    fn a_correction_beats_what_stood_before() {
        let words = "幺五零，六三三零，幺二幺九。哦不对，是幺五零，六三三零，幺二幺六。";
        assert_eq!(number(&[words], None).0.as_deref(), Some("15063301216"));
    }

    #[test]
    fn a_number_within_two_edits_of_the_caller_id_is_the_caller_id() {
        let (value, source) = number(&["1380635219"], Some("13806352219"));
        assert_eq!((value.as_deref(), source), (Some("13806352219"), Some(Source::Speech)));
    }

    #[test]
    fn another_number_is_taken_only_when_it_can_be_one() {
        assert_eq!(number(&["幺三五，六零六三，五七七八"], Some("13561270034")).0.as_deref(), Some("13560635778"));
        let field = find(&heard(&["一三五六零六七七八"]), Some("06358512207"));
        assert_eq!((field.value.as_deref(), field.source), (Some("06358512207"), Some(Source::CallerId)));
        assert!(field.confidence < 0.5);
        assert_eq!(field.alternatives[0].value, "135606778");
    }

    #[test]
    fn without_a_spoken_number_the_caller_id_is_it() {
        let (value, source) =
            number(&["就用我打进来的这个号码。五号楼一单元三零二，花了两千六百八十块钱"], Some("15963501187"));
        assert_eq!((value.as_deref(), source), (Some("15963501187"), Some(Source::CallerId)));
        assert_eq!(number(&["停水了"], None), (None, None));
    }

    #[test]
    fn a_land_line_needs_its_area_code() {
        assert_eq!(number(&["零六三五八五一二二零七"], None).0.as_deref(), Some("06358512207"));
    }
}
