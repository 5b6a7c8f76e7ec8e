//! Parameters: what the file says, what `--set` makes of it, and what nothing uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::load::LoadOptions;
use super::read::read_value;
use super::source::{Source, Span};
use super::substitute::{Scope, Substitution};
use super::suggest::did_you_mean;
use super::tree::{Content, Node};
use super::variant::{StepDraft, Variant};

/// The parameters, `--set` applied.
pub(super) fn parameters(
    source: &Arc<Source>,
    root: &Node,
    options: &LoadOptions,
    problems: &mut Vec<Diagnostic>,
    used: &mut BTreeSet<String>,
) -> Node {
    let (mut params, key) = match root.entry("params") {
        Some(entry) => {
            let scope = Scope {
                params: None,
                matrix: None,
                place: "a parameter",
            };
            let params = Substitution { source, problems, used }.apply(&entry.value, &scope);
            (params, entry.key_span)
        }
        None => (Node::new(Span::default(), Content::Map(Vec::new())), Span::default()),
    };
    for (name, value) in &options.set {
        match set(&mut params, name, value) {
            Ok(()) => {}
            Err(SetError { message, help }) => problems.push(source.error(key, message).maybe_help(help)),
        }
    }
    params
}

struct SetError {
    message: String,
    help: Option<String>,
}

fn set(params: &mut Node, name: &str, value: &str) -> Result<(), SetError> {
    let option: Arc<str> = format!("{name}={value}").into();
    let mut given = read_value(value).map_err(|message| SetError {
        message: format!("--set {option}: {message}"),
        help: Some("quote text that YAML reads otherwise: --set 'name=\"text\"'".into()),
    })?;
    let mut place = params;
    for part in name.split('.') {
        let names: Vec<String> = place.entries().iter().map(|entry| entry.key.clone()).collect();
        let found = match &mut place.content {
            Content::Map(entries) => entries.iter_mut().find(|entry| entry.key == part),
            _ => None,
        };
        place = match found {
            Some(entry) => &mut entry.value,
            None => {
                let names = names.iter().map(String::as_str);
                let help = did_you_mean(part, names, "the file's parameters")
                    .or_else(|| Some("give the file a parameter of that name under `params:`".into()));
                return Err(SetError {
                    message: format!("--set {option}: there is no parameter `{name}`"),
                    help,
                });
            }
        };
    }
    given.mark_set(&option, place.span);
    *place = given;
    Ok(())
}

/// What nothing uses is probably a mistake, though it hinders nothing.
pub(super) fn unused(
    source: &Arc<Source>,
    root: &Node,
    steps: &[StepDraft],
    used: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let named = source.text_at(0);
    for entry in root.get("params").map(Node::entries).unwrap_or_default() {
        // shared parameters are there for other pipelines too
        if named.holds(entry.key_span) && !used.contains(&format!("params.{}", entry.key)) {
            let message = format!("nothing uses the parameter `{}`", entry.key);
            warnings.push(
                source
                    .warning(entry.key_span, message)
                    .help(format!("use it as ${{params.{}}}, or remove it", entry.key)),
            );
        }
    }
    for (entry, step) in root
        .get("steps")
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .zip(steps)
    {
        for axis in entry.value.get("matrix").map(Node::entries).unwrap_or_default() {
            let name = format!("step `{}`:matrix.{}", step.name, axis.key);
            let joins = || {
                steps.iter().any(|other| {
                    let read = |variant: &Variant| variant.references.iter().any(|r| r.name.step == other.name);
                    other.name != step.name
                        && step.variants.iter().any(read)
                        && other
                            .variants
                            .iter()
                            .any(|variant| variant.axes.iter().any(|(name, _)| *name == axis.key))
                })
            };
            if !used.contains(&name) && !joins() {
                let message = format!("nothing in step `{}` uses its axis `{}`", step.name, axis.key);
                warnings.push(
                    source
                        .warning(axis.key_span, message)
                        .help(format!("use it as ${{matrix.{}}}, or remove it", axis.key)),
                );
            }
        }
    }
    warnings
}
