//! Figures, and samples in a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Metric, MetricsError, Sample, Scorer, VERSION};
use crate::seed::Seed;

/// One figure: what `scores.json` lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The metric's name.
    pub metric: String,
    /// The score, unrounded.
    pub value: f64,
    /// What it is over: samples, or tokens for perplexity.
    pub n: u64,
    /// The lower end of the 95% interval, if there is one.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Everything that the value depends on besides the texts.
    pub signature: String,
    /// What the value is made of: precision and recall for ROUGE, precisions and brevity penalty for BLEU.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// A sample with its own scores: a line of `samples.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredSample {
    /// What was generated.
    #[serde(flatten)]
    pub sample: Sample,
    /// Score by metric.
    pub scores: Map<String, Value>,
    /// The numbers that a corpus's score is made of, summed over samples, where they are more than one.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub statistics: Map<String, Value>,
    /// The value of each field to slice by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slices: BTreeMap<String, String>,
}

/// The scores of a corpus and of its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// One a metric, in the order of the metrics.
    pub scores: Vec<Score>,
    /// One a sample, in the order of the samples.
    pub samples: Vec<ScoredSample>,
}

/// Scores a list of samples by each metric, with bootstrap intervals drawn from `seed`. (What does
/// not fit into memory goes through a [`Scorer`] in batches.)
///
/// # Errors
/// When there are no samples, or one of them has no reference.
pub fn score(samples: Vec<Sample>, metrics: &[Arc<dyn Metric>], seed: Seed) -> Result<Scores, MetricsError> {
    let mut scorer = Scorer::of(metrics.to_vec());
    let samples = scorer.add(samples, &[])?;
    let scores = scorer.finish(seed)?.scores;
    Ok(Scores { scores, samples })
}

/// The perplexity of a model from its summed negative log-likelihood in nats. `how` tells what the
/// figure depends on: `context:256|stride:256`.
///
/// # Errors
/// When there are no tokens, or the loss is not a finite number.
pub fn perplexity(nats: f64, tokens: u64, how: &str) -> Result<Score, MetricsError> {
    if tokens == 0 {
        return Err(MetricsError::NoTokens);
    }
    let value = (nats / tokens as f64).exp();
    if !value.is_finite() {
        return Err(MetricsError::NotFinite { nats });
    }
    Ok(of_model(
        super::PERPLEXITY.name,
        value,
        tokens,
        format!("perplexity|per:token|{how}|version:{VERSION}"),
    ))
}

/// Bits per byte of text from a summed negative log-likelihood in nats.
///
/// # Errors
/// When there are no bytes, or the loss is not a finite number.
pub fn bits_per_byte(nats: f64, bytes: u64, how: &str) -> Result<Score, MetricsError> {
    if bytes == 0 {
        return Err(MetricsError::NoTokens);
    }
    let value = nats / std::f64::consts::LN_2 / bytes as f64;
    if !value.is_finite() {
        return Err(MetricsError::NotFinite { nats });
    }
    Ok(of_model(
        super::BITS_PER_BYTE.name,
        value,
        bytes,
        format!("bits_per_byte|per:byte|{how}|version:{VERSION}"),
    ))
}

fn of_model(metric: &str, value: f64, n: u64, signature: String) -> Score {
    Score {
        metric: metric.to_owned(),
        value,
        n,
        low: None,
        high: None,
        signature,
        details: Map::new(),
    }
}

/// A mean over at least one sample.
pub(super) fn mean(sum: f64, samples: usize) -> f64 {
    sum / samples as f64
}
