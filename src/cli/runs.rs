//! `fragua runs`.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::arguments::Global;
use super::print::{Paint, counted, duration, line};
use super::table::{Align, lines};
use crate::execute::RunState;
use crate::records::{self, Ending, PastRun, headline};
use crate::store::Store;

/// `runs`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// How many to list; 0 lists all
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: usize,
}

/// Lists the runs of a store, newest first.
pub fn run(global: &Global, arguments: &RunsArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let mut runs = records::all(&store)?;
    runs.reverse();
    let all = runs.len();
    if arguments.limit > 0 {
        runs.truncate(arguments.limit);
    }
    if global.json {
        let list = runs
            .iter()
            .map(|run| described(&store, run))
            .collect::<Result<Vec<_>, _>>()?;
        line(json!({"runs": list, "all": all}).to_string());
        return Ok(0);
    }
    if runs.is_empty() {
        line("nothing has run yet: `fragua run FILE`");
        return Ok(0);
    }
    let head = [
        "run",
        "name",
        "pipeline",
        "",
        "when",
        "took",
        "made/known/failed",
        "score",
    ];
    let mut rows = vec![
        head.map(|title| super::table::Cell::painted(title, Paint::Faint))
            .into(),
    ];
    for run in &runs {
        let record = &run.record;
        let counts =
            [RunState::Executed, RunState::Cached, RunState::Failed].map(|state| record.count(state).to_string());
        rows.push(vec![
            record.run.as_str().into(),
            record.name.as_deref().unwrap_or_default().into(),
            record.pipeline.as_str().into(),
            super::table::Cell::painted(run.ending().name(), paint(run.ending())),
            local(&record.started).into(),
            took(run).into(),
            counts.join("/").into(),
            headline(&store, run)?.unwrap_or_default().into(),
        ]);
    }
    let (left, right) = (Align::Left, Align::Right);
    let aligns = [left, left, left, left, left, right, right, left];
    lines(&aligns, 2, rows).iter().for_each(line);
    if all > runs.len() {
        line(format!(
            "and {} before: --limit {all}",
            counted(all - runs.len(), "run")
        ));
    }
    Ok(0)
}

fn described(store: &Store, run: &PastRun) -> anyhow::Result<Value> {
    let record = &run.record;
    Ok(json!({
        "run": record.run,
        "name": record.name,
        "pipeline": record.pipeline,
        "file": record.file,
        "outcome": run.ending(),
        "started": record.started,
        "seconds": record.seconds,
        "executed": record.count(RunState::Executed),
        "cached": record.count(RunState::Cached),
        "failed": record.count(RunState::Failed),
        "headline": headline(store, run)?,
        "report": record.report,
    }))
}

fn took(run: &PastRun) -> String {
    match run.ending() {
        Ending::Running | Ending::Killed => String::new(), // written at the end
        _ => duration(run.record.seconds),
    }
}

/// The colour of an ending.
fn paint(ending: Ending) -> Paint {
    match ending {
        Ending::Done => Paint::Good,
        Ending::Failed => Paint::Bad,
        Ending::Stopped | Ending::Killed => Paint::Warn,
        Ending::Running => Paint::Known,
    }
}

/// A time of a record, where the user is: `2026-01-31 18:05`.
pub fn local(time: &str) -> String {
    let parsed: Result<Timestamp, _> = time.parse();
    match parsed {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => time.to_owned(),
    }
}
