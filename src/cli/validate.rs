//! `fragua validate`.

use serde_json::json;

use super::arguments::{FileArguments, Global};
use super::look;
use super::print::{counted, line};
use crate::pipeline::Diagnostics;

/// Checks a file; its problems end the command before this prints anything.
pub fn run(global: &Global, arguments: &FileArguments) -> anyhow::Result<u8> {
    let pipeline = look::pipeline(global, arguments)?;
    if global.json {
        let warnings = Diagnostics(pipeline.warnings).values();
        line(json!({"errors": [], "warnings": warnings}).to_string());
    } else if !global.quiet {
        let steps: std::collections::BTreeSet<_> = pipeline
            .instances
            .iter()
            .filter(|instance| !instance.derived)
            .map(|instance| &instance.step)
            .collect();
        let steps = counted(steps.len(), "step");
        let instances = counted(pipeline.instances.len(), "instance");
        line(format!(
            "{}: no problems: {steps}, {instances}",
            arguments.file.display()
        ));
    }
    Ok(0)
}
