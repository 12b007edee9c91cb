//! The city's places as sounds, and every stretch of an utterance that sounds like one of them.

use std::ops::Range;

use super::{
    heard::Said,
    sound::{Reading, readings},
};
use crate::domain::city::City;

/// Cost of a syllable lost or added.
const GAP: f32 = 0.9;
/// Cost of a filler such as 嗯 inside a name.
const FILLER_GAP: f32 = 0.35;
/// A suffix syllable further off than this is not that suffix.
const SUFFIX_COST: f32 = 0.45;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Area,
    Town,
    Estate,
}

/// One place of the gazetteer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `371526`, `371526/鱼邱湖街道` or `E009`.
    pub id: String,
    pub kind: Kind,
    /// The area's code.
    pub area: String,
    /// The town's name; of an estate, the one it lies in.
    pub town: Option<String>,
    /// As written, without notes in brackets.
    pub name: String,
    forms: Vec<Form>,
}

/// One way to say a place: what has to be heard, and what may follow.
#[derive(Clone, Debug)]
struct Form {
    base: Vec<Reading>,
    written: Vec<char>,
    suffixes: Vec<Vec<Reading>>,
    /// The base alone is not enough: 振兴 is 振兴小区 only with at least 小.
    needs_suffix: bool,
    /// Short for something longer (开发区): counts only as heard to the letter.
    short: bool,
    /// The full name, with the word that says what it is (冠县, 贾镇, 经济技术开发区).
    whole: bool,
}

/// A stretch of one utterance that sounds like a place.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub place: usize,
    pub sounds: Range<usize>,
    /// Sounds of the name itself, without suffix.
    pub base: Range<usize>,
    /// 1 = exactly the sounds of the name, 0 = nothing of it.
    pub quality: f32,
    /// Heard to the letter.
    pub literal: bool,
    /// Sounds of a suffix (街道, 小区 …) that were heard.
    pub suffix: usize,
    /// Syllables of the name.
    pub length: usize,
    /// The name itself says what it is (冠县).
    pub whole: bool,
    /// Weight against other readings of the same stretch; grows with what is covered.
    pub score: f32,
}

/// All places of a city.
#[derive(Clone, Debug)]
pub(super) struct Gazetteer {
    pub places: Vec<Place>,
    fillers: Vec<Reading>,
}

impl Place {
    pub fn is_estate(&self) -> bool {
        self.kind == Kind::Estate
    }
}

impl Gazetteer {
    pub fn new(city: &City) -> Self {
        let mut places = Vec::new();
        for area in &city.areas {
            places.push(Place {
                id: area.code.clone(),
                kind: Kind::Area,
                area: area.code.clone(),
                town: None,
                name: area.name.clone(),
                forms: area_forms(&area.name),
            });
            for town in &area.towns {
                places.push(Place {
                    id: format!("{}/{town}", area.code),
                    kind: Kind::Town,
                    area: area.code.clone(),
                    town: Some(town.clone()),
                    name: town.clone(),
                    forms: town_forms(town),
                });
            }
        }
        for estate in &city.estates {
            let name = estate.name.split(['(', '（']).next().unwrap_or_default().to_owned();
            places.push(Place {
                id: estate.code.clone(),
                kind: Kind::Estate,
                area: estate.area.clone(),
                town: Some(estate.town.clone()),
                forms: estate_forms(&name),
                name,
            });
        }
        Self { places, fillers: readings("嗯呃啊那个的") }
    }

    /// Whether `inner` lies in `outer` (or is it).
    pub fn within(&self, inner: usize, outer: usize) -> bool {
        let (inner, outer) = (&self.places[inner], &self.places[outer]);
        inner.id == outer.id
            || inner.area == outer.area
                && match outer.kind {
                    Kind::Area => true,
                    Kind::Town => inner.kind == Kind::Estate && inner.town == outer.town,
                    Kind::Estate => false,
                }
    }

    /// Everything in an utterance that sounds like a place, overlapping readings included.
    pub fn candidates(&self, said: &Said) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            for form in &place.forms {
                search(said, index, form, &mut found);
            }
        }
        found
    }

    /// Whether only fillers (or nothing) stand between two positions.
    pub fn only_fillers(&self, said: &Said, range: Range<usize>) -> bool {
        range.len() <= 3
            && said.sounds[range].iter().all(|sound| self.fillers.iter().any(|filler| filler.same(sound.reading)))
    }
}

/// Alignment of the name against every stretch of the utterance (Sellers' algorithm, with the start carried along).
fn search(said: &Said, place: usize, form: &Form, found: &mut Vec<Candidate>) {
    let length = form.base.len();
    let limit = if form.short { 0.0 } else { allowed(length) };
    let gaps = length > 2;
    let mut column: Vec<(f32, usize)> = (0..=length).map(|row| (GAP * count(row), 0)).collect();
    let mut ends: Vec<(f32, Range<usize>)> = Vec::new();
    for (at, sound) in said.sounds.iter().enumerate() {
        let filler = "嗯呃啊那个的".contains(sound.character);
        let extra = if filler { FILLER_GAP } else { GAP };
        let mut diagonal = column[0];
        diagonal.1 = at;
        column[0] = (0.0, at + 1);
        for row in 1..=length {
            let above = column[row - 1];
            let left = column[row];
            let matched = (diagonal.0 + form.base[row - 1].cost(sound.reading), diagonal.1);
            let mut best = matched;
            if gaps {
                // A name neither begins nor ends with a syllable that is not its own.
                if row > 1 && row < length && left.0 + extra < best.0 {
                    best = (left.0 + extra, left.1);
                }
                if above.0 + GAP < best.0 {
                    best = (above.0 + GAP, above.1);
                }
            }
            diagonal = left;
            column[row] = best;
        }
        let (cost, start) = column[length];
        if cost <= limit && start <= at {
            ends.push((cost, start..at + 1));
        }
    }
    for (cost, base) in ends {
        admit(said, place, form, cost, base, found);
    }
}

