//! What the caller calls himself: 我姓王, 我叫李明, 免贵姓赵, or the bare answer to 您贵姓.
//!
//! Only what is said of oneself counts. A surname after 姓 alone may be the neighbour's (只知道姓赵), so it has to stand
//! behind 我 or 免贵, answer the operator's question or close the telephone number. The operator's 王女士 is weaker, and
//! nothing where the caller refuses it.

use std::{ops::Range, sync::LazyLock};

use super::{
    heard::{Heard, Said, Span, Words},
    sound::Reading,
    surnames::{Surname, spelled, surname},
};
use crate::domain::{
    draft::{Alternative, Field, Source},
    transcript::Channel,
};

/// Alternatives that are shown.
const ALTERNATIVES: usize = 3;
/// Characters of a given name.
const GIVEN: usize = 2;
/// Digits just before 姓 that make it the end of a telephone number.
const DIGITS: usize = 5;
/// Claims of one call that are weighed.
const CLAIMS: usize = 64;

/// Cost up to which a syllable is 姓 misheard: 信, 心, 新.
const NEAR: f32 = 0.3;

/// Words that begin as 姓 or sound so, compared to the letter.
const NO_SURNAME: [&str; 22] = [
    "姓什么",
    "姓啥",
    "姓氏",
    "姓名",
    "姓哪",
    "姓甚",
    "幸好",
    "行好",
    "行吗",
    "行吧",
    "性格",
    "性质",
    "性能",
    "兴趣",
    "行程",
    "心里",
    "心理",
    "信访",
    "新房",
    "形成",
    "行李",
    "星期",
];

struct Cues {
    family: Reading,
    honoured: Reading,
    mine: Words,
    humble: Words,
    called: Words,
    am: Words,
    fillers: Words,
    contact: Words,
    /// Given names end before these.
    ends: Words,
    /// What makes a surname a form of address, and what ends 叫我老王就行.
    titles: Words,
    polite: Words,
    /// Titles of people one talks about.
    offices: Words,
    /// 我叫 is followed by somebody who is sent for.
    fetched: Words,
    asks: Words,
    asks_spelling: Words,
    greets: Words,
    goes_on: Words,
    yes: Words,
    no: Words,
    others: Words,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    family: Reading::of('姓').expect("姓 is spoken"),
    honoured: Reading::of('贵').expect("贵 is spoken"),
    mine: Words::of("我 俺 咱 本人 我就 我是 我也 我这边 我这里 我本人 我自己 我的 俺是 俺这边 我呢 我啊"),
    humble: Words::of("免贵 免费 敝 鄙"),
    called: Words::of(
        "我叫 俺叫 我就叫 本人叫 我的名字叫 我的名字是 我名字叫 我名叫 我姓名 我的姓名是 我全名叫 名字叫",
    ),
    am: Words::of("我是 俺是 我叫 俺叫 叫我 喊我 称呼我 就叫我 是"),
    fillers: Words::of("嗯 呃 啊 哦 噢 那个 好的 好 行 可以 对 是 哎 唉 您好 你好 我 这个 就是"),
    contact: Words::of("电话 手机 号码 联系 我的 我电话 我手机 我家 我住 我是 我在 家住 住在 今年 身份证"),
    ends: Words::of(
        "电话 手机 号码 联系 我 俺 住 家 今年 身份 是 在 来 想 要 的 吧 啊 呀 哈 嗯 呃 就 先生 女士 小姐 同志 你 您 了 有 \
         这个 那个 请 谢谢 也 和 跟 反映 投诉 咨询 男 女 那 这 呢 姓",
    ),
    titles: Words::of("先生 女士 小姐 大姐 大哥 阿姨 大爷 大妈 大叔 大娘 叔叔 同志 就行 就可以 就好 吧"),
    polite: Words::of("先生 女士 小姐 大姐 大哥 阿姨 大爷 大妈 大叔 大娘 叔叔 同志 师傅 老师"),
    offices: Words::of(
        "师傅 大夫 医生 经理 老师 主任 书记 局长 科长 所长 队长 村长 会计 老板 律师 警官 同志 总 工 某 家 姓 庄 村 什么 啥",
    ),
    fetched: Words::of("来 去 给 帮 把 过来 过去 他 她 开 修 送 赔 退 处理 解决 也 不 们"),
    asks: Words::of(
        "您贵姓 你贵姓 请问贵姓 问贵姓 先生贵姓 女士贵姓 您姓什么 你姓什么 怎么称呼 如何称呼 称呼您 称呼一下 您叫什么 \
         你叫什么 您的姓名 你的姓名 您的名字 你的名字 您的姓 您姓名 您名字 您的全名 留个姓名 留一下姓名 留一下您的姓名 \
         提供一下姓名 报一下姓名 姓名和 您的称呼 您怎么称 尊姓 您是姓 请问您姓",
    ),
    asks_spelling: Words::of("哪个 怎么写 什么字 哪一个 弓长 立早 是哪 吗 吧"),
    greets: Words::of("好的 您好 你好 嗯 喂 请问是 请问您是 您是 是 谢谢 感谢 再见 那 哦 行 好"),
    goes_on: Words::of(
        "您 你 请 吗 是吗 是吧 对吧 好 这边 我 感谢 谢谢 非常 再见 稍等 麻烦 不好意思 打扰 还有 那 这里",
    ),
    yes: Words::of("对 是 是的 嗯 哎 没错 我是 我就是 你好 您好 好 有 唉"),
    no: Words::of("不是 不对 错了 不姓 我不 打错 不叫"),
    others: Words::of(
        "他 她 对方 老板 邻居 经理 物业 师傅 司机 房东 老师 医生 人 工头 那个人 有个 一个 只知道 不知道 听说 好像",
    ),
});

