//! From a file to a [`Pipeline`], or to all that is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use super::file::{check_structure, typed};
use super::read::{read, read_value};
use super::resolve::{Draft, Resolver};
use super::resolved::{Instance, Pipeline};
use super::substitute::{Scope, Substitution};
use super::suggest::did_you_mean;
use super::tree::{Content, Node};
use super::variant::{Drafter, StepDraft};
use crate::seed::Seed;
use crate::step::Kind;

/// What the command line adds to the file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--set name=value`: parameters to change; dots reach into nested ones. A value is YAML.
    pub set: Vec<(String, String)>,
}

/// Reads, checks and resolves a pipeline file.
///
/// # Errors
/// Every problem that the file has, in file order.
pub fn load(path: &Path, options: &LoadOptions, kinds: &'static [Kind]) -> Result<Pipeline, Diagnostics> {
    let whole = |message: String, help: &str| Diagnostics(vec![Diagnostic::whole(path, message).help(help)]);
    let bytes = std::fs::read(path).map_err(|error| {
        whole(
            format!("cannot read the pipeline file: {error}"),
            "check the path; `fragua init` writes a first one",
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        whole(format!("line {line} is not UTF-8 text"), "save the file as UTF-8")
    })?;
    load_text(path, &text, options, kinds)
}

/// The same for text in hand; `path` names it in messages, and its folder is where paths begin.
///
/// # Errors
/// Every problem that the text has, in file order.
pub fn load_text(
    path: &Path,
    text: &str,
    options: &LoadOptions,
    kinds: &'static [Kind],
) -> Result<Pipeline, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(path, text);
    let mut problems = Vec::new();
    let root = match read(&source, &mut problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Err(Diagnostics::sorted(problems));
        }
    };
    problems.extend(check_structure(&source, &root, kinds));
    // types are read of what is right in structure; what is not is told, and the rest is checked on
    let file = if problems.is_empty() {
        Some(typed(&source).map_err(|problem| Diagnostics(vec![problem]))?)
    } else {
        None
    };

    let mut used = BTreeSet::new();
    let params = parameters(&source, &root, options, &mut problems, &mut used);
    let mut drafter = Drafter {
        source: &source,
        kinds,
        file: file.as_ref(),
        params: &params,
        seed: 0,
        problems: &mut problems,
        used: &mut used,
    };
    if let Some(seed) = root.get("seed") {
        let scope = Scope {
            params: Some(&params),
            matrix: None,
            place: "`seed`",
        };
        let mut substitution = Substitution {
            source: &source,
            problems: drafter.problems,
            used: drafter.used,
        };
        let seed = substitution.apply(seed, &scope);
        drafter.seed = drafter.number(&seed, "`seed`").unwrap_or(0);
    }
    let seed = drafter.seed;
    let entries = root.get("steps").map(Node::entries).unwrap_or_default();
    let steps: Vec<StepDraft> = entries.iter().map(|entry| drafter.draft(entry)).collect();

    let mut resolver = Resolver::new(&source, kinds, path);
    resolver.resolve(&steps);
    problems.append(&mut resolver.problems);
    let Some(file) = file.filter(|_| problems.is_empty()) else {
        return Err(Diagnostics::sorted(problems));
    };
    let warnings = Diagnostics::sorted(unused(&source, &root, &steps, &used)).0;
    let instances = resolver
        .drafts
        .into_iter()
        .map(|draft| finished(draft, &source))
        .collect::<Option<Vec<_>>>();
    Ok(Pipeline {
        name: file.pipeline,
        about: file.about,
        seed,
        file: path.to_owned(),
        params: match params.to_value() {
            Value::Object(map) => map,
            _ => Map::new(),
        },
        instances: instances.expect("an instance without work has left a problem"),
        warnings,
    })
}

fn finished(draft: Draft, source: &Arc<Source>) -> Option<Instance> {
    Some(Instance {
        name: draft.name,
        step: draft.step,
        axes: draft.axes,
        kind: draft.kind,
        settings: draft.settings,
        shown: draft.shown,
        work: draft.work?,
        seed: Seed::root(draft.seed),
        inputs: draft.inputs,
        derived: draft.derived,
        at: source.position(draft.at.start),
    })
}

/// The parameters, `--set` applied.
fn parameters(
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
fn unused(source: &Arc<Source>, root: &Node, steps: &[StepDraft], used: &BTreeSet<String>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for entry in root.get("params").map(Node::entries).unwrap_or_default() {
        if !used.contains(&format!("params.{}", entry.key)) {
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
            let joins = steps.iter().any(|other| {
                let read =
                    |variant: &super::variant::Variant| variant.references.iter().any(|r| r.name.step == other.name);
                other.name != step.name
                    && step.variants.iter().any(read)
                    && other
                        .variants
                        .iter()
                        .any(|variant| variant.axes.iter().any(|(name, _)| *name == axis.key))
            });
            if !used.contains(&name) && !joins {
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
