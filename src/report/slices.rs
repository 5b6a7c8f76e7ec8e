//! Scores of parts of the samples: a table for each field to slice by, a column for each of its values,
//! so that a system that fails one group shows it.

use serde::Serialize;

use super::material::Group;
use super::ranking;
use super::words::Words;
use crate::metrics::facts;

/// Values of a field on the page; `slices.csv` has them all.
const MOST_VALUES: usize = 24;
/// Systems on the page.
const MOST_SYSTEMS: usize = 60;

/// The table of one field.
#[derive(Serialize)]
pub(super) struct SliceTable {
    title: String,
    field: String,
    metric: String,
    /// Each value and how many samples have it.
    heads: Vec<(String, String)>,
    rows: Vec<SliceRow>,
    cut: bool,
}

#[derive(Serialize)]
struct SliceRow {
    label: String,
    cells: Vec<Option<SliceCell>>,
}

#[derive(Serialize)]
struct SliceCell {
    text: String,
    interval: String,
    /// 0 (worst of the table) to 100 (best).
    percent: u8,
    /// The worst of its system.
    worst: bool,
}

/// The tables of all groups, by the leading metric of each.
pub(super) fn slices(groups: &[Group], words: &Words) -> Vec<SliceTable> {
    let mut tables = Vec::new();
    for group in groups {
        let Some(metric) = ranking::leading(&ranking::metrics(group)) else {
            continue;
        };
        let mut fields: Vec<&str> = Vec::new();
        for slice in group.systems.iter().flat_map(|system| &system.slices) {
            if !fields.contains(&slice.field.as_str()) {
                fields.push(&slice.field);
            }
        }
        tables.extend(fields.into_iter().map(|field| table(group, field, metric, words)));
    }
    tables
}

fn table(group: &Group, field: &str, metric: crate::metrics::Facts, words: &Words) -> SliceTable {
    let mut values: Vec<(&str, u64)> = Vec::new();
    for slice in group.systems.iter().flat_map(|system| &system.slices) {
        if slice.field == field && values.iter().all(|(known, _)| *known != slice.value) {
            values.push((&slice.value, slice.n));
        }
    }
    let cut = values.len() > MOST_VALUES || group.systems.len() > MOST_SYSTEMS;
    // the groups that weigh most, in the order of their names
    values.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    values.truncate(MOST_VALUES);
    values.sort_unstable();
    let score = |system: &super::System, value: &str| {
        let slice = system
            .slices
            .iter()
            .find(|slice| slice.field == field && slice.value == value)?;
        slice.scores.iter().find(|score| score.metric == metric.name).cloned()
    };
    let good = |value: f64| ranking::goodness(value, metric.range);
    let scores: Vec<Vec<Option<crate::metrics::Score>>> = group
        .systems
        .iter()
        .take(MOST_SYSTEMS)
        .map(|system| values.iter().map(|(value, _)| score(system, value)).collect())
        .collect();
    let all = || scores.iter().flatten().flatten().map(|score| good(score.value));
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(f64::NEG_INFINITY, f64::max),
    );
    let row = |(system, scores): (&super::System, &Vec<Option<crate::metrics::Score>>)| {
        let worst = scores
            .iter()
            .flatten()
            .map(|score| good(score.value))
            .fold(f64::INFINITY, f64::min);
        let several = scores.iter().flatten().count() > 1;
        let cell = |score: &crate::metrics::Score| {
            let share = if high > low {
                (good(score.value) - low) / (high - low)
            } else {
                0.5
            };
            let ends = score.low.zip(score.high);
            SliceCell {
                text: words.score(score.value, metric.range),
                interval: ends
                    .map(|(low, high)| {
                        format!("{}–{}", words.score(low, metric.range), words.score(high, metric.range))
                    })
                    .unwrap_or_default(),
                percent: (share * 100.0).round().clamp(0.0, 100.0) as u8,
                worst: several && good(score.value) <= worst,
            }
        };
        SliceRow {
            label: ranking::label(system),
            cells: scores.iter().map(|score| score.as_ref().map(cell)).collect(),
        }
    };
    SliceTable {
        title: group.title.clone(),
        field: field.to_owned(),
        metric: words.label(facts(metric.name).unwrap_or(metric)).to_owned(),
        heads: values
            .iter()
            .map(|(value, n)| ((*value).to_owned(), words.whole(*n)))
            .collect(),
        rows: group.systems.iter().zip(&scores).map(row).collect(),
        cut,
    }
}
