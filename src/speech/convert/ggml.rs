//! whisper.cpp's model file: a header, tensors with names and shapes (fastest dimension first), little-endian.

use half::f16;

use super::{Cursor, vocabulary};
use crate::speech::SpeechError;

/// First four bytes of every file.
pub(super) const MAGIC: u32 = 0x6767_6d6c;
/// Values of one q8_0 block.
const BLOCK: usize = 32;

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Q8_0,
}

impl Kind {
    const fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: usize) -> Result<(), SpeechError> {
    let value = i32::try_from(value).map_err(|_| SpeechError::format("the model", "a size is over 2³¹"))?;
    out.extend(value.to_le_bytes());
    Ok(())
}

/// Appends a tensor.
///
/// * `shape` — slowest dimension first, as the sources have it; written reversed.
/// * `data` — f16, little-endian, row-major.
pub(super) fn tensor(
    out: &mut Vec<u8>,
    name: &str,
    shape: &[usize],
    kind: Kind,
    data: &[u8],
) -> Result<(), SpeechError> {
    head(out, name, shape, kind)?;
    match kind {
        Kind::F16 => out.extend(data),
        Kind::F32 => out.extend(halves(data).flat_map(|value| value.to_f32().to_le_bytes())),
        Kind::Q8_0 => {
            for block in data.chunks(2 * BLOCK) {
                quantise(out, block);
            }
        }
    }
    Ok(())
}

/// Appends what stands before a tensor's data.
pub(super) fn head(out: &mut Vec<u8>, name: &str, shape: &[usize], kind: Kind) -> Result<(), SpeechError> {
    number(out, shape.len())?;
    number(out, name.len())?;
    out.extend(kind.code().to_le_bytes());
    for size in shape.iter().rev() {
        number(out, *size)?;
    }
    out.extend(name.as_bytes());
    Ok(())
}

fn halves(data: &[u8]) -> impl Iterator<Item = f16> + '_ {
    data.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]))
}

/// One block of 32 values: the scale as f16, then 32 × i8. Source: ggml's `quantize_row_q8_0_ref`.
#[expect(clippy::cast_possible_truncation, reason = "|value · inverse| is at most 127")]
fn quantise(out: &mut Vec<u8>, block: &[u8]) {
    let largest = halves(block).map(|value| value.to_f32().abs()).fold(0.0_f32, f32::max);
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    out.extend(f16::from_f32(scale).to_le_bytes());
    out.extend(halves(block).flat_map(|value| ((value.to_f32() * inverse).round() as i8).to_le_bytes()));
}

/// Walks a whole whisper.cpp model file without loading it, so that a file that only looks like one never reaches the
/// engine.
///
/// * `bytes` — the file (memory-mapped or read).
pub(in crate::speech) fn check(bytes: &[u8]) -> Result<(), SpeechError> {
    let mut file = Cursor::new("the model", bytes);
    if file.u32()? != MAGIC {
        return Err(file.wrong("it is not a whisper.cpp (ggml) model file"));
    }
    let limits = [
        ("vocabulary", 1_000_000),
        ("audio context", 100_000),
        ("audio state", 16_384),
        ("audio heads", 256),
        ("audio layers", 256),
        ("text context", 100_000),
        ("text state", 16_384),
        ("text heads", 256),
        ("text layers", 256),
        ("mel bands", 1024),
    ];
    for (name, most) in limits {
        let value = file.i32()?;
        if !(1..=most).contains(&value) {
            return Err(file.wrong(format!("{name} is {value}")));
        }
    }
    let _precision = file.i32()?;
    let filters = file.size()?.checked_mul(file.size()?).and_then(|values| values.checked_mul(4));
    let Some(filters) = filters else { return Err(file.wrong("its filters are too large")) };
    file.take(filters)?;
    vocabulary::skip(&mut file)?;
    while !file.rest.is_empty() {
        let dimensions = file.size()?;
        let name = file.size()?;
        let kind = file.u32()?;
        if dimensions > 4 || name > 256 {
            return Err(file.wrong("a tensor's head is damaged"));
        }
        let mut values = 1_usize;
        for _ in 0..dimensions {
            let size = file.size()?;
            values = values.checked_mul(size).ok_or_else(|| file.wrong("a tensor is too large"))?;
        }
        file.take(name)?;
        // Values a block and bytes a block. Source: ggml's type table.
        let (block, bytes) = match kind {
            0 => (1, 4),
            1 => (1, 2),
            2 => (32, 18),
            3 => (32, 20),
            6 => (32, 22),
            7 => (32, 24),
            8 => (32, 34),
            10 => (256, 84),
            11 => (256, 110),
            12 => (256, 144),
            13 => (256, 176),
            14 => (256, 210),
            _ => return Err(file.wrong(format!("a tensor has the unknown type {kind}"))),
        };
        let Some(bytes) = (values / block).checked_mul(bytes) else { return Err(file.wrong("a tensor is too large")) };
        file.take(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_scaled_to_127_steps() {
        let values: Vec<u8> = (0..32_u8).flat_map(|value| f16::from_f32(f32::from(value)).to_le_bytes()).collect();
        let mut out = Vec::new();
        quantise(&mut out, &values);
        assert_eq!(out.len(), 34);
        assert_eq!((out[2], out[33]), (0, 127));
        assert_eq!(out[3], 4, "1 · 127/31 = 4.1");
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut out = Vec::new();
        quantise(&mut out, &[0; 64]);
        assert_eq!(out, [0; 34]);
    }
}
