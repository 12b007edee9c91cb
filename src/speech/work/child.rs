//! The child's side.

use std::{
    io::{self, BufRead, Write},
    process,
    sync::mpsc,
    thread,
};

use super::{LONGEST_TASK, Line, Task, describe};
use crate::speech::{ModelFiles, Recognizer, SpeechError};

/// How much the child steps back behind the threads that move sound.
const NICENESS: i32 = 5;

/// Loads the models and answers tasks until standard input ends.
///
/// * `prompt` — first words for the model.
pub fn serve(files: Result<ModelFiles, SpeechError>, prompt: &str) -> Result<(), SpeechError> {
    // SAFETY: nice(2) has no preconditions; if it is refused the worker is merely as important as the rest.
    let _ = unsafe { libc::nice(NICENESS) };
    let mut recognizer = match files.and_then(|files| Recognizer::open(&files, prompt)) {
        Ok(recognizer) => recognizer,
        Err(error) => {
            say(&Line::Unfit { reason: error.to_string() });
            return Err(error);
        }
    };
    let (sender, tasks) = mpsc::sync_channel(1);
    // A thread of its own sees the end of the input even in the middle of an utterance: when the parent dies, however it
    // dies, its end of the pipe closes, and the child goes with it. (PR_SET_PDEATHSIG would watch only the one thread
    // of the parent that forked.)
    let reader = thread::Builder::new().name("tasks".into()).spawn(move || {
        read(&mut io::stdin().lock(), &sender);
        process::exit(0);
    });
    reader.map_err(|error| SpeechError::Engine(format!("start a thread: {error}")))?;
    say(&Line::Ready);
    for task in tasks {
        let id = task.id.clone();
        let mut beat = || say(&Line::Beat { id: id.clone() });
        let answer = recognizer.listen(&task.wav, &task.skip, task.stretch, &mut beat);
        say(&match answer {
            Ok((utterances, until)) => Line::Heard { id, utterances, until },
            // A file may be on its way back (a network folder); the queue's own limit ends the attempts.
            Err(error) => Line::Failed { id, error: describe(&error), retry: true },
        });
    }
    Ok(())
}

/// Hands on every task until the input ends or is no protocol any more.
fn read(input: &mut impl BufRead, tasks: &mpsc::SyncSender<Task>) {
    loop {
        let mut line = Vec::new();
        match io::Read::take(&mut *input, LONGEST_TASK).read_until(b'\n', &mut line) {
            Ok(count) if count > 0 && line.ends_with(b"\n") => {}
            _ => return,
        }
        match serde_json::from_slice(&line) {
            Ok(task) => {
                if tasks.send(task).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "a task could not be read");
                return;
            }
        }
    }
}

fn say(line: &Line) {
    let Ok(mut text) = serde_json::to_vec(line) else { return };
    text.push(b'\n');
    let mut out = io::stdout().lock();
    if out.write_all(&text).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more.
        process::exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_until_the_input_ends_or_makes_no_sense() {
        let (sender, tasks) = mpsc::sync_channel(10);
        let good = r#"{"id":"a","wav":"x.wav","skip":[{"channel":"operator","start_ms":0,"end_ms":5}]}"#;
        read(&mut format!("{good}\n{good}\nnonsense\n{good}\n").as_bytes(), &sender);
        drop(sender);
        assert_eq!(tasks.iter().count(), 2);
    }
}
