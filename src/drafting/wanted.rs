//! What the caller asks to be done, in his own words: 让自来水公司快点来修.
//!
//! A wish is a clause with words of wishing (希望, 麻烦, 要求, 能不能 …). What others demand, what was asked of others
//! before, thanks and greetings are none. Of several the one that says most is taken.

use std::{ops::Range, sync::LazyLock};

use super::heard::{Heard, Said, Span, Words};
use crate::domain::{
    draft::{Alternative, Field, Source},
    transcript::Channel,
};

/// Characters of a wish.
const LONGEST: usize = 40;
/// Fewest characters that say something.
const FEWEST: usize = 2;
/// Wishes of one call that are weighed.
const WISHES: usize = 64;
/// Alternatives that are shown.
const ALTERNATIVES: usize = 3;

/// How a wish begins: the words, what they weigh, whether they are part of it.
const BEGINNINGS: [(&str, f32, bool); 9] = [
    (
        "我要求 我就要求 我们要求 强烈要求 我的要求是 我的要求就是 我的诉求是 我的诉求就是 诉求就是 诉求是 要求就是 要求是 要求他们 要求他 \
         要求物业 要求公司 要求商家",
        3.0,
        false,
    ),
    (
        "希望你们能够 希望你们能 希望你们 希望能够 希望能 希望可以 希望政府能 希望政府 希望有关部门能 希望有关部门 希望相关部门能 希望相关部门 \
         希望领导能 希望领导 希望咱们能 希望咱 希望他们能 希望他们 希望 盼着 盼望",
        2.5,
        false,
    ),
    (
        "请你们 请帮我 请帮我们 请帮忙 请尽快 请马上 请赶紧 请赶快 请立即 请派 请让 请给 请求 请相关部门 请有关部门 请政府 请领导 请咱们",
        2.5,
        true,
    ),
    ("麻烦你们 麻烦您 麻烦你 麻烦", 2.5, false),
    ("能不能 能否 可不可以 可否 是不是可以 是不是能 看能不能 看看能不能 你们能不能 咱们能不能", 2.0, false),
    (
        "你们快点 你们赶紧 你们赶快 你们尽快 你们抓紧 你们马上 你们快 赶紧来 赶紧派 赶快来 快点来 快来 快派 赶紧给 赶紧让 尽快来 尽快派 尽快给 尽快解决 \
         尽快处理 尽快修 抓紧来 抓紧修 抓紧处理 抓紧时间 赶紧处理 赶紧修 赶紧解决 赶紧把 尽快把 快点修 快点把 你们管管 你们管一管 你们查",
        2.0,
        true,
    ),
    (
        "我就想把 我就想让 我就想要 就想把 就想让 就想要 我想让 我想要 想让你们 想让 只想 想请你们 想请 我想把 想把 就是想让",
        2.0,
        false,
    ),
    ("建议你们 我建议 建议在 建议把 建议给 建议", 2.0, false),
    (
        "帮我们 帮我 帮忙 帮着 给我们解决 给解决 给处理 给我们修 给修 给我们个说法 给个说法 给我个说法 要个说法 讨个说法 给我们退 把钱退 得给我们 必须给 \
         应该给 应当 来人看看 派人来 来人修 来修",
        1.5,
        true,
    ),
];
/// Words that open a question of somebody who wants to know.
const QUESTIONS: &str = "我想问问 我想问一下 我想问下 想问一下 想问问 我想问 问一下 我想咨询一下 想咨询一下 咨询一下 想了解一下 我想了解 想知道 我想知道 \
    打听一下 请问一下 请问 我问一下";