/// One thing somebody said of the caller's name.
#[derive(Clone, Debug)]
struct Claim {
    surname: String,
    given: String,
    rivals: Vec<char>,
    confidence: f32,
    span: Span,
}

/// Fills the field from the caller's own words, else from how the operator calls him.
pub(super) fn find(heard: &Heard) -> Field<String> {
    let mut claims: Vec<Claim> = Vec::new();
    for (utterance, said) in heard.of(Channel::Caller) {
        let asked = heard.asked(utterance).is_some_and(asks_for_the_name);
        claims.extend(own(said, utterance, asked));
        if let Some(claim) = claims.last_mut() {
            spell_out(heard, utterance, claim);
        }
        if claims.len() >= CLAIMS {
            break;
        }
    }
    if claims.is_empty() {
        claims.extend(heard.of(Channel::Operator).filter_map(|(at, said)| addressed(heard, said, at)).take(CLAIMS));
    }
    choose(heard, &claims)
}

/// The surest claim; a whole name rather than its surname alone, of equals the last.
fn choose(heard: &Heard, claims: &[Claim]) -> Field<String> {
    let sureness = |claim: &Claim| claim.confidence + if claim.given.is_empty() { 0.0 } else { 0.1 };
    let Some(best) = claims.iter().max_by(|a, b| sureness(a).total_cmp(&sureness(b))) else {
        return Field::default();
    };
    let value = format!("{}{}", best.surname, best.given);
    let mut alternatives: Vec<Alternative<String>> = Vec::new();
    let others = claims.iter().map(|claim| (format!("{}{}", claim.surname, claim.given), claim.confidence * 0.4));
    let rivals = best.rivals.iter().map(|rival| (format!("{rival}{}", best.given), 0.1));
    for (value, confidence) in others.chain(rivals) {
        let known = alternatives.iter().any(|other| other.value == value);
        if !known && value != format!("{}{}", best.surname, best.given) && alternatives.len() < ALTERNATIVES {
            alternatives.push(Alternative { value, confidence });
        }
    }
    Field {
        value: Some(value),
        confidence: best.confidence,
        source: Some(Source::Speech),
        evidence: vec![heard.evidence(&best.span)],
        alternatives,
    }
}

