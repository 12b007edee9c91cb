//! Stories over the whole room.

use std::sync::Arc;

use super::{heard::Heard, *};
use crate::domain::transcript::Utterance;

/// The caller's utterances, one a second.
pub(super) fn heard(words: &[&str]) -> Heard {
    let utterances = (0_u32..)
        .zip(words)
        .map(|(index, text)| Utterance {
            channel: Channel::Caller,
            start_ms: index * 1000,
            end_ms: index * 1000 + 900,
            text: (*text).to_owned(),
            confidence: 0.9,
        })
        .collect();
    Heard::new(&Transcript { utterances, r#final: true })
}

pub(super) fn city() -> Arc<City> {
    let text = std::fs::read_to_string("config/demo-city.json").expect("the demo city is there");
    Arc::new(serde_json::from_str(&text).expect("the demo city is whole"))
}
