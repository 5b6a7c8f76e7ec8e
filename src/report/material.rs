//! What a report is made from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::data::{DataError, Statistics};
use crate::metrics::{MetricsError, Score, Slice};
use crate::step::Ancestor;

/// Everything that a report shows.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// What is compared with what.
    pub groups: Vec<Group>,
    /// The models that were trained, in the order of the pipeline.
    pub trained: Vec<Trained>,
    /// The models that were quantized.
    pub quantized: Vec<Quantized>,
    /// The texts that were encoded.
    pub encoded: Vec<Encoded>,
    /// What every model costs.
    pub models: Vec<ModelCost>,
    /// Every instance that the report descends from, in topological order.
    pub lineage: Vec<Ancestor>,
    /// The instances whose scores the report reads.
    pub inputs: Vec<String>,
    /// For each kind of step, what its settings are where the file does not say.
    pub defaults: BTreeMap<String, Value>,
}

/// Systems that can be compared with each other: they were scored on the same references, or on the
/// same tokens.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// What it is called: the step whose results were scored, or else the one that scored them.
    pub title: String,
    /// The matrix axes, in order; `generations` among them where only that tells systems apart.
    pub axes: Vec<String>,
    /// The instances.
    pub systems: Vec<System>,
}

/// One instance in a comparison.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// The instance that was scored: `answers[model=tuned,shots=1]`.
    pub instance: String,
    /// Its step: `answers`.
    pub generations: String,
    /// Its axes and values.
    pub axes: Vec<(String, String)>,
    /// Its scores.
    pub scores: Vec<Score>,
    /// Its `samples.jsonl`, one an evaluation, all with the same samples; none for perplexity. They
    /// are read line by line: a million of them need not fit in memory.
    pub files: Vec<PathBuf>,
    /// How many samples it has.
    pub samples: u64,
    /// The model that was scored, or that wrote what was.
    pub model: Option<String>,
    /// The scores of the samples by each value of each field to slice by.
    pub slices: Vec<Slice>,
    /// How many repetitions with other seeds it stands for; 0 or 1 where it is one of them.
    pub repeats: usize,
}

/// The axis that stands for the step whose results were scored.
pub const GENERATIONS: &str = "generations";

impl System {
    /// Its value on an axis.
    pub fn on(&self, axis: &str) -> Option<&str> {
        let found = self.axes.iter().find(|(name, _)| name == axis);
        found.map(|(_, value)| value.as_str())
    }

    /// Its score by a metric.
    pub fn score(&self, metric: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.metric == metric)
    }
}

/// A trained model.
#[derive(Clone, Debug, Default)]
pub struct Trained {
    /// The instance that trained it.
    pub instance: String,
    /// `pretrain`, `finetune`.
    pub kind: String,
    /// `(update, nats a token)` of each logged update.
    pub train: Vec<(u64, f64)>,
    /// The same on the validation split.
    pub validation: Vec<(u64, f64)>,
    /// `(update, learning rate)`.
    pub learning_rate: Vec<(u64, f64)>,
    /// `(update, norm of the gradient before it was clipped)`.
    pub gradient_norm: Vec<(u64, f64)>,
    /// `training.json`, or an empty object.
    pub summary: Value,
}

/// What a model takes.
#[derive(Clone, Debug, Default)]
pub struct ModelCost {
    /// The instance that made it.
    pub instance: String,
    /// The instances that its weights come from, itself last: `base`, `tuned`, `int8`.
    pub chain: Vec<String>,
    /// Numbers in its weights.
    pub parameters: Option<u64>,
    /// Its weights on disk.
    pub bytes: Option<u64>,
}

/// A quantized model.
#[derive(Clone, Debug, Default)]
pub struct Quantized {
    /// The instance that made it.
    pub instance: String,
    /// `quantization.json`.
    pub record: Value,
}

/// A split of a text that was encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The instance that encoded it.
    pub instance: String,
    /// The split.
    pub split: String,
    /// Its tokens.
    pub statistics: Statistics,
}

/// What keeps a report from being made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of an input cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of an input is not what it should be.
    #[error("{}:{line}: {source}; it was damaged after it was made: run `fragua verify`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The tokens of an input are not what they should be.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A scores instance without its history.
    #[error("the history of {instance} does not say what it scored")]
    Lineage {
        /// The instance.
        instance: String,
    },
    /// The samples of a scores artifact cannot be compared.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A table could not be built.
    #[error("cannot build the table of {what}: {source}")]
    Table {
        /// Which one.
        what: &'static str,
        /// Why.
        source: polars::prelude::PolarsError,
    },
    /// The page could not be rendered.
    #[error("cannot render the page: {0:#}")]
    Page(#[from] minijinja::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
