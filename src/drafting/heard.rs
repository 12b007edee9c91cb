//! A transcript as a row of sounds that remember where they were spoken.

use std::ops::Range;

use super::sound::{Reading, readings};
use crate::domain::{
    draft::Evidence,
    transcript::{Channel, Transcript},
};

/// Characters of one utterance that are looked at; what comes after is not heard.
const MAX_CHARACTERS: usize = 4_000;
/// Utterances of one call that are looked at.
const MAX_UTTERANCES: usize = 4_000;
/// Characters of one call that are looked at: eight hours of talk without a pause.
const MAX_CALL: usize = 120_000;
/// Syllables of a word of which one may be heard as another, and how far that may be off.
const LONG: usize = 4;
const OFF: f32 = 0.56;
/// Utterances of the caller that still answer what the operator asked last.
const ANSWERS: usize = 2;

/// One spoken character.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound {
    pub character: char,
    pub reading: Reading,
    /// Position in the utterance's characters.
    at: usize,
    /// Punctuation stands before it, or it opens the utterance.
    pub after_pause: bool,
}

/// One utterance.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub channel: Channel,
    pub text: Vec<char>,
    pub sounds: Vec<Sound>,
    start_ms: u32,
    end_ms: u32,
    /// The recogniser's own confidence, 0 to 1.
    pub confidence: f32,
}

/// A stretch of one utterance, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub utterance: usize,
    pub characters: Range<usize>,
}

/// All that was said, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub said: Vec<Said>,
}

impl Heard {
    pub fn new(transcript: &Transcript) -> Self {
        let mut left = MAX_CALL;
        let said = transcript
            .utterances
            .iter()
            .take(MAX_UTTERANCES)
            .map(|utterance| {
                let text: Vec<char> = utterance.text.chars().take(MAX_CHARACTERS.min(left)).collect();
                left -= text.len();
                let mut sounds = Vec::with_capacity(text.len());
                let mut after_pause = true;
                for (at, character) in text.iter().enumerate() {
                    match Reading::of(*character) {
                        Some(reading) => {
                            sounds.push(Sound { character: *character, reading, at, after_pause });
                            after_pause = false;
                        }
                        None => after_pause = true,
                    }
                }
                Said {
                    channel: utterance.channel,
                    text,
                    sounds,
                    start_ms: utterance.start_ms,
                    end_ms: utterance.end_ms.max(utterance.start_ms),
                    confidence: utterance.confidence.clamp(0.0, 1.0),
                }
            })
            .collect();
        Self { said }
    }

    /// Utterances of one side with their positions.
    pub fn of(&self, channel: Channel) -> impl Iterator<Item = (usize, &Said)> {
        self.said.iter().enumerate().filter(move |(_, said)| said.channel == channel)
    }

    /// All words of one side, one utterance a line.
    pub fn text(&self, channel: Channel) -> String {
        let lines: Vec<String> = self.of(channel).map(|(_, said)| said.text.iter().collect()).collect();
        lines.join("\n")
    }

    /// What the operator said just before this utterance of the caller, if that is an answer to it.
    pub fn asked(&self, utterance: usize) -> Option<&Said> {
        let before = self.said[..utterance].iter().rev().take(ANSWERS);
        before.into_iter().find(|said| said.channel == Channel::Operator)
    }

    /// What the caller said just after this utterance of the operator.
    pub fn answer(&self, utterance: usize) -> Option<(usize, &Said)> {
        let next = utterance + 1;
        self.said.get(next).filter(|said| said.channel == Channel::Caller).map(|said| (next, said))
    }

    /// The proof of a span: its share of the utterance's time, by characters.
    pub fn evidence(&self, span: &Span) -> Evidence {
        let said = &self.said[span.utterance];
        let length = said.text.len().max(1) as u64;
        let duration = u64::from(said.end_ms - said.start_ms);
        let at = |index: usize| {
            let share = duration * (index as u64).min(length) / length;
            said.start_ms + u32::try_from(share).unwrap_or(0)
        };
        let end = span.characters.end.min(said.text.len());
        let start = span.characters.start.min(end);
        Evidence {
            channel: said.channel,
            start_ms: at(start),
            end_ms: at(end),
            text: said.text[start..end].iter().collect(),
        }
    }

