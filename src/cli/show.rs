//! `fragua show`.

use std::fs;

use anyhow::Context;

use super::arguments::{Global, ShowArguments};
use super::failure::Usage;
use super::print::{Paint, bytes, colour, counted, duration, line};
use crate::execute::{InstanceRecord, Outcome, RunRecord, RunState};
use crate::store::{Store, StoreError};

/// Shows the record of a run.
pub fn run(global: &Global, arguments: &ShowArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let (_, folder) = store.run(&arguments.run).map_err(|error| match error {
        StoreError::NoRun { .. } => anyhow::Error::new(Usage(error.to_string())),
        other => other.into(),
    })?;
    let path = folder.join(RunRecord::FILE);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let record: RunRecord =
        serde_json::from_slice(&text).with_context(|| format!("{} is not the record of a run", path.display()))?;
    if global.json {
        line(serde_json::to_string(&record)?);
        return Ok(0);
    }
    let outcome = match record.outcome {
        Outcome::Unfinished => "not finished",
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "stopped",
    };
    let environment = &record.environment;
    line(format!(
        "run {} of {} ({}): {outcome}",
        record.run, record.pipeline, record.file
    ));
    line(format!("started {}, took {}", record.started, duration(record.seconds)));
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
    record.instances.iter().for_each(|one| line(row(one, width)));
    if let Some(report) = &record.report {
        line(format!("report: {report}"));
    }
    Ok(0)
}

fn row(one: &InstanceRecord, width: usize) -> String {
    let seconds = one.seconds.map(duration).unwrap_or_default();
    let memory = one.peak_bytes.map(bytes).unwrap_or_default();
    let digest: String = one.digest.iter().flat_map(|digest| digest.chars().take(12)).collect();
    let paint = paint(one.state);
    let state = paint.on(&format!("{:>11}", one.state.name()), colour());
    let why = Paint::Faint.on(&one.reasons.join("; "), colour());
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