struct Cues {
    beginnings: Vec<(Words, f32, bool)>,
    questions: Words,
    asking: Words,
    by_others: Words,
    past: Words,
    thanks: Words,
    goes_on: Words,
    stops: Words,
    leaves: Words,
    addressed: Words,
    deeds: Words,
    vague: Words,
    asks: Words,
    written: Words,
    /// The wish to pass thanks on belongs to the praise.
    passing_on: Words,
    secrecy: Words,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    beginnings: BEGINNINGS.iter().map(|(words, weight, kept)| (Words::of(words), *weight, *kept)).collect(),
    questions: Words::of(QUESTIONS),
    asking: Words::of(
        "什么 哪里 哪些 哪个 哪儿 怎么 多少 几天 几点 为什么 能不能 能报 吗 是否 有没有 啥 咋 多长时间 谁",
    ),
    by_others: Words::of(
        "物业 公司 他 她 他们 医院 学校 老师 银行 老板 单位 人家 村里 社区 商家 店家 不 没 按 按照 符合 说 邻居 开发商 房东 规定 从来 都 已经 从",
    ),
    past: Words::of("过 了 他们 我们交 我们出 我们签 我们先"),
    thanks: Words::of("了 啦 您了 你了 你们了 谢谢"),
    goes_on: Words::of(
        "并 并且 同时 再 还要 还得 还有 把 给 让 什么时候 怎么 哪 多少 需要 以及 别 不要 尽快 赶紧 能不能 最好 或者 然后 加强 安排 恢复 派人 \
         来人 装 多装 该 处理 解决 退 赔 修 重新 有没有 要 在哪 去哪 到哪",
    ),
    stops: Words::of(
        "我的电话 我电话 电话是 电话 手机 我姓 我叫 我是 我住 谢谢 感谢 请保密 请替我保密 替我保密 因为 不然 要不然 要不 再见 好吧 还剩",
    ),
    leaves: Words::of(
        "就是想 就是 我就想 我想 想 我就 你们能够 你们能 你们 您 你 能够 能 可以 给我们 一下 尽量 一下能 那个 就是 政府 咱们 咱 他们能 他们 是 的是 说 来 嗯 呃 啊",
    ),
    addressed: Words::of("请你们 请您 请咱们 请 你们 咱们"),
    deeds: Words::of(
        "修 处理 解决 退 赔 清 管 查 装 换 停 治理 补 发 还 协调 恢复 改 建 增加 增设 拆 挪 搬 整治 清理 清运 维修 抢修 供 通 关 加强 教育 \
         道歉 说法 救 开 安排 办 公开 检查 取缔 加 设 疏通 告诉 派 来人 要回来",
    ),
    vague: Words::of("尽快解决 尽快处理 赶紧解决 赶紧处理 解决一下 处理一下 来处理 管管 管一管 帮帮忙 帮忙 帮帮我"),
    asks: Words::of(
        "您希望 你希望 希望怎么 您的诉求 你的诉求 什么诉求 诉求是 您有什么要求 您要求 什么要求 想怎么解决 怎么解决 怎么处理 您想 需要我们 帮您做什么",
    ),
    written: Words::spelling(
        "尽快 尽快解决 尽快处理 解决 处理 赶紧 赶快 抓紧 马上 希望 麻烦 协调 维修 清理 治理 燃气公司 供电公司 自来水公司 热力公司 天然气公司 \
         供水公司 电力公司 物业公司 城管 交警 环卫 住建局 教育局 摄像头 红绿灯 路灯 退钱 退款 赔偿 工资 材料 报名",
    ),
    passing_on: Words::of("转达 转告 代我 替我谢谢 替我感谢 表扬 感谢 说声谢谢"),
    secrecy: Words::of("保密 匿名 透露 泄露 保护我的 电话给 知道是我"),
});

/// One wish with what it weighs.
#[derive(Clone, Debug)]
struct Wish {
    text: String,
    span: Span,
    weight: f32,
}

