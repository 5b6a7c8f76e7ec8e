//! The comparison table: a row a system, a column a metric, the best marked, the difference from
//! the baseline beside each value, and how the samples' own scores are spread. The page, `report.md`,
//! the LaTeX table and `scores.json` are all made from it.

use std::collections::BTreeMap;

use serde::Serialize;

use kuva::plot::LinePlot;

use super::material::{Group, Material};
use super::significance::{self, Significance, Support};
use super::words::Words;
use super::{chart, ranking};
use crate::metrics::{Facts, Score};

/// Rows on the page: `scores.csv` has all of them.
const MOST_ROWS: usize = 400;

/// A table as the page draws it.
#[derive(Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) axes: Vec<String>,
    pub(super) columns: Vec<Heading>,
    pub(super) rows: Vec<Row>,
    pub(super) has_baseline: bool,
    pub(super) has_intervals: bool,
    /// `24 samples a system`
    pub(super) n: String,
    /// How differences were tested, if they were.
    pub(super) test: Option<String>,
    /// The metric of the sparklines, if there are any.
    spread: Option<String>,
    /// How many rows are shown of how many, where not all are.
    cut: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    pub(super) label: String,
    about: String,
    /// `higher`, `lower`, `one`
    pub(super) good: &'static str,
    pub(super) leading: bool,
    signature: String,
}

#[derive(Serialize)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) instance: String,
    colour: String,
    pub(super) axes: Vec<String>,
    pub(super) cells: Vec<Option<Cell>>,
    pub(super) is_baseline: bool,
    /// Not told from the best by the leading metric.
    pub(super) tied: bool,
    /// A drawing of how the samples' scores are spread.
    spread: Option<String>,
    /// The same in words, and the number to sort by.
    spread_label: String,
    median: Option<f64>,
}

#[derive(Clone, Serialize)]
pub(super) struct Cell {
    pub(super) value: f64,
    pub(super) n: u64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) text: String,
    pub(super) best: bool,
    pub(super) difference: Option<String>,
    /// `better` or `worse` where the difference is supported, else `same`.
    pub(super) verdict: &'static str,
    /// The corrected p-value of the difference, where one was computed.
    pub(super) p: Option<f64>,
    pub(super) p_text: String,
    /// Whether the difference is supported; `None` where there is none, or it was not tested.
    pub(super) supported: Option<bool>,
    pub(super) interval: Option<String>,
    pub(super) signature: String,
}

/// How many samples of a system score how much: a count for each of equal parts of the metric's range.
pub(super) type Spread = Vec<u64>;

/// One table a group. `spreads` has the samples' scores by the leading metric, a list a group and in it
/// one a system.
pub(super) fn tables(
    material: &Material,
    baseline: &BTreeMap<String, String>,
    spreads: &[Vec<Option<Spread>>],
    significance: &[Significance],
    words: &Words,
) -> Vec<Table> {
    let none = Vec::new();
    let spread = |index: usize| spreads.get(index).unwrap_or(&none);
    let groups = material.groups.iter().zip(significance).enumerate();
    groups
        .map(|(index, (group, significance))| table(group, baseline, spread(index), significance, words))
        .collect()
}

fn table(
    group: &Group,
    baseline: &BTreeMap<String, String>,
    spreads: &[Option<Spread>],
    significance: &Significance,
    words: &Words,
) -> Table {
    let metrics = ranking::metrics(group);
    let leading = ranking::leading(&metrics);
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
            let support = significance.from_baseline[index].get(metric.name);
            Some(cell(
                score,
                from,
                support.copied(),
                *metric,
                best.contains(&index),
                words,
            ))
        };
        let spread = spreads.get(index).and_then(Option::as_ref);
        Row {
            label: ranking::label(system),
            instance: system.instance.clone(),
            axes: group
                .axes
                .iter()
                .map(|axis| system.on(axis).unwrap_or("—").to_owned())
                .collect(),
            cells: metrics.iter().zip(&best).map(cell).collect(),
            is_baseline: baselines[index] == Some(index),
            tied: significance.from_best[index].is_some_and(|support| !support.supported),
            spread: spread.map(|spread| sparkline(&system.instance, spread, &colour)),
            spread_label: spread.map(|spread| in_words(spread, words)).unwrap_or_default(),
            median: spread.and_then(median),
            colour,
        }
    };
    let scores = || group.systems.iter().flat_map(|system| &system.scores);
    let all = group.systems.len();
    let (shown_text, all_text) = (words.whole(MOST_ROWS as u64), words.whole(all as u64));
    Table {
        title: group.title.clone(),
        axes: group.axes.clone(),
        columns: metrics
            .iter()
            .map(|metric| heading(group, *metric, Some(*metric) == leading, words))
            .collect(),
        rows: colours.into_iter().enumerate().take(MOST_ROWS).map(row).collect(),
        has_baseline: baselines.iter().any(Option::is_some),
        has_intervals: scores().any(|score| score.low.is_some()),
        n: counts(group, words),
        test: test(group, significance, words),
        spread: spreads
            .iter()
            .any(Option::is_some)
            .then(|| leading.map(|metric| words.label(metric).to_owned()))
            .flatten(),
        cut: (all > MOST_ROWS).then(|| words.fill("rows_cut", &[("shown", &shown_text), ("all", &all_text)])),
    }
}

