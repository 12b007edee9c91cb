//! Whether the caller wants his name or number kept from others. Only what is said counts: silence is neither yes nor no.

use std::{ops::Range, sync::LazyLock};

use super::heard::{Heard, Said, Span, Words};
use crate::domain::{
    draft::{Field, Source},
    transcript::Channel,
};

/// Sounds before 保密 among which it is denied or given a person.
const REACH: usize = 5;
/// Sounds of an answer that decide it.
const ANSWER: usize = 8;

struct Cues {
    secret: Words,
    hidden: Words,
    open: Words,
    not_needed: Words,
    of_others: Words,
    topic: Words,
    dont: Words,
    tell: Words,
    mine: Words,
    asks: Words,
    asks_to_open: Words,
    question: Words,
    personal: Words,
    yes: Words,
    no: Words,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    secret: Words::of(
        "保密 匿名 不留名 不留姓名 不留名字 隐去姓名 隐瞒身份 保护隐私 保护我的隐私 保护我的信息 保护一下我",
    ),
    hidden: Words::of(
        "别让他们知道 不要让他们知道 不能让他们知道 不想让他们知道 别让他知道 不要让他知道 不能让他知道 不想让他知道 别让物业知道 \
         不想让物业知道 别让人知道 不想让人知道 别让别人知道 不要让别人知道 不想让别人知道 别让单位知道 不想让单位知道 \
         别让老板知道 不想让老板知道 别让邻居知道 不想让邻居知道 别让村里知道 不想让村里知道 别让公司知道 别让学校知道 \
         别说是我 不要说是我 不能说是我 别说我 别提我的名字 不要提我的名字 别提是我 不要提是我 别告诉他是我 别告诉他们是我 \
         请不要公开 请别公开 不要公开我 别公开我 不想透露 不愿透露 不方便透露 不便透露 不愿意透露 不想留名 不愿意留名 不想留姓名 不想留名字 不想说名字 不愿意留姓名 \
         不要暴露我 别暴露我 不想暴露",
    ),
    open: Words::of(
        "可以公开 公开没关系 公开没事 公开也行 公开就行 公开吧 不怕公开 实名举报 实名反映 实名投诉 我实名 用实名 可以实名 没什么好保密 \
         没啥好保密 没什么可保密 没什么保密 不怕他们知道 不怕他知道 谁知道都行",
    ),
    not_needed: Words::of(
        "不用 不需要 不必 无需 没必要 用不着 没有必要 不要求 不用给我 不需要给我 不用替我 不用帮我 甭 不需 不匿名 不要",
    ),
    of_others: Words::of(
        "让我 让我们 要我 叫我 要我们 叫我们 要求我们 要求我 跟我们说 他们说 公司说 他说 签了 签的 为了",
    ),
    topic: Words::of("协议 协定 工作 局 费 单位 性 条款 合同 制度 信 电话 举报箱 者"),
    dont: Words::of("不要 别 不能 不可以 千万别 不许 请勿 不得 不想 甭 不希望 莫"),
    tell: Words::of("透露 泄露 泄漏 告诉 公开 给 说出 传出 告知 反馈给 转给 提供给 暴露 外传 外泄 说 讲 提"),
    mine: Words::of(
        "我的信息 我的电话 我的号码 我的名字 我的姓名 我的身份 我的手机 我的个人信息 我个人信息 我信息 我电话 我姓名 我名字 我们的信息 我们的电话 \
         个人信息 电话给 电话号码给 号码给 名字给 姓名给 信息给 电话告诉 名字告诉 是我打的 是我反映 是我举报 是我投诉 是我说的 是谁打的 \
         是谁举报 是谁反映 谁反映的 谁举报的 我是谁 举报人 我的情况 姓名 我的住址 我的地址",
    ),
    asks: Words::of("保密 匿名"),
    question: Words::of("是否 要不要 需不需要 能不能 可不可以 吗 么 嘛"),
    personal: Words::of("您 你的 个人 姓名 信息 电话 号码"),
    asks_to_open: Words::of("公开 提供给 告诉 转给 透露 给到 告知"),
    yes: Words::of("要 需要 对 是 是的 嗯 好 好的 可以 行 保密 最好 当然 肯定 必须 那就 麻烦 请"),
    no: Words::of("不用 不需要 不要 不必 没事 无所谓 没关系 都行 不 没必要 用不着 甭 别"),
});

