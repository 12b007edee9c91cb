//! What the caller wants of the line: 咨询, 求助, 投诉, 举报, 建议, 表扬.
//!
//! Who names it (我要投诉) is taken at his word. Else the wording tells: a wrong done is a complaint, a thing broken a
//! plea for help, a question a question. What neither names nor tells is what is usual in the category.

use std::sync::LazyLock;

use super::heard::{Heard, Said, Span, Words};
use crate::domain::{
    city::City,
    draft::{Alternative, Evidence, Field, Source},
    transcript::Channel,
};

/// Confidence of a type the caller names himself and that is usual for the matter, and of one that is not.
const NAMED: f32 = 0.9;
const NAMED_UNUSUAL: f32 = 0.75;
/// Confidence of a type that the wording tells.
const TOLD: f32 = 0.7;
/// How usual the second and third type of a category are beside the first.
const SECOND: f32 = 0.45;
/// Less usual than this beside the most usual type is not usual.
const UNUSUAL: f32 = 0.15;

struct Cues {
    /// Words that name a type, strongest first.
    names: Vec<(&'static str, Words)>,
    /// Words that tell it without naming it.
    tells: Vec<(&'static str, Words)>,
    asking: Words,
    opens_question: Words,
    praise: Words,
    grievance: Words,
    reports: Words,
    intends: Words,
    /// Before a name: not so, or somebody else did.
    denies: Words,
    past: Words,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    names: vec![
        ("表扬", praise()),
        ("举报", Words::of("举报 检举")),
        ("投诉", Words::of("投诉 要个说法 讨个说法 我要告")),
        ("建议", Words::of("建议 提个意见 提一个意见 提点意见 希望能增设 希望增设 能不能增设 合理化")),
        ("咨询", Words::of("咨询 资讯一下 自寻一下 咨讯")),
        ("求助", Words::of("求助 帮帮忙 帮帮我 救救 求求你们 求你们")),
    ],
    tells: vec![
        (
            "咨询",
            Words::of(
                "想问一下 问一下 想问问 问问 想了解 想知道 打听一下 请问 需要什么材料 需要哪些材料 带什么材料 怎么办理 怎么申请 怎么报销 \
                 怎么报名 有什么条件 什么条件 什么政策 什么手续 在哪里办 在哪办 到哪里办 去哪里办 能不能办 能报销吗 能不能报销 \
                 什么时候报名 怎么算 怎么交 怎么查",
            ),
        ),
        (
            "投诉",
            Words::of(
                "态度恶劣 态度特别差 态度很差 态度太差 态度不好 骂人 推诿 踢皮球 推来推去 不作为 乱收费 多收 骗 坑人 坑我们 拖欠 不发工资 没发工资 \
                 工资一直没 不给工资 欠我们 欠了我们 扰民 噪音 吵得 太吵 不退钱 不给退 也不退 不退费 不给退费 退钱 退款 赔偿 跑路 霸占 偷工减料 \
                 不管不问 都不管 不归他们管 没人管 联系不上 打不通 不讲理 太不像话 霸王条款 虚假宣传 过期 变质 假货 强制 不让我们 堵路 乱停 \
                 我要求退 欺负",
            ),
        ),
        (
            "举报",
            Words::of(
                "私自 偷偷 违法 违规 无证 没有证 赌博 偷排 私搭乱建 违建 占用耕地 非法 贪污 吃回扣 偷税 不开发票 飞线 消防通道 焚烧",
            ),
        ),
        (
            "求助",
            Words::of(
                "停水 停电 停气 没水 没电 不热 漏水 坏了 不亮 堵了 断了 爆了 掉下来 没办法 怎么办 快点来 赶紧来 快来人 来修 派人 来人 \
                 帮我 帮我们 帮忙 处理一下 修一下 解决一下 尽快解决 没有人来 走丢 受伤 被困 全是坑 大坑",
            ),
        ),
    ],
    asking: Words::of(
        "咨询 资讯 自寻 想问 问一下 问问 请问 打听 了解 什么 怎么 多少 哪里 哪些 哪个 哪儿 几点 几号 吗 能不能 是不是 有没有 想知道 啥 咋",
    ),
    opens_question: Words::of("想问一下 想问问 问一下 想打听一下 打听一下 想了解一下 想知道 请问一下"),
    praise: praise(),
    grievance: Words::of("投诉 举报 着火 煤气 不感谢"),
    reports: Words::of("反映 反应一下 反应个 我要反应"),
    intends: Words::of("我要 我想 想 我是来 我来 来 要 我就 就想 打电话 打算 我再"),
    denies: Words::of(
        "不是 不是要 不是来 不 没 没有 没法 不想 别 被 不用 医生 大夫 他 她 他们 老师 物业 有人 医院 人家 说",
    ),
    past: Words::of("过 了好几次 了几次 了很多次 了多次 了两次 也没用 没有用 的时候 电话 我说 我们 箱"),
});

fn praise() -> Words {
    Words::of(
        "表扬 表样一下 送锦旗 送面锦旗 送一面锦旗 锦旗 来感谢 想感谢 要感谢 非常感谢他 非常感谢她 特别感谢他 特别感谢她 特别感谢这 非常感谢这 \
         感谢一下 点个赞 点赞 表示感谢 谢谢他们 谢谢那位 感谢那位 好人好事 拾金不昧",
    )
}

/// How usual a type is, commonest first.
type Usual = Vec<(String, f32)>;

/// Reads the request type from the words, else from what is usual in the category.
///
/// * `category` — with its alternatives: where the category is in doubt, so is what is usual.
/// * `emergency` — somebody is in danger now: who does not name another type asks for help.
pub(super) fn judge(heard: &Heard, city: &City, category: &Field<String>, emergency: bool) -> Field<String> {
    let mut usual = usual(city, category);
    if emergency {
        usual.retain(|(name, _)| name != "求助");
        usual.insert(0, ("求助".to_owned(), 1.0));
    }
    let known = |name: &str| city.request_types.iter().any(|known| known.name == name);
    let mut alternatives: Vec<Alternative<String>> = Vec::new();
    let mut offer = |value: &str, confidence: f32| {
        if known(value) && alternatives.iter().all(|other| other.value != value) {
            alternatives.push(Alternative { value: value.to_owned(), confidence });
        }
    };
    // Nobody asks without a word that asks.
    let asks = heard.of(Channel::Caller).any(|(_, said)| CUES.asking.within(said));
    if !asks && usual.len() > 1 {
        usual.retain(|(name, _)| name != "咨询");
    }
    let mut told = told(heard, &usual);
    told.retain(|(name, ..)| !emergency || *name == "求助");
    let said = named(heard, &usual, &known)
        .or_else(|| told.first().cloned())
        .or_else(|| opening_question(heard).filter(|_| !emergency));
    if let Some((name, _, confidence)) = &said {
        offer(name, *confidence);
    }
    for (order, (name, _)) in usual.iter().take(3).enumerate() {
        offer(name, if order == 0 { 0.6 } else { 0.25 });
    }
    for (name, _, _) in &told {
        offer(name, 0.2);
    }
    if alternatives.is_empty() {
        return Field::default();
    }
    let first = alternatives.remove(0);
    for other in &mut alternatives {
        other.confidence = other.confidence.min(1.0 - first.confidence);
    }
    let proof = said.filter(|(name, ..)| *name == first.value);
    let (source, evidence) = match proof {
        Some((_, evidence, _)) => (Source::Speech, vec![evidence]),
        None => (Source::Rule, Vec::new()),
    };
    Field { value: Some(first.value), confidence: first.confidence, source: Some(source), evidence, alternatives }
}

/// The types of the category and its alternatives, each as usual as its category is likely.
fn usual(city: &City, category: &Field<String>) -> Usual {
    let mut usual = Usual::new();
    let ranked = category.value.iter().map(|code| (code, category.confidence));
    let others = category.alternatives.iter().map(|other| (&other.value, other.confidence));
    for (code, confidence) in ranked.chain(others) {
        for (order, name) in city.leaf(code).map(|leaf| leaf.types.as_slice()).unwrap_or_default().iter().enumerate() {
            let share = confidence * if order == 0 { 1.0 } else { SECOND };
            match usual.iter_mut().find(|(known, _)| known == name) {
                Some((_, weight)) => *weight += share,
                None => usual.push((name.clone(), share)),
            }
        }
    }
    usual.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = usual.first().map_or(1.0, |(_, weight)| weight.max(f32::MIN_POSITIVE));
    for (_, weight) in &mut usual {
        *weight /= most;
    }
    usual.retain(|(_, weight)| *weight >= UNUSUAL);
    usual
}

/// Whether the caller praises or thanks.
pub(super) fn praises(heard: &Heard) -> bool {
    let any = |words: &Words| heard.of(Channel::Caller).any(|(_, said)| words.within(said));
    any(&CUES.praise) && !any(&CUES.grievance)
}

/// The type the caller names: 我要投诉 before a mere 投诉, an earlier one before a later.
fn named(
    heard: &Heard,
    usual: &[(String, f32)],
    known: &dyn Fn(&str) -> bool,
) -> Option<(&'static str, Evidence, f32)> {
    let cues = &*CUES;
    let mut best: Option<(f32, &'static str, Span)> = None;
    for (name, words) in cues.names.iter().filter(|(name, _)| known(name)) {
        if *name == "表扬" && !praises(heard) {
            continue;
        }
        for (order, (utterance, said)) in heard.of(Channel::Caller).enumerate() {
            let Some(sounds) = (0..said.sounds.len())
                .find_map(|at| words.at(said, at).map(|(end, _)| at..end).filter(|sounds| means_it(said, sounds)))
            else {
                continue;
            };
            let clause = said.clause(sounds.start);
            let intends = cues.intends.inside(said, &(clause.start..sounds.start));
            let strength = if *name == "表扬" { 2.0 } else { 1.0 } + if intends { 0.5 } else { 0.0 }
                - if order > 0 { 0.2 } else { 0.0 };
            if best.as_ref().is_none_or(|(known, ..)| strength > *known) {
                best = Some((strength, name, Span { utterance, characters: said.characters(&sounds) }));
            }
        }
    }
    let (_, name, span) = best?;
    let fits = usual.is_empty() || usual.iter().any(|(known, _)| known == name);
    Some((name, heard.evidence(&span), if fits { NAMED } else { NAMED_UNUSUAL }))
}

/// Not 投诉过, 不是投诉, 医生建议.
fn means_it(said: &Said, sounds: &std::ops::Range<usize>) -> bool {
    let cues = &*CUES;
    let joined = !said.opens(sounds.start);
    let denied = joined && cues.denies.before(said, sounds.start);
    !denied && !cues.past.after(said, sounds.end)
}

/// Types that the wording tells and that are usual in the matter, the best first.
fn told(heard: &Heard, usual: &[(String, f32)]) -> Vec<(&'static str, Evidence, f32)> {
    let cues = &*CUES;
    let mut found: Vec<(f32, &'static str, Span)> = Vec::new();
    for (name, words) in &cues.tells {
        let Some((_, habit)) = usual.iter().find(|(known, _)| known == name) else { continue };
        let mut count = 0.0;
        let mut first = None;
        for (utterance, said) in heard.of(Channel::Caller) {
            if let Some(sounds) = words.first(said, &(0..said.sounds.len())) {
                count += 1.0_f32;
                first.get_or_insert(Span { utterance, characters: said.characters(&sounds) });
            }
        }
        let Some(span) = first else { continue };
        // 反映 a wrong is a complaint; 反映 an outage asks for help.
        let complains = *name == "投诉" && reports(heard);
        found.push((count.min(2.0) + habit + if complains { 1.5 } else { 0.0 }, name, span));
    }
    if found.is_empty()
        && usual.first().is_some_and(|(name, _)| name != "求助")
        && usual.iter().any(|(name, _)| name == "投诉")
        && let Some(span) = report(heard)
    {
        found.push((1.0, "投诉", span));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, name, span)| (name, heard.evidence(&span), TOLD)).collect()
}

/// Who opens with 我想问问 and speaks of nothing wrong has a question, whatever is usual in the matter.
fn opening_question(heard: &Heard) -> Option<(&'static str, Evidence, f32)> {
    let (utterance, said) = heard.of(Channel::Caller).next()?;
    let sounds = CUES.opens_question.first(said, &(0..said.sounds.len()))?;
    let span = Span { utterance, characters: said.characters(&sounds) };
    Some(("咨询", heard.evidence(&span), TOLD))
}

fn reports(heard: &Heard) -> bool {
    report(heard).is_some()
}

fn report(heard: &Heard) -> Option<Span> {
    heard.of(Channel::Caller).find_map(|(utterance, said)| {
        let sounds = CUES.reports.first(said, &(0..said.sounds.len()))?;
        (!CUES.past.after(said, sounds.end)).then(|| Span { utterance, characters: said.characters(&sounds) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::{city, heard};

    /// * `code` — the leaf the matter belongs to.
    fn kind(words: &str, code: &str) -> String {
        let city = city();
        judge(&heard(&[words]), &city, &sure(code), false).value.expect("a type")
    }

    #[test]
    fn who_names_the_type_is_taken_at_his_word() {
        for (expected, code, words) in [
            ("投诉", "0202", "我要投诉自来水公司，停水也不通知"),
            ("举报", "0503", "我想举报有人烧秸秆"),
            ("举报", "0902", "我要举报一家饭店用过期的肉"),
            ("建议", "0401", "我建议公交车早晚多加几班"),
            ("建议", "0405", "我想提个意见，路口装个红绿灯"),
            ("咨询", "0202", "我想咨询一下水费怎么交"),
            ("咨询", "0801", "你好我想资讯一下孩子上小学的问题"),
            ("表扬", "1505", "我是来表扬的，民警帮我找回了老人"),
            ("表扬", "0401", "我想给公交司机送锦旗，特别感谢他"),
            ("求助", "0101", "我想求助一下，电梯里困了人"),
        ] {
            assert_eq!(kind(words, code), expected, "{words}");
        }
    }

    #[test]
    fn the_wording_tells_where_the_type_is_not_named() {
        for (expected, code, words) in [
            ("求助", "0202", "我家从昨天就停水了，麻烦快点来修"),
            ("求助", "0201", "暖气不热，打过两次电话，一直没有人来"),
            ("投诉", "0601", "我要反映拖欠工资的问题"),
            ("投诉", "0404", "我想反应一下乱停车的问题，公交车都过不去"),
            ("求助", "0202", "我反映一下停水的事，三天没水了"),
            ("投诉", "0101", "物业态度恶劣，还乱收费"),
            ("投诉", "0905", "健身房关门了，不给退钱"),
            ("投诉", "0902", "我买的面包过期了，要求赔偿"),
            ("咨询", "0701", "想问一下住院能不能报销"),
            ("举报", "1004", "楼道里有人飞线充电"),
            ("求助", "1101", "我家里没有人管，想申请低保"),
            ("投诉", "0401", "12路公交车昨天甩站了"),
            ("咨询", "0201", "我想问问冬季供暖什么时候停"),
        ] {
            assert_eq!(kind(words, code), expected, "{words}");
        }
    }

    #[test]
    fn what_was_done_before_or_by_others_names_nothing() {
        assert_eq!(kind("暖气不热，我给热力公司投诉过也没用", "0201"), "求助");
        assert_eq!(kind("我不是投诉，就是想问一下怎么报名", "0801"), "咨询");
        assert_eq!(kind("医生建议转院，想问一下怎么办理", "0702"), "咨询");
        assert_eq!(kind("老人摔倒了，谢谢你们快来人", "1101"), "求助");
    }

    #[test]
    fn who_is_in_danger_asks_for_help() {
        let city = city();
        let fire = heard(&["楼道里飞线充电着火了"]);
        assert_eq!(judge(&fire, &city, &sure("1004"), true).value.as_deref(), Some("求助"));
        assert_eq!(judge(&fire, &city, &sure("1004"), false).value.as_deref(), Some("举报"));
    }

    #[test]
    fn other_types_are_offered() {
        let city = city();
        let field = judge(&heard(&["我要投诉，停水了"]), &city, &sure("0202"), false);
        assert_eq!(field.evidence[0].text, "投诉");
        assert!(field.alternatives.iter().any(|other| other.value == "求助"));
        assert!(field.alternatives.iter().all(|other| other.confidence <= field.confidence));
        assert_eq!(judge(&heard(&["嗯"]), &city, &Field::default(), false), Field::default());
    }

    fn sure(code: &str) -> Field<String> {
        Field { value: Some(code.to_owned()), confidence: 0.9, ..Field::default() }
    }
}
