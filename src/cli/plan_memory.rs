//! `fragua plan --memory`: what each training and each generation holds at most, term by term.

use serde_json::{Value, json};

use super::arguments::Global;
use super::print::{Paint, bytes, colour, line};
use crate::execute::memory_of_the_machine;
use crate::plan::{Foreseen, Plan, Planned};
use crate::step::{Memory, Part, Term};

/// The plan as JSON, with the memory of each instance of which it is known.
pub fn described(plan: &Plan, foreseen: &[Foreseen]) -> anyhow::Result<Value> {
    let mut all = serde_json::to_value(plan)?;
    let instances = all["instances"].as_array_mut().into_iter().flatten();
    for (one, foreseen) in instances.zip(foreseen) {
        one["memory"] = match (&foreseen.outlook.memory, &foreseen.outlook.unknown) {
            (Some(memory), _) => {
                let mut memory = serde_json::to_value(memory)?;
                memory["measured_bytes"] = json!(foreseen.measured_bytes);
                memory
            }
            (None, Some(unknown)) => json!({"unknown": unknown}),
            (None, None) => Value::Null,
        };
    }
    Ok(all)
}

/// A table for each instance of which there is something to say.
pub fn show(global: &Global, plan: &Plan, foreseen: &[Foreseen]) {
    let machine = memory_of_the_machine();
    let mut shown = 0;
    for (planned, foreseen) in plan.instances.iter().zip(foreseen) {
        match (&foreseen.outlook.memory, &foreseen.outlook.unknown) {
            (Some(memory), _) => table(planned, memory, foreseen.measured_bytes, machine, global.quiet),
            (None, Some(unknown)) => line(format!("{}: {unknown}", planned.name)),
            (None, None) => continue,
        }
        shown += 1;
    }
    if shown == 0 {
        line("no step here trains a model or writes with one");
    }
}

fn table(planned: &Planned, memory: &Memory, measured: Option<u64>, machine: u64, quiet: bool) {
    let name = Paint::Known.on(&planned.name, colour());
    let mut title = format!("{name}: at most {}, {}", bytes(memory.peak_bytes), memory.moment);
    if let Some(measured) = measured {
        title.push_str(&format!(" (measured: {})", bytes(measured)));
    }
    if memory.peak_bytes > machine {
        let more = format!("more than the {} of this machine", bytes(machine));
        title.push_str(&format!("; {}", Paint::Bad.on(&more, colour())));
    }
    line(title);
    if quiet {
        return;
    }
    for Term {
        name,
        bytes: now,
        largest_bytes,
        about,
        parts,
    } in &memory.terms
    {
        let mut about = about.clone();
        if largest_bytes != now {
            about.push_str(&format!("; {} at another moment", bytes(*largest_bytes)));
        }
        line(format!("  {name:12} {:>8}  {about}", bytes(*now)));
        for Part {
            name,
            bytes: all,
            about,
        } in parts
        {
            let text = format!("    {name:24} {:>8}  {about}", bytes(*all));
            line(Paint::Faint.on(&text, colour()));
        }
    }
}
