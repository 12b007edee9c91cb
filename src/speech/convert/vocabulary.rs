//! Whisper's tokens: GPT-2's printable spelling of bytes turned back into bytes.

use super::Cursor;
use crate::speech::SpeechError;

/// Tokens in the ggml file; whisper.cpp makes the special ones after them itself.
pub(super) const TOKENS: usize = 50_257;

/// * `text` — `vocabulary.txt`, a token a line, the line's number is the token's id.
/// * returns — the bytes of the first [`TOKENS`] tokens and the number of lines.
pub(super) fn read(text: &[u8]) -> Result<(Vec<Vec<u8>>, usize), SpeechError> {
    let wrong = |problem: String| SpeechError::format("vocabulary.txt", problem);
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut tokens = Vec::with_capacity(TOKENS);
    let mut lines = 0;
    for line in text.split('\n') {
        if lines < TOKENS {
            let token: Option<Vec<u8>> = line.chars().map(byte).collect();
            tokens.push(token.ok_or_else(|| wrong(format!("line {} is not spelt as GPT-2 spells bytes", lines + 1)))?);
        }
        lines += 1;
    }
    if tokens.len() < TOKENS {
        return Err(wrong(format!("it has {lines} lines, fewer than {TOKENS}")));
    }
    Ok((tokens, lines))
}

/// Writes the tokens as the ggml file holds them.
pub(super) fn write(tokens: &[Vec<u8>], out: &mut Vec<u8>) {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(length(tokens.len()));
    for token in tokens {
        out.extend(length(token.len()));
        out.extend(token);
    }
}

/// Skips the tokens of a ggml file.
pub(super) fn skip(file: &mut Cursor<'_>) -> Result<(), SpeechError> {
    let count = file.size()?;
    if count > 1_000_000 {
        return Err(file.wrong(format!("it claims {count} tokens")));
    }
    for _ in 0..count {
        let length = file.size()?;
        file.take(length)?;
    }
    Ok(())
}

/// The byte a character stands for: itself where printable, otherwise U+0100 and on for the others in order.
fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        33..=126 | 161..=172 | 174..=255 => u8::try_from(code).ok(),
        0x100..=0x143 => {
            let index = usize::try_from(code - 0x100).ok()?;
            (0..=255_u8).filter(|byte| !matches!(byte, 33..=126 | 161..=172 | 174..=255)).nth(index)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_spelling_becomes_bytes() {
        assert_eq!(byte('A'), Some(b'A'));
        assert_eq!(byte('Ġ'), Some(b' '));
        assert_eq!(byte('\u{100}'), Some(0));
        assert_eq!(byte('\u{143}'), Some(173));
        assert_eq!(byte('字'), None);
    }

    #[test]
    fn a_short_vocabulary_is_refused() {
        assert!(read(b"a\nb\n").is_err());
        assert!(read(&[0xff, 0xfe]).is_err());
    }
}