/// Notes an alignment if enough of it is sure.
fn admit(said: &Said, place: usize, form: &Form, cost: f32, base: Range<usize>, found: &mut Vec<Candidate>) {
    let length = form.base.len();
    let (suffix, gain) = best_suffix(said, base.end, &form.suffixes);
    if form.needs_suffix && suffix == 0 {
        return;
    }
    let literal = said.sounds[base.clone()].iter().map(|sound| sound.character).eq(form.written.iter().copied());
    let score = 1.1 * count(length) - 2.0 * cost + 0.8 * gain + if literal { 0.1 } else { 0.0 };
    if score <= 0.3 {
        return;
    }
    let quality = 1.0 - cost / count(length);
    let sounds = base.start..base.end + suffix;
    found.push(Candidate { place, sounds, base, quality, literal, suffix, length, whole: form.whole, score });
}

/// Total cost at which a name of so many syllables is still recognised.
fn allowed(length: usize) -> f32 {
    match length {
        0 => -1.0,
        1 => 0.0,
        2 => 0.6,
        3 => 1.16,
        4 => 1.5,
        more => 0.34 * count(more),
    }
}

/// Sounds and weight of the suffix that fits best; a suffix may be cut short.
fn best_suffix(said: &Said, start: usize, suffixes: &[Vec<Reading>]) -> (usize, f32) {
    let mut best = (0, 0.0);
    for suffix in suffixes {
        let mut gain = 0.0;
        let mut length = 0;
        for (wanted, sound) in suffix.iter().zip(&said.sounds[start..]) {
            let cost = wanted.cost(sound.reading);
            if cost > SUFFIX_COST {
                break;
            }
            gain += 1.0 - 2.0 * cost;
            length += 1;
        }
        // A lone first syllable of 街道 or 办事处 proves nothing; 小 of 小区 does, said right after a name.
        let lone = length == 1 && suffix.len() > 1;
        if lone && said.sounds.get(start).is_none_or(|sound| !suffix[0].same(sound.reading) || suffix.len() > 2) {
            continue;
        }
        if gain > best.1 {
            best = (length, gain);
        }
    }
    best
}

pub(super) fn count(n: usize) -> f32 {
    f32::from(u16::try_from(n).unwrap_or(u16::MAX))
}

fn form(base: &str, suffixes: &[&str]) -> Form {
    Form {
        base: readings(base),
        written: base.chars().collect(),
        suffixes: suffixes.iter().map(|suffix| readings(suffix)).collect(),
        needs_suffix: false,
        short: false,
        whole: base.ends_with(['区', '县', '市', '镇', '乡']) && base.chars().count() > 1,
    }
}

/// 东昌府区: with and without 区; of zones the usual short names.
fn area_forms(name: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let short = |text: &str| Form { short: true, ..form(text, &[]) };
    let base: String = name.strip_suffix(['区', '县', '市']).unwrap_or(name).to_owned();
    let kind = &name[base.len()..];
    if base.chars().count() >= 4 || base.chars().count() < 2 {
        forms.push(form(name, &[]));
    } else {
        forms.push(form(&base, &[kind]));
    }
    for (long, shorts) in [
        ("经济技术开发区", ["经济开发区", "经开区", "开发区"].as_slice()),
        ("高新技术产业开发区", ["高新技术开发区", "高新区", "高新开发区"].as_slice()),
        ("旅游度假区", ["旅游度假区", "度假区"].as_slice()),
    ] {
        if name.ends_with(long) {
            forms.extend(shorts.iter().map(|text| short(text)));
        }
    }
    forms
}

/// 柳园街道, 柳园办事处, 柳园; 许营镇, 许营; 张鲁回族镇, 张鲁镇.
fn town_forms(name: &str) -> Vec<Form> {
    const STREET: [&str; 5] = ["街道办事处", "街道办", "街道", "办事处", "街办"];
    let mut forms = Vec::new();
    if let Some(base) = name.strip_suffix("街道") {
        forms.push(form(base, &STREET));
    } else if let Some(base) = name.strip_suffix(['镇', '乡']) {
        let kind = &name[base.len()..];
        if base.chars().count() < 2 {
            forms.push(form(name, &[]));
        } else {
            forms.push(form(base, &[kind, "镇政府"]));
        }
        if let Some(people) = base.find("回族") {
            forms.push(form(&base[..people], &[kind]));
        }
    } else {
        forms.push(form(name, &[]));
    }
    forms
}

/// 光岳新村, 光岳新村小区; 古运河小区, 古运河; 振兴小区 (振兴 alone is too short to be a home).
fn estate_forms(name: &str) -> Vec<Form> {
    match name.strip_suffix("小区") {
        Some(base) => {
            let needs_suffix = base.chars().count() < 3;
            vec![Form { needs_suffix, ..form(base, &["小区"]) }]
        }
        None => vec![form(name, &["小区"])],
    }
}
