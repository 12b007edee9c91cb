//! A short title and a tidy description from the caller's own words.

use super::{
    address::in_digits,
    heard::{Heard, Span},
    matters::Matter,
};
use crate::domain::{
    city::Leaf,
    draft::{Field, Source},
    transcript::Channel,
};

/// Characters of a title.
const LONGEST_TITLE: usize = 26;
/// Characters of the clause that stands in a title.
const CLAUSE: usize = 14;
/// Characters of a description.
const LONGEST: usize = 2_000;
/// What callers open with.
const OPENINGS: [&str; 30] = [
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
    "想咨询一下",
    "想打听一下",
    "打听一下",
    "想问问",
    "请问一下",
    "请问",
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
    /// The address without unit and room: 光岳新村3号楼.
    pub spot: Option<&'a str>,
    /// The name of the place.
    pub place: Option<&'a str>,
    pub leaf: Option<&'a Leaf>,
    pub request_type: Option<&'a str>,
    /// What the matter is called, and where it was said.
    pub matter: Option<&'a (&'static Matter, Span)>,
    /// The clause that says most about the category.
    pub clause: Option<&'a Span>,
}

/// Place and matter as a dispatcher writes them: 光岳新村3号楼停水, 许营家园小学入学咨询, 表扬铜城街道社区工作人员.
pub(super) fn title(heard: &Heard, parts: &Parts<'_>) -> Field<String> {
    let praise = parts.request_type == Some("表扬");
    let (matter, evidence) = match (parts.matter, parts.clause) {
        (Some((matter, span)), _) => (matter.name.to_owned(), heard.evidence(span)),
        (None, Some(span)) => (in_own_words(heard, span, parts.leaf), heard.evidence(span)),
        (None, None) => return Field::default(),
    };
    let matter = match parts.request_type {
        Some(kind @ ("咨询" | "建议")) if !matter.contains(kind) => {
            format!("{}{kind}", matter.strip_suffix("问题").unwrap_or(&matter))
        }
        _ if parts.matter.is_some_and(|(matter, _)| matter.subject) => format!("{matter}问题"),
        _ => matter,
    };
    let prefix = if praise && !matter.contains("表扬") { "表扬" } else { "" };
    let room = LONGEST_TITLE.saturating_sub(count(&matter) + count(prefix));
    // A name shorter than the place is better than half of one.
    // 尹集镇至固河镇道路 and 道路破损 share a word.
    let joined = |place: &&str| place.trim_end_matches(shared(place, &matter)).to_owned();
    let place = [parts.spot, parts.place].into_iter().flatten().find(|place| count(place) <= room);
    let place = place.as_ref().map(joined).unwrap_or_default();
    let value: String = format!("{prefix}{place}{matter}").chars().take(LONGEST_TITLE).collect();
    Field {
        value: Some(value),
        confidence: 0.6,
        source: Some(Source::Speech),
        evidence: vec![evidence],
        alternatives: Vec::new(),
    }
}

/// The caller's clause where it is short enough for a title, else the name of the category.
fn in_own_words(heard: &Heard, span: &Span, leaf: Option<&Leaf>) -> String {
    let clause: String = heard.said[span.utterance].text[span.characters.clone()].iter().collect();
    let clause = in_digits(trim(&clause)).replace("怎么", "").replace("如何", "");
    // 电话是…, 你们赶紧来 and the like say nothing of the matter.
    let idle = ["你们", "您", "电话", "我姓", "姓", "谢谢"].iter().any(|word| clause.contains(word));
    match leaf {
        Some(leaf) if idle || count(&clause) > CLAUSE || count(&clause) < 2 => format!("{}问题", leaf.name),
        _ => clause.chars().take(CLAUSE).collect(),
    }
}

/// Two characters or more with which the place ends and the matter begins.
fn shared<'a>(place: &str, matter: &'a str) -> &'a str {
    let ends = matter.char_indices().map(|(at, _)| &matter[..at]).rev();
    ends.into_iter().find(|head| count(head) > 1 && place.ends_with(head)).unwrap_or("\0")
}

fn count(text: &str) -> usize {
    text.chars().count()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::{
        matters,
        tests::{city, heard},
    };

    fn title_of(words: &str, code: &str, kind: &str, spot: Option<&str>) -> String {
        let (heard, city) = (heard(&[words]), city());
        let whole = Span { utterance: 0, characters: 0..heard.said[0].text.len() };
        let leaf = city.leaf(code);
        let matter = if kind == "表扬" { matters::praised(&heard) } else { matters::matter(&heard, leaf, false) };
        let parts = Parts {
            spot,
            place: Some("光岳新村"),
            leaf,
            matter: matter.as_ref(),
            request_type: Some(kind),
            clause: Some(&whole),
        };
        title(&heard, &parts).value.expect("a title")
    }

    #[test]
    fn a_title_is_place_and_matter() {
        let spot = Some("光岳新村3号楼");
        for (expected, code, kind, words) in [
            ("光岳新村3号楼停水", "0202", "求助", "我们三号楼从昨天就停水了，麻烦让自来水公司来修"),
            ("光岳新村3号楼暖气不热", "0201", "求助", "你好我家冷气不热，室内温度只有14度"),
            ("光岳新村3号楼夜间施工噪音", "0501", "投诉", "我要投诉业间施工造音"),
            ("光岳新村3号楼井盖丢失", "0304", "求助", "慢车道上有一个景概不见了"),
            ("光岳新村3号楼小学入学咨询", "0801", "咨询", "我想自行一下孩子上小学的问题"),
            ("光岳新村3号楼养老金问题", "0604", "求助", "我的养老金这个月没有到账"),
            ("光岳新村3号楼道路破损", "0403", "求助", "那条路，坏得太厉害了全是大坑"),
            ("表扬光岳新村3号楼社区工作人员", "1505", "表扬", "是社区的工作人员把他送回了家"),
        ] {
            assert_eq!(title_of(words, code, kind, spot), expected, "{words}");
        }
    }

    #[test]
    fn a_matter_without_a_name_keeps_the_callers_words_or_that_of_the_category() {
        assert_eq!(title_of("我们这里猫太多了", "1002", "求助", None), "光岳新村这里猫太多");
        let long = "我想跟你们说一下就是那个东西它一直在那里放着谁也没有说过什么时候拿走";
        assert_eq!(title_of(long, "1002", "求助", None), "光岳新村治安与养犬问题");
    }

    #[test]
    fn a_title_is_short_and_keeps_the_matter_whole() {
        let spot = Some("聊城市东昌府区柳园路与东昌路交叉口东北角公交站牌旁边");
        let title = title_of("楼道里有很大的煤气味", "0203", "求助", spot);
        assert_eq!(title, "光岳新村燃气泄漏");
        let road = Some("尹集镇至固河镇道路");
        assert_eq!(title_of("路上全是大坑", "0403", "求助", road), "尹集镇至固河镇道路破损");
    }
}
