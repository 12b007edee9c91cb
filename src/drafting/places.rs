//! Which of the places in a call is the place of the matter.
//!
//! Names are found by sound ([`super::gazetteer`]); then the words around each decide what it is: the caller's own
//! place, a landmark, where somebody is registered, something taken back. Short names that are ordinary words too
//! (振兴, 新城, 人和) count only where the words around them speak of a place.

use std::{cmp::Ordering, collections::HashSet, ops::Range};

use super::{
    gazetteer::{Candidate, Gazetteer, Kind, count},
    heard::{Heard, Said, Span},
    place_words::{Cues, ORDINARY},
};
use crate::domain::{
    city::City,
    transcript::{Channel, Transcript, Utterance},
};

/// Alternatives that are given.
const ALTERNATIVES: usize = 3;

/// The place of the matter.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub place: usize,
    pub confidence: f32,
    /// Where it was heard, best first.
    pub spans: Vec<Span>,
}

/// What was found of places in a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub chosen: Option<Located>,
    /// Other places with confidence, best first.
    pub others: Vec<(usize, f32)>,
    /// A landmark or destination with its mention, for the address.
    pub destination: Option<usize>,
}

/// One place as it stands in the call.
#[derive(Clone, Debug)]
struct Mention {
    candidate: Candidate,
    utterance: usize,
    /// Range with the area named just before.
    sounds: Range<usize>,
    /// The area was named just before and fits, or the same place is said twice in a row.
    support: Support,
    /// Above 0 the caller's own place, below a landmark.
    role: f32,
    destination: bool,
    retracted: bool,
}

/// What stands beside a name and makes it surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    None,
    Area,
    Repeated,
}

/// Finds places in what was said.
#[derive(Clone, Debug)]
pub struct PlaceFinder {
    pub(super) gazetteer: Gazetteer,
    /// Ordinary words that sound like a short place name.
    ordinary: HashSet<&'static str>,
    cues: Cues,
}

impl PlaceFinder {
    pub fn new(city: &City) -> Self {
        Self { gazetteer: Gazetteer::new(city), ordinary: ORDINARY.split_whitespace().collect(), cues: Cues::new() }
    }

