//! Reading `generations.jsonl`.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What can be wrong with the texts to score.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is not a generation.
    #[error("{}:{line}: not a generation: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A sample that cannot be compared with anything.
    #[error(
        "sample {id} has no reference to compare with; give the prompt's template an `answer` block, \
         or name the fields that hold the references under `prompt.references`"
    )]
    NoReference {
        /// The sample.
        id: String,
    },
    /// No samples: a mean over nothing is no number.
    #[error("there are no generations to score; check the `limit` and `split` of the dataset that they came from")]
    Empty,
    /// No tokens.
    #[error("there are no tokens to measure perplexity on; check the dataset's fields and the split's size")]
    NoTokens,
    /// A loss that is not a number.
    #[error("the model's loss on this text is {nats}: it gives some token no probability, or its weights are damaged")]
    NotFinite {
        /// The summed loss.
        nats: f64,
    },
}

/// One line of `generations.jsonl`, as far as scores and reports read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The sample's name: the same in all generations from the same dataset.
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
    /// What the model read.
    pub prompt: String,
    /// What it wrote.
    pub output: String,
    /// What would have been right; any of them.
    #[serde(default)]
    pub references: Vec<String>,
    /// Why it ended: `eos`, `stop`, `length`.
    pub finish: String,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("an id is a text or a number")),
    }
}

/// Reads the `generations.jsonl` of a generations artifact.
///
/// # Errors
/// A file that cannot be read, and the first line that is not a generation.
pub fn read(artifact: &Path) -> Result<Vec<Sample>, MetricsError> {
    let path = artifact.join("generations.jsonl");
    let fail = |source| MetricsError::Read {
        path: path.clone(),
        source,
    };
    let file = std::fs::File::open(&path).map_err(fail)?;
    let mut samples = Vec::new();
    for (index, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.map_err(fail)?;
        let sample = serde_json::from_str(&line).map_err(|source| MetricsError::Line {
            path: path.clone(),
            line: index + 1,
            source,
        })?;
        samples.push(sample);
    }
    Ok(samples)
}
