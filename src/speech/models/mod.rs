//! The models: what there is, what is installed, and proof that an installed file is what it should be.
//!
//! A model is known by its SHA-256: that of the catalogue, or the one an administrator vouched for at
//! [`import`]. No file is loaded before [`ModelFiles::verify`] hashed it.

mod catalogue;
mod fetch;
mod files;
mod import;
mod install;
mod wheel;

use std::path::{Path, PathBuf};

pub use catalogue::{DETECTOR, Model, ModelKind, Package, Recipe, Source, model, models};
pub use import::import;
pub use install::{Installed, Step, install};

use super::SpeechError;

/// A file and the hash it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    pub name: String,
    pub path: PathBuf,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// What a recognizer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    pub recognizer: ModelFile,
    pub detector: ModelFile,
}

impl ModelFiles {
    /// Finds the files of a model by name; they are not opened.
    ///
    /// * `models` — the folder of models.
    /// * `name` — in the catalogue or imported.
    pub fn locate(models: &Path, name: &str) -> Result<Self, SpeechError> {
        let recognizer = match catalogue::model(name) {
            Ok(model) if model.kind == ModelKind::Detector => {
                return Err(SpeechError::Wrong(format!("`{name}` tells speech from noise; it does not hear words")));
            }
            Ok(model) => installed(models, model),
            Err(unknown) => import::imported(models)?.into_iter().find(|file| file.name == name).ok_or(unknown)?,
        };
        Ok(Self { recognizer, detector: installed(models, catalogue::model(DETECTOR)?) })
    }

    /// Hashes both files.
    pub fn verify(&self) -> Result<(), SpeechError> {
        self.recognizer.verify(&mut |_| {})?;
        self.detector.verify(&mut |_| {})
    }
}

impl ModelFile {
    /// Hashes the file.
    ///
    /// * `progress` — called with the bytes read so far.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), SpeechError> {
        if !self.path.is_file() {
            return Err(SpeechError::Missing { path: self.path.clone(), name: self.name.clone() });
        }
        let found = files::hash_file(&self.path, progress)?;
        if found == self.sha256 {
            return Ok(());
        }
        let (path, name, expected) = (self.path.clone(), self.name.clone(), self.sha256.clone());
        Err(SpeechError::Damaged { path, name, expected, found })
    }
}

/// All files that stand in the folder under a known name, whole or not.
pub fn present(models: &Path) -> Result<Vec<ModelFile>, SpeechError> {
    let listed = catalogue::models().iter().map(|model| installed(models, model));
    let all = listed.chain(import::imported(models)?);
    Ok(all.filter(|file| file.path.is_file()).collect())
}

fn installed(models: &Path, model: &Model) -> ModelFile {
    ModelFile { name: model.name.clone(), path: models.join(&model.file), sha256: model.sha256.clone() }
}
