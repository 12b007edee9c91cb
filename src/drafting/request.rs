//! What the caller wants of the line: 咨询, 求助, 投诉, 举报, 建议, 表扬.

use super::heard::{Heard, Phrases, Span};
use crate::domain::{
    city::{City, Leaf},
    draft::{Alternative, Evidence, Field, Source},
    transcript::Channel,
};

/// Words that name the request type, strongest first.
const WORDS: &[(&str, &[&str])] = &[
    (
        "表扬",
        &["表扬", "送锦旗", "锦旗", "来感谢", "非常感谢他", "特别感谢", "感谢一下", "点个赞", "表示感谢", "谢谢他们"],
    ),
    ("举报", &["举报", "检举"]),
    ("投诉", &["投诉", "要个说法", "我要告"]),
    ("建议", &["建议", "提个意见", "提一个意见", "希望能增设"]),
    (
        "咨询",
        &[
            "咨询",
            "想问一下",
            "问一下",
            "想问问",
            "想了解",
            "请问",
            "需要什么材料",
            "需要哪些材料",
            "怎么办理",
            "怎么申请",
            "打听一下",
            "有什么条件",
            "什么政策",
            "在哪里办",
            "在哪办",
            "能不能办",
        ],
    ),
    ("求助", &["求助", "帮帮忙", "帮我们", "帮帮我", "救救"]),
    ("投诉", &["反映"]),
];

/// Reads the request type from the words, else from what is usual in the category.
pub(super) fn judge(heard: &Heard, city: &City, leaf: Option<&Leaf>) -> Field<String> {
    let usual = leaf.map(|leaf| leaf.types.as_slice()).unwrap_or_default();
    let mut alternatives: Vec<Alternative<String>> = Vec::new();
    let mut offer = |value: &str, confidence: f32| {
        if alternatives.iter().all(|known| known.value != value) {
            alternatives.push(Alternative { value: value.to_owned(), confidence });
        }
    };
    let said = spoken(heard, city, usual);
    if let Some((name, _, confidence)) = &said {
        offer(name, *confidence);
    }
    for (order, name) in usual.iter().take(3).enumerate() {
        offer(name, if order == 0 { 0.6 } else { 0.25 });
    }
    if alternatives.is_empty() {
        return Field::default();
    }
    let first = alternatives.remove(0);
    let (source, evidence) = match said {
        Some((_, evidence, _)) => (Source::Speech, vec![evidence]),
        None => (Source::Rule, Vec::new()),
    };
    Field { value: Some(first.value), confidence: first.confidence, source: Some(source), evidence, alternatives }
}

/// Whether the caller praises or thanks.
pub(super) fn praises(heard: &Heard) -> bool {
    let words = Phrases::new(WORDS[0].1);
    let grievance = Phrases::new(&["投诉", "举报", "着火", "煤气"]);
    let any = |words: &Phrases| heard.of(Channel::Caller).any(|(_, said)| words.inside(said, &(0..said.sounds.len())));
    any(&words) && !any(&grievance)
}

fn spoken(heard: &Heard, city: &City, usual: &[String]) -> Option<(String, Evidence, f32)> {
    for (name, words) in WORDS {
        if !city.request_types.iter().any(|known| known.name == *name) {
            continue;
        }
        let phrases = Phrases::new(words);
        for (utterance, said) in heard.of(Channel::Caller) {
            let Some(sounds) = phrases.first(said, &(0..said.sounds.len())) else { continue };
            let fits = usual.is_empty() || usual.iter().any(|known| known == name);
            // 反映 is said of anything; 请问 opens many a plea for help.
            if *name == "投诉" && words.contains(&"反映") && !fits {
                continue;
            }
            let weak = *name == "咨询" && !fits;
            if weak && !usual.is_empty() {
                continue;
            }
            let span = Span { utterance, characters: said.characters(&sounds) };
            return Some((name.to_string(), heard.evidence(&span), if fits { 0.9 } else { 0.75 }));
        }
    }
    None
}