/// What the caller says of himself in one utterance.
///
/// * `asked` — the operator has just asked for the name.
fn own(said: &Said, utterance: usize, asked: bool) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for at in 0..said.sounds.len() {
        let claim = surnamed(said, at, asked)
            .or_else(|| named(said, at, asked || !claims.is_empty()))
            .or_else(|| asked.then(|| bare(said, at)).flatten())
            .or_else(|| presented(said, at));
        let Some((mut claim, sounds)) = claim else { continue };
        claim.span = Span { utterance, characters: said.characters(&sounds) };
        claims.push(claim);
        if claims.len() >= CLAIMS {
            break;
        }
    }
    claims
}

/// 我姓王, 免贵姓赵; with a reason to expect it also where 姓 is misheard (归性流, 我信李).
fn surnamed(said: &Said, at: usize, asked: bool) -> Option<(Claim, Range<usize>)> {
    let cues = &*CUES;
    let sound = said.sounds[at];
    let off = sound.reading.cost(cues.family);
    let written = sound.character == '姓';
    if off > NEAR || NO_SURNAME.iter().any(|word| said.reads(at, word)) || said.closes(at + 1) && !written {
        return None;
    }
    let honoured = at > 0
        && said.sounds[at - 1].reading.same(cues.honoured)
        && !(at > 1 && "您你".contains(said.sounds[at - 2].character))
        && !said.closes(at);
    let humble = honoured || cues.humble.before(said, at);
    let mine = cues.mine.before(said, at) && !said.closes(at) || humble;
    let after_number = at >= DIGITS && said.sounds[at - DIGITS..at].iter().all(|sound| is_digit(sound.character));
    let opens = opens_answer(said, at) && !spoke_of_others(said, at);
    let alone = opens && written && (asked || closes_a_number(said, at));
    if !(mine || alone || after_number || asked && opens) {
        return None;
    }
    let from = at + 1;
    let name = surname(said, from).filter(|name| !starts_a_number(said, from, name))?;
    let end = from + name.length;
    if in_office(said, end) && !written {
        return None;
    }
    let apart = ends_there(said, end);
    let confidence = match (written, name.written) {
        (true, true) if mine || asked => 0.9,
        (true, true) => 0.8,
        (true, false) if mine || asked => 0.6,
        (true, false) => 0.5,
        // What is written 性 or 信 is a surname's 姓 only where the name stands apart.
        (false, true) if apart => 0.65,
        (false, false) if apart && off < 0.01 && (humble || asked || after_number) => 0.5,
        _ => return None,
    };
    let start = if mine { at - 1 } else { at };
    let given = if written && name.written { given_name(said, end, true) } else { 0 };
    // 姓王名强 is rare, 我姓王建国的王 is a slip: what follows a surname is its given name only when it ends at once.
    let given = if given > 0 && said.closes(end + given) && !apart { given } else { 0 };
    Some((claim(said, &name, end, given, confidence), start..end + given))
}

/// 我叫李明; 叫李明 where a name is expected.
fn named(said: &Said, at: usize, expected: bool) -> Option<(Claim, Range<usize>)> {
    let cues = &*CUES;
    let start = cues.called.at(said, at).map(|(end, _)| end).filter(|_| !preceded_by_others(said, at));
    let alone = expected && said.sounds[at].character == '叫' && opens_answer(said, at);
    let from = start.or(alone.then_some(at + 1))?;
    let mut from = from;
    while said.sounds.get(from).is_some_and(|sound| "做作是个".contains(sound.character)) {
        from += 1;
    }
    let name = surname(said, from)?;
    let end = from + name.length;
    if in_office(said, end) {
        return None;
    }
    let given = given_name(said, end, false);
    if given == 0 && !said.closes(end) || !name.written && (given == 0 || !ends_there(said, end + given)) {
        return None;
    }
    if cues.fetched.after(said, end + given) && !said.closes(end + given) {
        return None;
    }
    let confidence = if name.written { 0.8 } else { 0.45 };
    Some((claim(said, &name, end, given, confidence), at..end + given))
}