    /// Id of the place a sentence is about, if it names one.
    pub fn find(&self, text: &str) -> Option<String> {
        let utterance =
            Utterance { channel: Channel::Caller, start_ms: 0, end_ms: 0, text: text.to_owned(), confidence: 1.0 };
        let heard = Heard::new(&Transcript { utterances: vec![utterance], r#final: true });
        let findings = self.locate(&heard);
        findings.chosen.map(|located| self.gazetteer.places[located.place].id.clone())
    }

    pub(super) fn locate(&self, heard: &Heard) -> Findings {
        let mut mentions = Vec::new();
        for (utterance, said) in heard.of(Channel::Caller) {
            mentions.extend(self.mentions(said, utterance));
        }
        if mentions.is_empty() {
            // The operator's words count where the caller says yes to them.
            for (utterance, said) in heard.of(Channel::Operator) {
                let answer = heard.said.get(utterance + 1).filter(|next| next.channel == Channel::Caller);
                if answer.is_some_and(|next| self.cues.yes.after(next, 0)) {
                    mentions.extend(self.mentions(said, utterance));
                }
            }
        }
        self.take_back(heard, &mut mentions);
        self.choose(heard, &mentions)
    }

    /// The places of one utterance, read once each, with their parts in it.
    fn mentions(&self, said: &Said, utterance: usize) -> Vec<Mention> {
        let mut candidates = self.gazetteer.candidates(said);
        let foreign = self.foreign(said, &candidates);
        candidates.retain(|candidate| foreign.iter().all(|range| !overlap(range, &candidate.sounds)));
        // An area just before proves a town or estate of that area, and speaks against others.
        let areas: Vec<Candidate> = candidates
            .iter()
            .filter(|candidate| self.kind(candidate) == Kind::Area && (candidate.suffix > 0 || candidate.whole))
            .cloned()
            .collect();
        let mut mentions: Vec<Mention> = candidates
            .into_iter()
            .map(|candidate| {
                let mut mention = Mention {
                    sounds: candidate.sounds.clone(),
                    candidate,
                    utterance,
                    support: Support::None,
                    role: 0.0,
                    destination: false,
                    retracted: false,
                };
                self.join_area(said, &areas, &mut mention);
                mention
            })
            .collect();
        mentions
            .sort_by(|a, b| b.candidate.score.total_cmp(&a.candidate.score).then(a.sounds.start.cmp(&b.sounds.start)));
        let mut kept: Vec<Mention> = Vec::new();
        for mention in mentions {
            if kept.iter().all(|other| !overlap(&other.sounds, &mention.sounds)) {
                kept.push(mention);
            }
        }
        kept.sort_by_key(|mention| mention.sounds.start);
        for index in 1..kept.len() {
            if kept[index].candidate.place == kept[index - 1].candidate.place
                && kept[index].sounds.start <= kept[index - 1].sounds.end + 1
            {
                kept[index].support = kept[index].support.or(Support::Repeated);
                kept[index - 1].support = kept[index - 1].support.or(Support::Repeated);
            }
        }
        kept.retain(|mention| self.believable(said, mention));
        let mut floor = 0;
        for mention in &mut kept {
            self.judge(said, mention, floor);
            floor = mention.sounds.end;
        }
        kept
    }

    /// Stretches that belong to a city outside: 济南高新区, 邯郸的清平镇.
    fn foreign(&self, said: &Said, candidates: &[Candidate]) -> Vec<Range<usize>> {
        let outside = |start: usize| {
            let joined = start > 0 && said.sounds[start - 1].character == '的';
            self.cues.elsewhere.before(said, start) || joined && self.cues.elsewhere.before(said, start - 1)
        };
        candidates.iter().map(|candidate| candidate.sounds.clone()).filter(|sounds| outside(sounds.start)).collect()
    }

    fn kind(&self, candidate: &Candidate) -> Kind {
        self.gazetteer.places[candidate.place].kind
    }

    fn join_area(&self, said: &Said, areas: &[Candidate], mention: &mut Mention) {
        if self.kind(&mention.candidate) == Kind::Area {
            return;
        }
        let own = &self.gazetteer.places[mention.candidate.place].area;
        let before = areas.iter().filter(|area| {
            area.sounds.end <= mention.sounds.start
                && self.gazetteer.only_fillers(said, area.sounds.end..mention.sounds.start)
        });
        let mut best: Option<&Candidate> = None;
        for area in before {
            if &self.gazetteer.places[area.place].area == own && best.is_none_or(|known| area.score > known.score) {
                best = Some(area);
            }
        }
        if let Some(area) = best {
            mention.candidate.score += area.score.max(0.0) + 0.8;
            mention.sounds.start = area.sounds.start;
            mention.support = Support::Area;
        }
    }

    /// Whether a stretch that sounds like a place is meant as one.
    fn believable(&self, said: &Said, mention: &Mention) -> bool {
        let candidate = &mention.candidate;
        let place = &self.gazetteer.places[candidate.place];
        let end = mention.sounds.end;
        let bare = candidate.suffix == 0;
        let full_suffix =
            candidate.suffix >= if place.kind == Kind::Area || place.name.ends_with('镇') { 1 } else { 2 };
        if mention.support == Support::Area {
            return candidate.quality > 0.6 || full_suffix;
        }
        let road = place.name.contains("路街道") || self.cues.road_after.after(said, end);
        if bare && place.kind != Kind::Estate && road {
            return false;
        }
        let last = said.sounds[end - 1].character;
        if bare && "路街".contains(last) && !place.name.contains(last) {
            return false;
        }
        if bare && self.cues.not_place_after.after(said, end) {
            return false;
        }
        if bare && place.kind == Kind::Town && self.cues.not_place_before.before(said, mention.sounds.start) {
            return false;
        }
        if full_suffix {
            return candidate.quality >= 0.7 || candidate.length > 2;
        }
        let repeated = mention.support == Support::Repeated;
        let before = self.cues.place_before.before(said, mention.sounds.start);
        let after = self.cues.place_after.after(said, end);
        let opens = mention.sounds.start == 0 || said.sounds[mention.sounds.start].after_pause;
        if candidate.length > 2 {
            let clear = candidate.quality >= 0.72;
            return clear || before && after || repeated;
        }
        // Two syllables without anything that says what they are.
        if candidate.quality < 0.735 {
            return false;
        }
        let ordinary = self.ordinary.contains(said.words(candidate.base.clone()).as_str());
        if ordinary && !candidate.literal && !repeated {
            return before && after;
        }
        if ordinary {
            return before || after && opens || repeated;
        }
        candidate.literal || before || after || repeated
    }

    /// What the words around say of a place.
    ///
    /// * `floor` — end of the place before; its own words (街道 ends as 到 sounds) are no cue.
    fn judge(&self, said: &Said, mention: &mut Mention, floor: usize) {
        let cues = &self.cues;
        let (start, end) = (mention.sounds.start, mention.sounds.end);
        let mut role = 0.0;
        if cues.home_before.before_from(said, start, floor) {
            role += 2.0;
        }
        if cues.landmark_before.before_from(said, start, floor) {
            role -= 2.0;
        }
        let toward = cues.destination_before.before_from(said, start, floor);
        if toward && !cues.not_destination.before(said, start) {
            role -= 2.0;
            mention.destination = true;
        }
        if cues.landmark_after.after(said, end) {
            role -= 0.7;
        }
        if cues.household_before.before_from(said, start, floor) {
            role -= 6.0;
        }
        mention.role = role;
    }

    /// Marks what the caller takes back: 不是X, X不对是Y.
    fn take_back(&self, heard: &Heard, mentions: &mut [Mention]) {
        for index in 0..mentions.len() {
            let (utterance, start) = (mentions[index].utterance, mentions[index].sounds.start);
            let said = &heard.said[utterance];
            // 不，是X takes back what stood before; 不是X denies X.
            let joined = start > 0 && !said.sounds[start - 1].after_pause;
            if joined && self.cues.not_before.before(said, start) && !self.cues.question_before.before(said, start) {
                mentions[index].retracted = true;
                continue;
            }
            let Some(previous) = index.checked_sub(1).map(|at| &mentions[at]) else { continue };
            let same = previous.utterance == utterance;
            let gap = if same { previous.sounds.end..start } else { 0..start };
            if gap.start > gap.end || gap.len() > 14 {
                continue;
            }
            let near = same || heard.of(Channel::Caller).all(|(at, _)| at <= previous.utterance || at >= utterance);
            let rather =
                gap.len() <= 9 && self.cues.rather.inside(said, &gap) && self.cues.home_before.before(said, start);
            if near && (self.cues.taken_back.inside(said, &gap) || rather) {
                mentions[index - 1].retracted = true;
            }
        }
    }

    fn choose(&self, heard: &Heard, mentions: &[Mention]) -> Findings {
        let valid = |mention: &&Mention| !mention.retracted && mention.role > -5.0;
        let weight = |mention: &Mention, order: usize| {
            let area = if self.kind(&mention.candidate) == Kind::Area { 0.6 } else { 0.0 };
            mention.role - 0.3 * count(order) - area - 3.0 * (1.0 - mention.candidate.quality)
        };
        let mut ranked: Vec<(f32, &Mention)> = mentions
            .iter()
            .filter(valid)
            .enumerate()
            .map(|(order, mention)| (weight(mention, order), mention))
            .collect();
        ranked.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
        let mut findings = Findings::default();
        if let Some((_, first)) = ranked.first().copied() {
            // The most specific place that lies in the first one and is not merely passed.
            let finest = ranked.iter().map(|(_, mention)| *mention).filter(|mention| {
                mention.role > -1.5 && self.gazetteer.within(mention.candidate.place, first.candidate.place)
            });
            let chosen = finest.fold(first, |best, mention| {
                let finer = self.gazetteer.within(mention.candidate.place, best.candidate.place)
                    && mention.candidate.place != best.candidate.place;
                if finer { mention } else { best }
            });
            findings.chosen = Some(self.located(heard, chosen, &ranked));
            findings.destination = mentions
                .iter()
                .find(|mention| mention.destination && mention.candidate.place != chosen.candidate.place)
                .map(|mention| mention.candidate.place);
        }
        let chosen = findings.chosen.as_ref().map(|located| located.place);
        let contains = |place: usize| chosen.is_some_and(|chosen| self.gazetteer.within(chosen, place));
        for mention in mentions {
            let place = mention.candidate.place;
            if !contains(place) && findings.others.iter().all(|(known, _)| *known != place) {
                let share = if mention.retracted { 0.2 } else { 0.4 };
                findings.others.push((place, share * mention.candidate.quality));
            }
        }
        findings.others.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        findings.others.truncate(ALTERNATIVES);
        findings
    }

    fn located(&self, heard: &Heard, chosen: &Mention, ranked: &[(f32, &Mention)]) -> Located {
        let span = |mention: &Mention| Span {
            utterance: mention.utterance,
            characters: heard.said[mention.utterance].characters(&mention.sounds),
        };
        let mut spans = vec![span(chosen)];
        for (_, mention) in ranked {
            let supports = self.gazetteer.within(chosen.candidate.place, mention.candidate.place);
            if supports && !std::ptr::eq(*mention, chosen) && spans.len() < 4 {
                spans.push(span(mention));
            }
        }
        let candidate = &chosen.candidate;
        let mut confidence = 0.55 + 0.35 * (2.0 * candidate.quality - 1.0).max(0.0);
        if chosen.support == Support::Area || candidate.suffix > 0 || spans.len() > 1 || candidate.length > 3 {
            confidence += 0.08;
        }
        if chosen.role < -0.5 {
            confidence -= 0.2;
        }
        let rivals = ranked.iter().filter(|(_, mention)| {
            mention.role >= chosen.role && !self.gazetteer.within(candidate.place, mention.candidate.place)
        });
        confidence -= 0.15 * count(rivals.count().min(2));
        Located { place: candidate.place, confidence: confidence.clamp(0.2, 0.98), spans }
    }
}

impl Support {
    fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::city;

    fn found(text: &str) -> Option<String> {
        PlaceFinder::new(&city()).find(text)
    }

    #[test]
    fn a_place_is_found_however_it_is_named() {
        for (place, text) in [
            ("E009", "我家就在鱼邱湖畔那边，楼下天天有人放炮"),
            ("371526/固河镇", "俺是固河镇的，想说说修路的事"),
            ("371502/柳园街道", "柳园办事处门口的路灯不亮"),
            ("E002", "不是柳园街道办，是柳园东里小区，水管爆了"),
            ("E002", "柳园街道办，哦不，是柳园东里小区，水管爆了"),
            ("371502/沙镇镇", "沙镇镇政府旁边的超市卖过期食品"),
            ("371581", "临清市区公交车班次太少了"),
            ("371581/松林镇", "我老家是冠县的，现在住临清松林镇，想办低保"),
            ("E004", "过了湖西办事处往北就是湖西花园，那里垃圾没人收"),
            ("E012", "从许营镇往南走，许营家园小区的暖气不热"),
            ("371524/大桥镇", "大桥镇这边养猪场太臭了"),
            ("371590", "我在开发区的一个厂子上班，不给交社保"),
            ("371591", "高新区这边工地扬尘很大"),
            ("371503/信发街道", "信发街道办的工作人员态度不好"),
            ("371502", "东昌府的，我反映一下幼儿园乱收费"),
            ("371521/安乐镇", "安乐镇，阳谷县安乐镇，浇地的机井坏了"),
            ("E011", "我在东城花苑买的房，房产证没办下来"),
            ("371526/尹集镇", "从尹集镇到梁村镇的公交车停了"),
            ("371526/梁村镇", "到固河镇去要路过我们梁村镇，梁村镇这段路坏了"),
            ("371522", "莘县县城里面哪里能打疫苗"),
            ("371525", "冠县，我要问一下新农合的事"),
            ("371525/贾镇", "我这里是冠县贾镇，路灯不亮"),
            ("E001", "我在古运河小区住，离古楼街道不远，楼顶漏水"),
            ("371581/先锋路街道", "先锋路办事处辖区里面有人占道经营"),
            ("371592/凤凰街道", "凤凰街道的李先生，想问养老金"),
            ("371503", "户口在莘县，人在茌平住，怎么交医保"),
            ("E003", "说错了，不是振兴小区，应该是光岳新村"),
            ("E003", "我说一下啊，振兴小区，不对，光岳新村小区，物业不管事"),
            ("E007", "运河人家，对，就是临清那个运河人家"),
            ("371590/广平镇", "家是广平的，地被占了没给钱"),
            ("371526/人和街道", "人和街道，就是高唐人和街道，下水道堵了"),
            ("371524", "东阿的阿胶是不是涨价了"),
            ("371502/侯营镇", "东昌府区的那个，嗯，侯营镇，对，停电了"),
            ("371592/于集镇", "江北旅游度假区于集镇的，有人砍树"),
            ("371592", "度假区这边晚上放烟花"),
            ("371581/康庄镇", "康庄，康庄镇的，我叫王强"),
            ("E005", "茌平振兴小区，不是高唐的"),
            ("371526/清平镇", "清平镇离高唐县城有点远，能不能通公交"),
            ("371502/闫寺街道", "我们闫寺这里停水"),
            ("371522/观城镇", "莘县观城的，种粮补贴没有发"),
        ] {
            assert_eq!(found(text).as_deref(), Some(place), "{text}");
        }
    }

    #[test]
    fn nothing_is_invented_from_words_that_merely_resemble_a_place() {
        for text in [
            "我们单位想振兴一下乡村经济",
            "柳园路上的红绿灯坏了",
            "新华路和青年路交叉口堵车",
            "河上那座大桥上面的护栏坏了",
            "我儿子在济南市高新区上班，公司不发工资",
            "我在河北邯郸的清平镇打工",
            "高新技术企业认定需要什么条件",
            "任何人都不能这样对待老百姓",
            "预计什么时候能修好",
            "燃气管线什么时候通",
            "信访局的人不接电话",
            "买的贾家烧鸡变质了",
            "先锋路上有个大坑",
            "我买的凤凰牌自行车坏了",
            "我孩子的学籍在冠县，怎么转学",
            "广大群众都反映这个问题，公平不公平",
            "大家和和气气的人和最重要",
            "雨季来了路上积水",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
