//! Charts of scores: a panel a metric, a bar a system, grouped by the axes that colour does not show.
//! They are drawn as HTML and CSS, so that text keeps its size on a phone and colours follow the theme.

use std::collections::BTreeMap;

use serde::Serialize;

use super::material::{Group, Material, System};
use super::words::Words;
use super::{ranking, scale};
use crate::metrics::{Facts, Range};

/// Bars in a panel: more would be a wall. The table has all of them.
const MOST_BARS: usize = 36;

/// The charts of one group.
#[derive(Serialize)]
pub(super) struct Chart {
    title: String,
    legend: Vec<Entry>,
    panels: Vec<Panel>,
    /// Whether any bar has an interval, any panel a baseline.
    intervals: bool,
    dashed: bool,
    /// How many systems are shown of how many, where not all are.
    cut: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    colour: String,
    label: String,
}

#[derive(Serialize)]
struct Panel {
    label: String,
    about: String,
    /// The right end of the scale, as text.
    end: String,
    higher: bool,
    groups: Vec<Bars>,
    /// Where the baseline's value is, in percent of the scale, if there is one for all.
    baseline: Option<f64>,
}

#[derive(Serialize)]
struct Bars {
    label: String,
    bars: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    label: String,
    colour: String,
    /// Percent of the scale.
    width: f64,
    /// Percent from the left and from the right.
    interval: Option<(f64, f64)>,
    text: String,
    best: bool,
}

/// One chart a group that compares anything.
pub(super) fn charts(material: &Material, baseline: &BTreeMap<String, String>, words: &Words) -> Vec<Chart> {
    let compared = material.groups.iter().filter(|group| group.systems.len() > 1);
    compared.map(|group| chart(group, baseline, words)).collect()
}

fn chart(group: &Group, baseline: &BTreeMap<String, String>, words: &Words) -> Chart {
    let shown = group.systems.len().min(MOST_BARS);
    let colours = ranking::colours(group, baseline);
    let axis = ranking::colour_axis(group);
    let name = |system: &System| match axis.and_then(|axis| system.on(axis).map(|value| (axis, value))) {
        Some((axis, value)) => ranking::value_label(axis, value),
        None => ranking::label(system),
    };
    let mut legend: Vec<Entry> = Vec::new();
    for (system, colour) in group.systems.iter().zip(&colours).take(shown) {
        let label = name(system);
        if !legend.iter().any(|entry| entry.label == label) {
            legend.push(Entry {
                colour: colour.clone(),
                label,
            });
        }
    }
    let baselines = ranking::baselines(group, baseline);
    let panel = |metric: &Facts| {
        let scale = right_end(group, *metric);
        let best = ranking::best(group, *metric);
        let mut groups: Vec<Bars> = Vec::new();
        for (index, system) in group.systems.iter().enumerate().take(shown) {
            let Some(score) = system.score(metric.name) else {
                continue;
            };
            let percent = |value: f64| rounded(100.0 * value / scale);
            let bar = Bar {
                label: name(system),
                colour: colours[index].clone(),
                width: percent(score.value),
                interval: score
                    .low
                    .zip(score.high)
                    .map(|(low, high)| (percent(low), rounded(100.0 - percent(high)))),
                text: words.score(score.value, metric.range),
                best: best.contains(&index),
            };
            let label = rest(system, axis);
            match groups.iter_mut().find(|group| group.label == label) {
                Some(group) => group.bars.push(bar),
                None => groups.push(Bars { label, bars: vec![bar] }),
            }
        }
        Panel {
            label: words.label(*metric).to_owned(),
            about: words.about(*metric).to_owned(),
            end: end(scale, *metric, words),
            higher: metric.range.higher_is_better(),
            groups,
            baseline: common(&baselines)
                .and_then(|base| group.systems[base].score(metric.name))
                .map(|score| rounded(100.0 * score.value / scale)),
        }
    };
    let panels: Vec<Panel> = ranking::metrics(group).iter().map(panel).collect();
    let bars = || {
        panels
            .iter()
            .flat_map(|panel| &panel.groups)
            .flat_map(|group| &group.bars)
    };
    Chart {
        title: group.title.clone(),
        legend,
        intervals: bars().any(|bar| bar.interval.is_some()),
        dashed: panels.iter().any(|panel| panel.baseline.is_some()),
        panels,
        cut: (shown < group.systems.len()).then(|| {
            let (shown, all) = (shown.to_string(), group.systems.len().to_string());
            words.fill("chart_cut", &[("shown", &shown), ("all", &all)])
        }),
    }
}

/// The one system that all are counted from, if it is one.
fn common(baselines: &[Option<usize>]) -> Option<usize> {
    let first = *baselines.first()?;
    first.filter(|_| baselines.iter().all(|base| *base == first))
}

fn right_end(group: &Group, metric: Facts) -> f64 {
    let scores = group.systems.iter().filter_map(|system| system.score(metric.name));
    let highest = scores
        .map(|score| score.high.unwrap_or(score.value).max(score.value))
        .fold(0.0, f64::max);
    let most = match metric.range {
        Range::Fraction | Range::Waste => 1.0,
        Range::Percent => 100.0,
        Range::Perplexity | Range::ErrorRate | Range::Bits | Range::Ratio => f64::INFINITY,
    };
    scale::ceiling(highest).min(most)
}

fn end(scale: f64, metric: Facts, words: &Words) -> String {
    let decimals = match metric.range {
        Range::Fraction if scale < 1.0 => 2,
        _ => 0,
    };
    words.decimal(scale, decimals)
}

/// The axes of a system besides the coloured one: `shots 1`.
fn rest(system: &System, coloured: Option<&str>) -> String {
    let others = system.axes.iter().filter(|(axis, _)| Some(axis.as_str()) != coloured);
    let labels: Vec<String> = others.map(|(axis, value)| ranking::value_label(axis, value)).collect();
    labels.join(" · ")
}

/// Two decimals: more than a pixel.
fn rounded(percent: f64) -> f64 {
    (percent.clamp(0.0, 100.0) * 100.0).round() / 100.0
}
