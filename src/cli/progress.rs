//! What a long command tells the person who waits: a moving line on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// Writes to standard error, so that the answer on standard output stays clean.
pub(super) struct Progress {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    /// Last plain line, not to be repeated.
    last: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg} [{elapsed}] {wide_bar} {percent}%");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, last: String::new() }
    }

    /// A new step.
    pub(super) fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(0);
                bar.set_message(text.to_owned());
            }
            None => self.plain(text),
        }
    }

    /// How far the step is.
    pub(super) fn bar(&mut self, text: &str, done: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            None => self.plain(text),
        }
    }

    /// Takes the moving line away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[expect(clippy::print_stderr, reason = "progress is not the answer")]
    fn plain(&mut self, text: &str) {
        if self.last != text {
            eprintln!("{text}");
            text.clone_into(&mut self.last);
        }
    }
}
