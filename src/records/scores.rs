//! The scores of a run, from its scores artifacts.

use std::fs;

use serde::{Deserialize, Serialize};

use super::{PastRun, RecordsError};
use crate::execute::Resolved;
use crate::step::ArtifactType;
use crate::store::Store;

/// One figure of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreRow {
    /// The instance that computed it.
    pub instance: String,
    /// What was scored: the instance that it reads (the first, of several).
    pub generations: String,
    /// The metric.
    pub metric: String,
    /// The score.
    pub value: f64,
    /// What it is over.
    pub n: u64,
    /// Everything else that it depends on.
    pub signature: String,
}

#[derive(Deserialize)]
struct ScoresFile {
    scores: Vec<Line>,
}

/// A line of `scores.json`; what else it has is not needed here.
#[derive(Deserialize)]
struct Line {
    metric: String,
    value: f64,
    n: u64,
    #[serde(default)]
    signature: String,
}

/// All scores of a run whose artifacts are still there, in the order of its instances.
pub(super) fn scores(store: &Store, run: &PastRun, resolved: Option<&Resolved>) -> Vec<ScoreRow> {
    let mut rows = Vec::new();
    for one in resolved.iter().flat_map(|resolved| &resolved.instances) {
        if one.artifact != ArtifactType::Scores {
            continue;
        }
        let digest = run.instance(&one.name).and_then(|instance| instance.digest.as_deref());
        let Some(object) = digest.and_then(|digest| store.object_path_of(digest)) else {
            continue;
        };
        let text = fs::read(object.join("scores.json"));
        let Some(file) = text
            .ok()
            .and_then(|text| serde_json::from_slice::<ScoresFile>(&text).ok())
        else {
            continue; // collected since
        };
        rows.extend(file.scores.into_iter().map(|line| ScoreRow {
            instance: one.name.clone(),
            generations: one.inputs.first().cloned().unwrap_or_default(),
            metric: line.metric,
            value: line.value,
            n: line.n,
            signature: line.signature,
        }));
    }
    rows
}

/// A run's first metric in one phrase: its value, or from which to which it goes over the instances:
/// `rouge1 0.12 to 0.31`. Which end is good is the metric's affair.
///
/// # Errors
/// When what the run was of cannot be read.
pub fn headline(store: &Store, run: &PastRun) -> Result<Option<String>, RecordsError> {
    let rows = scores(store, run, run.resolved()?.as_ref());
    let Some(first) = rows.first() else { return Ok(None) };
    let values = rows
        .iter()
        .filter(|row| row.metric == first.metric)
        .map(|row| row.value);
    let (low, high) = values.fold((first.value, first.value), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let (low, high) = (figure(low), figure(high));
    let values = if low == high { low } else { format!("{low} to {high}") };
    Ok(Some(format!("{} {values}", first.metric)))
}

/// A score as a table shows it.
fn figure(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.1}")
    }
}