/// The spread as a small outline, its highest part at the top.
fn sparkline(of: &str, spread: &Spread, colour: &str) -> String {
    let points = spread
        .iter()
        .enumerate()
        .map(|(index, count)| (index as f64, *count as f64));
    let line = LinePlot::new()
        .with_data(points)
        .with_color(format!("var(--{colour})"))
        .with_stroke_width(1.5)
        .with_fill()
        .with_fill_opacity(0.25);
    chart::sparkline(of, vec![line.into()], 84.0, 22.0)
}

/// The middle of the part that holds the median, as a share of the range.
fn median(spread: &Spread) -> Option<f64> {
    let total: u64 = spread.iter().sum();
    let mut seen = 0;
    let part = spread.iter().position(|count| {
        seen += count;
        seen * 2 >= total
    });
    part.filter(|_| total > 0)
        .map(|part| (part as f64 + 0.5) / spread.len() as f64)
}

fn in_words(spread: &Spread, words: &Words) -> String {
    let total: u64 = spread.iter().sum();
    let quarters = spread.chunks(spread.len().div_ceil(4));
    let share = |part: &[u64]| words.decimal(100.0 * part.iter().sum::<u64>() as f64 / total.max(1) as f64, 0);
    let shares: Vec<String> = quarters.map(share).collect();
    words.fill("spread_words", &[("shares", &shares.join(" %, "))])
}

fn heading(group: &Group, metric: Facts, leading: bool, words: &Words) -> Heading {
    let signature = group.systems.iter().find_map(|system| system.score(metric.name));
    Heading {
        name: metric.name,
        leading,
        label: words.label(metric).to_owned(),
        about: words.about(metric).to_owned(),
        good: ranking::good_end(metric.range),
        signature: signature.map(|score| score.signature.clone()).unwrap_or_default(),
    }
}

/// How differences were tested, in a sentence.
fn test(group: &Group, significance: &Significance, words: &Words) -> Option<String> {
    if group.systems.iter().any(|system| system.repeats > 1) {
        return Some(words.get("test_repeats").to_owned());
    }
    let places = [
        ("trials", &*words.whole(significance.trials)),
        ("alpha", &words.decimal(significance::ALPHA, 2)),
        ("n", &words.whole(significance.samples)),
    ];
    (significance.trials > 0).then(|| words.fill("test_note", &places))
}

fn cell(
    score: &Score,
    from: Option<&Score>,
    support: Option<Support>,
    metric: Facts,
    best: bool,
    words: &Words,
) -> Cell {
    let difference = from.map(|from| words.difference(from.value, score.value, metric.range));
    let good = |value: f64| ranking::goodness(value, metric.range);
    let supported = support
        .filter(|_| difference.is_some())
        .map(|support| support.supported);
    let verdict = match (&difference, from) {
        (Some((_, sign)), Some(from)) if *sign != 0 && supported == Some(true) => {
            if good(score.value) > good(from.value) {
                "better"
            } else {
                "worse"
            }
        }
        _ => "same",
    };
    let p = support.filter(|_| difference.is_some()).and_then(|support| support.p);
    let ends = score.low.zip(score.high);
    Cell {
        value: score.value,
        n: score.n,
        low: score.low,
        high: score.high,
        signature: score.signature.clone(),
        text: match score.details.get("sd").and_then(serde_json::Value::as_f64) {
            Some(sd) => format!(
                "{} ± {}",
                words.score(score.value, metric.range),
                words.score(sd, metric.range)
            ),
            None => words.score(score.value, metric.range),
        },
        best,
        difference: difference.map(|(text, _)| text),
        verdict,
        p,
        p_text: p.map(|p| p_value(p, words)).unwrap_or_default(),
        supported,
        interval: ends
            .map(|(low, high)| format!("{}–{}", words.score(low, metric.range), words.score(high, metric.range))),
    }
}

/// `p = 0.012`, `p < 0.001`
pub(super) fn p_value(p: f64, words: &Words) -> String {
    if p < 0.001 {
        format!("p < {}", words.decimal(0.001, 3))
    } else {
        format!("p = {}", words.decimal(p, 3))
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
    let repeats = group.systems.iter().map(|system| system.repeats).max().unwrap_or(0);
    let of_tokens = group.systems.iter().all(|system| system.samples == 0);
    let counts = words.fill(if of_tokens { "n_tokens" } else { "n_samples" }, &[("n", &n)]);
    if repeats > 1 {
        let repeats = words.fill("n_repeats", &[("n", &words.whole(repeats as u64))]);
        return format!("{counts}, {repeats}");
    }
    counts
}
