//! What is known about a recording, as the JSON file beside it.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        call::{Direction, EndReason, Fork},
        ids::CallId,
        time::UnixMs,
        transcript::Channel,
    },
    telemetry::Private,
    vault::Vault,
};

/// What is known when a call begins; kept in the spool at once, so that a crash leaves who called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    pub call: CallId,
    /// The caller's number, if the trunk gave one.
    pub caller: Option<Private<String>>,
    /// The public number that was dialled.
    pub called: String,
    pub direction: Direction,
    /// When the INVITE came.
    pub started: UnixMs,
    /// What the switch said that forked the call to us; nothing of a call that the line answered itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// Extension of the operator's seat that took it, the last one of several; nothing while the line answers by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
}

impl CallFacts {
    /// What the caller is found by: the keyed hash of the number; nothing while the keys are away.
    pub fn caller_hash(&self, vault: &Vault) -> Option<String> {
        self.caller.as_ref().and_then(|caller| vault.fingerprint(caller.reveal()))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub ended: UnixMs,
    pub reason: EndReason,
}

/// Who is to be heard on a channel, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    pub channel: Channel,
    /// `caller`, `operator` (of a forked call), or `prompt:<name>` for an announcement.
    pub who: String,
    /// Milliseconds since the start of the recording.
    pub start_ms: u32,
    /// Milliseconds since the start of the recording.
    pub end_ms: u32,
}

/// A stretch in which sound is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub channel: Channel,
    /// Milliseconds since the start of the recording.
    pub start_ms: u32,
    /// Milliseconds since the start of the recording.
    pub end_ms: u32,
}

/// The sidecar while the recording grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    #[serde(flatten)]
    pub facts: CallFacts,
    pub answered: Option<UnixMs>,
    pub speakers: Vec<Speaker>,
}

impl Early {
    pub const fn new(facts: CallFacts) -> Self {
        Self { facts, answered: None, speakers: Vec::new() }
    }

    /// Adds a span, or moves the end of the one with the same begin.
    pub fn note(&mut self, new: Speaker) {
        let same =
            |old: &&mut Speaker| (old.channel, old.start_ms) == (new.channel, new.start_ms) && old.who == new.who;
        match self.speakers.iter_mut().rev().find(same) {
            Some(old) => old.end_ms = new.end_ms,
            None => self.speakers.push(new),
        }
    }
}

/// The sidecar: everything that is known about a recording that will not change any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    #[serde(flatten)]
    pub facts: CallFacts,
    /// Sample 0 of the recording: the 200 OK. `None` if the media never began.
    pub answered: Option<UnixMs>,
    pub ended: UnixMs,
    pub reason: EndReason,
    /// Name of the WAV in the object store: `YYYY/MM/DD/<call>.wav`; the sidecar stands beside it as `.json`.
    pub key: String,
    /// 8000.
    pub sample_rate: u32,
    /// Samples of each channel.
    pub samples: u64,
    /// Of the whole WAV file, lower-case hexadecimal.
    pub sha256: String,
    /// Where the caller's sound did not arrive; the first 256 stretches.
    pub gaps: Vec<Gap>,
    /// Samples that arrived but could not be written (disk trouble, or too far out of time).
    pub dropped_samples: u64,
    /// The first trouble the writer met, in words.
    pub trouble: Option<String>,
    pub speakers: Vec<Speaker>,
}

impl Sealed {
    /// Spans of a channel in which no caller and no operator speaks, but an announcement: nothing to be heard there.
    pub fn prompts(&self, channel: Channel) -> Vec<(u32, u32)> {
        let spans = self.speakers.iter().filter(|it| it.channel == channel && it.who.starts_with("prompt:"));
        spans.map(|it| (it.start_ms, it.end_ms)).collect()
    }

    /// Length of the recording, milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.samples * 1000 / u64::from(self.sample_rate.max(1))
    }
}
