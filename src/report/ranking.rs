//! Which systems are compared with which, and which is best.

use std::collections::BTreeMap;

use super::material::{GENERATIONS, Group, Material, System};
use crate::metrics::{Facts, Range, facts};

/// The axis of repetitions with other seeds: not a setting to compare.
pub(super) const REPEAT: &str = "repeat";

/// The metrics of a group, in the order of its scores.
pub(super) fn metrics(group: &Group) -> Vec<Facts> {
    let mut found: Vec<Facts> = Vec::new();
    for score in group.systems.iter().flat_map(|system| &system.scores) {
        // a name that this version does not know cannot be read: neither its range nor its good end
        if let Some(facts) = facts(&score.metric)
            && !found.contains(&facts)
        {
            found.push(facts);
        }
    }
    found
}

/// The metric that a summary speaks of: ROUGE-L where there is one, else the first.
pub(super) fn leading(metrics: &[Facts]) -> Option<Facts> {
    let rouge = metrics.iter().find(|facts| facts.name == "rougeL");
    rouge.or(metrics.first()).copied()
}

/// The group that a summary speaks of: the first with samples, else the first.
pub(super) fn leading_group(material: &Material) -> Option<usize> {
    let with_samples = |group: &Group| group.systems.iter().any(|system| system.samples > 0);
    let first = (!material.groups.is_empty()).then_some(0);
    material.groups.iter().position(with_samples).or(first)
}

/// How good a value is: the higher the better, whatever the metric's good end.
pub(super) fn goodness(value: f64, range: Range) -> f64 {
    match range {
        Range::Ratio => -(value - 1.0).abs(),
        _ if range.higher_is_better() => value,
        _ => -value,
    }
}

/// Which end of a metric is good, as the page names it: `higher`, `lower`, `one`.
pub(super) fn good_end(range: Range) -> &'static str {
    match range {
        Range::Ratio => "one",
        _ if range.higher_is_better() => "higher",
        _ => "lower",
    }
}

/// The indices of the systems with the best value of a metric; none where all have the same.
pub(super) fn best(group: &Group, metric: Facts) -> Vec<usize> {
    let values: Vec<Option<f64>> = group
        .systems
        .iter()
        .map(|system| Some(goodness(system.score(metric.name)?.value, metric.range)))
        .collect();
    let best = values.iter().flatten().copied().reduce(f64::max);
    if values.iter().flatten().all(|value| Some(*value) == best) {
        return Vec::new();
    }
    let is_best = |index: &usize| values[*index] == best;
    (0..values.len()).filter(is_best).collect()
}

/// For each system the index of the one that it is counted from. The baseline's axis values replace
/// the system's own, so that a baseline which names every axis is one system, and `{model: base}`
/// compares each with the base model in the same setting.
pub(super) fn baselines(group: &Group, baseline: &BTreeMap<String, String>) -> Vec<Option<usize>> {
    let applies = baseline
        .keys()
        .any(|axis| axis == GENERATIONS || group.axes.contains(axis));
    let wanted = |system: &System, candidate: &System| {
        baseline
            .get(GENERATIONS)
            .is_none_or(|step| *step == candidate.generations)
            && group.axes.iter().all(|axis| {
                let wanted = baseline.get(axis).map(String::as_str).or(system.on(axis));
                candidate.on(axis) == wanted
            })
    };
    let of = |system| {
        applies
            .then(|| group.systems.iter().position(|candidate| wanted(system, candidate)))
            .flatten()
    };
    group.systems.iter().map(of).collect()
}

/// The name of a system by all its axes but some; empty where there are no others.
pub(super) fn label_without(system: &System, axes: &[&str]) -> String {
    let others = system.axes.iter().filter(|(axis, _)| !axes.contains(&axis.as_str()));
    let parts: Vec<String> = others.map(|(axis, value)| value_label(axis, value)).collect();
    parts.join(" · ")
}

/// The name of a system among the others: `tuned · shots 1`. Numbers are told by their axis.
pub(super) fn label(system: &System) -> String {
    let parts = label_without(system, &[]);
    if parts.is_empty() {
        system.generations.clone()
    } else {
        parts
    }
}

/// A value on an axis, with the axis's name where the value alone says nothing.
pub(super) fn value_label(axis: &str, value: &str) -> String {
    let says_nothing = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
    if says_nothing {
        format!("{axis} {value}")
    } else {
        value.to_owned()
    }
}

/// The axis that tells the systems of a chart apart by colour: the first with more than one value.
pub(super) fn colour_axis(group: &Group) -> Option<&str> {
    let several = |axis: &&String| values(group, axis).len() > 1;
    group
        .axes
        .iter()
        .find(several)
        .or(group.axes.first())
        .map(String::as_str)
}

/// The values of an axis, in order of appearance.
pub(super) fn values<'a>(group: &'a Group, axis: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for value in group.systems.iter().filter_map(|system| system.on(axis)) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// The CSS class that colours a system: `s0` (grey) for what is counted from, else `s1` to `s8`.
pub(super) fn colours(group: &Group, baseline: &BTreeMap<String, String>) -> Vec<String> {
    let Some(axis) = colour_axis(group) else {
        return (0..group.systems.len())
            .map(|index| format!("s{}", 1 + index % 8))
            .collect();
    };
    let grey = baseline.get(axis).map(String::as_str);
    let coloured: Vec<&str> = values(group, axis)
        .into_iter()
        .filter(|value| Some(*value) != grey)
        .collect();
    let class = |system: &System| {
        let value = system.on(axis).unwrap_or_default();
        match coloured.iter().position(|known| *known == value) {
            Some(index) => format!("s{}", 1 + index % 8),
            None => "s0".to_owned(),
        }
    };
    group.systems.iter().map(class).collect()
}