/// Fills the field.
///
/// * `request_type` — of a question the question is what is wanted; praise wants nothing done.
/// * `usual` — what is usually wanted in such a matter: offered as an alternative, never put in the caller's mouth.
pub(super) fn find(heard: &Heard, request_type: Option<&str>, usual: Option<&str>) -> Field<String> {
    let mut wishes: Vec<Wish> = Vec::new();
    for (utterance, said) in heard.of(Channel::Caller) {
        let asked = heard.asked(utterance).is_some_and(|question| CUES.asks.within(question));
        let text = said.mended(&CUES.written);
        let mut at = 0;
        while at < said.sounds.len() && wishes.len() < WISHES {
            match wish(said, &text, at, request_type == Some("咨询")) {
                Some((mut found, end)) => {
                    found.span.utterance = utterance;
                    found.weight += if asked { 2.0 } else { 0.0 };
                    wishes.push(found);
                    at = end.max(at + 1);
                }
                None => at += 1,
            }
        }
        // The answer to 您希望怎么解决 is a wish however it is worded.
        if asked
            && wishes.len() < WISHES
            && wishes.iter().all(|wish| wish.span.utterance != utterance)
            && let Some(found) = answer(said, &text, utterance)
        {
            wishes.push(found);
        }
    }
    if request_type == Some("表扬") {
        let passing = |wish: &Wish| {
            let said = &heard.said[wish.span.utterance];
            let clause = wish.span.characters.clone();
            (0..said.sounds.len())
                .filter(|at| clause.contains(&said.characters(&(*at..*at + 1)).start))
                .any(|at| CUES.passing_on.after(said, at))
        };
        wishes.retain(|wish| !passing(wish));
    }
    // Of equals the last: people end with what they want.
    wishes.reverse();
    wishes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let offered = usual.map(|usual| Alternative { value: usual.to_owned(), confidence: 0.3 });
    let mut alternatives: Vec<Alternative<String>> = offered.into_iter().collect();
    let Some(best) = wishes.first() else { return Field { alternatives, ..Field::default() } };
    for other in &wishes[1..] {
        let known = other.text == best.text || alternatives.iter().any(|known| known.value == other.text);
        if !known && alternatives.len() < ALTERNATIVES {
            alternatives.push(Alternative { value: other.text.clone(), confidence: 0.2 });
        }
    }
    Field {
        value: Some(best.text.clone()),
        confidence: (0.4 + 0.1 * best.weight).clamp(0.3, 0.85),
        source: Some(Source::Speech),
        evidence: vec![heard.evidence(&best.span)],
        alternatives,
    }
}

/// The first clause of an answer that names a deed.
fn answer(said: &Said, text: &[char], utterance: usize) -> Option<Wish> {
    let cues = &*CUES;
    let mut at = 0;
    while at < said.sounds.len() {
        let clause = said.clause(at);
        let start = leave(said, clause.start);
        let end = extent(said, clause.start, start, false);
        let range = trim(said, start..end);
        let idle = cues.stops.after(said, clause.start) || cues.secrecy.inside(said, &clause);
        if range.len() > FEWEST && !idle && cues.deeds.inside(said, &range) {
            let characters = said.characters(&range);
            let words = text[characters.clone()].iter().take(LONGEST).collect();
            return Some(Wish { text: words, span: Span { utterance, characters }, weight: 2.5 });
        }
        at = clause.end.max(at + 1);
    }
    None
}

/// The wish that begins at a sound, and the sound after it.
///
/// * `asks` — the caller has a question: then questions are wishes.
fn wish(said: &Said, text: &[char], at: usize, asks: bool) -> Option<(Wish, usize)> {
    let cues = &*CUES;
    let question = cues.questions.at(said, at).map(|(end, _)| end).filter(|_| asks);
    let (from, mut weight, kept) = match question {
        Some(end) => (end, 2.0, false),
        None => beginning(said, at)?,
    };
    let start = if kept { at } else { leave(said, from) };
    let end = extent(said, at, start, asks);
    // 你们快点来: who is addressed is clear.
    let start = CUES.addressed.at(said, start).map_or(start, |(end, _)| end);
    let start = if asks { skip_preface(said, start, end) } else { start };
    let range = trim(said, start..end);
    if range.len() < FEWEST || cues.secrecy.inside(said, &range) {
        return None;
    }
    let characters = said.characters(&range);
    let words: String = text[characters.clone()].iter().take(LONGEST).collect();
    if question.is_some() {
        weight += if cues.asking.inside(said, &range) { 2.0 } else { -1.0 };
    } else {
        weight += if cues.deeds.inside(said, &range) { 1.0 } else { -0.5 };
        let told = range.len() > 5 && !(cues.vague.inside(said, &range) && range.len() < 9);
        weight += if told { 0.5 } else { -0.5 };
    }
    Some((Wish { text: words, span: Span { utterance: 0, characters }, weight }, end))
}

