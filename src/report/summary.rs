//! The summary: the winner in one sentence, and the few figures that come first.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::comparison::p_value;
use super::material::{Group, Material};
use super::ranking;
use super::significance::{Significance, Support};
use super::words::Words;
use crate::metrics::Facts;

/// What the page says first.
#[derive(Default, Serialize)]
pub(super) struct Summary {
    pub(super) sentence: String,
    /// How sure the figures are.
    pub(super) caution: String,
    figures: Vec<Figure>,
    /// The first of the best systems, its metric and value.
    #[serde(skip)]
    winner: Option<Winner>,
}

struct Winner {
    system: String,
    metric: Facts,
    label: String,
    text: String,
    score: crate::metrics::Score,
}

impl Summary {
    /// The headline for programs: `null` where nothing was scored.
    pub(super) fn headline(&self) -> Value {
        let Some(winner) = &self.winner else {
            return Value::Null;
        };
        json!({
            "sentence": self.sentence,
            "caution": self.caution,
            "system": winner.system,
            "metric": winner.metric.name,
            "label": winner.label,
            "text": winner.text,
            "value": winner.score.value,
            "n": winner.score.n,
            "low": winner.score.low,
            "high": winner.score.high,
        })
    }
}

#[derive(Serialize)]
struct Figure {
    value: String,
    label: String,
}

/// The summary of the leading group by the leading metric.
pub(super) fn summary(
    material: &Material,
    baseline: &BTreeMap<String, String>,
    significance: &[Significance],
    words: &Words,
) -> Summary {
    let Some(at) = ranking::leading_group(material) else {
        return Summary::default();
    };
    let (group, significance) = (&material.groups[at], &significance[at]);
    let Some(metric) = ranking::leading(&ranking::metrics(group)) else {
        return Summary::default();
    };
    let baselines = ranking::baselines(group, baseline);
    let winners = winners(group, metric);
    let Some(&winner) = winners.first() else {
        return Summary::default();
    };
    let base = baselines[winner];
    let score = group.systems[winner].score(metric.name);
    Summary {
        winner: score.map(|score| Winner {
            system: ranking::label(&group.systems[winner]),
            metric,
            label: words.label(metric).to_owned(),
            text: words.score(score.value, metric.range),
            score: score.clone(),
        }),
        sentence: sentence(group, metric, &winners, base, words),
        caution: caution(group, metric, &winners, significance, words),
        figures: figures(material, group, metric, winner, base, words),
    }
}

/// The systems with the best value: all of them where it is the same.
fn winners(group: &Group, metric: Facts) -> Vec<usize> {
    let best = ranking::best(group, metric);
    if !best.is_empty() {
        return best;
    }
    (0..group.systems.len())
        .filter(|index| group.systems[*index].score(metric.name).is_some())
        .collect()
}

fn value(group: &Group, index: usize, metric: Facts) -> f64 {
    group.systems[index]
        .score(metric.name)
        .map_or(f64::NAN, |score| score.value)
}

fn sentence(group: &Group, metric: Facts, winners: &[usize], base: Option<usize>, words: &Words) -> String {
    let name = |index: usize| ranking::label(&group.systems[index]);
    let best = value(group, winners[0], metric);
    let shown = words.score(best, metric.range);
    let names: Vec<String> = winners.iter().map(|index| name(*index)).collect();
    let names = match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, [first])) => words.fill("and", &[("first", first), ("last", last)]),
        Some((last, several)) => words.fill("and", &[("first", &several.join(", ")), ("last", last)]),
        None => String::new(),
    };
    // a line never breaks inside a metric's name
    let (label, n) = (
        words.label(metric).replace('-', "\u{2011}"),
        words.whole(winners.len() as u64),
    );
    let places = [
        ("systems", names.as_str()),
        ("metric", &label),
        ("value", &shown),
        ("n", &n),
    ];
    if winners.len() == group.systems.len() && winners.len() > 1 {
        return words.fill("sentence_equal", &places) + ".";
    }
    if group.systems.len() == 1 {
        return words.fill("sentence_single", &places);
    }
    let head = match (winners.len(), metric.range.higher_is_better()) {
        (1, true) => "sentence_highest",
        (1, false) => "sentence_lowest",
        (2..=3, _) => "sentence_tie",
        _ => "sentence_many",
    };
    let head = words.fill(head, &places);
    let Some(base) = base else {
        return head + ".";
    };
    if winners.contains(&base) {
        return format!("{head}. {}", words.get("sentence_baseline_best"));
    }
    let from = value(group, base, metric);
    let (difference, _) = words.difference(from, best, metric.range);
    let tail = words.fill(
        "sentence_difference",
        &[
            ("difference", &difference),
            ("baseline", &name(base)),
            ("value", &words.score(from, metric.range)),
        ],
    );
    head + &tail
}

