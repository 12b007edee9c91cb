//! Which of the places in a call is the place of the matter.
//!
//! Names are found by sound ([`super::gazetteer`]); then the words around each decide what it is: the caller's own
//! place, a landmark, where somebody is registered, something taken back. Short names that are ordinary words too
//! (振兴, 新城, 人和) count only where the words around them speak of a place.

use std::{cmp::Ordering, collections::HashSet, ops::Range};

use super::{
    gazetteer::{Candidate, Gazetteer, Kind, count},
    heard::{Heard, Phrases, Said, Span},
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
    ordinary: HashSet<&'static str>,
    cues: Cues,
}

#[derive(Clone, Debug)]
struct Cues {
    place_before: Phrases,
    place_after: Phrases,
    not_place_after: Phrases,
    not_place_before: Phrases,
    road_after: Phrases,
    home_before: Phrases,
    landmark_before: Phrases,
    destination_before: Phrases,
    landmark_after: Phrases,
    household_before: Phrases,
    taken_back: Phrases,
    rather: Phrases,
    not_before: Phrases,
    question_before: Phrases,
    elsewhere: Phrases,
    yes: Phrases,
}

impl PlaceFinder {
    pub fn new(city: &City) -> Self {
        Self { gazetteer: Gazetteer::new(city), ordinary: ORDINARY.iter().copied().collect(), cues: Cues::new() }
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
        candidates.retain(|candidate| !self.cues.elsewhere.before(said, candidate.sounds.start));
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
            return clear || before || after || repeated;
        }
        // Two syllables without anything that says what they are.
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
        if cues.destination_before.before_from(said, start, floor) {
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
            if self.cues.not_before.before(said, start) && !self.cues.question_before.before(said, start) {
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

impl Cues {
    fn new() -> Self {
        Self {
            place_before: Phrases::new(&[
                "在",
                "住",
                "到",
                "去",
                "从",
                "我是",
                "就是",
                "这是",
                "这里是",
                "这边是",
                "我们",
                "咱们",
                "咱",
                "地址",
                "地址是",
                "位于",
                "来自",
                "投诉一下",
                "反映一下",
                "举报一下",
                "说一下",
                "那个",
                "嗯",
                "呃",
                "不是",
                "对是",
                "错了是",
                "应该是",
                "离",
                "挨着",
                "过了",
                "路过",
                "属于",
                "归",
                "地点是",
                "位置是",
                "我家是",
                "老家",
                "往",
                "地方是",
            ]),
            place_after: Phrases::new(&[
                "这边",
                "那边",
                "这里",
                "那里",
                "这儿",
                "那儿",
                "这个地方",
                "那个地方",
                "这一片",
                "这块",
                "附近",
                "对面",
                "旁边",
                "的居民",
                "居民",
                "的村民",
                "的业主",
                "的住户",
                "的人",
                "村民",
                "那个路口",
                "路口",
                "吧",
                "啊",
                "里面",
                "往东",
                "往西",
                "往南",
                "往北",
                "东边",
                "西边",
                "南边",
                "北边",
                "离",
                "就在",
                "做生意",
                "境内",
                "辖区",
                "不是",
                "不对",
                "政府",
                "上班",
                "打工",
                "的一个",
                "那条",
                "这条",
                "南门",
                "北门",
                "东门",
                "西门",
                "有个",
                "有人",
                "有一",
                "听清",
            ]),
            not_place_after: Phrases::new(&[
                "牌",
                "企业",
                "公司",
                "的补贴",
                "补贴",
                "战略",
                "开发",
                "人说",
                "银行",
                "超市",
                "酒店",
                "饭店",
                "计划",
                "政策",
                "工程",
                "有限",
            ]),
            not_place_before: Phrases::new(&[
                "乡村", "民族", "产业", "经济", "文化", "老", "建设", "建", "买的", "喝的",
            ]),
            road_after: Phrases::new(&["路", "大街", "大道", "高速", "路口"]),
            home_before: Phrases::new(&[
                "住",
                "住在",
                "家在",
                "家住",
                "家是",
                "我在",
                "地址是",
                "地址在",
                "位于",
                "我是",
                "我们是",
                "我们",
                "这里是",
                "这边是",
                "发生在",
                "地点在",
                "地点是",
                "不对是",
                "错了是",
                "应该是",
                "而是",
                "就是",
                "是",
                "投诉一下",
                "反映一下",
                "位置在",
                "位置是",
            ]),
            landmark_before: Phrases::new(&[
                "离",
                "距离",
                "距",
                "靠近",
                "挨着",
                "紧挨着",
                "紧邻",
                "临近",
                "路过",
                "经过",
                "过了",
                "就在",
                "对面是",
                "旁边是",
                "隔壁是",
                "对着",
                "附近是",
                "挨着的是",
                "背后是",
                "后面是",
                "前面是",
                "从",
            ]),
            destination_before: Phrases::new(&["去", "到", "往", "通往", "开往", "通向", "至", "前往"]),
            landmark_after: Phrases::new(&[
                "不远",
                "对面",
                "旁边",
                "附近",
                "隔壁",
                "那个路口",
                "的公交",
                "方向",
                "斜对",
                "往东",
                "往西",
                "往南",
                "往北",
                "后面",
                "前面",
                "东边",
                "西边",
                "南边",
                "北边",
                "东侧",
                "西侧",
                "南侧",
                "北侧",
                "很近",
                "挨着",
            ]),
            household_before: Phrases::new(&[
                "户口在",
                "户口是",
                "户籍在",
                "户籍是",
                "户籍地",
                "户口本是",
                "户口本在",
                "户口落在",
                "户口还在",
                "户口都在",
                "老家在",
                "老家是",
                "籍贯是",
                "籍贯",
                "身份证是",
                "身份证上是",
                "学籍在",
            ]),
            taken_back: Phrases::new(&["不对", "错了", "说错", "口误", "更正", "记错", "搞错", "弄错", "讲错", "纠正"]),
            rather: Phrases::new(&["不是", "应该是", "而是"]),
            not_before: Phrases::new(&["不是", "并不是", "不在", "不是在", "而不是", "不是住"]),
            question_before: Phrases::new(&["是不是", "是不是在", "在不在"]),
            elsewhere: Phrases::new(ELSEWHERE),
            yes: Phrases::new(&["对", "是", "嗯", "没错", "好"]),
        }
    }
}

/// Cities and provinces outside: what follows them directly is theirs (济南高新区).
const ELSEWHERE: &[&str] = &[
    "北京",
    "北京市",
    "上海",
    "上海市",
    "天津",
    "天津市",
    "重庆",
    "重庆市",
    "济南",
    "济南市",
    "青岛",
    "青岛市",
    "淄博",
    "淄博市",
    "枣庄市",
    "东营",
    "东营市",
    "烟台",
    "烟台市",
    "潍坊",
    "潍坊市",
    "济宁",
    "济宁市",
    "泰安",
    "泰安市",
    "威海",
    "威海市",
    "日照市",
    "临沂",
    "临沂市",
    "德州",
    "德州市",
    "滨州",
    "滨州市",
    "菏泽",
    "菏泽市",
    "邯郸",
    "邯郸市",
    "邢台",
    "邢台市",
    "石家庄",
    "郑州",
    "郑州市",
    "濮阳",
    "濮阳市",
    "安阳",
    "安阳市",
    "南京",
    "南京市",
    "杭州",
    "杭州市",
    "苏州",
    "广州",
    "广州市",
    "深圳",
    "深圳市",
    "成都",
    "武汉",
    "西安",
    "西安市",
    "沈阳",
    "大连",
    "哈尔滨",
    "长春",
    "合肥",
    "太原",
    "河北",
    "河北省",
    "河南",
    "河南省",
    "江苏",
    "江苏省",
    "浙江",
    "广东",
];

/// Short place names that are words as well, and words that sound like a short place name.
const ORDINARY: &[&str] = &[
    "振兴", "人和", "新城", "新区", "清泉", "东城", "北城", "凤凰", "九州", "大桥", "安乐", "崇文", "康庄", "新华",
    "青年", "开发", "任何", "预计", "雨季", "管线", "光线", "干线", "呼吸", "增加", "正价", "糖衣", "演示", "掩饰",
    "延时", "岩石", "颜色", "鼓楼", "六元", "留言", "兴趣", "真心", "阵型", "心法", "信访", "新房", "温差", "重温",
    "安装", "六零", "神州", "身体", "造成", "完成", "古韵", "收账", "手掌", "首张", "安了", "同城", "统称", "通称",
    "形成", "行程", "心诚", "留级", "六级", "灰心", "回信", "会心", "印记", "阴极", "引起", "清贫", "顾客", "被称",
    "假证", "驾证", "神仙", "深陷", "身陷", "持平", "高糖", "高堂", "高汤", "东啊", "管理", "关系", "关心", "家长",
    "加长", "清评", "情况", "请假", "欠条", "刘记", "有机", "遇急", "全部", "公平", "广告", "广播", "还急",
];
