//! The page: one HTML file with its style and script inside, which loads nothing but the samples in the
//! files beside it.
//!
//! Everything that comes from data, models or settings is a template value, which minijinja escapes, or
//! JSON made inert; only the style, the script, the word lists and the charts of the program are
//! written as they are. The page's own policy lets no other script run and nothing reach a network.

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::comparison::Table;
use super::facts::{COST_DATA, RUN_CHARTS, RUN_FACTS, RUN_SPEED};
use super::material::{Material, ReportError};
use super::samples::{Samples, inert};
use super::words::Words;
use super::write::Options;
use super::{cost, curves, graph, panels, quantized, slices, steps, summary, tokens};
use crate::metrics::{LEVEL, RESAMPLES};

/// What the template draws.
#[derive(Serialize)]
struct Page<'a> {
    lang: &'static str,
    title: &'a str,
    about: &'a str,
    version: &'static str,
    nonce: String,
    summary: &'a summary::Summary,
    tables: &'a [Table],
    slices: Vec<slices::SliceTable>,
    charts: Vec<panels::Charts>,
    cost: Option<&'a cost::Cost>,
    cost_data: String,
    samples: Vec<&'a Samples>,
    training: curves::Training,
    encodings: Vec<tokens::Encoding>,
    quantized: Vec<quantized::Smaller>,
    graph: graph::Drawing,
    steps: Vec<steps::Step>,
    data: Vec<steps::Data>,
    downloads: &'a [&'a str],
    interval_note: String,
    t: &'a BTreeMap<String, String>,
}

/// What was made before the page and is shown on it.
pub(super) struct Parts<'a> {
    pub(super) summary: &'a summary::Summary,
    pub(super) tables: &'a [Table],
    pub(super) samples: &'a [Option<Samples>],
    pub(super) downloads: &'a [&'a str],
}

/// Renders the page.
///
/// # Errors
/// When the template and its values do not fit: a fault of the program.
pub(super) fn render(
    material: &Material,
    parts: &Parts<'_>,
    options: &Options,
    words: &Words,
) -> Result<String, ReportError> {
    let cost = cost::cost(material, &options.baseline, words);
    let data = match &cost {
        Some(cost) => serde_json::to_string(&cost.data),
        None => serde_json::to_string(&cost::CostData::without_systems(words, cost::tokens(material))),
    };
    let data = data.expect("plain values");
    let mut page = Page {
        lang: options.language.tag(),
        title: &options.title,
        about: &options.about,
        version: env!("CARGO_PKG_VERSION"),
        nonce: String::new(),
        summary: parts.summary,
        tables: parts.tables,
        slices: slices::slices(&material.groups, words),
        charts: panels::charts(material, &options.baseline, words),
        cost: cost.as_ref(),
        cost_data: inert(&data),
        samples: parts.samples.iter().flatten().collect(),
        training: curves::training(material, words),
        encodings: tokens::encodings(material, words),
        quantized: quantized::quantized(material, words),
        graph: graph::draw(material, words),
        steps: steps::steps(material),
        data: steps::data(material),
        downloads: parts.downloads,
        interval_note: words.fill(
            "interval_note",
            &[
                ("level", &words.decimal(LEVEL * 100.0, 0)),
                ("resamples", &words.whole(RESAMPLES)),
            ],
        ),
        t: words.all(),
    };
    // from the content, so that the same material gives the same bytes
    let content = serde_json::to_vec(&page).expect("plain values");
    page.nonce = blake3::hash(&content).to_hex()[..32].to_owned();
    let environment = environment()?;
    let page = environment
        .get_template("page.html")?
        .render(Value::from(Serde(&page)))?;
    // the only character that a parser of HTML changes by itself
    Ok(page.replace('\0', "\u{fffd}"))
}

/// The templates and what they share.
pub(super) fn environment() -> Result<Environment<'static>, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for (name, source) in [
        ("page.html", include_str!("page/page.html.jinja")),
        ("macros.html", include_str!("page/macros.html.jinja")),
        ("results.html", include_str!("page/results.html.jinja")),
        ("charts.html", include_str!("page/charts.html.jinja")),
        ("samples.html", include_str!("page/samples.html.jinja")),
        ("training.html", include_str!("page/training.html.jinja")),
        ("tokens.html", include_str!("page/tokens.html.jinja")),
        ("pipeline.html", include_str!("page/pipeline.html.jinja")),
        ("run.html", include_str!("page/run.html.jinja")),
        ("runs.html", include_str!("page/runs.html.jinja")),
    ] {
        environment.add_template(name, source)?;
    }
    let script = [include_str!("page/script.js"), include_str!("page/samples.js")];
    let script = format!("\"use strict\";\n{{\n{}\n{}}}\n", script[0], script[1]);
    for (name, text) in [
        ("style", include_str!("page/style.css")),
        ("script", &script),
        ("run_facts", RUN_FACTS),
        ("run_charts", &RUN_CHARTS.concat()),
        ("run_speed", &RUN_SPEED.concat()),
        ("cost_place", COST_DATA),
    ] {
        environment.add_global(name, Value::from_safe_string(text.to_owned()));
    }
    Ok(environment)
}
