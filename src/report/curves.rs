//! Training: losses of all models over their updates, learning rate and gradient norm, and each model's
//! own figures.

use serde::Serialize;

use super::lines::{About, LineChart, Series, Stroke};
use super::material::{Material, Trained};
use super::words::Words;

/// Models in a chart: one for each colour.
const MOST_MODELS: usize = 8;

/// Points of all lines of a chart together: about one a pixel for one model.
const MOST_POINTS: usize = 1600;

/// The trained models of a report.
#[derive(Serialize)]
pub(super) struct Training {
    charts: Vec<LineChart>,
    models: Vec<Model>,
    /// How many models are drawn of how many, where not all are.
    cut: Option<String>,
}

/// One trained model in figures.
#[derive(Serialize)]
struct Model {
    instance: String,
    kind: String,
    colour: String,
    facts: Vec<Fact>,
}

#[derive(Serialize)]
struct Fact {
    label: String,
    value: String,
}

/// The training section; without models it is empty.
pub(super) fn training(material: &Material, words: &Words) -> Training {
    let logged: Vec<&Trained> = material
        .trained
        .iter()
        .filter(|model| !model.train.is_empty() || !model.validation.is_empty())
        .collect();
    let shown = &logged[..logged.len().min(MOST_MODELS)];
    let points = (MOST_POINTS / shown.len().max(1)).min(300);
    let about = |name: &str, log_y: bool| About {
        title: words.get(name).to_owned(),
        x_label: words.get("update").to_owned(),
        y_label: words.get(&format!("{name}_unit")).to_owned(),
        log_x: false,
        log_y,
        from_zero: false,
    };
    let line = |index: usize, label: String, stroke: Stroke, values: &[(u64, f64)]| Series {
        label,
        colour: format!("s{}", index + 1),
        stroke,
        points: values.iter().map(|(update, value)| (*update as f64, *value)).collect(),
        intervals: Vec::new(),
    };
    let mut losses = Vec::new();
    for (index, model) in shown.iter().enumerate() {
        let label = |word: &str| format!("{} · {}", model.instance, words.get(word));
        losses.push(line(
            index,
            label("train_loss"),
            Stroke::Thin,
            &thinned(&model.train, points),
        ));
        let validation = thinned(&model.validation, points);
        losses.push(line(index, label("validation_loss"), Stroke::Points, &validation));
    }
    let single = |of: fn(&Trained) -> &[(u64, f64)]| {
        let lines = shown
            .iter()
            .enumerate()
            .map(|(index, model)| line(index, model.instance.clone(), Stroke::Thin, &thinned(of(model), points)));
        lines.collect::<Vec<_>>()
    };
    let charts = [
        LineChart::draw(about("loss_title", true), losses, words),
        LineChart::draw(about("rate_title", false), single(|model| &model.learning_rate), words),
        LineChart::draw(about("norm_title", true), single(|model| &model.gradient_norm), words),
    ];
    let model = |(index, model): (usize, &&Trained)| Model {
        instance: model.instance.clone(),
        kind: model.kind.clone(),
        colour: if index < MOST_MODELS {
            format!("s{}", index + 1)
        } else {
            "s0".to_owned()
        },
        facts: facts(model, words),
    };
    Training {
        charts: charts.into_iter().flatten().collect(),
        models: logged.iter().enumerate().map(model).collect(),
        cut: (shown.len() < logged.len()).then(|| {
            let (shown, all) = (shown.len().to_string(), logged.len().to_string());
            words.fill("models_cut", &[("shown", &shown), ("all", &all)])
        }),
    }
}

/// At most so many points: the mean of each run of neighbours.
pub(super) fn thinned(points: &[(u64, f64)], most: usize) -> Vec<(u64, f64)> {
    let run = points.len().div_ceil(most).max(1);
    let mean = |run: &[(u64, f64)]| {
        let value = run.iter().map(|(_, value)| value).sum::<f64>() / run.len() as f64;
        (run[run.len() / 2].0, value)
    };
    points.chunks(run).map(mean).collect()
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
        let thin = thinned(&points, 400);
        assert!(thin.len() <= 400 && thin.len() > 200);
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_flat_curve_and_a_single_point_and_a_loss_that_exploded_are_drawn() {
        let words = Words::of(Language::En);
        let flat = Trained {
            train: vec![(1, 2.0), (2, 2.0)],
            ..Trained::default()
        };
        let point = Trained {
            validation: vec![(0, 3.0), (1, f64::INFINITY)],
            ..Trained::default()
        };
        let material = Material {
            trained: vec![flat, point],
            ..Material::default()
        };
        let drawn = serde_json::to_string(&training(&material, &words)).unwrap();
        assert!(
            drawn.contains("<svg") && !drawn.contains("NaN") && !drawn.contains("inf "),
            "{drawn}"
        );
    }
}
