//! The parent's side of one worker.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{Heard, LONGEST_ANSWER, Line, Task};
use crate::config::Speech;

/// Longest a worker may take to hash and load its models (3 GB from a slow disk).
const PATIENCE_START: Duration = Duration::from_mins(5);
/// Longest between two signs of life; an utterance takes seconds even on a busy machine.
const PATIENCE_BEAT: Duration = Duration::from_mins(5);
/// Longest line of a worker's log that is kept.
const LONGEST_LOG: u64 = 4096;

/// What to start: normally this program itself.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

/// A child that hears.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Why a worker did not give a transcript.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("the speech worker {} does not start", path.display())]
    Start {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The installation is at fault: jobs wait until it is mended.
    #[error("{0}")]
    Unfit(String),
    #[error("the speech worker died ({0})")]
    Died(String),
    #[error("the speech worker gave no sign of life for {} seconds and was ended", .0.as_secs())]
    Silent(Duration),
    #[error("the speech worker does not keep to the protocol: {0}")]
    Protocol(String),
    #[error("the recording went to another worker meanwhile")]
    Abandoned,
    /// This recording cannot be heard; the worker is well.
    #[error("{error}")]
    Failed { error: String, retry: bool },
}

impl Program {
    /// This very program as a worker.
    pub fn this(settings: &Speech) -> io::Result<Self> {
        Ok(Self::at(&std::env::current_exe()?, settings))
    }

    /// A `hotline` at a given path.
    pub fn at(path: &Path, settings: &Speech) -> Self {
        let arguments = [
            "worker".into(),
            "--models".into(),
            settings.models.clone().into(),
            "--model".into(),
            settings.model.clone().into(),
            "--prompt".into(),
            settings.prompt.clone().into(),
        ];
        Self { path: path.to_owned(), arguments: arguments.into() }
    }
}

impl Worker {
    /// Starts a worker and waits until its models are loaded.
    pub async fn spawn(program: &Program) -> Result<Self, WorkerError> {
        let start = |source| WorkerError::Start { path: program.path.clone(), source };
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for the parent, which lets work end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let missing = || start(io::Error::other("a pipe is missing"));
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        if let Some(log) = child.stderr.take() {
            // Ends with the child, whose end of the pipe it reads.
            tokio::spawn(forward(BufReader::new(log)));
        }
        let mut worker = Self { child, input, output };
        match worker.line(PATIENCE_START).await? {
            Line::Ready => Ok(worker),
            Line::Unfit { reason } => Err(WorkerError::Unfit(reason)),
            other => Err(WorkerError::Protocol(format!("it began with {other:?}"))),
        }
    }

    /// The child's process id while it lives.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has a stretch of one recording heard. After any error but [`WorkerError::Failed`], and if the future is dropped, the worker is of
    /// no further use.
    ///
    /// * `on_beat` — called at every sign of life.
    pub async fn hear(&mut self, task: &Task, mut on_beat: impl FnMut()) -> Result<Heard, WorkerError> {
        let mut text = serde_json::to_vec(task).map_err(|error| WorkerError::Protocol(error.to_string()))?;
        text.push(b'\n');
        if self.input.write_all(&text).await.is_err() {
            return Err(self.death().await);
        }
        loop {
            match self.line(PATIENCE_BEAT).await? {
                Line::Beat { id } if id == task.id => on_beat(),
                Line::Heard { id, utterances, until } if id == task.id => return Ok(Heard { utterances, until }),
                Line::Failed { id, error, retry } if id == task.id => return Err(WorkerError::Failed { error, retry }),
                _ => return Err(WorkerError::Protocol("an answer to another question".into())),
            }
        }
    }

    /// Waits until the child ends by itself, which it should not.
    pub async fn ended(&mut self) -> WorkerError {
        WorkerError::Died(how(self.child.wait().await))
    }

    async fn line(&mut self, patience: Duration) -> Result<Line, WorkerError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.output).take(LONGEST_ANSWER);
        let Ok(read) = timeout(patience, limited.read_until(b'\n', &mut line)).await else {
            let _ = self.child.start_kill();
            return Err(WorkerError::Silent(patience));
        };
        match read {
            Ok(count) if count > 0 && line.ends_with(b"\n") => {
                serde_json::from_slice(&line).map_err(|error| WorkerError::Protocol(error.to_string()))
            }
            _ => Err(self.death().await),
        }
    }

    async fn death(&mut self) -> WorkerError {
        // A child that closed its pipes without ending is ended.
        let _ = self.child.start_kill();
        WorkerError::Died(how(self.child.wait().await))
    }
}

fn how(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// A worker's log lines become ours.
async fn forward(mut log: BufReader<tokio::process::ChildStderr>) {
    loop {
        let mut line = Vec::new();
        match (&mut log).take(LONGEST_LOG).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => tracing::info!(worker = %String::from_utf8_lossy(&line).trim_end(), "speech worker says"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Stretch;

    /// A shell script in the place of a worker.
    fn script(text: &str) -> Program {
        Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), text.into()] }
    }

    fn task() -> Task {
        Task { id: "t1".into(), wav: "a.wav".into(), skip: Vec::new(), stretch: Stretch::default() }
    }

    const READY: &str = r#"echo '{"kind":"ready"}'; read task; echo '{"kind":"beat","id":"t1"}'"#;

    #[tokio::test]
    async fn a_worker_beats_and_answers() {
        let answer = r#"echo '{"kind":"heard","id":"t1","utterances":[],"until":[900,800]}'; read more"#;
        let mut worker = Worker::spawn(&script(&format!("{READY}; {answer}"))).await.expect("it starts");
        let mut beats = 0;
        let heard = worker.hear(&task(), || beats += 1).await.expect("it hears");
        assert_eq!(heard, Heard { utterances: Vec::new(), until: [900, 800] });
        assert_eq!(beats, 1);
    }

    #[tokio::test]
    async fn a_worker_that_is_killed_at_work_has_died() {
        let mut worker = Worker::spawn(&script(&format!("{READY}; kill -9 $$"))).await.expect("it starts");
        let error = worker.hear(&task(), || {}).await.expect_err("it is gone");
        assert!(matches!(&error, WorkerError::Died(how) if how.contains('9')), "{error}");
    }

    #[tokio::test]
    async fn a_worker_without_a_model_is_unfit_and_nonsense_is_refused() {
        let unfit = r#"echo '{"kind":"unfit","reason":"model file x is missing"}'"#;
        let error = Worker::spawn(&script(unfit)).await.expect_err("no model");
        assert!(matches!(&error, WorkerError::Unfit(reason) if reason == "model file x is missing"), "{error}");
        let error = Worker::spawn(&script("echo nonsense")).await.expect_err("no protocol");
        assert!(matches!(error, WorkerError::Protocol(_)), "{error}");
        let absent = Program { path: "/nowhere/hotline".into(), arguments: Vec::new() };
        let error = Worker::spawn(&absent).await.expect_err("no program");
        assert!(error.to_string().contains("/nowhere/hotline"), "{error}");
    }

    #[tokio::test]
    async fn a_bad_file_leaves_the_worker_alive() {
        let answer = r#"echo '{"kind":"failed","id":"t1","error":"not a WAV file","retry":true}'; read more"#;
        let mut worker = Worker::spawn(&script(&format!("{READY}; {answer}"))).await.expect("it starts");
        let error = worker.hear(&task(), || {}).await.expect_err("a bad file");
        assert!(matches!(error, WorkerError::Failed { retry: true, .. }), "{error}");
        assert!(worker.id().is_some());
    }
}
