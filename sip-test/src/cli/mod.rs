//! Commands with orders of their own.

pub(crate) mod fuzz;
pub(crate) mod load;
pub(crate) mod misbehave;
pub(crate) mod seat;
pub(crate) mod siprec;
pub(crate) mod torture;

use std::io::{IsTerminal, Write};

/// One line that grows old: on a terminal it is written over, elsewhere every tenth is printed.
#[derive(Default)]
pub(crate) struct Ticker {
    told: usize,
}

impl Ticker {
    pub(crate) fn tell(&mut self, line: &str) {
        let mut out = std::io::stderr();
        // Progress nobody can read is no reason to end.
        let _ = if out.is_terminal() {
            write!(out, "\r{line}\x1b[K").and_then(|()| out.flush())
        } else if self.told.is_multiple_of(10) {
            writeln!(out, "{line}")
        } else {
            Ok(())
        };
        self.told += 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if self.told > 0 && std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
