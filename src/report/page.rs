//! The page: one HTML file with its style and script inside, which loads nothing.
//!
//! Everything that comes from data, models or settings is a template value, which minijinja escapes;
//! only the style, the script and the word lists of the program are written as they are.

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::material::{Material, ReportError};
use super::words::Words;
use super::write::Options;
use super::{bars, comparison, curves, graph, outputs, quantized, steps, summary};
use crate::metrics::{LEVEL, RESAMPLES};

/// The place of the run's facts (times, machine) in a page, which the run fills in when it exports
/// one: the artifact itself has none, so that its bytes depend on its inputs alone.
pub const RUN_FACTS: &str = r#"<script type="application/json" id="run-facts">null</script>"#;

/// What the template draws.
#[derive(Serialize)]
struct Page<'a> {
    lang: &'static str,
    title: &'a str,
    about: &'a str,
    version: &'static str,
    summary: summary::Summary,
    tables: Vec<comparison::Table>,
    charts: Vec<bars::Chart>,
    curves: Vec<curves::Curve>,
    quantized: Vec<quantized::Smaller>,
    outputs: Vec<outputs::Outputs>,
    graph: graph::Drawing,
    steps: Vec<steps::Step>,
    interval_note: String,
    t: &'a BTreeMap<String, String>,
}

/// Renders the page.
///
/// # Errors
/// When the template and its values do not fit: a fault of the program.
pub(super) fn render(material: &Material, options: &Options) -> Result<String, ReportError> {
    let words = Words::of(options.language);
    let page = Page {
        lang: options.language.tag(),
        title: &options.title,
        about: &options.about,
        version: env!("CARGO_PKG_VERSION"),
        summary: summary::summary(material, &options.baseline, &words),
        tables: comparison::tables(material, &options.baseline, &words),
        charts: bars::charts(material, &options.baseline, &words),
        curves: curves::curves(material, &words),
        quantized: quantized::quantized(material, &words),
        outputs: outputs::outputs(material, &options.baseline, &words),
        graph: graph::draw(material, &words),
        steps: steps::steps(material),
        interval_note: words.fill(
            "interval_note",
            &[
                ("level", &words.decimal(LEVEL * 100.0, 0)),
                ("resamples", &words.whole(RESAMPLES)),
            ],
        ),
        t: words.all(),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for (name, source) in [
        ("page.html", include_str!("page/page.html.jinja")),
        ("results.html", include_str!("page/results.html.jinja")),
        ("training.html", include_str!("page/training.html.jinja")),
        ("outputs.html", include_str!("page/outputs.html.jinja")),
        ("pipeline.html", include_str!("page/pipeline.html.jinja")),
    ] {
        environment.add_template(name, source)?;
    }
    environment.add_global(
        "style",
        Value::from_safe_string(include_str!("page/style.css").to_owned()),
    );
    environment.add_global(
        "script",
        Value::from_safe_string(include_str!("page/script.js").to_owned()),
    );
    environment.add_global("run_facts", Value::from_safe_string(RUN_FACTS.to_owned()));
    Ok(environment
        .get_template("page.html")?
        .render(Value::from(Serde(&page)))?)
}
