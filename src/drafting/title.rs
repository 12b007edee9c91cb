//! A short title and a tidy description from the caller's own words.

use super::{
    address::in_digits,
    heard::{Heard, Said, Span},
    sound::readings,
};
use crate::domain::{
    city::Leaf,
    draft::{Evidence, Field, Source},
    transcript::Channel,
};

/// Characters of the clause that stands in a title.
const CLAUSE: usize = 16;
/// Characters of a description.
const LONGEST: usize = 2_000;
/// What callers open with.
const OPENINGS: [&str; 24] = [
    "你好",
    "您好",
    "喂",
    "我想反映一下",
    "我要反映一下",
    "我要反映",
    "我想反映",
    "反映一下",
    "我要投诉",
    "我想投诉",
    "投诉一下",
    "我想咨询一下",
    "我想问一下",
    "想问一下",
    "咨询一下",
    "我是来",
    "就是",
    "那个",
    "嗯",
    "呃",
    "啊",
    "我们",
    "我",
    "的问题",
];

/// What the title is made of.
pub(super) struct Parts<'a> {
    pub place: Option<&'a str>,
    pub building: Option<&'a str>,
    pub leaf: Option<&'a Leaf>,
    pub request_type: Option<&'a str>,
    /// The clause that says most about the category.
    pub clause: Option<&'a Span>,
}

/// `place` + matter, for instance 光岳新村3号楼停水.
pub(super) fn title(heard: &Heard, parts: &Parts<'_>) -> Field<String> {
    let mut evidence: Vec<Evidence> = Vec::new();
    let matter = match parts.leaf.map(|leaf| keywords(heard, leaf)).filter(|found| !found.is_empty()) {
        Some(found) => {
            let mut matter = String::new();
            for (word, span) in found {
                matter.push_str(&word);
                evidence.push(heard.evidence(&span));
            }
            matter
        }
        None => match parts.clause {
            Some(span) => {
                evidence.push(heard.evidence(span));
                let clause: String = heard.said[span.utterance].text[span.characters.clone()].iter().collect();
                in_digits(trim(&clause)).chars().take(CLAUSE).collect()
            }
            None => return Field::default(),
        },
    };
    let place = format!("{}{}", parts.place.unwrap_or_default(), parts.building.unwrap_or_default());
    let value = match parts.request_type {
        Some("表扬") => format!("表扬{place}{}", matter.trim_start_matches("表扬").trim_start_matches("感谢")),
        Some(kind @ ("咨询" | "建议")) if !matter.contains(kind) => format!("{place}{matter}{kind}"),
        _ => format!("{place}{matter}"),
    };
    Field { value: Some(value), confidence: 0.6, source: Some(Source::Speech), evidence, alternatives: Vec::new() }
}

/// The caller's words without openings, one paragraph.
pub(super) fn description(heard: &Heard) -> Field<String> {
    let mut text = String::new();
    let mut evidence = Vec::new();
    for (utterance, said) in heard.of(Channel::Caller) {
        let words: String = said.text.iter().collect();
        let words = words.trim().replace(',', "，").replace('?', "？").replace('!', "！");
        let words = words.trim_start_matches(['，', '。', '、']);
        let words = ["喂，", "你好，", "您好，", "嗯，", "呃，"]
            .iter()
            .fold(words, |rest, opening| rest.strip_prefix(opening).unwrap_or(rest));
        if words.is_empty() || text.chars().count() + words.chars().count() > LONGEST {
            continue;
        }
        text.push_str(words);
        if !text.ends_with(['。', '！', '？', '，']) {
            text.push('。');
        }
        evidence.push(heard.whole(utterance));
    }
    if text.is_empty() {
        return Field::default();
    }
    Field { value: Some(text), confidence: 0.7, source: Some(Source::Speech), evidence, alternatives: Vec::new() }
}

fn trim(clause: &str) -> &str {
    let mut rest = clause;
    loop {
        let shorter = OPENINGS.iter().find_map(|opening| rest.strip_prefix(opening)).unwrap_or(rest);
        let shorter = shorter.trim_start_matches(|character: char| !character.is_alphanumeric());
        if shorter == rest {
            return rest.strip_suffix("的问题").unwrap_or(rest).trim_end_matches(['了', '啊', '吧']);
        }
        rest = shorter;
    }
}

/// Up to two keywords of the leaf as they were heard first, in the order of the call.
fn keywords(heard: &Heard, leaf: &Leaf) -> Vec<(String, Span)> {
    let mut found: Vec<(String, Span)> = Vec::new();
    for keyword in &leaf.keywords {
        let sounds = readings(keyword);
        if sounds.len() < 2 {
            continue;
        }
        let first = heard.of(Channel::Caller).find_map(|(utterance, said)| {
            hears(said, keyword, &sounds).map(|range| Span { utterance, characters: said.characters(&range) })
        });
        if let Some(span) = first {
            let overlaps = found.iter().any(|(_, known)| {
                known.utterance == span.utterance
                    && known.characters.start < span.characters.end
                    && span.characters.start < known.characters.end
            });
            if !overlaps {
                found.push((keyword.clone(), span));
            }
        }
    }
    found.sort_by_key(|(_, span)| (span.utterance, span.characters.start));
    found.truncate(2);
    found
}

/// A keyword by sound; two syllables need a character of their own.
fn hears(said: &Said, keyword: &str, sounds: &[super::sound::Reading]) -> Option<std::ops::Range<usize>> {
    (0..said.sounds.len()).find_map(|start| {
        let range = start..start + sounds.len();
        if !said.starts_with(start, sounds) {
            return None;
        }
        let heard = said.words(range.clone());
        let shared = heard.chars().zip(keyword.chars()).filter(|(a, b)| a == b).count();
        (shared >= 1).then_some(range)
    })
}
