//! How fast somebody has to move. Triggers are matched by sound and err to the safe side; what is denied, long past
//! or already over is no emergency.

use std::ops::Range;

use super::{
    heard::{Heard, Phrases, Said, Span},
    together::{Syllable, Together},
};
use crate::domain::{
    city::UrgentTriggers,
    draft::{Evidence, Field, Source, Urgency},
    transcript::Channel,
};

/// Finds out how urgent a call is.
#[derive(Clone, Debug)]
pub(super) struct Senses {
    triggers: Vec<Trigger>,
    operator: Vec<(Phrases, Urgency)>,
    repair: Phrases,
    denied: Phrases,
    worried: Phrases,
    asked: Phrases,
    still: Phrases,
    long_past: Phrases,
    over: Phrases,
    topic: Phrases,
}

/// Words that together mean danger.
#[derive(Clone, Debug)]
struct Trigger {
    level: Urgency,
    words: Together,
}

/// Danger that keyword lists of a city rarely name, as sets of words: one of each set has to be near the others.
const HAZARDS: &[&[&[&str]]] = &[
    &[&["井盖", "窨井盖", "下水道盖"], &["不见", "没了", "丢", "缺", "被偷", "掉进", "塌", "破", "松动", "敞着", "翘"]],
    &[
        &["墙皮", "外墙", "保温层", "瓷砖", "玻璃", "广告牌", "水泥块", "阳台", "空调外机", "楼顶"],
        &["往下掉", "掉下来", "脱落", "掉了", "要掉", "砸"],
    ],
    &[&["摔了一个人", "摔了好几个", "摔了个人", "摔了几个", "摔了人"]],
    &[&["坑", "路", "井", "台阶", "沟"], &["摔了", "摔伤", "摔倒", "摔坏", "掉进去", "摔跤"]],
    &[&["路面", "地面", "马路", "桥"], &["塌陷", "塌了", "下陷", "陷下去"]],
    &[&["电线", "高压线", "线路", "电缆"], &["裸露", "耷拉", "漏电", "老化", "垂下来"]],
    &[&["树", "电线杆", "围墙", "护栏", "路灯杆"], &["倒了", "要倒", "歪了", "砸到", "倒下来"]],
    &[&["电梯"], &["急坠", "下坠", "突然掉", "失控", "坠落"]],
    &[&["差点", "险些"], &["掉进去", "掉下去", "摔倒", "砸到", "砸着", "撞上", "触电"]],
    &[&["太危险", "特别危险", "很危险", "非常危险", "安全隐患特别大", "随时会塌"]],
    &[&["老人", "孩子", "小孩", "母亲", "父亲", "奶奶", "爷爷", "老太太"], &["走失", "走丢", "找不到了", "迷路"]],
    &[&["吃了", "吃完", "食堂"], &["上吐下泻", "食物中毒", "住院了好几个"]],
];

/// Danger at this moment.
const EMERGENCIES: &[&[&[&str]]] = &[
    &[
        &["煤气", "燃气", "天然气", "液化气"],
        &["泄漏", "漏气", "漏了", "味道很大", "很大的味", "味很大", "味特别大", "在漏"],
    ],
    &[&["煤气味", "燃气味", "天然气味", "液化气味"]],
    &[&["电线", "高压线", "电缆", "变压器"], &["掉下来", "掉在", "掉到", "断了", "冒火花", "打火花", "冒烟", "起火"]],
    &[&["冒火花"]],
    &[&["电梯"], &["困在", "困住", "被困", "关在里面", "出不来"]],
    &[&["房子", "楼", "墙", "桥"], &["塌了", "要塌", "坍塌", "快塌"]],
    &[&["掉河里", "掉水里", "落水", "掉进河", "掉进水库"]],
    &[&["着大火", "着火了", "起火了", "失火", "冒浓烟"]],
    &[&["晕倒了", "昏迷", "喘不上气", "没有呼吸", "大出血"]],
    &[&["要跳楼", "想跳楼", "不想活", "要自杀", "喝农药", "拿着刀", "拿刀砍", "持刀"]],
];

