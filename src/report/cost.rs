//! Cost against score: each system as a point, for everything that a model takes. Parameters and bytes
//! are the artifact's; times, memory and speeds are the run's, and drawn when a run exports the page.

use std::collections::BTreeMap;

use kuva::plot::ScatterPlot;
use kuva::render::plots::Plot;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chart::{self, Chart};
use super::material::Material;
use super::words::Words;
use super::{Language, panels, ranking};
use crate::metrics::{Range, facts};

/// What the charts of cost are drawn from; the page holds it for the run that fills in its own facts.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct CostData {
    language: Language,
    /// The metric's name, and what the page calls it.
    name: String,
    metric: String,
    systems: Vec<CostSystem>,
    /// Tokens that each trained model saw.
    tokens: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct CostSystem {
    label: String,
    colour: String,
    /// The instance whose work was scored.
    instance: String,
    /// The instances that its model comes from.
    chain: Vec<String>,
    parameters: Option<u64>,
    bytes: Option<u64>,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
}

/// A chart of one kind of cost.
#[derive(Serialize)]
pub(super) struct CostChart {
    title: String,
    chart: Chart,
    /// The figures themselves, in the order of the systems.
    rows: Vec<[String; 3]>,
}

/// The section: what to draw from, the charts that need no run, and what the colours are.
#[derive(Serialize)]
pub(super) struct Cost {
    pub(super) data: CostData,
    legend: Vec<panels::Entry>,
    charts: Vec<CostChart>,
    metric: String,
}

/// The cost of the leading group's systems; `None` where fewer than two can be compared.
pub(super) fn cost(material: &Material, baseline: &BTreeMap<String, String>, words: &Words) -> Option<Cost> {
    let group = &material.groups[ranking::leading_group(material)?];
    let metric = ranking::leading(&ranking::metrics(group))?;
    let colours = ranking::colours(group, baseline);
    let system = |(system, colour): (&super::System, &String)| {
        let score = system.score(metric.name)?;
        let model = material
            .models
            .iter()
            .find(|model| Some(&model.instance) == system.model.as_ref());
        Some(CostSystem {
            label: ranking::label(system),
            colour: colour.clone(),
            instance: system.instance.clone(),
            chain: model.map(|model| model.chain.clone()).unwrap_or_default(),
            parameters: model.and_then(|model| model.parameters),
            bytes: model.and_then(|model| model.bytes),
            value: score.value,
            low: score.low,
            high: score.high,
        })
    };
    let systems: Vec<_> = group.systems.iter().zip(&colours).filter_map(system).collect();
    if systems.len() < 2 {
        return None;
    }
    let data = CostData {
        language: words.language(),
        name: metric.name.to_owned(),
        metric: words.label(metric).to_owned(),
        systems,
        tokens: tokens(material),
    };
    let charts = [
        data.chart("cost_parameters", |system| system.parameters.map(|n| n as f64), words),
        data.chart("cost_bytes", |system| system.bytes.map(|n| n as f64), words),
    ];
    Some(Cost {
        legend: panels::legend(group, &colours),
        charts: charts.into_iter().flatten().collect(),
        metric: data.metric.clone(),
        data,
    })
}

/// Tokens that each trained model saw.
pub(super) fn tokens(material: &Material) -> BTreeMap<String, u64> {
    let seen = material.trained.iter().filter_map(|model| {
        let seen = ["tokens", "tokens_seen"]
            .iter()
            .find_map(|name| model.summary[*name].as_u64());
        Some((model.instance.clone(), seen?))
    });
    seen.collect()
}

/// What a run tells of an instance.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Instance {
    pub(super) name: String,
    seconds: Option<f64>,
    peak_bytes: Option<u64>,
    /// `[update or 0, tokens a second]`, as it was told while it ran.
    pub(super) speeds: Vec<(u64, f64)>,
}

