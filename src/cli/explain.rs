//! `fragua explain`.

use clap::Args;
use serde_json::{Value, json};

use super::arguments::{FileArguments, Global};
use super::failure::Usage;
use super::look;
use super::print::{Paint, colour, counted, duration, line};
use super::table::{Align, Cell, lines};
use crate::execute::{InstanceRecord, RunState};
use crate::pipeline::Pipeline;
use crate::plan::{Explanation, Planner, State, instances_named};
use crate::records::{self, PastRun};
use crate::store::{Action, Store};

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    pub pipeline: FileArguments,

    /// The step, or one instance of it: `answers[model=tuned,shots=1]`
    pub step: String,
}

/// Shows what makes the key of an instance, and why it would run or not.
pub fn run(global: &Global, arguments: &ExplainArguments) -> anyhow::Result<u8> {
    let pipeline = look::pipeline(global, &arguments.pipeline)?;
    let (device, _) = look::device(global)?;
    let store = Store::open_read_only(&global.store)?;
    let indices = instances_named(&pipeline, &arguments.step).map_err(Usage)?;
    let (plan, explained) = Planner::new(&pipeline, &store, &device).explain(&indices);
    let runs = records::all(&store)?;
    if global.json {
        let list = explained.iter().map(|one| described(one, &runs));
        line(json!({"instances": list.collect::<Vec<_>>()}).to_string());
        return Ok(0);
    }
    if let [one] = &explained[..] {
        tell(one, &pipeline, &runs);
        return Ok(0);
    }
    line(format!("{}: {}", arguments.step, counted(explained.len(), "instance")));
    for one in &explained {
        let planned = &one.planned;
        let why = planned.reasons.join("; ");
        let text = format!(
            "{:>8}  {}  {}",
            planned.state.name(),
            planned.name,
            Paint::Faint.on(&why, colour())
        );
        line(text.trim_end());
    }
    let first = &plan.instances[indices[0]].name;
    line(format!(
        "name one for all of its key: fragua explain {} '{first}'",
        pipeline.file.display()
    ));
    Ok(0)
}

fn tell(one: &Explanation, pipeline: &Pipeline, runs: &[PastRun]) {
    let planned = &one.planned;
    let key = planned
        .key
        .as_ref()
        .map_or("not known before its inputs are", |key| key.as_str());
    line(format!(
        "{} of {}: {}",
        planned.name,
        pipeline.name,
        planned.state.name()
    ));
    line(format!("key {key}"));
    let mut rows = Vec::new();
    for component in &one.components {
        rows.push(vec![
            Cell::from(format!("  {}", component.name)),
            Cell::from(shown(&component.value)),
            Cell::painted(component.from.clone(), Paint::Faint),
        ]);
    }
    lines(&[Align::Left; 3], 1, rows).iter().for_each(line);
    match (planned.state, &one.known) {
        (State::Cached, Some(known)) => line(format!("it is known: {}", made(known, runs))),
        (_, Some(known)) => line(format!("it was made: {}", made(known, runs))),
        (_, None) => {}
    }
    if planned.state != State::Cached {
        line(match planned.state {
            State::Maybe => "it may run:",
            State::Blocked => "it cannot run:",
            _ => "it will run:",
        });
        planned.reasons.iter().for_each(|reason| line(format!("  {reason}")));
    }
    if let Some(compared) = &planned.compared_with {
        line(format!(
            "compared with `{}`, made {} (key {})",
            compared.instance,
            compared.finished,
            compared.key.short()
        ));
    }
    if let Some((run, record)) = last_decision(&planned.name, runs) {
        let why = if record.reasons.is_empty() {
            String::new()
        } else {
            format!(": {}", record.reasons.join("; "))
        };
        line(format!("last run {}: {}{why}", run.record.run, record.state.name()));
    }
}

/// Where and when an entry was made, and by which run.
fn made(action: &Action, runs: &[PastRun]) -> String {
    let environment = &action.environment;
    let by = made_by(action, runs)
        .map(|run| format!(" by run {run}"))
        .unwrap_or_default();
    format!(
        "made {}{by} for `{}` in {}, attempt {}, on {} {} ({}), fragua {}",
        action.finished,
        action.instance,
        duration(action.seconds),
        action.attempt,
        environment.os,
        environment.arch,
        environment.simd,
        environment.fragua
    )
}

/// The run that did the work of an entry, if its record is still there.
fn made_by<'a>(action: &Action, runs: &'a [PastRun]) -> Option<&'a str> {
    let of_key =
        |one: &InstanceRecord| one.state == RunState::Executed && one.key.as_deref() == Some(action.key.as_str());
    let run = runs.iter().rev().find(|run| run.record.instances.iter().any(of_key))?;
    Some(&run.record.run)
}

/// What the last run that had the instance decided about it.
fn last_decision<'a>(name: &str, runs: &'a [PastRun]) -> Option<(&'a PastRun, &'a InstanceRecord)> {
    runs.iter().rev().find_map(|run| Some((run, run.instance(name)?)))
}

fn described(one: &Explanation, runs: &[PastRun]) -> Value {
    let mut value = serde_json::to_value(one).unwrap_or_default();
    value["made_by"] = json!(one.known.as_ref().and_then(|action| made_by(action, runs)));
    value["last_run"] = match last_decision(&one.planned.name, runs) {
        Some((run, record)) => json!({"run": run.record.run, "state": record.state, "reasons": record.reasons}),
        None => Value::Null,
    };
    value
}

/// A part of a key as a cell holds it: content by the beginning of its digest.
fn shown(value: &Value) -> String {
    let content = value
        .as_object()
        .filter(|members| members.len() == 1)
        .and_then(|members| {
            let (name, digest) = members.iter().next()?;
            let digest = digest
                .as_str()
                .filter(|_| matches!(name.as_str(), "artifact" | "file"))?;
            Some(format!("{name} {}", &digest.get(..12)?))
        });
    match (content, value) {
        (Some(content), _) => content,
        (None, Value::String(text)) => text.clone(),
        (None, Value::Null) => "-".into(),
        (None, other) => other.to_string(),
    }
}