/// Where a wish begins, if one does: the sound after the words of wishing, weight, and whether they belong to it.
fn beginning(said: &Said, at: usize) -> Option<(usize, f32, bool)> {
    let cues = &*CUES;
    // 请供电公司马上来人: 请 and somebody who shall come.
    let called =
        said.sounds[at].character == '请' && said.opens(at) && !"问假客留您你坐稍保替".contains(next(said, at + 1));
    let found = cues
        .beginnings
        .iter()
        .find_map(|(words, weight, kept)| words.at(said, at).map(|(end, _)| (end, *weight, *kept)))
        .or_else(|| called.then_some((at + 1, 2.5, false)))
        .or_else(|| (said.opens(at) && said.reads(at, "要求")).then_some((at + 2, 3.0, false)))
        .or_else(|| (said.sounds[at].character == '让' && said.opens(at)).then_some((at + 1, 1.5, true)))?;
    let clause = said.clause(at);
    let before = clause.start.max(at.saturating_sub(4))..at;
    let others = !said.opens(at) && cues.by_others.inside(said, &before);
    // 麻烦您了 is thanks, 太麻烦 a complaint.
    let troubled = at > 0 && !said.opens(at) && "太很真挺多添的怪够这".contains(said.sounds[at - 1].character);
    let thanks =
        said.sounds[at].character == '麻' && (cues.thanks.after(said, found.0) || said.closes(found.0) || troubled);
    let past = cues.past.after(said, found.0) && !found.2;
    (!others && !thanks && !past).then_some(found)
}

fn next(said: &Said, at: usize) -> char {
    said.sounds.get(at).map_or('。', |sound| sound.character)
}

/// Leaves out 你们, 能 and the like after the words of wishing.
fn leave(said: &Said, mut from: usize) -> usize {
    for _ in 0..3 {
        let Some((end, word)) = CUES.leaves.at(said, from) else { break };
        // 一下 and 来 belong to the deed when nothing else follows.
        if said.closes(end) || word.written == ['来'] {
            break;
        }
        from = end;
    }
    from
}

/// 我母亲今年七十五了，高龄补贴怎么申请: who asks leads up to the question.
fn skip_preface(said: &Said, start: usize, end: usize) -> usize {
    let clause = said.clause(start);
    let about_oneself = said.sounds[start].character == '我';
    let question =
        CUES.asking.inside(said, &(clause.end..end)) && !CUES.asking.inside(said, &(start..clause.end.min(end)));
    if about_oneself && question && clause.end < end { clause.end } else { start }
}

/// Where a wish ends: its clause, and the next ones as long as they go on with it.
fn extent(said: &Said, at: usize, start: usize, asks: bool) -> usize {
    let cues = &*CUES;
    let stop = |range: Range<usize>| cues.stops.first(said, &range).map(|found| found.start);
    let mut end = said.clause(start.max(at)).end;
    if let Some(cut) = stop(start + 1..end) {
        return cut;
    }
    // 希望政府，能修一下路: a pause right behind the words of wishing.
    while end < said.sounds.len() && end - start < LONGEST {
        let clause = said.clause(end);
        let short = end <= start + 1;
        let goes_on = cues.goes_on.after(said, end) || asks && cues.asking.inside(said, &clause) || short;
        if !goes_on
            || stop(clause.clone()).is_some()
            || clause.end - start > LONGEST
            || ends_sentence(said, end) && !asks
        {
            break;
        }
        end = clause.end;
    }
    // A number behind a wish is the caller's telephone.
    let digits = |at: &usize| {
        said.sounds[*at].character.is_ascii_digit()
            && (*at + 6 < said.sounds.len())
            && (0..6).all(|ahead| said.sounds[*at + ahead].character.is_ascii_digit())
    };
    (start..end).find(digits).unwrap_or(end)
}

/// Whether a full stop lies before this sound.
fn ends_sentence(said: &Said, at: usize) -> bool {
    let position = said.characters(&(at..at + 1)).start;
    said.text[..position].iter().rev().take_while(|sign| !sign.is_alphanumeric()).any(|sign| "。！？!?".contains(*sign))
}

