//! The model as a file: one folder, `model.bin`, little-endian, its SHA-256 at the end.
//!
//! `HLCLASS1`, u32 categories, each {u16 length, UTF-8}, f32 temperature, f32 bias per category, u32 n-grams, u32 hash
//! each, f32 rarity each, then f16 weights, one row of all categories per n-gram.

use std::{
    fs,
    path::{Path, PathBuf},
};

use half::f16;
use sha2::{Digest, Sha256};

use super::{Classifier, ClassifierError};

const MAGIC: &[u8; 8] = b"HLCLASS1";
const NAME: &str = "model.bin";
const HASH: usize = 32;
/// Larger files are none of ours.
const LARGEST: u64 = 1 << 28;

impl Classifier {
    /// Reads the model of folder `dir` (`Settings.city.classifier`).
    pub fn load(dir: &Path) -> Result<Self, ClassifierError> {
        let path = dir.join(NAME);
        let failed = |source| ClassifierError::File { path: path.clone(), source };
        if fs::metadata(&path).map_err(failed)?.len() > LARGEST {
            return Err(damaged(&path, "is larger than any classifier"));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        Self::from_bytes(&bytes).map_err(|problem| damaged(&path, problem))
    }

    /// Writes the model to folder `dir`, which is made if need be; an older one is replaced as a whole.
    pub fn save(&self, dir: &Path) -> Result<PathBuf, ClassifierError> {
        let path = dir.join(NAME);
        let failed = |source| ClassifierError::File { path: path.clone(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let part = dir.join("model.part");
        fs::write(&part, self.to_bytes()).map_err(failed)?;
        fs::rename(&part, &path).map_err(failed)?;
        Ok(path)
    }

    /// The model as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(length(self.categories.len()));
        for name in &self.categories {
            bytes.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(name.as_bytes().iter().take(usize::from(u16::MAX)));
        }
        bytes.extend(self.temperature.to_le_bytes());
        bytes.extend(self.bias.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(length(self.keys.len()));
        bytes.extend(self.keys.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.rarity.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.weights.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()));
        let hash = Sha256::digest(&bytes);
        bytes.extend(hash);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "is cut short; train it again with `hotline classify train`";
        let split = bytes.len().checked_sub(HASH).ok_or(SHORT)?;
        let (body, hash) = bytes.split_at(split);
        if !body.starts_with(MAGIC) {
            return Err("is no classifier of this version; train it again with `hotline classify train`");
        }
        if Sha256::digest(body)[..] != *hash {
            return Err("does not match its SHA-256; train it again with `hotline classify train`");
        }
        let mut rest = &body[MAGIC.len()..];
        let mut model = Self::default();
        let categories = u32_of(take(&mut rest, 4).ok_or(SHORT)?);
        for _ in 0..categories {
            let length = take(&mut rest, 2).ok_or(SHORT)?;
            let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
            let name = std::str::from_utf8(take(&mut rest, length).ok_or(SHORT)?).map_err(|_| SHORT)?;
            model.categories.push(name.to_owned());
        }
        let width = model.categories.len();
        model.temperature = f32_of(take(&mut rest, 4).ok_or(SHORT)?);
        model.bias = take(&mut rest, 4 * width).ok_or(SHORT)?.chunks_exact(4).map(f32_of).collect();
        let keys = usize::try_from(u32_of(take(&mut rest, 4).ok_or(SHORT)?)).map_err(|_| SHORT)?;
        let bound = |unit: usize| keys.checked_mul(unit).ok_or(SHORT);
        model.keys = take(&mut rest, bound(4)?).ok_or(SHORT)?.chunks_exact(4).map(u32_of).collect();
        model.rarity = take(&mut rest, bound(4)?).ok_or(SHORT)?.chunks_exact(4).map(f32_of).collect();
        let weights = take(&mut rest, bound(2 * width)?).ok_or(SHORT)?;
        model.weights = weights.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect();
        if rest.is_empty() { Ok(model) } else { Err("has bytes left over; train it again") }
    }
}

fn damaged(path: &Path, problem: &str) -> ClassifierError {
    ClassifierError::Damaged { path: path.into(), problem: problem.into() }
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(head)
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

fn f32_of(bytes: &[u8]) -> f32 {
    bytes.try_into().map_or(0.0, f32::from_le_bytes)
}
