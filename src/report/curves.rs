//! Loss curves: training and validation loss over updates. The lines are an SVG that stretches with
//! its box, the labels are HTML over it, so that text keeps its size.

use serde::Serialize;

use super::material::{Material, Trained};
use super::scale;
use super::words::Words;

/// Points in a line: about one a pixel of a wide screen's chart.
const MOST_POINTS: usize = 400;

/// The height and width of the drawing, in its own units.
const SIZE: f64 = 1000.0;

/// One trained model's chart.
#[derive(Serialize)]
pub(super) struct Curve {
    instance: String,
    kind: String,
    facts: Vec<Fact>,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// SVG points.
    train: String,
    validation: String,
    dots: Vec<Dot>,
}

#[derive(Serialize)]
struct Fact {
    label: String,
    value: String,
}

#[derive(Serialize)]
struct Tick {
    percent: f64,
    label: String,
}

/// An evaluation, in percent from the left and the top.
#[derive(Serialize)]
struct Dot {
    x: f64,
    y: f64,
    title: String,
    best: bool,
}

/// One curve a trained model that logged anything.
pub(super) fn curves(material: &Material, words: &Words) -> Vec<Curve> {
    let logged = |model: &&Trained| !model.train.is_empty() || !model.validation.is_empty();
    material
        .trained
        .iter()
        .filter(logged)
        .map(|model| curve(model, words))
        .collect()
}

fn curve(model: &Trained, words: &Words) -> Curve {
    let train = thinned(&model.train);
    let finite = |loss: &f64| loss.is_finite();
    let losses = || {
        train
            .iter()
            .chain(&model.validation)
            .map(|(_, loss)| *loss)
            .filter(finite)
    };
    let updates = train.iter().chain(&model.validation).map(|(update, _)| *update);
    let last = updates.max().unwrap_or(0).max(1) as f64;
    let (low, high) = (
        losses().fold(f64::INFINITY, f64::min),
        losses().fold(f64::NEG_INFINITY, f64::max),
    );
    // room above and below, so that no line lies on the frame
    let margin = ((high - low) * 0.06).max(0.01);
    let (low, high) = ((low - margin).max(0.0), high + margin);

    let x = |update: u64| update as f64 / last;
    let y = |loss: f64| ((high - loss) / (high - low)).clamp(0.0, 1.0);
    let points = |points: &[(u64, f64)]| {
        let point = |(update, loss): &(u64, f64)| format!("{:.1},{:.1}", x(*update) * SIZE, y(*loss) * SIZE);
        points
            .iter()
            .filter(|(_, loss)| loss.is_finite())
            .map(point)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let best = model.validation.iter().map(|(_, loss)| *loss).reduce(f64::min);
    let dot = |(update, loss): &(u64, f64)| Dot {
        x: percent(x(*update)),
        y: percent(y(*loss)),
        title: words.fill(
            "curve_point",
            &[("update", &words.whole(*update)), ("loss", &words.decimal(*loss, 3))],
        ),
        best: Some(*loss) == best,
    };
    let (x_ticks, _) = scale::ticks(0.0, last, 5);
    let (y_ticks, decimals) = scale::ticks(low, high, 4);
    Curve {
        instance: model.instance.clone(),
        kind: model.kind.clone(),
        facts: facts(model, words),
        x_ticks: x_ticks
            .into_iter()
            .map(|tick| Tick {
                percent: percent(tick / last),
                label: words.whole(tick.max(0.0) as u64),
            })
            .collect(),
        y_ticks: y_ticks
            .into_iter()
            .map(|tick| Tick {
                percent: percent(y(tick)),
                label: words.decimal(tick, decimals),
            })
            .collect(),
        train: points(&train),
        validation: points(&model.validation),
        dots: model.validation.iter().map(dot).collect(),
    }
}

/// At most [`MOST_POINTS`] points: the mean of each run of neighbours.
fn thinned(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let run = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |run: &[(u64, f64)]| {
        let loss = run.iter().map(|(_, loss)| loss).sum::<f64>() / run.len() as f64;
        (run[run.len() / 2].0, loss)
    };
    points.chunks(run).map(mean).collect()
}

fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

/// What `training.json` and the curve say in figures.
fn facts(model: &Trained, words: &Words) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label: &str, value: String| {
        facts.push(Fact {
            label: words.get(label).to_owned(),
            value,
        });
    };
    let whole = |names: &[&str]| names.iter().find_map(|name| model.summary[*name].as_u64());
    if let Some(parameters) = whole(&["parameters"]) {
        fact("fact_parameters", words.whole(parameters));
    }
    if let Some(updates) = whole(&["updates"]) {
        fact("fact_updates", words.whole(updates));
    }
    if let Some(tokens) = whole(&["tokens", "tokens_seen"]) {
        fact("fact_tokens", words.whole(tokens));
    }
    let first = model.validation.first().map(|(_, loss)| *loss);
    let best = model
        .validation
        .iter()
        .copied()
        .reduce(|one, other| if other.1 < one.1 { other } else { one });
    if let Some(first) = first.or_else(|| model.summary["initial_validation_loss"].as_f64()) {
        fact("fact_first_loss", words.decimal(first, 3));
    }
    if let Some((update, loss)) = best {
        let value = words.fill(
            "fact_best_value",
            &[("loss", &words.decimal(loss, 3)), ("update", &words.whole(update))],
        );
        fact("fact_best_loss", value);
        fact("fact_best_perplexity", words.decimal(loss.exp(), 2));
    } else if let Some((_, loss)) = model.train.last() {
        fact("fact_last_train", words.decimal(*loss, 3));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Language;

    #[test]
    fn thinning_keeps_means_and_order() {
        let points: Vec<_> = (0..1000)
            .map(|i| (i, f64::from(u32::try_from(i % 2).unwrap())))
            .collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS && thin.len() > MOST_POINTS / 2);
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_flat_curve_and_a_single_point_are_drawn() {
        let words = Words::of(Language::En);
        let flat = Trained {
            train: vec![(1, 2.0), (2, 2.0)],
            ..Trained::default()
        };
        let point = Trained {
            validation: vec![(0, 3.0)],
            ..Trained::default()
        };
        for model in [flat, point] {
            let curve = curve(&model, &words);
            assert!(!curve.train.contains("NaN") && !curve.validation.contains("NaN"));
            assert!(curve.dots.iter().all(|dot| dot.y.is_finite() && dot.x.is_finite()));
        }
    }
}