/// Without particles at the end.
fn trim(said: &Said, mut range: Range<usize>) -> Range<usize> {
    while range.end > range.start && "吧啊呢吗呀哈了嘛哦".contains(said.sounds[range.end - 1].character) {
        range.end -= 1;
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::{heard, talk};

    fn wanted(words: &str) -> Option<String> {
        find(&heard(&[words]), None, None).value
    }

    #[test]
    fn the_wish_is_kept_in_the_callers_words() {
        for (expected, words) in [
            ("让自来水公司快点来修", "138 0635 219麻烦让自来水公司快点来修。"),
            ("尽快解决", "家里有80多岁的老人，希望能尽快解决。"),
            ("快点让燃气公司来", "还有一个邻居说头晕，你们快点让燃气公司来！"),
            ("血汗钱要回来", "13560635778，我们不想闹，就想把血汗钱要回来。"),
            ("装个摄像头", "137-935-666-610，能不能装个摄像头。"),
            ("退钱", "我要求退钱，还剩8个月没有用呢？我的电话是要7663623308，请替我保密，不要把电话给商家。"),
            ("赶紧来处理", "天快黑了，你们赶紧来处理。"),
            ("供电公司马上来人", "可是早上小孩要从那里上学，请公电公司马上来人。"),
            ("把路修一修", "希望政府能把路修一修，电话13800001111"),
            ("协调一下物业,把电梯修好", "麻烦您协调一下物业,把电梯修好"),
            ("在路口装个红绿灯", "我建议在路口装个红绿灯"),
            ("派人来看看", "能不能派人来看看啊"),
            ("退钱", "要求退钱,剩下的两千多退给我"),
            ("帮我查一下我的养老金", "请你们帮我查一下我的养老金"),
        ] {
            assert_eq!(wanted(words).as_deref(), Some(expected), "{words}");
        }
    }

    #[test]
    fn of_a_question_the_question_is_wanted() {
        let talk = heard(&[
            "你好我想咨询一下孩子上小学的问题，我们家住在高新区",
            "有房产证，我想问一下需要准备哪些材料，什么时候报名。",
            "好的13465358802谢谢你。",
        ]);
        let field = find(&talk, Some("咨询"), None);
        assert_eq!(field.value.as_deref(), Some("需要准备哪些材料，什么时候报名"));
        let about = heard(&["喂，我想问一下，我母亲今年七十五了，高龄补贴怎么申请。"]);
        assert_eq!(find(&about, Some("咨询"), None).value.as_deref(), Some("高龄补贴怎么申请"));
    }

    #[test]
    fn the_answer_to_what_is_wanted_comes_first() {
        let talk = talk(&[
            (Channel::Caller, "能不能快点，我都等了半天了"),
            (Channel::Operator, "您希望怎么解决？"),
            (Channel::Caller, "我要求退钱。"),
        ]);
        assert_eq!(find(&talk, None, None).value.as_deref(), Some("退钱"));
    }

    #[test]
    fn what_others_want_and_what_is_politeness_is_no_wish() {
        for words in [
            "你好，我家停水了",
            "好的，麻烦您了，谢谢",
            "太麻烦了",
            "物业要求我们先交钱",
            "他要求我们搬走",
            "不符合要求",
            "请问是12345吗",
            "我请了三天假",
            "请替我保密，不要透露我的信息",
            "没希望了",
            "车太多，根本不能过",
            "我给物业说过也没有用",
        ] {
            assert_eq!(wanted(words), None, "{words}");
        }
        let usual = find(&heard(&["你好，我家停水了"]), None, Some("尽快恢复供水"));
        assert_eq!((usual.value, usual.source), (None, None), "the usual wish is only offered");
        assert_eq!(usual.alternatives[0].value, "尽快恢复供水");
        let praise = heard(&["我们全家都非常感谢他，希望你们能转达一下。"]);
        assert_eq!(find(&praise, Some("表扬"), None).value, None);
        assert_eq!(
            find(&super::super::tests::talk(&[(Channel::Operator, "请您尽快来我们窗口办理")]), None, None).value,
            None
        );
    }
}
