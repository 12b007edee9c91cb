//! CTranslate2's `model.bin`, binary version 6: named tensors, little-endian, row-major.

use std::collections::BTreeMap;

use super::Cursor;
use crate::speech::SpeechError;

/// More variables than any Whisper has.
const MOST_VARIABLES: u32 = 8192;
const MOST_DIMENSIONS: u8 = 4;

/// Number type of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

impl Number {
    fn from_code(code: u8) -> Option<Self> {
        [Self::F32, Self::I8, Self::I16, Self::I32, Self::F16, Self::Bf16].get(usize::from(code)).copied()
    }

    const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
        }
    }
}

/// One variable, its data still in the file's bytes.
#[derive(Clone, Debug)]
pub(super) struct Variable<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) number: Number,
    pub(super) data: &'a [u8],
}

/// The variables of a Whisper model by name.
#[derive(Debug)]
pub(super) struct Model<'a>(BTreeMap<String, Variable<'a>>);

impl<'a> Model<'a> {
    /// Parses the whole file; another version, kind or revision is refused.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SpeechError> {
        let mut file = Cursor::new("model.bin", bytes);
        let version = file.u32()?;
        if version != 6 {
            return Err(file.wrong(format!("it has version {version}, not 6")));
        }
        let kind = name(&mut file)?;
        let revision = file.u32()?;
        if kind != "WhisperSpec" || revision != 3 {
            return Err(file.wrong(format!("it is {kind} revision {revision}, not WhisperSpec revision 3")));
        }
        let count = file.u32()?;
        if count > MOST_VARIABLES {
            return Err(file.wrong(format!("it claims {count} variables")));
        }
        let mut variables = BTreeMap::new();
        for _ in 0..count {
            let (name, variable) = variable(&mut file)?;
            variables.insert(name, variable);
        }
        let aliases = file.u32()?;
        if aliases > MOST_VARIABLES {
            return Err(file.wrong(format!("it claims {aliases} aliases")));
        }
        for _ in 0..aliases {
            // The output projection shares the embeddings; nothing else is ever an alias.
            name(&mut file)?;
            name(&mut file)?;
        }
        if !file.rest.is_empty() {
            return Err(file.wrong(format!("{} bytes follow its end", file.rest.len())));
        }
        Ok(Self(variables))
    }

    /// The variable of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Variable<'a>, SpeechError> {
        self.0.get(name).ok_or_else(|| SpeechError::format("model.bin", format!("it has no {name}")))
    }

    /// A rank-0 integer.
    pub(super) fn scalar(&self, name: &str) -> Result<i16, SpeechError> {
        let variable = self.get(name)?;
        match (variable.number, variable.data) {
            (Number::I8, &[byte]) => Ok(i16::from(i8::from_le_bytes([byte]))),
            (Number::I16, &[low, high]) => Ok(i16::from_le_bytes([low, high])),
            _ => Err(SpeechError::format("model.bin", format!("{name} is not a small whole number"))),
        }
    }

    /// How many layers `encoder` or `decoder` has.
    pub(super) fn layers(&self, side: &str) -> usize {
        (0..64).take_while(|layer| self.0.contains_key(&format!("{side}/layer_{layer}/ffn/linear_0/weight"))).count()
    }
}

fn name(file: &mut Cursor<'_>) -> Result<String, SpeechError> {
    let length = usize::from(file.u16()?);
    match file.take(length)?.split_last() {
        Some((0, text)) => {
            String::from_utf8(text.to_vec()).map_err(|_| SpeechError::format("model.bin", "a name is not UTF-8"))
        }
        _ => Err(file.wrong("a name does not end in NUL")),
    }
}

fn variable<'a>(file: &mut Cursor<'a>) -> Result<(String, Variable<'a>), SpeechError> {
    let name = name(file)?;
    let rank = file.u8()?;
    if rank > MOST_DIMENSIONS {
        return Err(file.wrong(format!("{name} has {rank} dimensions")));
    }
    let shape = (0..rank).map(|_| file.size()).collect::<Result<Vec<_>, _>>()?;
    let code = file.u8()?;
    let Some(number) = Number::from_code(code) else {
        return Err(file.wrong(format!("{name} has the unknown number type {code}")));
    };
    let bytes = file.size()?;
    let expected = shape.iter().try_fold(number.bytes(), |product, size| product.checked_mul(*size));
    if expected != Some(bytes) {
        return Err(file.wrong(format!("{name} has {bytes} bytes, which its shape {shape:?} does not explain")));
    }
    Ok((name, Variable { shape, number, data: file.take(bytes)? }))
}