    /// The proof of a whole utterance.
    pub fn whole(&self, utterance: usize) -> Evidence {
        self.evidence(&Span { utterance, characters: 0..self.said[utterance].text.len() })
    }
}

impl Said {
    /// The characters behind a range of sounds, punctuation inside included.
    pub fn characters(&self, sounds: &Range<usize>) -> Range<usize> {
        match (self.sounds.get(sounds.start), sounds.end.checked_sub(1).and_then(|last| self.sounds.get(last))) {
            (Some(first), Some(last)) if sounds.start < sounds.end => first.at..last.at + 1,
            (Some(first), _) => first.at..first.at,
            _ => self.text.len()..self.text.len(),
        }
    }

    /// The sounds from the start of the clause around `at` to its end; pauses cut clauses.
    pub fn clause(&self, at: usize) -> Range<usize> {
        let last = self.sounds.len().saturating_sub(1);
        let start = (0..=at.min(last)).rev().find(|index| self.opens(*index)).unwrap_or(0);
        let end = (at + 1..self.sounds.len()).find(|index| self.opens(*index)).unwrap_or(self.sounds.len());
        start..end
    }

    /// Whether a clause begins with this sound.
    pub fn opens(&self, at: usize) -> bool {
        at == 0 || self.sounds.get(at).is_some_and(|sound| sound.after_pause)
    }

    /// Whether nothing follows `end` without a pause.
    pub fn closes(&self, end: usize) -> bool {
        self.sounds.get(end).is_none_or(|sound| sound.after_pause)
    }

    /// Whether the sounds from `start` on were written as `word`.
    pub fn reads(&self, start: usize, word: &str) -> bool {
        let mut here = self.sounds.get(start..).unwrap_or_default().iter();
        word.chars().all(|wanted| here.next().is_some_and(|sound| sound.character == wanted))
    }

    /// The text with every one of `words` written as it should be. As long as the text, so that positions stay.
    pub fn mended(&self, words: &Words) -> Vec<char> {
        let mut text = self.text.clone();
        let mut at = 0;
        while at < self.sounds.len() {
            let Some((end, word)) = words.at(self, at) else {
                at += 1;
                continue;
            };
            for (sound, written) in self.sounds[at..end].iter().zip(&word.written) {
                text[sound.at] = *written;
            }
            at = end;
        }
        text
    }

    /// The words of a range of sounds, without punctuation.
    pub fn words(&self, sounds: Range<usize>) -> String {
        self.sounds[sounds].iter().map(|sound| sound.character).collect()
    }

    /// Whether the sounds just before `end` are those of `phrase`.
    pub fn ends_with(&self, end: usize, phrase: &[Reading]) -> bool {
        end.checked_sub(phrase.len()).is_some_and(|start| self.starts_with(start, phrase))
    }

    /// Whether the sounds from `start` on are those of `phrase`.
    pub fn starts_with(&self, start: usize, phrase: &[Reading]) -> bool {
        self.sounds
            .get(start..start + phrase.len())
            .is_some_and(|here| here.iter().zip(phrase).all(|(sound, wanted)| sound.reading.same(*wanted)))
    }
}

/// A list of phrases, compared by sound.
#[derive(Clone, Debug)]
pub(super) struct Phrases(Vec<Vec<Reading>>);

impl Phrases {
    pub fn new(phrases: &[&str]) -> Self {
        Self(phrases.iter().map(|phrase| readings(phrase)).filter(|phrase| !phrase.is_empty()).collect())
    }