/// The answer to 您贵姓 without 姓 or 叫: 刘; 张伟; 我是王建国; and 叫我小王就行.
fn bare(said: &Said, at: usize) -> Option<(Claim, Range<usize>)> {
    let cues = &*CUES;
    if !opens_answer(said, at) {
        return None;
    }
    let mut from = cues.am.at(said, at).map_or(at, |(end, _)| end);
    if said.sounds.get(from).is_some_and(|sound| "老小".contains(sound.character)) {
        from += 1;
    }
    let name = surname(said, from).filter(|name| name.written && !starts_a_number(said, from, name))?;
    let end = from + name.length;
    if cues.titles.after(said, end) {
        return Some((claim(said, &name, end, 0, 0.75), from..end));
    }
    let given = given_name(said, end, false);
    let whole = said.closes(end + given) || cues.contact.after(said, end + given);
    (whole && !in_office(said, end)).then(|| (claim(said, &name, end, given, 0.7), from..end + given))
}

/// 我是王先生; 我是刘庄村的刘志强: a whole name behind where he is from.
fn presented(said: &Said, at: usize) -> Option<(Claim, Range<usize>)> {
    // 我是一中的高中生, 厂里的安全员: these end as people's callings do.
    const CALLINGS: &str = "人生者员师工户主长家店厂村镇区县路街里院校司民客友妻子女";
    if !opens_answer(said, at) || !(said.reads(at, "我是") || said.reads(at, "俺是")) {
        return None;
    }
    if let Some(name) = surname(said, at + 2).filter(|name| name.written) {
        let end = at + 2 + name.length;
        let title = CUES.polite.at(said, end).map(|(close, _)| close);
        if title.is_some_and(|close| said.closes(close) || CUES.contact.after(said, close)) {
            return Some((claim(said, &name, end, 0, 0.75), at + 2..end));
        }
    }
    let clause = said.clause(at);
    let from = (at + 4..clause.end.min(at + 16)).find(|of| said.sounds[of - 1].character == '的')?;
    let name = surname(said, from).filter(|name| name.written && clause.end == from + name.length + GIVEN)?;
    let end = from + name.length;
    let calling = CALLINGS.contains(said.sounds[clause.end - 1].character) || in_office(said, end);
    (!calling && given_name(said, end, false) == GIVEN)
        .then(|| (claim(said, &name, end, GIVEN, 0.65), from..clause.end))
}

fn claim(said: &Said, name: &Surname, end: usize, given: usize, confidence: f32) -> Claim {
    Claim {
        surname: name.name.clone(),
        given: said.words(end..end + given),
        rivals: name.rivals.clone(),
        confidence: confidence * (0.7 + 0.3 * said.confidence),
        span: Span { utterance: 0, characters: 0..0 },
    }
}

/// A surname that is spelled out right after, or when the operator asks which one, is the spelled one.
fn spell_out(heard: &Heard, utterance: usize, claim: &mut Claim) {
    let said = &heard.said[utterance];
    let Some(sound) = claim.surname.chars().next_back().and_then(Reading::of) else { return };
    let from = if claim.span.utterance == utterance {
        let end = claim.span.characters.end;
        (0..said.sounds.len()).find(|at| said.characters(&(*at..*at + 1)).start >= end)
    } else {
        let questioned = heard.asked(utterance).is_some_and(|question| CUES.asks_spelling.within(question));
        (utterance <= claim.span.utterance + 3 && questioned).then_some(0)
    };
    if let Some((surname, _)) = from.and_then(|from| spelled(said, from, sound)) {
        let mut alike = std::mem::take(&mut claim.rivals);
        alike.retain(|rival| *rival != surname);
        claim.rivals = alike;
        claim.surname = surname.to_string();
        claim.confidence = claim.confidence.max(0.9);
    }
}

