//! The comparison table: a row a system, a column a metric, the best marked, the difference from
//! the baseline beside each value.

use std::collections::BTreeMap;

use serde::Serialize;

use super::material::{Group, Material};
use super::ranking;
use super::words::Words;
use crate::metrics::{Facts, Score};

/// A table as the page draws it.
#[derive(Serialize)]
pub(super) struct Table {
    title: String,
    axes: Vec<String>,
    columns: Vec<Heading>,
    rows: Vec<Row>,
    has_baseline: bool,
    has_intervals: bool,
    /// `24 samples a system`
    n: String,
}

#[derive(Serialize)]
struct Heading {
    label: String,
    about: String,
    higher: bool,
    signature: String,
}

#[derive(Serialize)]
struct Row {
    label: String,
    colour: String,
    /// Axis values with the number to sort by, if it is one.
    axes: Vec<String>,
    cells: Vec<Option<Cell>>,
    is_baseline: bool,
}

#[derive(Serialize)]
struct Cell {
    value: f64,
    text: String,
    best: bool,
    difference: Option<String>,
    /// `better`, `worse`, `same`
    verdict: &'static str,
    interval: Option<String>,
}

/// One table a group.
pub(super) fn tables(material: &Material, baseline: &BTreeMap<String, String>, words: &Words) -> Vec<Table> {
    material
        .groups
        .iter()
        .map(|group| table(group, baseline, words))
        .collect()
}

fn table(group: &Group, baseline: &BTreeMap<String, String>, words: &Words) -> Table {
    let metrics = ranking::metrics(group);
    let baselines = ranking::baselines(group, baseline);
    let colours = ranking::colours(group, baseline);
    let best: Vec<Vec<usize>> = metrics.iter().map(|metric| ranking::best(group, *metric)).collect();
    let row = |(index, colour): (usize, String)| {
        let system = &group.systems[index];
        let base = baselines[index].map(|base| &group.systems[base]);
        let cell = |(metric, best): (&Facts, &Vec<usize>)| {
            let score = system.score(metric.name)?;
            let from = base
                .filter(|_| baselines[index] != Some(index))
                .and_then(|base| base.score(metric.name));
            Some(cell(score, from, *metric, best.contains(&index), words))
        };
        Row {
            label: ranking::label(system),
            colour,
            axes: group
                .axes
                .iter()
                .map(|axis| system.on(axis).unwrap_or("—").to_owned())
                .collect(),
            cells: metrics.iter().zip(&best).map(cell).collect(),
            is_baseline: baselines[index] == Some(index),
        }
    };
    let scores = || group.systems.iter().flat_map(|system| &system.scores);
    Table {
        title: group.title.clone(),
        axes: group.axes.clone(),
        columns: metrics.iter().map(|metric| heading(group, *metric, words)).collect(),
        rows: colours.into_iter().enumerate().map(row).collect(),
        has_baseline: baselines.iter().any(Option::is_some),
        has_intervals: scores().any(|score| score.low.is_some()),
        n: counts(group, words),
    }
}

fn heading(group: &Group, metric: Facts, words: &Words) -> Heading {
    let signature = group.systems.iter().find_map(|system| system.score(metric.name));
    Heading {
        label: words.label(metric).to_owned(),
        about: words.about(metric).to_owned(),
        higher: metric.range.higher_is_better(),
        signature: signature.map(|score| score.signature.clone()).unwrap_or_default(),
    }
}

fn cell(score: &Score, from: Option<&Score>, metric: Facts, best: bool, words: &Words) -> Cell {
    let difference = from.map(|from| words.difference(from.value, score.value, metric.range));
    let good = if metric.range.higher_is_better() { 1 } else { -1 };
    let verdict = match &difference {
        Some((_, sign)) if *sign == good => "better",
        Some((_, 0)) | None => "same",
        Some(_) => "worse",
    };
    let ends = score.low.zip(score.high);
    Cell {
        value: score.value,
        text: words.score(score.value, metric.range),
        best,
        difference: difference.map(|(text, _)| text),
        verdict,
        interval: ends
            .map(|(low, high)| format!("{}–{}", words.score(low, metric.range), words.score(high, metric.range))),
    }
}

/// How many samples each system has, or the smallest and largest number of them.
fn counts(group: &Group, words: &Words) -> String {
    let counts = || {
        group
            .systems
            .iter()
            .flat_map(|system| &system.scores)
            .map(|score| score.n)
    };
    let (low, high) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let n = if low == high {
        words.whole(low)
    } else {
        format!("{}–{}", words.whole(low), words.whole(high))
    };
    let of_tokens = group.systems.iter().all(|system| system.samples.is_empty());
    words.fill(if of_tokens { "n_tokens" } else { "n_samples" }, &[("n", &n)])
}
