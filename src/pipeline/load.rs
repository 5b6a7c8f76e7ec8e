//! From a file to a [`Pipeline`], or to all that is wrong with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::border::{Unreadable, file_text};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::file::typed;
use super::include::whole;
use super::parameters::{Parameter, Parameters};
use super::resolve::{Draft, Resolver};
use super::resolved::{Instance, Pipeline};
use super::source::Source;
use super::structure::plain;
use super::substitute::Scope;
use super::tree::Node;
use super::unused::unused;
use super::variant::{Drafter, StepDraft};
use super::when::{left_out, remaining};
use crate::device::DeviceSpec;
use crate::step::Kind;

/// What the command line adds to the file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--set name=value`: parameters to change; dots reach into nested ones. A value is YAML.
    pub set: Vec<(String, String)>,
    /// `--params FILE`: files of parameters, later ones over earlier ones, `--set` over all.
    pub params: Vec<PathBuf>,
    /// `--device`: where steps would compute, for what not every device computes. `None` asks nobody.
    pub device: Option<DeviceSpec>,
}

/// Reads, checks and resolves a pipeline file.
///
/// # Errors
/// Every problem that the file has, in file order.
pub fn load(path: &Path, options: &LoadOptions, kinds: &'static [Kind]) -> Result<Pipeline, Diagnostics> {
    load_text(path, &text_of_pipeline(path)?, options, kinds)
}

fn text_of_pipeline(path: &Path) -> Result<String, Diagnostics> {
    file_text(path).map_err(|Unreadable { at, message, help }| {
        let message = format!("cannot read the pipeline file: {message}");
        let help = help.unwrap_or_else(|| "check the path; `fragua init` writes a first one".into());
        Diagnostics(vec![Diagnostic::whole(path, message).at(at).help(help)])
    })
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
    let root = match whole(&source, kinds, &mut problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Err(Diagnostics::sorted(problems));
        }
    };
    // types are read of what is right in structure; what is not is told, and the rest is checked on
    let file = if problems.is_empty() {
        Some(typed(&source, &root).map_err(|problem| Diagnostics(vec![problem]))?)
    } else {
        None
    };

    let mut used = BTreeSet::new();
    let mut missing = Vec::new();
    let parameters = Parameters::read(&source, &root, options, &mut problems, &mut missing);
    problems.append(&mut missing);
    let params = &parameters.values;
    let mut drafter = Drafter {
        source: &source,
        kinds,
        file: file.as_ref(),
        params,
        seed: 0,
        problems: &mut problems,
        used: &mut used,
    };
    if let Some(seed) = root.get("seed") {
        let scope = Scope {
            params: Some(params),
            matrix: None,
            env: false,
            place: "`seed`",
        };
        let seed = drafter.value(seed, &plain::seed(), &scope, "`seed`");
        drafter.seed = seed.and_then(|seed| seed.number()).unwrap_or(0);
    }
    let seed = drafter.seed;
    let entries = root.get("steps").map(Node::entries).unwrap_or_default();
    let steps: Vec<StepDraft> = entries.iter().map(|entry| drafter.draft(entry)).collect();

    let mut resolver = Resolver::new(&source, kinds, options.device);
    resolver.resolve(&steps);
    problems.append(&mut resolver.problems);
    let Some(file) = file.filter(|_| problems.is_empty()) else {
        return Err(Diagnostics::sorted(problems));
    };
    let warnings = Diagnostics::sorted(unused(&source, &root, &steps, &used)).0;
    let left_out = left_out(&steps, &resolver.drafts);
    let instances = remaining(resolver.drafts)
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
        left_out,
        sources: source
            .texts()
            .iter()
            .map(|text| (text.path.clone(), text.text.clone()))
            .collect(),
        warnings,
    })
}

/// The parameters of a pipeline file and what they are now, whatever is wrong with its steps.
///
/// # Errors
/// What is wrong with the parameters, or keeps them from being read; not that one has no value yet.
pub fn load_parameters(
    path: &Path,
    options: &LoadOptions,
    kinds: &'static [Kind],
) -> Result<Vec<Parameter>, Diagnostics> {
    let text = text_of_pipeline(path)?;
    let source = Source::new(path, text);
    let mut elsewhere = Vec::new();
    let root = whole(&source, kinds, &mut elsewhere).map_err(|problem| Diagnostics(vec![problem]))?;
    let mut problems = Vec::new();
    let parameters = Parameters::read(&source, &root, options, &mut problems, &mut Vec::new());
    if problems.is_empty() {
        Ok(parameters.shown())
    } else {
        Err(Diagnostics::sorted(problems))
    }
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
        seed: draft.seed,
        inputs: draft.inputs,
        derived: draft.derived,
        policy: draft.policy,
        at: source.position(draft.at.start),
        origins: draft.origins,
    })
}