/// 王女士，您好; 请问是王女士吗 only where the caller says yes.
fn addressed(heard: &Heard, said: &Said, utterance: usize) -> Option<Claim> {
    let cues = &*CUES;
    let answer = heard.answer(utterance).map(|(_, answer)| answer);
    let agrees = answer.is_some_and(|answer| cues.yes.after(answer, 0) && !cues.no.after(answer, 0));
    let refuses = heard.of(Channel::Caller).any(|(_, caller)| {
        let near = 0..caller.sounds.len().min(6);
        cues.no.first(caller, &near).is_some_and(|found| found.start <= 1)
            && answer.is_some_and(|answer| std::ptr::eq(answer, caller))
    });
    for at in 0..said.sounds.len() {
        let opens = said.opens(at) || cues.greets.before(said, at) || said.sounds[at - 1].character == '姓';
        let Some(name) = surname(said, at).filter(|name| opens && name.written) else { continue };
        let end = at + name.length;
        let surnamed = at > 0
            && said.sounds[at - 1].character == '姓'
            && (at < 2 || "您你是".contains(said.sounds[at - 2].character));
        let title = cues.polite.at(said, end).map(|(close, _)| close);
        let Some(close) = title.or(surnamed.then_some(end)) else { continue };
        let question = said.sounds[at..].iter().any(|sound| "吗吧".contains(sound.character));
        let said_to_him = said.closes(close) || cues.goes_on.after(said, close);
        if !said_to_him || refuses || (question || surnamed) && !agrees {
            continue;
        }
        let mut claim = claim(said, &name, end, 0, if agrees { 0.65 } else { 0.5 });
        claim.span = Span { utterance, characters: said.characters(&(at..close)) };
        return Some(claim);
    }
    None
}

fn asks_for_the_name(said: &Said) -> bool {
    let cues = &*CUES;
    let honoured = |at: usize| {
        said.sounds[at].reading.same(cues.honoured)
            && said.sounds.get(at + 1).is_some_and(|next| next.reading.cost(cues.family) <= NEAR)
            && (said.opens(at) || "您你问的".contains(said.sounds[at - 1].character))
    };
    cues.asks.within(said) || (0..said.sounds.len()).any(honoured)
}

/// Whether an answer begins here: a clause, fillers such as 嗯 left out.
fn opens_answer(said: &Said, at: usize) -> bool {
    let clause = said.clause(at);
    let mut start = clause.start;
    while start < at {
        let Some((end, _)) = CUES.fillers.at(said, start) else { break };
        start = end;
    }
    start == at || said.opens(at)
}

/// Whether the clause or the one before speaks of somebody else.
fn spoke_of_others(said: &Said, at: usize) -> bool {
    let clause = said.clause(at);
    let from = if clause.start > 0 { said.clause(clause.start - 1).start } else { 0 };
    CUES.others.inside(said, &(from..at))
}

/// 他说我叫…, 邻居名字叫…
fn preceded_by_others(said: &Said, at: usize) -> bool {
    let clause = said.clause(at);
    CUES.others.inside(said, &(clause.start..at)) || at > 0 && !said.opens(at) && said.sounds[at - 1].character == '的'
}

/// Whether the clause before is a telephone number: 电话是138…，姓王.
fn closes_a_number(said: &Said, at: usize) -> bool {
    let digits = said.sounds[..at].iter().rev().take_while(|sound| is_digit(sound.character)).count();
    digits >= DIGITS
}

/// 王师傅, 李主任, 王家: somebody one talks about.
fn in_office(said: &Said, end: usize) -> bool {
    !said.closes(end) && CUES.offices.after(said, end)
}

