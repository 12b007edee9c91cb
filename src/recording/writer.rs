//! The thread that writes all growing recordings.
//!
//! Trouble with the disk never reaches the call: what cannot be written is counted, the file is opened again with the
//! next block, and the hole is filled with silence so that everything after it stays in its place.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::Receiver,
    },
};

use tokio::sync::watch;

use super::{
    sidecar::{CallFacts, Early, Gap, Speaker},
    spool::SpoolFile,
};
use crate::domain::{ids::CallId, time::UnixMs, transcript::Channel};

/// Sound on its way to the disk.
pub enum Block {
    /// Both channels interleaved, from frame `at` on.
    Frames { at: u64, pcm: Vec<i16> },
    /// One channel of frames that were written already.
    Patch { at: u64, channel: Channel, pcm: Vec<i16> },
}

/// What a tap or the archive tells the writer. Messages of one call come in order.
pub enum Message {
    /// Both files are there.
    Open {
        early: Box<Early>,
        sidecar: PathBuf,
        file: Box<SpoolFile>,
        done: watch::Sender<Option<Written>>,
    },
    /// More became known about a call.
    Facts(Box<CallFacts>),
    Began {
        call: CallId,
        answered: UnixMs,
    },
    Speaker {
        call: CallId,
        speaker: Speaker,
    },
    Block {
        call: CallId,
        block: Block,
    },
    End {
        call: CallId,
        samples: u64,
        gaps: Vec<Gap>,
        dropped: u64,
    },
}

/// What the writer knows when a recording is complete on disk.
#[derive(Clone, Debug)]
pub struct Written {
    pub early: Early,
    pub gaps: Vec<Gap>,
    pub dropped: u64,
    pub trouble: Option<String>,
}

/// One growing recording.
struct Growing {
    early: Early,
    sidecar: PathBuf,
    file: SpoolFile,
    dropped: u64,
    trouble: Option<String>,
    done: watch::Sender<Option<Written>>,
}

impl Block {
    /// Samples of all channels.
    pub fn samples(&self) -> u64 {
        match self {
            Self::Frames { pcm, .. } | Self::Patch { pcm, .. } => pcm.len() as u64,
        }
    }
}

/// Runs until every sender is gone.
pub fn run(messages: &Receiver<Message>, waiting: &AtomicUsize) {
    let mut growing: HashMap<CallId, Growing> = HashMap::new();
    while let Ok(message) = messages.recv() {
        match message {
            Message::Open { early, sidecar, file, done } => {
                let call = early.facts.call;
                let new = Growing { early: *early, sidecar, file: *file, dropped: 0, trouble: None, done };
                growing.insert(call, new);
                count(growing.len());
            }
            Message::Facts(facts) => {
                if let Some(it) = growing.get_mut(&facts.call) {
                    it.early.facts = *facts;
                    it.write_sidecar();
                }
            }
            Message::Began { call, answered } => {
                if let Some(it) = growing.get_mut(&call) {
                    it.early.answered = Some(answered);
                    it.write_sidecar();
                }
            }
            Message::Speaker { call, speaker } => {
                if let Some(it) = growing.get_mut(&call) {
                    it.early.note(speaker);
                    it.write_sidecar();
                }
            }
            Message::Block { call, block } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                if let Some(it) = growing.get_mut(&call) {
                    it.write(&block);
                }
            }
            Message::End { call, samples, gaps, dropped } => {
                if let Some(it) = growing.remove(&call) {
                    it.end(samples, gaps, dropped);
                }
                count(growing.len());
            }
        }
    }
}

impl Growing {
    fn write(&mut self, block: &Block) {
        let result = match block {
            Block::Frames { at, pcm } => self.file.append(*at, pcm),
            Block::Patch { at, channel, pcm } => self.file.patch(*at, *channel, pcm),
        };
        match result {
            Ok(()) => metrics::counter!("hotline_recording_bytes_total").increment(block.samples() * 2),
            Err(error) => {
                self.dropped += block.samples();
                self.note_trouble(&format!("writing {}: {error}", self.file.path().display()));
            }
        }
    }

    fn end(mut self, samples: u64, gaps: Vec<Gap>, dropped: u64) {
        if let Err(error) = self.file.close(samples) {
            self.note_trouble(&format!("closing {}: {error}", self.file.path().display()));
        }
        let written = Written { early: self.early, gaps, dropped: dropped + self.dropped, trouble: self.trouble };
        // Nobody may be waiting: then the next start finds the spool file.
        let _ = self.done.send(Some(written));
    }

    fn write_sidecar(&mut self) {
        if let Err(error) = write_sidecar(&self.sidecar, &self.early) {
            self.note_trouble(&format!("writing {}: {error}", self.sidecar.display()));
        }
    }

    /// Logs the first trouble of a call and keeps its words; counts all.
    fn note_trouble(&mut self, words: &str) {
        metrics::counter!("hotline_recording_trouble_total").increment(1);
        if self.trouble.is_none() {
            tracing::error!(call.id = %self.early.facts.call, "recording: {words}; the call goes on");
            self.trouble = Some(words.to_owned());
        }
    }
}

fn count(growing: usize) {
    metrics::gauge!("hotline_recordings_growing").set(u32::try_from(growing).unwrap_or(u32::MAX));
}

/// Writes what is known about a call so that a crash leaves the old or the new sidecar.
pub fn write_sidecar(path: &Path, early: &Early) -> io::Result<()> {
    let part = path.with_extension("json.part");
    fs::write(&part, serde_json::to_vec_pretty(early)?)?;
    fs::rename(&part, path)
}

/// Starts the writer thread.
pub fn start(messages: Receiver<Message>, waiting: Arc<AtomicUsize>) -> io::Result<()> {
    std::thread::Builder::new().name("recording".into()).spawn(move || run(&messages, &waiting)).map(drop)
}
