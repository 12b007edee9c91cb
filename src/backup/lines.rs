//! Rows as compressed lines, each a JSON array.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;

/// Bytes of lines after which a piece is full.
const PIECE: usize = 8 << 20;
/// Longest line that is read, bytes; a call of many hours has some millions.
const LONGEST: u64 = 256 << 20;

/// A piece that grows.
pub struct Lines {
    text: GzEncoder<Vec<u8>>,
    plain: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { text: GzEncoder::new(Vec::new(), Compression::fast()), plain: 0 }
    }
}

impl Lines {
    pub fn push(&mut self, row: &str) {
        let written = self.text.write_all(row.as_bytes()).and_then(|()| self.text.write_all(b"\n"));
        written.expect("memory takes everything");
        self.plain += row.len() + 1;
    }

    pub const fn is_empty(&self) -> bool {
        self.plain == 0
    }

    pub const fn is_full(&self) -> bool {
        self.plain >= PIECE
    }

    /// Compressed.
    pub fn finish(self) -> Vec<u8> {
        self.text.finish().expect("memory takes everything")
    }
}

/// The rows of a piece. After the first error there are no more.
pub fn rows(piece: &[u8]) -> impl Iterator<Item = io::Result<Vec<Value>>> {
    let mut text = BufReader::new(GzDecoder::new(piece));
    let mut next = move || -> io::Result<Option<Vec<Value>>> {
        let mut line = Vec::new();
        text.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    };
    let mut over = false;
    std::iter::from_fn(move || {
        let row = if over { None } else { next().transpose() };
        over = !matches!(row, Some(Ok(_)));
        row
    })
}
