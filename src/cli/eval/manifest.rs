//! `manifest.jsonl` of a folder of sample calls: who said what when, and what the draft should hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::domain::transcript::Channel;

/// One sample call.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Call {
    pub(super) id: String,
    /// Beside the manifest.
    pub(super) wav: PathBuf,
    pub(super) caller_id: Option<String>,
    pub(super) turns: Vec<Turn>,
    pub(super) expected: Expected,
}

/// One turn of one speaker.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Turn {
    pub(super) speaker: Channel,
    pub(super) text: String,
    /// Seconds since the start of the recording.
    pub(super) start: f64,
    /// Seconds since the start of the recording.
    pub(super) end: f64,
}

/// The right draft.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Expected {
    pub(super) category_accept: Vec<String>,
    pub(super) request_type: String,
    pub(super) place: Place,
    pub(super) phone: Option<String>,
    pub(super) urgency: String,
    pub(super) title: Option<String>,
    pub(super) wanted: Option<String>,
    pub(super) occurred: Option<String>,
    pub(super) caller_name: Option<String>,
    #[serde(default)]
    pub(super) secret: bool,
}

/// Names, not ids; `None` is unknown.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Place {
    pub(super) area: Option<String>,
    pub(super) town: Option<String>,
    /// Code of the estate.
    pub(super) estate: Option<String>,
    pub(super) address: Option<String>,
}

impl Call {
    /// What one side said, all turns together.
    pub(super) fn said(&self, channel: Channel) -> String {
        self.turns.iter().filter(|turn| turn.speaker == channel).map(|turn| turn.text.as_str()).collect()
    }
}

/// Reads the manifest of a folder.
pub(super) fn read(dir: &Path) -> anyhow::Result<Vec<Call>> {
    let path = dir.join("manifest.jsonl");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut calls = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let call: Call =
            serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), index + 1))?;
        calls.push(call);
    }
    if calls.is_empty() {
        bail!("{} names no call", path.display());
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_calls_are_read() {
        let calls = read(Path::new("tests/calls")).expect("the manifest");
        assert_eq!(calls.len(), 14);
        assert!(calls[0].said(Channel::Caller).starts_with("你好，我是东昌府区"));
    }
}