    /// From one text with spaces between the phrases.
    pub fn of(words: &str) -> Self {
        Self::new(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Whether one of them stands just before `end`.
    pub fn before(&self, said: &Said, end: usize) -> bool {
        self.before_from(said, end, 0)
    }

    /// Whether one of them stands just before `end` without reaching back beyond `floor`.
    pub fn before_from(&self, said: &Said, end: usize, floor: usize) -> bool {
        self.0.iter().any(|phrase| floor + phrase.len() <= end && said.ends_with(end, phrase))
    }

    /// Whether one of them stands at `start`.
    pub fn after(&self, said: &Said, start: usize) -> bool {
        self.0.iter().any(|phrase| said.starts_with(start, phrase))
    }

    /// Whether one of them lies wholly inside the range.
    pub fn inside(&self, said: &Said, range: &Range<usize>) -> bool {
        self.first(said, range).is_some()
    }

    /// Where the first of them inside the range lies.
    pub fn first(&self, said: &Said, range: &Range<usize>) -> Option<Range<usize>> {
        range.clone().find_map(|start| {
            self.0
                .iter()
                .filter(|phrase| start + phrase.len() <= range.end)
                .find(|phrase| said.starts_with(start, phrase))
                .map(|phrase| start..start + phrase.len())
        })
    }
}

/// Words compared by sound, of which at least one character was heard to the letter: 宝密 is 保密, 爆米 is not.
#[derive(Clone, Debug)]
pub(super) struct Words(Vec<Word>);

#[derive(Clone, Debug)]
pub(super) struct Word {
    sounds: Vec<Reading>,
    pub written: Vec<char>,
    /// One syllable of a long word may be off.
    loose: bool,
}

impl Words {
    /// From one text with spaces between the words; the longest is found first.
    pub fn of(words: &str) -> Self {
        Self::new(words, false)
    }

    /// Words to write as they should be: of a long one a syllable may be off (尽快解解).
    pub fn spelling(words: &str) -> Self {
        Self::new(words, true)
    }

    fn new(words: &str, loose: bool) -> Self {
        let word = |word: &str| Word { sounds: readings(word), written: word.chars().collect(), loose };
        let mut words: Vec<Word> = words.split_whitespace().map(word).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.sounds.len()));
        Self(words)
    }

    /// Where the longest of them that stands at `start` ends, and which it is.
    pub fn at(&self, said: &Said, start: usize) -> Option<(usize, &Word)> {
        self.0.iter().find(|word| word.stands(said, start)).map(|word| (start + word.sounds.len(), word))
    }

    /// Whether one of them stands just before `end`.
    pub fn before(&self, said: &Said, end: usize) -> bool {
        self.0.iter().any(|word| end.checked_sub(word.sounds.len()).is_some_and(|start| word.stands(said, start)))
    }

    /// Whether one of them stands at `start`.
    pub fn after(&self, said: &Said, start: usize) -> bool {
        self.at(said, start).is_some()
    }

    /// Where the first of them inside the range lies.
    pub fn first(&self, said: &Said, range: &Range<usize>) -> Option<Range<usize>> {
        range.clone().find_map(|start| {
            let fits = |word: &&Word| start + word.sounds.len() <= range.end && word.stands(said, start);
            self.0.iter().find(fits).map(|word| start..start + word.sounds.len())
        })
    }

    /// Whether one of them lies wholly inside the range.
    pub fn inside(&self, said: &Said, range: &Range<usize>) -> bool {
        self.first(said, range).is_some()
    }

    /// Whether one of them is said anywhere.
    pub fn within(&self, said: &Said) -> bool {
        self.inside(said, &(0..said.sounds.len()))
    }
}

impl Word {
    fn stands(&self, said: &Said, start: usize) -> bool {
        let Some(here) = said.sounds.get(start..start + self.sounds.len()) else { return false };
        let literal = here.iter().zip(&self.written).filter(|(sound, written)| sound.character == **written).count();
        if literal == 0 || here.iter().skip(1).any(|sound| sound.after_pause) {
            return false;
        }
        let mut apart = here.iter().zip(&self.sounds).filter(|(sound, wanted)| !sound.reading.same(**wanted));
        match (apart.next(), apart.next()) {
            (None, _) => true,
            (Some((sound, wanted)), None) => {
                self.loose && here.len() >= LONG && literal >= 2 && sound.reading.cost(*wanted) <= OFF
            }
            _ => false,
        }
    }
}
