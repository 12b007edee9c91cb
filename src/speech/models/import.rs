//! Files an administrator brings along.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    ModelFile, catalogue,
    files::{self, Draft},
    install,
};
use crate::speech::{SpeechError, convert};

/// List of files outside the catalogue that an administrator vouched for.
const LIST: &str = "imported.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Imported {
    name: String,
    file: String,
    sha256: String,
}

/// Copies a whisper.cpp model file into the folder of models.
///
/// * `path` — the file.
/// * `name` — what to call it if the catalogue does not know it; its file name otherwise.
/// * `vouched` — the SHA-256 the administrator expects; needed for a file the catalogue does not list.
/// * returns — the name to put into `speech.model`.
pub fn import(models: &Path, path: &Path, name: Option<&str>, vouched: Option<&str>) -> Result<String, SpeechError> {
    let found = files::hash_file(path, &mut |_| {})?;
    if let Some(expected) = vouched.map(str::to_ascii_lowercase).filter(|expected| *expected != found) {
        return Err(SpeechError::WrongHash { path: path.into(), expected, found });
    }
    fs::create_dir_all(models).map_err(SpeechError::file("cannot create folder", models))?;
    let _lock = install::lock(models, &mut |_| {})?;
    if let Some(model) = catalogue::model_with_hash(&found) {
        copy(path, &models.join(&model.file), &found)?;
        return Ok(model.name.clone());
    }
    if vouched.is_none() {
        return Err(SpeechError::UnlistedFile { path: path.into(), found });
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.map(str::to_owned).or(stem).unwrap_or_default();
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)) {
        return Err(SpeechError::Wrong(format!(
            "`{name}` is no name for a model: use letters, digits, - _ . (--name)"
        )));
    }
    if catalogue::model(&name).is_ok() {
        return Err(SpeechError::Wrong(format!("`{name}` is another model in the catalogue; choose one with --name")));
    }
    let bytes = fs::read(path).map_err(SpeechError::file("cannot read", path))?;
    convert::check_ggml(&bytes)?;
    drop(bytes);
    let mut list = read(models)?;
    list.retain(|other| other.name != name);
    let file = format!("imported-{name}.bin");
    copy(path, &models.join(&file), &found)?;
    list.push(Imported { name: name.clone(), file, sha256: found });
    let draft = Draft::new(&models.join(LIST))?;
    draft.write(&serde_json::to_vec_pretty(&list).map_err(|error| SpeechError::Wrong(error.to_string()))?)?;
    draft.keep()?;
    Ok(name)
}

/// The files [`import`] took in.
pub(super) fn imported(models: &Path) -> Result<Vec<ModelFile>, SpeechError> {
    let file = |entry: Imported| ModelFile { name: entry.name, path: models.join(entry.file), sha256: entry.sha256 };
    Ok(read(models)?.into_iter().map(file).collect())
}

fn read(models: &Path) -> Result<Vec<Imported>, SpeechError> {
    let path = models.join(LIST);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| SpeechError::format(path.display().to_string(), error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(SpeechError::file("cannot read", path)(error)),
    }
}

fn copy(from: &Path, to: &Path, sha256: &str) -> Result<(), SpeechError> {
    let draft = Draft::new(to)?;
    fs::copy(from, draft.temporary()).map_err(SpeechError::file("cannot copy", from))?;
    let found = files::hash_file(draft.temporary(), &mut |_| {})?;
    if found != sha256 {
        return Err(SpeechError::WrongHash { path: from.into(), expected: sha256.into(), found });
    }
    draft.keep()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_file_is_refused_until_somebody_vouches_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("own.bin");
        fs::write(&path, b"no model").expect("written");
        let models = folder.path().join("models");
        let error = import(&models, &path, None, None).expect_err("unknown").to_string();
        assert!(error.contains("own.bin") && error.contains("--sha256"), "{error}");

        let hash = files::hash(b"no model");
        let error = import(&models, &path, None, Some(&hash)).expect_err("not a model").to_string();
        assert!(error.contains("not a whisper.cpp"), "{error}");
        let error = import(&models, &path, None, Some(&"0".repeat(64))).expect_err("another file").to_string();
        assert!(error.contains("sha256 expected 0000"), "{error}");
    }
}