impl Senses {
    pub fn new(city: &UrgentTriggers) -> Self {
        let mut triggers = Vec::new();
        for (level, words) in [(Urgency::EmergencyNow, &city.emergency), (Urgency::SafetyHazard, &city.urgent)] {
            for word in words {
                triggers.push(Trigger { level, words: Together::new(Syllable::BySound, [[word.as_str()]]) });
            }
        }
        for (level, sets) in [(Urgency::EmergencyNow, EMERGENCIES), (Urgency::SafetyHazard, HAZARDS)] {
            for set in sets {
                triggers.push(Trigger {
                    level,
                    words: Together::new(Syllable::BySound, set.iter().map(|words| words.iter().copied())),
                });
            }
        }
        let operator = vec![
            (
                Phrases::new(&[
                    "不要开灯",
                    "不要使用电器",
                    "不要动火",
                    "不要点火",
                    "打开窗户通风",
                    "马上撤离",
                    "先到室外",
                    "赶紧出去",
                    "拨打119",
                    "拨打120",
                    "拨打110",
                    "转接119",
                    "转接120",
                    "转接110",
                    "转119",
                    "转120",
                    "转110",
                    "打119",
                    "打120",
                    "打110",
                    "叫救护车",
                    "通知消防",
                ]),
                Urgency::EmergencyNow,
            ),
            (Phrases::new(&["不要靠近", "远离现场", "注意安全不要", "设置警示", "放警示"]), Urgency::SafetyHazard),
        ];
        Self {
            triggers,
            operator,
            repair: Phrases::new(&["抢修", "抢险"]),
            denied: Phrases::new(&[
                "没有",
                "没",
                "不是",
                "并没有",
                "未",
                "不会",
                "避免",
                "防止",
                "预防",
                "以免",
                "并未",
                "没发生",
            ]),
            worried: Phrases::new(&[
                "怕",
                "担心",
                "万一",
                "容易",
                "可能",
                "会不会",
                "要是",
                "如果",
                "引起",
                "引发",
                "造成",
                "差点",
            ]),
            asked: Phrases::new(&["有没有", "是不是", "没有人管", "没人管", "没人修", "没有人来修"]),
            still: Phrases::new(&["现在", "今年", "今天", "还在", "又"]),
            long_past: Phrases::new(&["去年", "前年", "以前", "曾经", "早年", "那年", "小时候", "上一次", "上回"]),
            over: Phrases::new(&[
                "送回了家",
                "送回家",
                "送回来",
                "找到了",
                "找回来",
                "已经修好",
                "修好了",
                "处理好了",
                "已经解决",
                "解决了",
                "没事了",
                "扑灭了",
                "灭了",
                "恢复了",
                "救出来",
                "救上来",
                "已经处理",
                "回家了",
            ]),
            topic: Phrases::new(&[
                "知识",
                "讲座",
                "宣传",
                "培训",
                "险",
                "证",
                "预案",
                "演练",
                "赔偿",
                "鉴定",
                "报警器",
                "事故认定",
            ]),
        }
    }

    /// * `praise` — the call thanks or praises: what it tells of is over.
    pub fn judge(&self, heard: &Heard, praise: bool) -> Field<Urgency> {
        let mut best = Urgency::None;
        let mut evidence: Vec<(Urgency, Evidence)> = Vec::new();
        let mut note = |level: Urgency, proof: Evidence| {
            if level > Urgency::None {
                best = best.max(level);
                evidence.push((level, proof));
            }
        };
        for (utterance, said) in heard.of(Channel::Caller) {
            if praise {
                continue;
            }
            for (level, sounds) in self.caller_words(said) {
                let span = Span { utterance, characters: said.characters(&sounds) };
                note(level, heard.evidence(&span));
            }
        }
        let mut repair = None;
        for (utterance, said) in heard.of(Channel::Operator) {
            if praise {
                continue;
            }
            let all = 0..said.sounds.len();
            for (words, level) in &self.operator {
                if let Some(sounds) = words.first(said, &all) {
                    let span = Span { utterance, characters: said.characters(&sounds) };
                    note(*level, heard.evidence(&span));
                }
            }
            if let Some(sounds) = self.repair.first(said, &all) {
                repair = Some(heard.evidence(&Span { utterance, characters: said.characters(&sounds) }));
            }
        }
        // 抢修 alone is said of every burst pipe; with a hazard it tells that the operator took it for more.
        if let (Urgency::SafetyHazard, Some(proof)) = (best, repair) {
            evidence.push((best, proof));
        }
        evidence.retain(|(level, _)| *level == best);
        evidence.truncate(4);
        if best == Urgency::None {
            return Field { value: Some(best), confidence: 0.8, source: Some(Source::Rule), ..Field::default() };
        }
        let confidence = if evidence.len() > 1 { 0.95 } else { 0.8 };
        let evidence = evidence.into_iter().map(|(_, proof)| proof).collect();
        Field { value: Some(best), confidence, source: Some(Source::Speech), evidence, alternatives: Vec::new() }
    }

