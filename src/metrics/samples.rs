//! Reading `generations.jsonl`.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// A line of a scores artifact that is not what was written.
    #[error("{}:{line}: {source}; it was damaged after it was made: run `fragua verify`", path.display())]
    Damaged {
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
    /// Two systems that were not scored on the same samples.
    #[error("the baseline has {baseline} samples and the system {system}: score both on the same ones")]
    Unpaired {
        /// The baseline's.
        baseline: usize,
        /// The system's.
        system: usize,
    },
    /// References that are no labels.
    #[error(
        "the references are more than {most} different texts: precision, recall and F1 by class are for answers \
         that are a label; leave those metrics out, or use `token_f1`"
    )]
    Classes {
        /// The most that are counted.
        most: usize,
    },
    /// A field to slice by that a sample does not have.
    #[error("sample {id} has no field `{field}` to slice by; its dataset's row has {known}")]
    NoField {
        /// The sample.
        id: String,
        /// The field.
        field: String,
        /// The fields that there are.
        known: String,
    },
    /// A field to slice by that is no name.
    #[error("field `{field}` of sample {id} is a list or an object: slice by a text, a number, true or false")]
    NoName {
        /// The sample.
        id: String,
        /// The field.
        field: String,
    },
    /// A field to slice by that nearly every sample has another value of.
    #[error("field `{field}` has more than {most} different values: slice by one that groups samples")]
    ManySlices {
        /// The field.
        field: String,
        /// The most that are kept.
        most: usize,
    },
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

/// A sample as metrics see it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// What a system wrote.
    pub output: &'a str,
    /// What would have been right; any of them.
    pub references: &'a [String],
}

impl Sample {
    /// The texts to compare.
    pub fn pair(&self) -> Pair<'_> {
        Pair {
            output: &self.output,
            references: &self.references,
        }
    }
}

/// The dataset's row that a sample came from.
pub type Row = Map<String, Value>;

/// Samples that are read and scored at once.
const BATCH: usize = 4096;

/// Reads the `generations.jsonl` of a generations artifact.
///
/// # Errors
/// A file that cannot be read, and the first line that is not a generation.
pub fn read(artifact: &Path) -> Result<Vec<Sample>, MetricsError> {
    let mut all = Vec::new();
    stream(artifact, false, |samples, _| {
        all.extend(samples);
        Ok(())
    })?;
    Ok(all)
}

/// Reads the `generations.jsonl` of a generations artifact in batches, in order: memory is bounded by
/// a batch. With `rows`, each sample's row of the dataset comes along.
///
/// # Errors
/// A file that cannot be read, the first line that is not a generation, and whatever `each` says.
pub fn stream<E: From<MetricsError>>(
    artifact: &Path,
    rows: bool,
    mut each: impl FnMut(Vec<Sample>, Vec<Row>) -> Result<(), E>,
) -> Result<(), E> {
    #[derive(Deserialize)]
    struct OfDataset {
        #[serde(default)]
        row: Row,
    }
    let path = artifact.join("generations.jsonl");
    let fail = |source| MetricsError::Read {
        path: path.clone(),
        source,
    };
    let mut lines = std::io::BufReader::new(std::fs::File::open(&path).map_err(fail)?).lines();
    let mut before = 0;
    loop {
        let batch: Vec<String> = lines.by_ref().take(BATCH).collect::<Result<_, _>>().map_err(fail)?;
        if batch.is_empty() {
            return Ok(());
        }
        let parse = |(index, line): (usize, &String)| -> Result<(Sample, Row), MetricsError> {
            let wrong = |source| MetricsError::Line {
                path: path.clone(),
                line: before + index + 1,
                source,
            };
            let sample = serde_json::from_str(line).map_err(wrong)?;
            let row = if rows {
                serde_json::from_str::<OfDataset>(line).map_err(wrong)?.row
            } else {
                Row::new()
            };
            Ok((sample, row))
        };
        let parsed: Vec<Result<(Sample, Row), MetricsError>> = batch.par_iter().enumerate().map(parse).collect();
        before += batch.len();
        // the first wrong line, whatever thread saw its own first
        let (samples, rows) = parsed.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        each(samples, rows)?;
    }
}
