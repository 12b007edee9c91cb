//! The category: what the classifier makes of the caller's words, and the clauses that decided.

use super::{
    classifier::Classifier,
    heard::{Heard, Span},
};
use crate::domain::{
    city::City,
    draft::{Alternative, Field, Source},
    transcript::Channel,
};

/// Alternatives that are shown.
const ALTERNATIVES: usize = 4;
/// Clauses that are shown as proof.
const PROOFS: usize = 2;

/// The category and the clause that says most about it.
#[derive(Debug, Default)]
pub(super) struct Matter {
    pub field: Field<String>,
    pub clause: Option<Span>,
}

pub(super) fn judge(heard: &Heard, city: &City, classifier: &Classifier) -> Matter {
    let ranked = classifier.classify(&heard.text(Channel::Caller));
    let mut ranked = ranked.into_iter().filter(|(code, _)| city.leaf(code).is_some());
    let Some((code, confidence)) = ranked.next() else { return Matter::default() };
    let alternatives = ranked.take(ALTERNATIVES).map(|(value, confidence)| Alternative { value, confidence }).collect();
    let mut clauses: Vec<(f32, Span)> = clauses(heard)
        .into_iter()
        .map(|span| {
            let words: String = heard.said[span.utterance].text[span.characters.clone()].iter().collect();
            (classifier.support(&words, &code), span)
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let clause = clauses.first().map(|(_, span)| span.clone());
    let best = clauses.first().map_or(0.0, |(support, _)| *support);
    let evidence = clauses
        .iter()
        .take(PROOFS)
        .enumerate()
        .filter(|(order, (support, _))| *order == 0 || *support > 0.5 * best)
        .map(|(_, (_, span))| heard.evidence(span))
        .collect();
    let field = Field { value: Some(code), confidence, source: Some(Source::Speech), evidence, alternatives };
    Matter { field, clause }
}

/// The caller's clauses, cut at pauses.
fn clauses(heard: &Heard) -> Vec<Span> {
    let mut all = Vec::new();
    for (utterance, said) in heard.of(Channel::Caller) {
        let mut start = 0;
        for at in 0..=said.sounds.len() {
            if at == said.sounds.len() || said.sounds[at].after_pause {
                if at > start {
                    all.push(Span { utterance, characters: said.characters(&(start..at)) });
                }
                start = at;
            }
        }
    }
    all
}
