//! `hotline classify`: trains and measures the category classifier.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use super::{Cli, progress::Progress};
use crate::{
    domain::city::City,
    drafting::{Classifier, Training, city_examples, read_examples},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learns from rows `{id, text, category}`; rows with a `split` count when it is `train`.
    Train {
        /// `.jsonl` or `.jsonl.gz`.
        data: PathBuf,
        /// Folder the model is written to.
        #[arg(short, long)]
        output: PathBuf,
        /// Learns for telephone speech, with the names and keywords of this city's categories (a city's JSON file).
        #[arg(long)]
        city: Option<PathBuf>,
    },
    /// Measures a model: {n, accuracy, macro_f1, top3, ece}.
    Eval {
        /// Folder of the model.
        dir: PathBuf,
        /// `.jsonl` or `.jsonl.gz`.
        data: PathBuf,
        /// Only rows of this split.
        #[arg(long)]
        split: Option<String>,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(_: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Train { data, output, city } => {
            let mut examples = read_examples(data, Some("train"))?;
            let mut training = Training::default();
            if let Some(file) = city {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                let city: City = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
                examples.extend(city_examples(&city));
                training = Training::speech();
            }
            let mut progress = Progress::new();
            progress.say(&format!("learning from {} texts", examples.len()));
            let model = Classifier::train(&examples, &training);
            progress.clear();
            let path = model?.save(output)?;
            println!("{}", path.display());
        }
        Command::Eval { dir, data, split, json } => {
            let scores = Classifier::load(dir)?.evaluate(&read_examples(data, split.as_deref())?);
            if *json {
                println!("{}", serde_json::to_string(&scores)?);
            } else {
                println!("n         {}", scores.n);
                println!("accuracy  {:.4}", scores.accuracy);
                println!("macro-F1  {:.4}", scores.macro_f1);
                println!("top 3     {:.4}", scores.top3);
                println!("ECE       {:.4}", scores.ece);
            }
        }
    }
    Ok(())
}
