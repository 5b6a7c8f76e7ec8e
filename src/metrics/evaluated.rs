//! What can be asked of a whole set of scored samples: scores with intervals, slices, differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Map;

use super::bootstrap::{interval, intervals, resampled};
use super::slices::{Field, Keys};
use super::table::Column;
use super::{Confusion, LEVEL, Metric, Score, Slice};
use crate::seed::Seed;

/// Samples after they were scored: their statistics, not their texts.
pub struct Evaluated {
    columns: Vec<Column>,
    samples: usize,
    /// One a metric, in the order of the registry.
    pub scores: Vec<Score>,
    /// The scores of each value of each field to slice by.
    pub slices: Vec<Slice>,
    /// What was answered where what was right, where figures of classes were asked for.
    pub confusion: Option<Confusion>,
}

impl Evaluated {
    #[expect(clippy::too_many_arguments, reason = "what a scorer leaves behind, taken apart once")]
    pub(super) fn new(
        metrics: Vec<Arc<dyn Metric>>,
        columns: Vec<Column>,
        signatures: BTreeMap<&str, String>,
        distinct: &[usize],
        samples: usize,
        confusion: Option<Confusion>,
        fields: &[Field],
        seed: Option<Seed>,
    ) -> Self {
        let of = |columns: &[Column], distinct: &[usize], samples: usize, seed: Option<Seed>| -> Vec<Score> {
            let mut distinct = distinct.iter();
            let bounds = match seed {
                Some(seed) => intervals(columns, samples, seed),
                None => vec![None; columns.len()],
            };
            let score = |(column, bounds): (&Column, Option<(f64, f64)>)| {
                let mut sums = column.table.sums();
                let metric = metrics.iter().find(|metric| metric.facts().name == column.facts.name);
                if metric.is_some_and(|metric| metric.counts_keys()) {
                    sums[0] = distinct.next().map_or(0.0, |count| *count as f64);
                }
                Score {
                    metric: column.facts.name.to_owned(),
                    value: (column.of)(&sums, samples),
                    n: samples as u64,
                    low: bounds.map(|(low, _)| low),
                    high: bounds.map(|(_, high)| high),
                    signature: signatures[column.facts.name].clone(),
                    details: metric.map_or(Map::new(), |metric| metric.details(&sums, samples)),
                }
            };
            columns.iter().zip(bounds).map(score).collect()
        };
        let mut slices = Vec::new();
        for field in fields {
            for (value, (number, rows)) in field.groups() {
                let columns: Vec<Column> = columns.iter().map(|column| column.select(&rows)).collect();
                let distinct: Vec<usize> = field.keys[number].iter().map(Keys::len).collect();
                let seed = seed.map(|seed| seed.child("slice").child(field.name.as_str()).child(value));
                slices.push(Slice {
                    field: field.name.clone(),
                    value: value.to_owned(),
                    n: rows.len() as u64,
                    scores: of(&columns, &distinct, rows.len(), seed),
                });
            }
        }
        Self {
            scores: of(&columns, distinct, samples, seed),
            columns,
            samples,
            slices,
            confusion,
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// For each score the mean over resampled corpora and half the width of the middle 95% of them:
    /// what sacreBLEU prints as `μ ± `. `None` where there is no interval.
    pub fn resampled(&self, resamples: u64, seed: Seed) -> Vec<Option<Resampled>> {
        let of = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            // sacreBLEU's ends: the 1/40th value from either side
            let from_end = sorted.len() / 40;
            let half = 0.5 * (sorted.get(sorted.len().wrapping_sub(from_end + 1))? - sorted.get(from_end)?);
            let (low, high) = interval(values, LEVEL)?;
            Some(Resampled { mean, half, low, high })
        };
        resampled(&self.columns, self.samples, resamples, seed)
            .into_iter()
            .map(of)
            .collect()
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Samples whose statistics are known already: see [`super::read_statistics`].
    pub(super) fn of_columns(columns: Vec<Column>, samples: usize, scores: Vec<Score>) -> Self {
        Self {
            columns,
            samples,
            scores,
            slices: Vec::new(),
            confusion: None,
        }
    }
}

/// A score over resampled corpora.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampled {
    /// Its mean.
    pub mean: f64,
    /// Half the width of the middle 95%, as sacreBLEU takes it.
    pub half: f64,
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}
