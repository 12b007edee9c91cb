//! Turns published weights into the files whisper.cpp loads, byte for byte as its own tools would.
//!
//! Everything here is pure: bytes in, bytes out, bounded, and an error value for any damaged input.

mod ct2;
#[cfg(test)]
mod fuzz;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Precision, check_ggml, ct2, ggml, silero, whisper};

    /// A `model.bin` with one 2 × 3 matrix and one scalar.
    fn model_bin() -> Vec<u8> {
        let name = |text: &str| {
            let mut bytes = u16::try_from(text.len() + 1).expect("short").to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            bytes.push(0);
            bytes
        };
        let mut file = 6_u32.to_le_bytes().to_vec();
        file.extend(name("WhisperSpec"));
        file.extend([3, 0, 0, 0, 2, 0, 0, 0]);
        file.extend(name("decoder/embeddings/weight"));
        file.extend([2, 2, 0, 0, 0, 3, 0, 0, 0, 4, 12, 0, 0, 0]);
        file.extend([0; 12]);
        file.extend(name("decoder/pre_norm"));
        file.extend([0, 1, 1, 0, 0, 0, 1]);
        file.extend([0, 0, 0, 0]);
        file
    }

    /// A ggml file with ten sizes of 1, one filter, two tokens and one tensor.
    fn ggml_file() -> Vec<u8> {
        let mut file = ggml::MAGIC.to_le_bytes().to_vec();
        for value in [1_u32; 13] {
            file.extend(value.to_le_bytes());
        }
        file.extend(0.5_f32.to_le_bytes());
        file.extend([2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0]);
        ggml::tensor(&mut file, "x", &[2, 32], ggml::Kind::Q8_0, &[0; 128]).expect("a tensor");
        file
    }

    #[test]
    fn whole_files_are_read() {
        let file = model_bin();
        let model = ct2::Model::parse(&file).expect("whole");
        assert_eq!(model.get("decoder/embeddings/weight").expect("there").shape, [2, 3]);
        assert_eq!(model.scalar("decoder/pre_norm").expect("there"), 1);
        check_ggml(&ggml_file()).expect("whole");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damaged_weights_are_an_error_or_themselves_and_never_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            keep in any::<prop::sample::Index>(),
            cut: bool,
        ) {
            for mut file in [model_bin(), ggml_file()] {
                for (at, value) in &changes {
                    let at = at.index(file.len());
                    file[at] = *value;
                }
                if cut {
                    file.truncate(keep.index(file.len()));
                }
                let _ = ct2::Model::parse(&file);
                let _ = whisper(&file, b"a\nb\n", Precision::F16);
                let _ = silero(&file);
                let _ = check_ggml(&file);
            }
        }
    }
}
