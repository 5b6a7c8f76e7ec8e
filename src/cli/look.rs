//! What several commands begin with: the pipeline, the device.

use super::arguments::{FileArguments, Global, SelectionArguments};
use super::failure::Usage;
use super::print::{error_colour, error_line};
use crate::device::DeviceSpec;
use crate::pipeline::{LeftOut, LoadOptions, Pipeline, load};
use crate::plan::{Choice, Planner, Selection, SelectionError};
use crate::steps::KINDS;
use crate::store::Store;

/// What the command line says of parameters.
pub fn options(arguments: &FileArguments) -> LoadOptions {
    LoadOptions {
        set: arguments.set.clone(),
        params: arguments.params.clone(),
        device: None,
    }
}

/// Reads and resolves a pipeline file, and shows its warnings.
pub fn pipeline(global: &Global, arguments: &FileArguments) -> anyhow::Result<Pipeline> {
    let options = LoadOptions {
        device: Some(global.device),
        ..options(arguments)
    };
    let pipeline = load(&arguments.file, &options, KINDS)?;
    for warning in &pipeline.warnings {
        error_line(warning.render(error_colour()));
    }
    if !pipeline.left_out.is_empty() {
        error_line(left_out(&pipeline.left_out));
    }
    Ok(pipeline)
}

/// What a `when:` leaves out, in a line.
fn left_out(list: &[LeftOut]) -> String {
    const SHOWN: usize = 6;
    let told = list
        .iter()
        .take(SHOWN)
        .map(|one| format!("`{}` ({})", one.name, one.reason));
    let more = list.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    let all: Vec<String> = told.chain(more).collect();
    format!("left out: {}", all.join(", "))
}

/// The device that was asked for, found; and how to call it.
pub fn device(global: &Global) -> anyhow::Result<(DeviceSpec, String)> {
    let device = global.device.resolve().map_err(|error| Usage(error.to_string()))?;
    let mut name = device.describe();
    if global.device == DeviceSpec::AUTO {
        let why = if device.is_cpu() {
            "no GPU was found"
        } else {
            "the best that was found"
        };
        name = format!("{name}, auto: {why}");
    }
    Ok((device, name))
}

/// The part of a pipeline that was asked for. With a part only, it is planned first: what it reads
/// must be known.
pub fn choice(
    arguments: &SelectionArguments,
    pipeline: &Pipeline,
    store: &Store,
    device: &DeviceSpec,
) -> anyhow::Result<Choice> {
    let SelectionArguments {
        only,
        from,
        until,
        force,
    } = arguments;
    let selection = Selection {
        only: only.clone(),
        from: from.clone(),
        until: until.clone(),
        force: force.clone(),
    };
    let usage = |error: SelectionError| Usage(error.to_string());
    let choice = selection.choose(pipeline).map_err(usage)?;
    if !selection.is_empty() {
        let plan = Planner::new(pipeline, store, device).choosing(choice.clone()).plan();
        choice.check(pipeline, &plan).map_err(usage)?;
    }
    Ok(choice)
}