/// Whether the others are told from the winner: by paired tests where there are any, else by its
/// interval.
fn caution(group: &Group, metric: Facts, winners: &[usize], significance: &Significance, words: &Words) -> String {
    if winners.len() == group.systems.len() {
        return String::new();
    }
    let others = || (0..group.systems.len()).filter(|index| !winners.contains(index));
    let tested: Vec<(usize, Support)> = others()
        .filter_map(|index| Some((index, significance.from_best[index]?)))
        .collect();
    let name = |index: usize| ranking::label(&group.systems[index]);
    if !tested.is_empty() {
        let ties: Vec<usize> = tested
            .iter()
            .filter(|(_, support)| !support.supported)
            .map(|(index, _)| *index)
            .collect();
        let p = |index: usize| {
            let p = tested
                .iter()
                .find(|(known, _)| *known == index)
                .and_then(|(_, support)| support.p);
            p.map(|p| format!(" ({})", p_value(p, words))).unwrap_or_default()
        };
        let n = words.whole(group.systems[winners[0]].samples);
        return match ties.as_slice() {
            [] => words.fill("test_clear", &[("n", &n)]),
            [one] => words.fill("test_one", &[("system", &name(*one)), ("p", &p(*one)), ("n", &n)]),
            several => words.fill(
                "test_several",
                &[
                    ("count", &words.whole(several.len() as u64)),
                    ("system", &name(several[0])),
                    ("p", &p(several[0])),
                    ("n", &n),
                ],
            ),
        };
    }
    let Some((low, high)) = group.systems[winners[0]]
        .score(metric.name)
        .and_then(|score| score.low.zip(score.high))
    else {
        return String::new();
    };
    let rivals: Vec<usize> = others()
        .filter(|index| (low..=high).contains(&value(group, *index, metric)))
        .collect();
    let interval = format!("{}–{}", words.score(low, metric.range), words.score(high, metric.range));
    match rivals.as_slice() {
        [] => words.fill("caution_clear", &[("interval", &interval)]),
        [one] => words.fill("caution_one", &[("interval", &interval), ("system", &name(*one))]),
        several => words.fill(
            "caution_several",
            &[("interval", &interval), ("n", &several.len().to_string())],
        ),
    }
}

fn figures(
    material: &Material,
    group: &Group,
    metric: Facts,
    winner: usize,
    base: Option<usize>,
    words: &Words,
) -> Vec<Figure> {
    let best = value(group, winner, metric);
    let mut figures = vec![Figure {
        value: words.score(best, metric.range),
        label: words.fill("figure_best", &[("metric", words.label(metric))]),
    }];
    if let Some(base) = base.filter(|base| *base != winner) {
        let (difference, _) = words.difference(value(group, base, metric), best, metric.range);
        let label = words.get("figure_difference").to_owned();
        figures.push(Figure {
            value: difference,
            label,
        });
    }
    figures.push(Figure {
        value: words.whole(group.systems.len() as u64),
        label: words.get("figure_systems").to_owned(),
    });
    if let Some(score) = group.systems[winner].score(metric.name) {
        let unit = if group.systems[winner].samples == 0 {
            "figure_tokens"
        } else {
            "figure_samples"
        };
        figures.push(Figure {
            value: words.whole(score.n),
            label: words.get(unit).to_owned(),
        });
    }
    let parameters = material
        .trained
        .iter()
        .filter_map(|model| model.summary["parameters"].as_u64());
    if let Some(parameters) = parameters.max() {
        figures.push(Figure {
            value: compact(parameters, words),
            label: words.get("figure_parameters").to_owned(),
        });
    }
    figures
}

/// `812 k`, `1.24 M`.
pub(super) fn compact(number: u64, words: &Words) -> String {
    match number {
        0..10_000 => words.whole(number),
        10_000..1_000_000 => format!("{} k", words.decimal(number as f64 / 1e3, 0)),
        1_000_000..1_000_000_000 => format!("{} M", words.decimal(number as f64 / 1e6, 2)),
        _ => format!("{} G", words.decimal(number as f64 / 1e9, 2)),
    }
}
