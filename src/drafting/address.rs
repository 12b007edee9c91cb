//! The address in free words: estate with building, unit and room; a crossing of roads; a village; a gate.

use std::sync::LazyLock;

use super::{
    heard::{Heard, Span, Words},
    numerals::{fold, fold_before, is_numeral},
};
use crate::domain::{
    draft::{Evidence, Field, Source},
    transcript::Channel,
};

/// What the rest of the draft knows of the place.
pub(super) struct Known<'a> {
    /// Name of the estate or town (or area).
    pub name: Option<&'a str>,
    pub estate: bool,
    pub confidence: f32,
    pub spans: &'a [Span],
    /// Another town that a road leads to.
    pub destination: Option<&'a str>,
}

/// An address and what of it stands in a title.
#[derive(Debug, Default)]
pub(super) struct Address {
    pub field: Field<String>,
    /// The address without unit, room and floor.
    pub spot: Option<String>,
}

const ENDINGS: [char; 2] = ['路', '街'];
/// Spots near a place, longest first.
const SPOTS: [&str; 40] = [
    "北门外面",
    "南门外面",
    "东门外面",
    "西门外面",
    "大门口",
    "北门外",
    "南门外",
    "东门外",
    "西门外",
    "北门口",
    "南门口",
    "东门口",
    "西门口",
    "对面的工地",
    "对面工地",
    "旁边的工地",
    "附近的工地",
    "一个工地",
    "的工地",
    "对面的饭店",
    "楼下的饭店",
    "门口",
    "北门",
    "南门",
    "东门",
    "西门",
    "地下车库",
    "地下室",
    "广场",
    "村口",
    "村头",
    "村委会",
    "工地",
    "学校",
    "菜市场",
    "对面",
    "楼下",
    "旁边",
    "附近",
    "路边",
];

/// Spots that are written as they should be before they are looked for: 对面的功底 is 对面的工地.
static SITES: LazyLock<Words> = LazyLock::new(|| {
    Words::spelling("对面的工地 旁边的工地 附近的工地 的工地 一个工地 地下车库 地下室 村委会 菜市场 交叉口")
});

pub(super) fn find(heard: &Heard, known: &Known<'_>) -> Address {
    let mut text = String::new();
    let mut spans: Vec<Span> = Vec::new();
    let mut within = String::new();
    if let Some(crossing) = crossing(heard) {
        text.push_str(&crossing.0);
        within = crossing.1;
        spans.push(crossing.2);
    } else {
        text.push_str(known.name.unwrap_or_default());
        if let Some((number, rest, span)) = house(heard).filter(|_| known.name.is_some()) {
            text.push_str(&number);
            within = rest;
            spans.push(span);
        } else if let (false, Some(destination)) = (known.estate, known.destination) {
            text.push('至');
            text.push_str(destination);
            text.push_str("道路");
        } else {
            if let Some((village, span)) = village(heard, known.spans).filter(|_| !known.estate && known.name.is_some())
            {
                text.push_str(&village);
                spans.push(span);
            }
            if let Some((spot, span)) = spot(heard, known) {
                text.push_str(&spot);
                spans.push(span);
            }
        }
    }
    if text.is_empty() {
        return Address::default();
    }
    let spot = text.clone();
    text.push_str(&within);
    let mut evidence: Vec<Evidence> =
        known.spans.iter().take(1).chain(&spans).map(|span| heard.evidence(span)).collect();
    evidence.truncate(4);
    let confidence = if known.name.is_some() { known.confidence * 0.9 } else { 0.6 };
    let field =
        Field { value: Some(text), confidence, source: Some(Source::Speech), evidence, alternatives: Vec::new() };
    Address { field, spot: Some(spot) }
}

/// Building with unit and room of the first building that is named.
fn house(heard: &Heard) -> Option<(String, String, Span)> {
    for (utterance, said) in heard.of(Channel::Caller) {
        let text = &said.text;
        for at in 0..text.len() {
            let Some((number, mut end)) = numbered(text, at, &["号楼", "栋楼", "栋", "幢"]) else { continue };
            let mut rest = String::new();
            if let Some((unit, next)) = numbered(text, end, &["单元"]) {
                rest.push_str(&unit);
                end = next;
            }
            if let Some((room, next)) = numbered(text, end, &["室", "号房", "户", ""])
                && room.chars().filter(char::is_ascii_digit).count() >= 3
            {
                rest.push_str(&room);
                end = next;
            }
            return Some((number, rest, Span { utterance, characters: at..end }));
        }
    }
    None
}

/// A number with one of the units at a position: 三号楼 as 3号楼, and where it ends.
fn numbered(text: &[char], at: usize, units: &[&str]) -> Option<(String, usize)> {
    if at >= text.len() || !is_numeral(text[at]) || at > 0 && is_numeral(text[at - 1]) {
        return None;
    }
    let end = (at..text.len()).find(|next| !is_numeral(text[*next])).unwrap_or(text.len());
    let digits = fold(&text[at..end])?;
    let rest: String = text[end..].iter().take(3).collect();
    let unit = units.iter().find(|unit| rest.starts_with(**unit))?;
    Some((format!("{digits}{unit}"), end + unit.chars().count()))
}