/// Fills the field; of several wishes the last counts.
pub(super) fn find(heard: &Heard) -> Field<bool> {
    let mut last: Option<(bool, f32, Span)> = None;
    for (utterance, said) in heard.of(Channel::Caller) {
        let question =
            heard.asked(utterance).filter(|_| utterance > 0 && heard.said[utterance - 1].channel == Channel::Operator);
        let answer = question.and_then(|question| answered(question, said));
        for (wish, confidence, sounds) in answer.into_iter().chain(wishes(said)) {
            last = Some((wish, confidence, Span { utterance, characters: said.characters(&sounds) }));
        }
    }
    let Some((wish, confidence, span)) = last else { return Field::default() };
    Field {
        value: Some(wish),
        confidence,
        source: Some(Source::Speech),
        evidence: vec![heard.evidence(&span)],
        alternatives: Vec::new(),
    }
}

/// What the caller asks for by himself, in the order of his words.
fn wishes(said: &Said) -> Vec<(bool, f32, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < said.sounds.len() {
        let wish = open(said, at).or_else(|| hidden(said, at)).or_else(|| secret(said, at)).or_else(|| kept(said, at));
        at = wish.as_ref().map_or(at + 1, |(_, _, sounds)| sounds.end.max(at + 1));
        found.extend(wish);
    }
    found
}

/// 可以公开, 实名举报.
fn open(said: &Said, at: usize) -> Option<(bool, f32, Range<usize>)> {
    let (end, _) = CUES.open.at(said, at)?;
    let denied = at > 0 && "不别没".contains(said.sounds[at - 1].character);
    (!denied).then_some((false, 0.85, at..end))
}

/// 别让他们知道是我打的.
fn hidden(said: &Said, at: usize) -> Option<(bool, f32, Range<usize>)> {
    let (end, _) = CUES.hidden.at(said, at)?;
    Some((true, 0.9, at..end))
}

/// 请替我保密; 不用保密 is a wish as well; 保密协议 is none.
fn secret(said: &Said, at: usize) -> Option<(bool, f32, Range<usize>)> {
    let cues = &*CUES;
    let (end, _) = cues.secret.at(said, at)?;
    let clause = said.clause(at);
    let near = at.saturating_sub(REACH).max(clause.start)..at;
    if cues.of_others.inside(said, &near) || cues.topic.after(said, end) {
        return None;
    }
    if let Some(denied) = cues.not_needed.first(said, &near) {
        // 要不要保密 asks.
        let asks = denied.start > clause.start && said.sounds[denied.start - 1].character == '要';
        return (!asks).then_some((false, 0.9, denied.start..end));
    }
    Some((true, 0.95, at..end))
}

/// 不要把电话给商家, 别透露我的信息.
fn kept(said: &Said, at: usize) -> Option<(bool, f32, Range<usize>)> {
    let cues = &*CUES;
    let (from, _) = cues.dont.at(said, at)?;
    let clause = said.clause(at);
    if cues.not_needed.before(said, at) {
        return None;
    }
    let rest = from..clause.end.min(from + 18);
    let tell = cues.tell.first(said, &rest)?;
    // 我的信息不要外泄: what is to be kept may stand before.
    let mine = cues.mine.first(said, &clause)?;
    Some((true, 0.85, mine.start.min(at)..tell.end.max(mine.end)))
}

