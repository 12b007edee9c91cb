//! What the caller calls himself: 我姓王, 我叫李明, 免贵姓赵, or the bare answer to 您贵姓.
//!
//! Only what is said of oneself counts. A surname after 姓 alone may be the neighbour's (只知道姓赵), so it has to stand
//! behind 我 or 免贵, answer the operator's question or close the telephone number. The operator's 王女士 is weaker, and
//! nothing where the caller refuses it.

mod cues;
mod own;
mod surnames;

#[cfg(test)]
mod tests;

use super::{
    heard::{Heard, Said, Span},
    sound::Reading,
};
use crate::domain::{
    draft::{Alternative, Field, Source},
    transcript::Channel,
};
use cues::{CUES, NEAR};
use surnames::{Surname, spelled, surname};

/// Alternatives that are shown.
const ALTERNATIVES: usize = 3;
/// Claims of one call that are weighed.
const CLAIMS: usize = 64;

/// What the operator has just asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    name: bool,
    /// Who is asked for the number often adds the name: 就是这个，姓胡.
    number: bool,
}

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
        let reached = heard.asked(utterance).is_some_and(|question| CUES.asks_number.within(question));
        claims.extend(own::own(said, utterance, Asked { name: asked, number: reached }));
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
    // 我姓王啊，王晓燕: the whole name of the same surname.
    let whole = |claim: &&Claim| claim.surname == best.surname && !claim.given.is_empty() && claim.confidence >= 0.6;
    let best = claims.iter().rev().find(whole).filter(|_| best.given.is_empty()).unwrap_or(best);
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

fn claim(said: &Said, name: &Surname, end: usize, given: usize, confidence: f32) -> Claim {
    Claim {
        surname: name.name.clone(),
        given: said.words(end..end + given),
        rivals: name.rivals.clone(),
        confidence: confidence * (0.7 + 0.3 * said.confidence),
        span: Span { utterance: 0, characters: 0..0 },
    }
}
