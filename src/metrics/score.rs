//! Samples in, scores out.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Metric, MetricsError, ReferenceCount, Sample, bootstrap};
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
}

/// A sample with its own scores: a line of `samples.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredSample {
    /// What was generated.
    #[serde(flatten)]
    pub sample: Sample,
    /// Score by metric.
    pub scores: Map<String, Value>,
}

/// The scores of a corpus and of its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// One a metric, in the order of the metrics.
    pub scores: Vec<Score>,
    /// One a sample, in the order of the samples.
    pub samples: Vec<ScoredSample>,
}

/// Scores samples by each metric, with bootstrap intervals drawn from `seed`.
///
/// # Errors
/// When there are no samples, or one of them has no reference.
pub fn score(samples: Vec<Sample>, metrics: &[Box<dyn Metric>], seed: Seed) -> Result<Scores, MetricsError> {
    if samples.is_empty() {
        return Err(MetricsError::Empty);
    }
    if let Some(sample) = samples.iter().find(|sample| sample.references.is_empty()) {
        return Err(MetricsError::NoReference { id: sample.id.clone() });
    }
    let metrics: Vec<&dyn Metric> = metrics.iter().map(AsRef::as_ref).collect();
    let each = |metric: &&dyn Metric| -> Vec<Vec<f64>> {
        let of = |sample: &Sample| metric.statistics(&sample.output, &sample.references);
        samples.par_iter().map(of).collect()
    };
    let statistics: Vec<Vec<Vec<f64>>> = metrics.iter().map(each).collect();
    let intervals = bootstrap::intervals(&metrics, &statistics, samples.len(), seed);
    let references = reference_count(&samples);

    let mut scores = Vec::new();
    for ((metric, statistics), interval) in metrics.iter().zip(&statistics).zip(intervals) {
        scores.push(Score {
            metric: metric.facts().name.to_owned(),
            value: metric.corpus(&sums(statistics), samples.len()),
            n: samples.len() as u64,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            signature: metric.signature(references),
        });
    }
    let scored = |(index, sample): (usize, Sample)| {
        let by_metric = metrics.iter().zip(&statistics).map(|(metric, statistics)| {
            let value = metric.sentence(&statistics[index]);
            (metric.facts().name.to_owned(), Value::from(value))
        });
        let scores = by_metric.collect();
        ScoredSample { sample, scores }
    };
    let samples = samples.into_iter().enumerate().map(scored).collect();
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
    Ok(Score {
        metric: super::PERPLEXITY.name.to_owned(),
        value,
        n: tokens,
        low: None,
        high: None,
        signature: format!("perplexity|per:token|{how}|version:1"),
    })
}

/// Sums statistics over samples, in order.
pub(super) fn sums<'a>(statistics: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut total = Vec::new();
    for sample in statistics {
        total.resize(sample.len(), 0.0);
        for (sum, value) in total.iter_mut().zip(sample) {
            *sum += value;
        }
    }
    total
}

/// A mean over at least one sample.
pub(super) fn mean(sum: f64, samples: usize) -> f64 {
    sum / samples as f64
}

fn reference_count(samples: &[Sample]) -> ReferenceCount {
    let first = samples.first().map_or(0, |sample| sample.references.len());
    if samples.iter().all(|sample| sample.references.len() == first) {
        ReferenceCount::Each(first)
    } else {
        ReferenceCount::Varying
    }
}