/// The answer to 需要保密吗 or 可以公开吗.
fn answered(question: &Said, said: &Said) -> Option<(bool, f32, Range<usize>)> {
    let cues = &*CUES;
    let asks = cues.question.within(question) || question.text.contains(&'？');
    if !asks || said.sounds.is_empty() {
        return None;
    }
    let secret = cues.asks.within(question);
    let open = cues.asks_to_open.within(question) && cues.personal.within(question);
    if !secret && !open {
        return None;
    }
    let start = skip_fillers(said);
    let (no, yes) = (cues.no.at(said, start), cues.yes.at(said, start));
    let (agrees, end) = match (no, yes) {
        (Some((end, _)), _) => (false, end),
        (None, Some((end, _))) => (true, end),
        _ => return None,
    };
    let near = start..said.sounds.len().min(start + ANSWER);
    // The words themselves say it more clearly than yes or no.
    if cues.secret.inside(said, &near) || cues.open.inside(said, &near) {
        return None;
    }
    Some((if secret { agrees } else { !agrees }, 0.85, start..end))
}

fn skip_fillers(said: &Said) -> usize {
    let fillers = ['嗯', '呃', '啊', '哦', '那', '噢'];
    said.sounds.iter().position(|sound| !fillers.contains(&sound.character)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::{heard, talk};

    fn secret(words: &str) -> Option<bool> {
        find(&heard(&[words])).value
    }

    fn answered(question: &str, answer: &str) -> Option<bool> {
        find(&talk(&[(Channel::Operator, question), (Channel::Caller, answer)])).value
    }

    #[test]
    fn who_asks_for_secrecy_gets_it() {
        for words in [
            "请替我保密，不要把电话给商家。",
            "请给我宝密",
            "你们一定要保密啊",
            "我的信息能保密吗？",
            "我要匿名举报",
            "不要透露我的信息",
            "千万别把我的电话告诉物业",
            "别让他们知道是我打的",
            "不想让物业知道",
            "别说是我反映的",
            "我不想留名字",
            "不方便透露姓名",
            "不要把我的名字给村里",
            "希望对举报人保密",
            "我的信息不要外泄",
            "你们可得管管，别跟村里说是我打的电话",
            "我的电话别给施工队",
        ] {
            assert_eq!(secret(words), Some(true), "{words}");
        }
    }

    #[test]
    fn who_says_that_it_may_be_known_says_so() {
        for words in
            ["不用保密", "不需要给我保密", "可以公开", "我实名举报，不怕他们知道", "没什么好保密的", "无需保密"]
        {
            assert_eq!(secret(words), Some(false), "{words}");
        }
    }

    #[test]
    fn the_answer_to_the_operators_question_decides() {
        for (question, answer, wish) in [
            ("您的信息需要保密吗？", "不需要", Some(false)),
            ("您的信息需要保密吗？", "嗯，需要", Some(true)),
            ("需要对您的信息保密吗", "要的", Some(true)),
            ("要不要匿名？", "不用了", Some(false)),
            ("您的个人信息可以公开吗？", "可以", Some(false)),
            ("您的个人信息可以公开吗？", "不要", Some(true)),
            ("方便把您的电话提供给承办单位吗？", "行", Some(false)),
            ("方便把您的电话提供给承办单位吗？", "别，他们会找我的", Some(true)),
            ("是否需要保密？", "没事，可以公开", Some(false)),
            ("您的联系电话是多少？", "不用了，就这个", None),
            ("还有其他问题吗？", "没有了", None),
        ] {
            assert_eq!(super::tests::answered(question, answer), wish, "{question} {answer}");
        }
    }

    #[test]
    fn other_secrets_are_not_the_callers() {
        for words in [
            "公司让我们签了保密协议",
            "老板让我保密，不许往外说",
            "我的个人信息被泄露了，天天有人打电话",
            "村务从来不公开",
            "爆米花太贵",
            "你明天能来吗",
            "不要再往路上倒垃圾了",
            "别把车停在门口",
            "账目不公开",
            "他们不给我们公开账目",
            "你好，我家停水了",
        ] {
            assert_eq!(secret(words), None, "{words}");
        }
    }

    #[test]
    fn the_last_wish_counts() {
        assert_eq!(find(&heard(&["不用保密", "算了，还是给我保密吧"])).value, Some(true));
    }
}
