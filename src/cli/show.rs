//! `fragua show`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::arguments::Global;
use super::failure::asked;
use super::print::{Paint, bytes, colour, counted, duration, line};
use super::runs::local;
use crate::execute::{InstanceRecord, Resolved, RunState};
use crate::records::{self, PastRun, Story};
use crate::store::Store;

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The run, the beginning of it, its name, or `last`
    #[arg(default_value = "last")]
    pub run: String,

    /// Show the parameters and the settings of every instance as well
    #[arg(long)]
    pub settings: bool,
}

/// Shows the record of a run.
pub fn run(global: &Global, arguments: &ShowArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let run = records::find(&store, &arguments.run).map_err(asked)?;
    let story = run.story();
    let resolved = if arguments.settings { run.resolved()? } else { None };
    if global.json {
        line(described(&run, &story, resolved.as_ref())?.to_string());
        return Ok(0);
    }
    let record = &run.record;
    let outcome = run.ending().name();
    let environment = &record.environment;
    let name = record
        .name
        .as_ref()
        .map(|name| format!(" `{name}`"))
        .unwrap_or_default();
    line(format!(
        "run {}{name} of {} ({}): {outcome}",
        record.run, record.pipeline, record.file
    ));
    let took = duration(record.seconds);
    line(format!("started {}, took {took}", local(&record.started)));
    line(format!(
        "fragua {} on {}, {} ({}, {}, {} threads), {}",
        environment.fragua,
        environment.device,
        environment.cpu,
        environment.simd,
        counted(environment.cores, "core"),
        record.threads,
        environment.os
    ));
    if let Some(commit) = &environment.commit {
        let dirty = if environment.dirty == Some(true) {
            ", with changes"
        } else {
            ""
        };
        line(format!("commit {commit}{dirty}"));
    }
    let width = record
        .instances
        .iter()
        .map(|one| one.name.chars().count())
        .max()
        .unwrap_or(0);
    for one in &record.instances {
        line(row(one, width, story.attempts.get(&one.name).map_or(0, Vec::len)));
    }
    for warning in &story.warnings {
        let about = warning
            .instance
            .as_ref()
            .map(|name| format!("{name}: "))
            .unwrap_or_default();
        line(format!(
            "{} {about}{}",
            Paint::Warn.on("warning:", colour()),
            warning.message
        ));
    }
    if arguments.settings {
        match &resolved {
            Some(resolved) => settings(resolved),
            None => line("settings: the run was made by a fragua that did not keep them"),
        }
    }
    if let Some(report) = &record.report {
        line(format!("report: {report}"));
    }
    Ok(0)
}

/// The record as it is, and what its events and its resolved pipeline add.
fn described(run: &PastRun, story: &Story, resolved: Option<&Resolved>) -> anyhow::Result<Value> {
    let mut all = serde_json::to_value(&run.record)?;
    for one in all["instances"].as_array_mut().into_iter().flatten() {
        let attempts = one["name"].as_str().and_then(|name| story.attempts.get(name));
        one["attempts"] = json!(attempts.map_or(0, Vec::len));
    }
    all["warnings"] = json!(story.warnings);
    if let Some(resolved) = resolved {
        all["resolved"] = json!(resolved);
    }
    Ok(all)
}

fn settings(resolved: &Resolved) {
    let print = |title: &str, members: &Map<String, Value>| {
        line(format!("\n{}", Paint::Known.on(title, colour())));
        for (name, value) in members {
            line(format!("  {name}: {value}"));
        }
    };
    if !resolved.params.is_empty() {
        print("parameters", &resolved.params);
    }
    for one in &resolved.instances {
        print(
            &format!("{} ({}, implementation {})", one.name, one.kind, one.implementation),
            one.settings.as_object().unwrap_or(&Map::new()),
        );
        one.seed
            .iter()
            .for_each(|seed| line(format!("  (seed {})", &seed[..seed.len().min(12)])));
    }
}

fn row(one: &InstanceRecord, width: usize, attempts: usize) -> String {
    let seconds = one.seconds.map(duration).unwrap_or_default();
    let memory = one.peak_bytes.map(bytes).unwrap_or_default();
    let digest: String = one.digest.iter().flat_map(|digest| digest.chars().take(12)).collect();
    let paint = paint(one.state);
    let state = paint.on(&format!("{:>11}", one.state.name()), colour());
    let mut reasons = one.reasons.clone();
    if attempts > 1 {
        reasons.insert(0, format!("{attempts} attempts"));
    }
    let why = Paint::Faint.on(&reasons.join("; "), colour());
    let text = format!(
        "{state}  {:width$}  {seconds:>11}  {memory:>7}  {digest:12}  {why}",
        one.name
    );
    text.trim_end().to_owned()
}

/// The colour of a state.
pub fn paint(state: RunState) -> Paint {
    match state {
        RunState::Executed => Paint::Good,
        RunState::Cached => Paint::Known,
        RunState::Failed => Paint::Bad,
        RunState::Blocked | RunState::Interrupted => Paint::Warn,
        RunState::Pending | RunState::Skipped => Paint::Plain,
    }
}
