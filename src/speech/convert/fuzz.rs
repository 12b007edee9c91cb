//! A coverage-guided target for files that may come from anywhere: weights and models.

use super::{Precision, check_ggml, silero, whisper};

/// The first byte says which reader takes the rest.
#[test]
fn fuzz_model_file() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((which, file)) = input.split_first() else { return };
        // Every one of them answers with a sentence or a file.
        let _ = match which % 3 {
            0 => check_ggml(file),
            1 => silero(file).map(drop),
            _ => whisper(file, b"a\nb\n", Precision::Q8_0).map(drop),
        };
    });
}