impl CostData {
    /// The charts that need a run's facts.
    pub(super) fn of_run(&self, instances: &[Instance], words: &Words) -> Vec<CostChart> {
        let find = |name: &str| instances.iter().find(|instance| instance.name == name);
        // a time that is not known of one model in the chain is not known of the whole
        let training = |system: &CostSystem| {
            let seconds = system.chain.iter().map(|name| find(name)?.seconds);
            let all = seconds.collect::<Option<Vec<f64>>>()?;
            (!all.is_empty()).then(|| all.iter().sum())
        };
        let memory = |system: &CostSystem| Some(find(&system.instance)?.peak_bytes? as f64);
        let speed = |system: &CostSystem| {
            let name = system.chain.iter().rev().find(|name| self.tokens.contains_key(*name))?;
            let seconds = find(name)?.seconds.filter(|seconds| *seconds > 0.0)?;
            Some(*self.tokens.get(name)? as f64 / seconds)
        };
        let writing = |system: &CostSystem| {
            let speeds = &find(&system.instance)?.speeds;
            speeds.last().map(|(_, speed)| *speed)
        };
        [
            self.chart("cost_seconds", training, words),
            self.chart("cost_memory", memory, words),
            self.chart("cost_speed", speed, words),
            self.chart("cost_writing", writing, words),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Nothing to compare, in a language.
    pub(super) fn without_systems(words: &Words, tokens: BTreeMap<String, u64>) -> Self {
        Self {
            language: words.language(),
            tokens,
            ..Self::default()
        }
    }

    /// The metric's name.
    pub(super) fn metric(&self) -> &str {
        &self.metric
    }

    /// Whether an instance trained a model.
    pub(super) fn is_trained(&self, instance: &str) -> bool {
        self.tokens.contains_key(instance)
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }

    fn range(&self) -> Range {
        facts(&self.name).map_or(Range::Fraction, |facts| facts.range)
    }

    /// A scatter of what is known: a system of which a cost is not known is no point at zero.
    fn chart(&self, name: &str, cost: impl Fn(&CostSystem) -> Option<f64>, words: &Words) -> Option<CostChart> {
        let known: Vec<(&CostSystem, f64)> = self
            .systems
            .iter()
            .filter_map(|system| Some((system, cost(system).filter(|cost| *cost > 0.0 && cost.is_finite())?)))
            .collect();
        let (low, high) = known.iter().fold((f64::INFINITY, 0.0f64), |(low, high), (_, cost)| {
            (low.min(*cost), high.max(*cost))
        });
        if known.is_empty() {
            return None;
        }
        let title = words.get(name).to_owned();
        let show = |cost: f64| match name {
            "cost_bytes" | "cost_memory" => words.bytes(cost as u64),
            "cost_seconds" => words.seconds(cost),
            "cost_parameters" => words.whole(cost as u64),
            _ => words.decimal(cost, 0),
        };
        let rows: Vec<[String; 3]> = known
            .iter()
            .map(|(system, cost)| {
                let score = words.score(system.value, self.range());
                [system.label.clone(), show(*cost), score]
            })
            .collect();
        let label = words.fill("chart_cost", &[("metric", &self.metric), ("cost", &title)]);
        let chart = Chart::draw(label, |width| {
            let mut plots: Vec<Plot> = Vec::new();
            for ((system, cost), [label, shown, score]) in known.iter().zip(&rows) {
                let reach = match system.low.zip(system.high) {
                    Some((low, high)) => ((system.value - low).max(0.0), (high - system.value).max(0.0)),
                    None => (0.0, 0.0),
                };
                let point = ScatterPlot::new()
                    .with_data([(*cost, system.value)])
                    .with_y_err_asymmetric([reach])
                    .with_color(format!("var(--{})", system.colour))
                    .with_size(5.0)
                    .with_tooltip_labels([format!("{label}: {shown}, {} {score}", self.metric)]);
                plots.push(point.into());
            }
            let height = if width < chart::WIDE { 240.0 } else { 300.0 };
            let mut layout = chart::layout(&plots, height, words)
                .with_x_label(&title)
                .with_y_label(&self.metric)
                .with_ticks(if width < chart::WIDE { 3 } else { 5 })
                .with_force_margins_y(10.0, 44.0);
            if matches!(self.range(), Range::Fraction | Range::Percent) {
                layout = layout.with_y_axis_min(0.0);
            }
            layout = if high / low >= 20.0 {
                layout.with_log_x()
            } else {
                // room for the rightmost point
                layout.with_x_axis_min(0.0).with_x_axis_max(high * 1.08)
            };
            (plots, layout)
        });
        Some(CostChart { title, chart, rows })
    }
}

/// The facts that charts are drawn from, out of what a run writes into a page.
pub(super) fn instances(facts: &Value) -> Vec<Instance> {
    let all = facts["instances"].as_array().into_iter().flatten();
    all.filter_map(|one| Instance::deserialize(one).ok()).collect()
}