    fn caller_words(&self, said: &Said) -> Vec<(Urgency, Range<usize>)> {
        let mut found = Vec::new();
        for trigger in &self.triggers {
            if let Some(sounds) = trigger.words.find(said)
                && let level @ (Urgency::SafetyHazard | Urgency::EmergencyNow) =
                    self.weigh(said, trigger.level, &sounds)
            {
                found.push((level, sounds));
            }
        }
        found
    }

    /// What is left of a trigger with the words around it.
    fn weigh(&self, said: &Said, level: Urgency, sounds: &Range<usize>) -> Urgency {
        let (start, end) = clause(said, sounds);
        let near_start = sounds.start.saturating_sub(4).max(start);
        let before = near_start..sounds.start;
        let after = sounds.end..(sounds.end + 14).min(said.sounds.len());
        if self.denied.inside(said, &before)
            && !self.asked.inside(said, &(sounds.start.saturating_sub(6)..sounds.start))
        {
            return Urgency::None;
        }
        if self.over.inside(said, &after) || self.topic.after(said, sounds.end) {
            return Urgency::None;
        }
        if self.long_past.inside(said, &(start.saturating_sub(6)..sounds.start))
            && !self.still.inside(said, &(sounds.end..end))
        {
            return Urgency::None;
        }
        if self.worried.inside(said, &before) {
            return level.min(Urgency::SafetyHazard);
        }
        level
    }
}

/// The clause around a range of sounds.
fn clause(said: &Said, sounds: &Range<usize>) -> (usize, usize) {
    let start = (0..=sounds.start).rev().find(|at| said.sounds[*at].after_pause).unwrap_or(0);
    let end = (sounds.end..said.sounds.len()).find(|at| said.sounds[*at].after_pause).unwrap_or(said.sounds.len());
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::{city, heard};

    fn level(words: &str) -> Urgency {
        Senses::new(&city().urgent_triggers).judge(&heard(&[words]), false).value.expect("always judged")
    }

    #[test]
    fn a_gas_leak_is_heard_though_the_recogniser_wrote_no_smell() {
        assert_eq!(level("我们楼道里有很大的没气味"), Urgency::EmergencyNow);
        assert_eq!(level("家里然气泄露了"), Urgency::EmergencyNow);
        assert_eq!(level("电线吊下来了还冒火花"), Urgency::EmergencyNow);
        assert_eq!(level("有人被困在电梯里了"), Urgency::EmergencyNow);
    }

    #[test]
    fn a_hazard_is_less_than_an_emergency() {
        assert_eq!(level("慢车道上有一个井盖不见了"), Urgency::SafetyHazard);
        assert_eq!(level("慢车道上有一个景概不见了"), Urgency::SafetyHazard);
        assert_eq!(level("墙皮就开始往下掉"), Urgency::SafetyHazard);
        assert_eq!(level("骑电动车看不见坑，前几天还摔了一个人"), Urgency::SafetyHazard);
        assert_eq!(level("楼道里飞线充电，我们都怕着火"), Urgency::SafetyHazard);
    }

    #[test]
    fn what_is_denied_or_over_is_no_emergency() {
        assert_eq!(level("没有着火，就是烟味大"), Urgency::None);
        assert_eq!(level("去年小区着火了，后来修好了"), Urgency::None);
        assert_eq!(level("我母亲迷路了，是工作人员把她送回了家"), Urgency::None);
        assert_eq!(level("想问一下煤气中毒预防知识"), Urgency::None);
    }

    #[test]
    fn words_that_merely_sound_alike_are_no_emergency() {
        for words in
            ["在饭店吃到头发了", "伤口包扎一下多少钱", "病情重度贫血能报销吗", "水费你睡前交一下", "暖气一直不热"]
        {
            assert_eq!(level(words), Urgency::None, "{words}");
        }
    }
}
