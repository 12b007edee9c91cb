//! What the caller says of himself in one utterance.

use std::ops::Range;

use super::{
    super::heard::{Said, Span},
    Asked, CLAIMS, Claim, claim,
    cues::{CUES, NEAR, NO_NAME, NO_SURNAME},
    surnames::{Surname, surname},
};

/// Characters of a given name.
const GIVEN: usize = 2;
/// Digits just before 姓 that make it the end of a telephone number.
const DIGITS: usize = 5;

/// What the caller says of himself in one utterance.
///
/// * `asked` — what the operator has just asked for.
pub(super) fn own(said: &Said, utterance: usize, asked: Asked) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for at in 0..said.sounds.len() {
        let claim = surnamed(said, at, asked)
            .or_else(|| named(said, at, asked.name || !claims.is_empty()))
            .or_else(|| asked.name.then(|| bare(said, at)).flatten())
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
fn surnamed(said: &Said, at: usize, asked: Asked) -> Option<(Claim, Range<usize>)> {
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
    let alone = opens && written && (asked.name || asked.number || closes_a_number(said, at));
    if !(mine || alone || after_number || asked.name && opens) {
        return None;
    }
    // 我姓性李: said twice, once misheard.
    let twice =
        said.sounds.get(at + 1).is_some_and(|next| next.reading.same(cues.family) && "姓性行".contains(next.character));
    let from = if twice { at + 2 } else { at + 1 };
    let name = surname(said, from).filter(|name| !starts_a_number(said, from, name))?;
    let end = from + name.length;
    if in_office(said, end) && !written {
        return None;
    }
    let apart = ends_there(said, end);
    let confidence = match (written, name.written) {
        (true, true) if mine || asked.name => 0.9,
        (true, true) => 0.8,
        (true, false) if mine || asked.name => 0.6,
        (true, false) => 0.5,
        // What is written 性 or 信 is a surname's 姓 only where the name stands apart.
        (false, true) if apart => 0.65,
        (false, false) if apart && off < 0.01 && (humble || asked.name || after_number) => 0.5,
        _ => return None,
    };
    let start = if mine { at - 1 } else { at };
    let given = if written && name.written { given_name(said, end, true) } else { 0 };
    // 我姓王建国 runs both into one: a given name only when the clause ends with it.
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
    let ordinary = NO_NAME.contains(&said.words(from..end + given).as_str()) || is_calling(said, end, given);
    (whole && !ordinary && !in_office(said, end)).then(|| (claim(said, &name, end, given, 0.7), from..end + given))
}

/// 我是王先生; 我是刘庄村的刘志强: a whole name behind where he is from.
fn presented(said: &Said, at: usize) -> Option<(Claim, Range<usize>)> {
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
    let calling = is_calling(said, end, GIVEN) || in_office(said, end);
    (!calling && given_name(said, end, false) == GIVEN)
        .then(|| (claim(said, &name, end, GIVEN, 0.65), from..clause.end))
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

/// 高中生, 于集镇: a calling or a place, by its last character.
fn is_calling(said: &Said, end: usize, given: usize) -> bool {
    const CALLINGS: &str = "人生者员师工户主长家店厂村庄镇区县路街里院校司民客友妻子女";
    given > 0 && CALLINGS.contains(said.sounds[end + given - 1].character)
}

/// Whether the name is over here: a pause, a number, 电话.
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
