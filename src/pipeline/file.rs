//! The top level: checked with places, then read into types.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use super::check::{Fault, check};
use super::diagnostic::{Class, Diagnostic};
use super::policy::meant_at;
use super::source::{Source, Span};
use super::structure;
use super::tree::{Content, Node};
use crate::step::Kind;

/// A pipeline file's top level.
#[derive(Debug, Deserialize)]
pub(super) struct PipelineFile {
    pub pipeline: String,
    #[serde(default)]
    pub about: String,
    pub steps: BTreeMap<String, StepFile>,
}

/// One step's.
#[derive(Debug, Deserialize)]
pub(super) struct StepFile {
    pub uses: String,
}

/// Reads the tree into types. What serde can say against it was said with its place before:
/// by the reader and the structure check.
pub(super) fn typed(source: &Arc<Source>, root: &Node) -> Result<PipelineFile, Diagnostic> {
    serde_json::from_value(root.to_value())
        .map_err(|error| source.error(Span::default(), format!("this is not a pipeline: {error}")))
}

/// What a file is to the pipeline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The pipeline file.
    Named,
    /// One that it includes.
    Included,
}

/// Checks all but what is under `with:`; `beginning` is where a problem with the file as a whole is.
pub(super) fn check_structure(
    source: &Arc<Source>,
    root: &Node,
    kinds: &[Kind],
    role: Role,
    beginning: Span,
) -> Vec<Diagnostic> {
    let step = structure::step(kinds);
    let schema = match role {
        Role::Named => structure::file(&step),
        Role::Included => structure::included(&step),
    };
    let outcome = check(&schema, root, &subject);
    outcome
        .faults
        .into_iter()
        .map(|mut fault| {
            if let Some(help) = belongs_under_with(root, &fault, kinds).or_else(|| meant_at(root, &fault)) {
                fault.help = Some(help);
            }
            if fault.path.is_empty() && !matches!(root.content, Content::Map(_)) {
                fault.help = Some(match role {
                    Role::Named => "begin with `pipeline: NAME` and `steps:`; `fragua init` writes a first one".into(),
                    Role::Included => "give it `params:` or `steps:`".into(),
                });
            }
            if let ([key], Role::Included) = (fault.path.as_slice(), role)
                && ["pipeline", "about", "seed"].contains(&key.as_str())
            {
                fault.help = Some(format!("`{key}` belongs to the file that includes this one"));
            }
            place(source, root, beginning, fault)
        })
        .collect()
}

fn subject(path: &[String]) -> String {
    match path {
        [] => "the file".into(),
        [steps, step] if steps == "steps" => format!("step `{step}`"),
        [steps, step, rest @ ..] if steps == "steps" => format!("`{}` of step `{step}`", rest.join(".")),
        path => format!("`{}`", path.join(".")),
    }
}

/// A kind's setting written beside `uses:`.
fn belongs_under_with(root: &Node, fault: &Fault, kinds: &[Kind]) -> Option<String> {
    let [steps, step, key] = fault.path.as_slice() else {
        return None;
    };
    if steps != "steps" || !fault.at_key {
        return None;
    }
    let uses = root.get("steps")?.get(step)?.get("uses")?.text()?;
    let kind = kinds.iter().find(|kind| kind.name == uses)?;
    let schema = (kind.schema)().to_value();
    schema
        .get("properties")?
        .get(key)
        .map(|_| format!("`{key}` is a setting of {uses}: write it under `with:`"))
}

/// A fault at its place: a key where one is wrong or lacks something, else the value; a mapping or
/// a list is shown by its key.
pub(super) fn place(source: &Arc<Source>, root: &Node, outside: Span, fault: Fault) -> Diagnostic {
    let found = root.locate(&fault.path);
    let block = matches!(found.node.content, Content::Map(_) | Content::List(_));
    let at_root = std::ptr::eq(found.node, root);
    let span = match found.key {
        Some(key) if fault.at_key || block || found.node.span.start == found.node.span.end => key,
        None if at_root && (fault.at_key || block) => outside,
        _ => found.node.span,
    };
    // what a placeholder or `--set` puts in, no schema of the file can see
    let class = match (fault.notation, found.node.used, &found.node.set) {
        (true, ..) => Class::Notation,
        (false, None, None) => Class::Shape,
        _ => Class::Relation,
    };
    if fault.secret {
        return source
            .error(span, fault.message)
            .class(class)
            .maybe_help(fault.help)
            .hidden();
    }
    found
        .node
        .explain(source.error(span, fault.message))
        .class(class)
        .maybe_help(fault.help)
}

/// The JSON Schema of a kind's settings, made once: thousands of steps use a handful of kinds.
pub(super) fn schema_value(kind: &Kind) -> Arc<Value> {
    static MADE: Mutex<BTreeMap<usize, Arc<Value>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let schema = || Arc::new((kind.schema)().to_value());
    made.entry(kind.schema as usize).or_insert_with(schema).clone()
}
