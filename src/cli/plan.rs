//! `fragua plan`.

use super::arguments::{Global, PlanArguments};
use super::look;
use super::print::{Paint, colour, counted, error_line, line};
use crate::plan::{Planned, Planner, State};
use crate::store::Store;

/// Shows what a run would do. The store is only looked at.
pub fn run(global: &Global, arguments: &PlanArguments) -> anyhow::Result<u8> {
    let pipeline = look::pipeline(&arguments.pipeline)?;
    let (device, device_name) = look::device(global)?;
    let store = Store::open_read_only(&global.store)?;
    let choice = look::choice(&arguments.selection, &pipeline, &store, &device)?;
    let plan = Planner::new(&pipeline, &store, &device).choosing(choice).plan();
    for warning in &plan.warnings {
        error_line(format!("warning: {warning}"));
    }
    if global.json {
        line(serde_json::to_string(&plan)?);
        return Ok(0);
    }
    if !global.quiet {
        line(format!("{} on {device_name}", pipeline.name));
        let width = plan
            .instances
            .iter()
            .map(|one| one.name.chars().count())
            .max()
            .unwrap_or(0);
        for planned in &plan.instances {
            line(row(planned, width));
        }
    }
    let states = [State::Cached, State::Run, State::Maybe, State::Blocked, State::Skipped];
    let counts = states
        .into_iter()
        .map(|state| (state, plan.count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.name()));
    let counts: Vec<_> = counts.collect();
    line(format!(
        "{}: {}",
        counted(plan.instances.len(), "instance"),
        counts.join(", ")
    ));
    Ok(0)
}

fn row(planned: &Planned, width: usize) -> String {
    let paint = match planned.state {
        State::Cached => Paint::Known,
        State::Run => Paint::Good,
        State::Maybe => Paint::Warn,
        State::Blocked => Paint::Bad,
        State::Skipped => Paint::Faint,
    };
    let state = paint.on(&format!("{:>8}", planned.state.name()), colour());
    let reasons = Paint::Faint.on(&planned.reasons.join("; "), colour());
    let text = format!("{state}  {:width$}  {reasons}", planned.name);
    text.trim_end().to_owned()
}
