//! Labelled texts to learn from: rows of a file, and the names and keywords of the city's own categories.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::ClassifierError;
use crate::domain::city::City;

/// Bytes of unpacked rows that are read; a file beyond it is refused.
const LARGEST: u64 = 1 << 30;

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Example {
    pub text: String,
    pub category: String,
    /// Rows with the same group never stand on two sides of a split; the row itself when absent.
    #[serde(default)]
    pub group: Option<String>,
    /// `train`, `test` …; none when the file has no split.
    #[serde(default)]
    pub split: Option<String>,
}

/// Reads rows `{id, text, category}` of a `.jsonl` or `.jsonl.gz` file.
///
/// * `split` — only rows of that split; rows without one belong to every split.
pub fn read_examples(path: &Path, split: Option<&str>) -> Result<Vec<Example>, ClassifierError> {
    let failed = |source| ClassifierError::File { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut examples = Vec::new();
    for (index, line) in BufReader::new(bytes.take(LARGEST)).lines().enumerate() {
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Example = serde_json::from_str(&line).map_err(|source| ClassifierError::Row {
            path: path.into(),
            line: index + 1,
            source,
        })?;
        if split.is_none_or(|wanted| row.split.as_deref().is_none_or(|own| own == wanted)) {
            examples.push(row);
        }
    }
    if examples.is_empty() {
        return Err(ClassifierError::Damaged { path: path.into(), problem: "holds no rows of that split".into() });
    }
    Ok(examples)
}

/// Names and keywords of a city's leaves as short texts.
pub fn city_examples(city: &City) -> Vec<Example> {
    let mut examples = Vec::new();
    for leaf in city.leaves() {
        let mut push = |text: String| {
            examples.push(Example { text, category: leaf.code.clone(), group: None, split: None });
        };
        push(leaf.name.clone());
        push(leaf.keywords.join("，"));
        for keyword in &leaf.keywords {
            push(keyword.clone());
        }
    }
    examples
}
