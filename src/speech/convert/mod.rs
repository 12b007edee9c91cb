//! Turns published weights into the files whisper.cpp loads, byte for byte as its own tools would.
//!
//! Everything here is pure: bytes in, bytes out, bounded, and an error value for any damaged input.

mod ct2;
mod ggml;
mod mel;
mod silero;
mod vocabulary;
mod whisper;

pub(super) use ggml::check as check_ggml;
pub(super) use silero::convert as silero;
pub(super) use whisper::{Precision, convert as whisper};

use super::SpeechError;

/// Reads little-endian values off a slice; every length is checked against what is left.
struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SpeechError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.wrong("it ends too early")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SpeechError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, SpeechError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, SpeechError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, SpeechError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, SpeechError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    /// A length or dimension as the file gives it.
    fn size(&mut self) -> Result<usize, SpeechError> {
        usize::try_from(self.u32()?).map_err(|_| self.wrong("a length is out of range"))
    }

    fn wrong(&self, problem: impl Into<String>) -> SpeechError {
        SpeechError::format(self.what, problem)
    }
}
