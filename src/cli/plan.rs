//! `fragua plan`.

use std::num::NonZeroUsize;

use clap::Args;

use super::arguments::{FileArguments, Global, SelectionArguments};
use super::look;
use super::print::{Paint, colour, counted, duration, error_line, line};
use crate::plan::{Plan, Planned, Planner, State, picture};
use crate::store::Store;

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub pipeline: FileArguments,

    #[command(flatten)]
    pub selection: SelectionArguments,

    /// How many steps would run side by side, for the estimated time
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,

    /// Show how much memory each training and each generation holds at most, term by term
    #[arg(long, conflicts_with_all = ["dot", "mermaid", "svg"])]
    pub memory: bool,

    #[command(flatten)]
    pub picture: PictureArguments,
}

/// What `plan` draws instead of listing it.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PictureArguments {
    /// Print the graph for Graphviz
    #[arg(long, conflicts_with = "json")]
    pub dot: bool,

    /// Print the graph for Markdown
    #[arg(long, conflicts_with = "json")]
    pub mermaid: bool,

    /// Print the graph as an SVG image
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

/// Shows what a run would do. The store is only looked at.
pub fn run(global: &Global, arguments: &PlanArguments) -> anyhow::Result<u8> {
    let pipeline = look::pipeline(global, &arguments.pipeline)?;
    let (device, device_name) = look::device(global)?;
    let store = Store::open_read_only(&global.store)?;
    let choice = look::choice(&arguments.selection, &pipeline, &store, &device)?;
    let planner = Planner::new(&pipeline, &store, &device).choosing(choice);
    let planner = planner.side_by_side(arguments.jobs.get());
    let (plan, foreseen) = match arguments.memory {
        true => planner.plan_with_outlooks(global.threads()),
        false => (planner.plan(), Vec::new()),
    };
    for warning in &plan.warnings {
        error_line(format!("warning: {warning}"));
    }
    let picture = &arguments.picture;
    if picture.dot {
        line(picture::dot(&pipeline.name, &plan).trim_end());
    } else if picture.mermaid {
        line(picture::mermaid(&plan).trim_end());
    } else if picture.svg {
        line(picture::svg(&pipeline.name, &plan).trim_end());
    } else if arguments.memory && global.json {
        line(super::plan_memory::described(&plan, &foreseen)?.to_string());
    } else if arguments.memory {
        super::plan_memory::show(global, &plan, &foreseen);
    } else if global.json {
        line(serde_json::to_string(&plan)?);
    } else {
        if !global.quiet {
            line(format!("{} on {device_name}", pipeline.name));
            rows(&plan);
        }
        line(summary(&plan, arguments.jobs.get()));
    }
    Ok(0)
}

fn rows(plan: &Plan) {
    let widest = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = widest(&mut plan.instances.iter().map(|one| one.name.clone()));
    let times = widest(&mut plan.instances.iter().map(time));
    for planned in &plan.instances {
        let paint = match planned.state {
            State::Cached => Paint::Known,
            State::Run => Paint::Good,
            State::Maybe => Paint::Warn,
            State::Blocked => Paint::Bad,
            State::Skipped => Paint::Faint,
        };
        let state = paint.on(&format!("{:>8}", planned.state.name()), colour());
        let reasons = Paint::Faint.on(&planned.reasons.join("; "), colour());
        let gap = if times == 0 { "" } else { "  " };
        let text = format!(
            "{state}  {:names$}{gap}{:times$}  {reasons}",
            planned.name,
            time(planned)
        );
        line(text.trim_end());
    }
    for left_out in &plan.left_out {
        let state = Paint::Faint.on(&format!("{:>8}", "left out"), colour());
        line(format!("{state}  {:names$}  {}", left_out.name, left_out.reason));
    }
}

/// How long it took before, of what may have to run.
fn time(planned: &Planned) -> String {
    let open = matches!(planned.state, State::Run | State::Maybe);
    let seconds = planned.estimated_seconds.filter(|_| open);
    seconds
        .map(|seconds| format!("~{}", duration(seconds)))
        .unwrap_or_default()
}

/// `20 instances: 18 cached, 1 run, 1 maybe; about 12 s, up to 15 s`
fn summary(plan: &Plan, jobs: usize) -> String {
    let states = [State::Cached, State::Run, State::Maybe, State::Blocked, State::Skipped];
    let counts = states
        .into_iter()
        .map(|state| (state, plan.count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.name()));
    let mut text = format!(
        "{}: {}",
        counted(plan.instances.len(), "instance"),
        counts.collect::<Vec<_>>().join(", ")
    );
    if !plan.left_out.is_empty() {
        text.push_str(&format!(", {} left out", plan.left_out.len()));
    }
    let (certain, all) = (plan.time.estimated_certain_seconds, plan.time.estimated_seconds);
    match (certain, all) {
        _ if plan.count(State::Run) + plan.count(State::Maybe) == 0 => {}
        (Some(certain), Some(all)) if plan.count(State::Maybe) > 0 => {
            text.push_str(&format!("; about {}, up to {}", duration(certain), duration(all)));
        }
        (_, Some(all)) => text.push_str(&format!("; about {}", duration(all))),
        _ if plan.instances.iter().any(|one| !time(one).is_empty()) => {
            let unknown = plan.time.without_estimate;
            text.push_str(&format!("; how long {unknown} of them take is not known"));
        }
        _ => {}
    }
    if let Some(wall) = plan.time.estimated_wall_seconds.filter(|wall| jobs > 1 && *wall > 0.0) {
        text.push_str(&format!(" of work, {} with {jobs} side by side", duration(wall)));
    }
    text
}