/// 柳园路和东昌路交叉口, and apart from it floor and corner where said.
fn crossing(heard: &Heard) -> Option<(String, String, Span)> {
    for (utterance, said) in heard.of(Channel::Caller) {
        let text = &said.text;
        for joint in 1..text.len() {
            if !"和与跟同".contains(text[joint]) || !ENDINGS.contains(&text[joint - 1]) {
                continue;
            }
            let Some(end) = (joint + 2..text.len().min(joint + 6)).find(|at| ENDINGS.contains(&text[*at])) else {
                continue;
            };
            let tail: String = text[end + 1..].iter().take(4).collect();
            let Some(kind) = ["交叉路口", "交叉口", "路口", "交汇处", "交口", "十字路口", "口"]
                .into_iter()
                .find(|kind| tail.starts_with(kind))
            else {
                continue;
            };
            let start = road_start(text, joint - 1);
            let mut address: String = text[start..joint].iter().collect();
            address.push('与');
            address.extend(&text[joint + 1..=end]);
            address.push_str(kind);
            let mut last = end + 1 + kind.chars().count();
            let mut within = String::new();
            if let Some((floor, next)) = floor(text, last) {
                within.push_str(&floor);
                last = next;
            }
            if let Some(corner) = corner(heard) {
                within.push_str(corner);
            }
            return Some((address, within, Span { utterance, characters: start..last }));
        }
    }
    None
}

/// Start of a road's name that ends at `end`: two or three characters, stopping at words that are no name.
fn road_start(text: &[char], end: usize) -> usize {
    let mut start = end;
    while start > 0 && end - start < 3 {
        let before = text[start - 1];
        if !before.is_alphabetic() || "在是的到从住好们就".contains(before) {
            break;
        }
        start -= 1;
    }
    start
}

fn floor(text: &[char], at: usize) -> Option<(String, usize)> {
    let at = if text.get(at) == Some(&'的') { at + 1 } else { at };
    numbered(text, at, &["楼", "层"])
}

fn corner(heard: &Heard) -> Option<&'static str> {
    let words = heard.text(Channel::Caller);
    ["东北角", "东南角", "西北角", "西南角"].into_iter().find(|corner| words.contains(corner))
}

/// 刘庄村: two or three characters before 村 that name it.
///
/// * `named` — where the place was named; its last syllable is none of the village's (安乐阵流庄村).
fn village(heard: &Heard, named: &[Span]) -> Option<(String, Span)> {
    for (utterance, said) in heard.of(Channel::Caller) {
        let text = &said.text;
        let taken = |at: usize| named.iter().any(|span| span.utterance == utterance && span.characters.contains(&at));
        for at in 2..text.len() {
            if text[at] != '村' || text.get(at + 1).is_some_and(|next| "村里民委支主".contains(*next) && *next == '村')
            {
                continue;
            }
            let mut start = at;
            while start > 0 && at - start < 3 {
                let before = text[start - 1];
                if !before.is_alphabetic()
                    || taken(start - 1)
                    || "镇乡街道们个全本农乡各哪县区市的是在新到".contains(before)
                {
                    break;
                }
                start -= 1;
            }
            if at - start >= 2 {
                return Some((text[start..=at].iter().collect(), Span { utterance, characters: start..at + 1 }));
            }
        }
    }
    None
}

/// A gate, the site opposite …: right behind the name, else the first gate that is spoken of.
fn spot(heard: &Heard, known: &Known<'_>) -> Option<(String, Span)> {
    let tidy = |spot: &str| {
        let spot = spot.trim_start_matches("一个").trim_start_matches('的');
        let spot = spot.replace("对面的", "对面").replace("旁边的", "旁边").replace("附近的", "附近");
        spot.replace("外面", "外").replace("的", "")
    };
    let place = known.spans.first()?;
    let said = &heard.said[place.utterance];
    let text = said.mended(&SITES);
    let (from, to) = (place.characters.end.min(text.len()), (place.characters.end + 12).min(text.len()));
    for at in from..to {
        let rest: String = text[at..].iter().take(5).collect();
        if let Some(spot) = SPOTS.iter().find(|spot| rest.starts_with(**spot)) {
            let characters = at..at + spot.chars().count();
            return Some((tidy(spot), Span { utterance: place.utterance, characters }));
        }
    }
    for (utterance, said) in heard.of(Channel::Caller) {
        for at in 0..said.text.len() {
            let rest: String = said.text[at..].iter().take(4).collect();
            if let Some(spot) = SPOTS[..13].iter().find(|spot| rest.starts_with(**spot)) {
                return Some((tidy(spot), Span { utterance, characters: at..at + spot.chars().count() }));
            }
        }
    }
    None
}

/// Numbers of houses and floors in digits.
pub(super) fn in_digits(text: &str) -> String {
    fold_before(text, &["号楼", "单元", "栋", "室", "楼", "层", "号"])
}