fn ends_there(said: &Said, end: usize) -> bool {
    let next = said.sounds.get(end);
    said.closes(end) || CUES.contact.after(said, end) || next.is_some_and(|next| is_digit(next.character))
}

/// A digit that is read as a surname (5 as 吴) begins a number when another follows.
fn starts_a_number(said: &Said, at: usize, name: &Surname) -> bool {
    !name.written
        && is_digit(said.sounds[at].character)
        && said.sounds.get(at + 1).is_some_and(|next| is_digit(next.character))
}

/// Characters of the given name behind a surname: up to two, until a pause or a word that is no name.
///
/// * `alone` — one character more than a surname is no name here.
fn given_name(said: &Said, from: usize, alone: bool) -> usize {
    let mut length = 0;
    while length < GIVEN && from + length < said.sounds.len() {
        let at = from + length;
        // One numeral may be part of a name (赵一曼), two are a telephone number.
        let numerals = said.sounds[at..].iter().take(2).filter(|sound| is_digit(sound.character)).count();
        let number = said.sounds[at].character.is_ascii_digit() || numerals == 2;
        if said.sounds[at].after_pause || CUES.ends.after(said, at) || number {
            break;
        }
        length += 1;
    }
    if alone && length < GIVEN { 0 } else { length }
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit() || "零幺一二三四五六七八九洞两".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::{heard, talk};

    fn name(words: &str) -> Option<String> {
        find(&heard(&[words])).value
    }

    fn answered(question: &str, answer: &str) -> Option<String> {
        find(&talk(&[(Channel::Operator, question), (Channel::Caller, answer)])).value
    }

    #[test]
    fn what_the_caller_says_of_himself_is_his_name() {
        for (expected, words) in [
            ("张", "可以我姓张电话是15663507892。"),
            ("李", "幺三九，六三五八，零零二六，我姓李。"),
            ("王", "你好,我姓王,我家停水了"),
            ("孙", "俺姓孙，是茌平的"),
            ("周", "我这边姓周，电话就是这个"),
            ("赵", "免贵姓赵，电话13800001111"),
            ("陈", "免贵姓陈,耳东陈"),
            ("李明", "我叫李明，住在光岳新村"),
            ("王建国", "你好我叫王建国我要反映个事"),
            ("赵一曼", "我的名字叫赵一曼"),
            ("欧阳", "我姓欧阳，电话还是这个"),
            ("吴", "我姓5，电话13963580026"),
            ("于", "我姓于，电话13963580026"),
            ("刘", "电话是13963580026，姓刘"),
            ("刘", "电话13963580026姓刘"),
            ("王", "我姓王，叫什么就不说了"),
            ("马", "我是马女士，电话还是这个"),
            ("刘志强", "你好我是刘庄村的刘志强，我们村停水两天了"),
        ] {
            assert_eq!(name(words).as_deref(), Some(expected), "{words}");
        }
    }

    #[test]
    fn a_surname_misheard_is_found_where_one_is_due() {
        assert_eq!(name("1939635820026565性力。").as_deref(), Some("李"));
        assert_eq!(name("我姓流，电话15663507892").as_deref(), Some("刘"));
        assert_eq!(name("我信李，电话15663507892").as_deref(), Some("李"));
        assert_eq!(answered("好的您贵信电话是多少？", "眼归性流电话要82635-90133").as_deref(), Some("刘"));
        let field = find(&heard(&["我姓力。"]));
        assert_eq!(field.alternatives.first().map(|other| other.value.as_str()), Some("黎"));
        assert!(field.confidence < 0.65);
    }

    #[test]
    fn the_answer_to_the_operators_question_needs_no_more_words() {
        for (expected, question, answer) in [
            ("刘", "请问您贵姓？", "姓刘。"),
            ("刘", "请问您贵姓？", "刘。"),
            ("张", "您怎么称呼？", "嗯，姓张。"),
            ("王", "请问怎么称呼您？", "叫我老王就行"),
            ("张伟", "您的姓名和电话是？", "张伟，电话13800001111"),
            ("王建国", "请问您叫什么名字？", "我是王建国，光岳新村的"),
            ("李秀英", "请问您贵姓?", "我叫李秀英,"),
            ("周", "您贵姓，方便留个电话吗？", "我姓周，电话是幺三八，零零零零，幺幺幺幺"),
            ("陈", "请问您贵姓？", "姓程，耳东陈"),
            ("章", "请问您贵姓？", "我姓张，立早章。"),
        ] {
            assert_eq!(answered(question, answer).as_deref(), Some(expected), "{question} {answer}");
        }
    }

    #[test]
    fn a_surname_is_spelled_out_when_the_operator_asks_which() {
        let talk = talk(&[
            (Channel::Operator, "您贵姓？"),
            (Channel::Caller, "免贵姓姜。"),
            (Channel::Operator, "哪个姜？"),
            (Channel::Caller, "江水的江。"),
        ]);
        assert_eq!(find(&talk).value.as_deref(), Some("江"));
    }

    #[test]
    fn nobody_elses_name_is_taken() {
        for words in [
            "只知道姓赵是个小伙子，还给老人买了水",
            "一共16万多，包公投信王，他说公司没有给他钱",
            "包工头姓王，他说公司没有给他钱",
            "物业经理姓张，电话打不通",
            "那个老板姓刘，叫刘强",
            "我邻居姓陈，天天养狗",
            "我们老百姓张口就说这个事",
            "我叫物业来看过了",
            "我叫王师傅来修的，没有修好",
            "我叫他们来了好几次",
            "我心里特别难受",
            "我新房漏水",
            "我信访局也去过了",
            "我行李丢了",
            "我对象叫王芳",
            "我不想说我姓什么",
            "我是高唐县的，路坏了",
            "我是一中的高中生，食堂太难吃",
            "我是东昌府区光岳新村的业主，停水了",
            "大家都知道老王家养猪",
            "工作人员姓李，态度不好",
        ] {
            assert_eq!(name(words), None, "{words}");
        }
        assert_eq!(answered("您知道是哪位工作人员吗？", "只知道姓赵，是个小伙子"), None);
        assert_eq!(answered("施工单位的负责人姓什么？", "姓王，叫王强"), None);
        assert_eq!(answered("这个经理叫什么名字？", "王海涛"), None);
        assert_eq!(answered("健身房叫什么名字？", "叫金动力健身，在二楼"), None);
        assert_eq!(answered("饭店叫什么名字？", "叫张记烧烤"), None);
        assert_eq!(answered("请问您贵姓？", "不用了，就用这个号码"), None);
        assert_eq!(answered("请问您贵姓？", "好，那行吧"), None);
        assert_eq!(answered("请问您贵姓？", "这个我不方便说"), None);
    }

    #[test]
    fn the_operators_form_of_address_is_weaker_and_may_be_refused() {
        let called = |words: &str, answer: &str| {
            find(&talk(&[(Channel::Caller, "停水了"), (Channel::Operator, words), (Channel::Caller, answer)]))
        };
        let field = called("好的王女士，您的问题已经记下了", "好的谢谢");
        assert_eq!((field.value.as_deref(), field.evidence[0].channel), (Some("王"), Channel::Operator));
        assert!(field.confidence < 0.7);
        assert_eq!(called("请问您是张先生吗？", "对，是我").value.as_deref(), Some("张"));
        assert_eq!(called("您姓马是吧？", "对").value.as_deref(), Some("马"));
        assert_eq!(called("请问您是张先生吗？", "不是，你打错了").value, None);
        assert_eq!(called("好的王女士，您稍等", "我不姓王").value, None);
        assert_eq!(called("李主任会给您回电话", "好的").value, None);
        assert_eq!(called("这个要找王女士的儿子办", "好的").value, None);
    }
}
