//! `fragua trace`.

use clap::Args;
use serde_json::Value;

use super::arguments::Global;
use super::failure::asked;
use super::print::{Paint, bytes, colour, duration, line};
use super::runs::local;
use super::table::{PAGE, cut};
use crate::records::{Making, Trace, TraceInput, TraceNode, Tracer};
use crate::store::Store;

/// `trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// RUN:INSTANCE, a digest or its beginning, or a path: in the store, a copy, a report
    pub artifact: String,
}

/// Shows where an artifact came from, as a tree; what it has twice is told once.
pub fn run(global: &Global, arguments: &TraceArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let _kept = store.share_to_read();
    let trace = Tracer::new(&store)?.trace_meant(&arguments.artifact).map_err(asked)?;
    if global.json {
        line(serde_json::to_string(&trace)?);
        return Ok(0);
    }
    let mut tree = Tree {
        trace: &trace,
        told: vec![false; trace.nodes.len()],
    };
    let name = trace
        .part
        .as_ref()
        .map(|part| format!("{part} of "))
        .unwrap_or_default();
    tree.node(0, &name, "", "");
    Ok(0)
}

struct Tree<'a> {
    trace: &'a Trace,
    told: Vec<bool>,
}

impl Tree<'_> {
    /// A node and everything below it; `first` stands before its first line, `rest` before others.
    fn node(&mut self, index: usize, name: &str, first: &str, rest: &str) {
        let node = &self.trace.nodes[index];
        let again = std::mem::replace(&mut self.told[index], true);
        let short = Paint::Faint.on(node.digest.short(), colour());
        let Some(made) = &node.made else {
            line(format!("{first}{name}{short}: nothing in the store says what made it"));
            return;
        };
        let place = 16 + first.chars().count() + name.chars().count();
        let instance = cut(&made.instance, PAGE.saturating_sub(place).max(24));
        let again = if again { " (above)" } else { "" };
        line(format!("{first}{name}{instance}  {short}{again}"));
        if !again.is_empty() {
            return;
        }
        let below = !made.inputs.is_empty() || !made.files.is_empty();
        let bar = if below { "│" } else { " " };
        let width = PAGE.saturating_sub(rest.chars().count() + 4).max(40);
        for text in about(node, made, width) {
            line(format!("{rest}{bar}   {text}"));
        }
        let mut left = made.inputs.len() + made.files.len();
        let branches = |left: &mut usize| {
            *left -= 1;
            if *left == 0 {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            }
        };
        for file in &made.files {
            let (branch, _) = branches(&mut left);
            let path = file.path.as_deref().unwrap_or("a file");
            let digest = Paint::Faint.on(file.digest.short(), colour());
            let text = format!("{}: {}", file.field, cut(path, 60));
            line(format!("{rest}{branch}{text}  {digest}"));
        }
        for input in &made.inputs {
            let (branch, space) = branches(&mut left);
            let (first, rest) = (format!("{rest}{branch}"), format!("{rest}{space}"));
            match input.node {
                Some(node) => self.node(node, &named(input), &first, &rest),
                None => line(format!(
                    "{first}{}{}: no longer in the store",
                    named(input),
                    input.content.short()
                )),
            }
        }
    }
}

fn named(input: &TraceInput) -> String {
    match &input.part {
        Some(part) => format!("{}: {part} of ", input.field),
        None => format!("{}: ", input.field),
    }
}

/// How it was made, in lines of at most `width`.
fn about(node: &TraceNode, made: &Making, width: usize) -> Vec<String> {
    let size = node.bytes.map_or_else(|| "no longer in the store".into(), bytes);
    let run = made
        .run
        .as_ref()
        .map_or_else(|| "a run whose record is gone".into(), |run| format!("run {run}"));
    let mut facts = vec![
        format!("{} {}", made.kind, made.implementation),
        size,
        local(&made.finished),
        duration(made.seconds),
        run,
    ];
    let names: Vec<&str> = made
        .inputs
        .iter()
        .chain(&[])
        .map(|input| input.field.as_str())
        .collect();
    for (name, value) in &made.settings {
        // what the branches below tell
        let told = names
            .iter()
            .any(|field| field == name || field.starts_with(&format!("{name}.")));
        let file = made.files.iter().any(|file| file.field.split('.').next() == Some(name));
        if !told && !file || value.is_object() {
            facts.push(format!("{name} {}", short(value)));
        }
    }
    facts.extend(made.seed.as_ref().map(|seed| format!("seed {}", cut(seed, 10))));
    let mut lines: Vec<String> = Vec::new();
    // a long setting may break at its commas as well
    for fact in facts.join(", ").split(", ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + fact.chars().count() + 3 <= width => *line += &format!(", {fact}"),
            last => {
                last.into_iter().for_each(|line| line.push(','));
                lines.push(cut(fact, width));
            }
        }
    }
    lines
}

/// A setting in a line: nested ones as `{updates 12, warmup 2}`.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name} {}", short(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
