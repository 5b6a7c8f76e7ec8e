//! One instance: its final settings, its inputs, what its kind says of them, and what it derives.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::check::{Fault, Finding, Mark, check};
use super::diagnostic::Class;
use super::file::{place, schema_value};
use super::join::Row;
use super::origin::{Origins, origins};
use super::resolve::{Draft, Resolver};
use super::source::Span;
use super::tree::{Node, Replacement};
use super::variant::{StepDraft, Variant};
use crate::step::{Derived, Input, Kind, Problem, Redaction, axes_label, variable};

/// How many derived instances may stand behind each other.
const MAXIMUM_DERIVED: usize = 8;

impl Resolver<'_> {
    /// Adds an instance, and what it derives before it; its index.
    pub(super) fn instance(
        &mut self,
        step: &StepDraft,
        kind: &'static Kind,
        variant: &Variant,
        row: Row,
        sound: bool,
    ) -> usize {
        let left_out = step.left_out.clone().or_else(|| self.reads_left_out(variant, &row));
        let mut inputs: Vec<(usize, Input)> = Vec::new();
        let mut texts_read = HashSet::new(); // a report may gather thousands
        let mut replacements: Vec<(&[String], Replacement)> = Vec::new();
        for (reference, targets) in variant.references.iter().zip(&row.targets) {
            let part = reference.name.part.as_deref();
            let mut texts = Vec::new();
            let takes_part = |target: &&usize| self.drafts[**target].left_out.is_none();
            for target in targets.iter().filter(|target| left_out.is_some() || takes_part(target)) {
                let input = self.input(*target, part);
                texts.push(Value::String(input.text.clone()));
                if texts_read.insert(input.text.clone()) {
                    inputs.push((*target, input));
                }
            }
            let replacement = match texts.pop() {
                Some(one) if !reference.gather => Replacement::One(one),
                last => Replacement::Many(texts.into_iter().chain(last).collect()),
            };
            replacements.push((&reference.path, replacement));
        }
        let replaced = |path: &[String]| {
            let (_, replacement) = replacements.iter().find(|(at, _)| *at == path)?;
            Some(match replacement {
                Replacement::One(value) => Replacement::One(value.clone()),
                Replacement::Many(values) => Replacement::Many(values.clone()),
            })
        };
        let shown = variant.with.replaced(&replaced);
        let paths: BTreeMap<&[String], String> = variant
            .paths
            .iter()
            .filter_map(|path| Some((path.as_slice(), self.absolute(variant.with.locate(path).node)?)))
            .collect();
        let settings = variant.with.replaced(&|path| {
            replaced(path).or_else(|| Some(Replacement::One(Value::String(paths.get(path)?.clone()))))
        });
        let mut draft = Draft {
            name: format!("{}{}", step.name, axes_label(&row.axes)),
            step: step.name.clone(),
            axes: row.axes,
            kind,
            settings,
            shown,
            work: None,
            seed: variant.seed,
            origins: Origins {
                settings: origins(self.source, &variant.with),
                ..variant.seed_origins.clone()
            },
            policy: variant.policy,
            inputs,
            derived: false,
            left_out,
            at: step.key,
        };
        let sound = sound && (draft.left_out.is_some() || self.environment_has(variant, &step.name));
        // without its variables a step that is left out cannot be parsed, and need not
        let parsed = draft.left_out.is_none() || variant.variables.is_empty();
        if sound && parsed {
            match (kind.parse)(&draft.settings) {
                Ok(work) => draft.work = Some(work),
                Err(problem) => self.told(variant, step, problem, Class::Shape),
            }
        }
        if draft.left_out.is_none() {
            let mut found = self.checked(&draft);
            found.extend(self.beyond(&draft));
            self.derive(&mut draft, 0, &found);
            for problem in found {
                self.told(variant, step, problem, Class::Kind);
            }
        }
        self.add(draft)
    }

    /// Whether every variable that paths and secrets name is there; what is not is told.
    fn environment_has(&mut self, variant: &Variant, step: &str) -> bool {
        let mut all = true;
        for (path, name) in &variant.variables {
            if let Err(error) = variable(name) {
                all = false;
                let node = variant.with.locate(path).node;
                let message = format!("`{}` of step `{step}`: {error}", path.join("."));
                let help = format!("set it for this command: {name}=.. fragua ..");
                self.problems.push(node.error(self.source, message).help(help));
            }
        }
        all
    }

    /// Why a row does not take part, if what it reads does not: one that it needs, or all of those
    /// that it gathers.
    fn reads_left_out(&self, variant: &Variant, row: &Row) -> Option<String> {
        let is_left_out = |target: &usize| self.drafts[*target].left_out.is_some();
        let mut reads = variant.references.iter().zip(&row.targets);
        let (_, targets) = reads.find(|(_, targets)| targets.iter().all(is_left_out))?;
        let first = &self.drafts[*targets.first()?].name;
        Some(match targets.len() {
            1 => format!("reads `{first}`, which is left out"),
            more => format!("reads `{first}` and {} more, which are left out", more - 1),
        })
    }

    fn add(&mut self, draft: Draft) -> usize {
        let index = self.drafts.len();
        self.by_name.insert(draft.name.clone(), index);
        self.drafts.push(draft);
        index
    }

    /// What a kind says of settings and inputs; nothing while an input is not known whole.
    fn checked(&self, draft: &Draft) -> Vec<Problem> {
        let Some(work) = &draft.work else { return Vec::new() };
        if draft.inputs.iter().any(|(index, _)| self.drafts[*index].work.is_none()) {
            return Vec::new();
        }
        let inputs: Vec<Input> = draft.inputs.iter().map(|(_, input)| input.clone()).collect();
        work.check(&inputs)
    }

    /// What a step asks for that only the CPU computes, if it would compute elsewhere.
    fn beyond(&self, draft: &Draft) -> Vec<Problem> {
        let problems = draft.work.as_ref().map(|work| work.beyond_cpu()).unwrap_or_default();
        if problems.is_empty() || draft.policy.resources.gpus == Some(0) {
            return Vec::new();
        }
        let Some(device) = self.device.filter(|device| !device.is_cpu()) else {
            return Vec::new();
        };
        let there = |mut problem: Problem| {
            problem
                .message
                .push_str(&format!(", and this step would run on `{device}`"));
            problem
        };
        problems.into_iter().map(there).collect()
    }

    /// A problem that a kind found, at its place.
    fn told(&mut self, variant: &Variant, step: &StepDraft, problem: Problem, class: Class) {
        let name = &step.name;
        let message = if problem.path.is_empty() {
            format!("step `{name}`: {}", problem.message)
        } else {
            format!("`{}` of step `{name}`: {}", problem.path.join("."), problem.message)
        };
        // what a kind says may hold a path that the environment gave
        let redaction = Redaction::of(&variant.with.to_value());
        let fault = Fault {
            path: problem.path,
            at_key: false,
            notation: false,
            secret: false,
            message: redaction.clean(&message),
            help: problem.help.map(|help| redaction.clean(&help)),
        };
        let mut told = place(self.source, &variant.with, variant.outside, fault).class(class);
        for (path, text) in problem.notes {
            told = told.label(variant.with.locate(&path).node.span, text);
        }
        self.problems.push(told.about(step.kind));
    }

    /// An instance as its reader sees it.
    fn input(&self, index: usize, part: Option<&str>) -> Input {
        let made = &self.drafts[index];
        let inputs: Vec<Input> = made.inputs.iter().map(|(_, input)| input.clone()).collect();
        Input {
            text: part.map_or_else(|| made.name.clone(), |part| format!("{}.{part}", made.name)),
            instance: made.name.clone(),
            step: made.step.clone(),
            kind: made.kind.name.to_owned(),
            artifact: made.kind.output,
            part: part.map(str::to_owned),
            parts: made.parts().unwrap_or_default(),
            architecture: made.work.as_ref().and_then(|work| work.architecture(&inputs)),
            axes: made.axes.clone(),
            path: std::path::PathBuf::new(),
            digest: None,
        }
    }

    /// A path, relative to the file that it is written in, as an absolute one.
    fn absolute(&mut self, node: &Node) -> Option<String> {
        let text = node.text()?;
        // only what was written as one is a variable once the settings are text
        let written = if node.env {
            text.to_owned()
        } else {
            text.replace("${", "$${")
        };
        let folder = &self.source.text_at(node.span.start).folder;
        let absolute = folder.join(&written).to_string_lossy().into_owned();
        self.written.insert(absolute.clone(), text.to_owned());
        Some(absolute)
    }

    /// A path as the file wrote it.
    fn as_written(&self, absolute: &str) -> Value {
        Value::String(self.written.get(absolute).map_or(absolute, String::as_str).to_owned())
    }

    /// Adds the instances that a step has the engine add before it, each once for all who ask.
    /// What `told` says already of the settings that they share is not told of them again.
    fn derive(&mut self, draft: &mut Draft, depth: usize, told: &[Problem]) {
        let derived = draft.work.as_ref().map(|work| work.derived()).unwrap_or_default();
        for wanted in derived {
            let field = wanted.field;
            match self.derived(draft, wanted, depth) {
                Ok(index) => {
                    let mut input = self.input(index, None);
                    input.text = format!("@{field}");
                    draft.inputs.push((index, input));
                }
                Err(problem) if told.iter().any(|earlier| earlier.message == problem.message) => {}
                Err(problem) => {
                    let message = format!("step `{}`: {}", draft.step, problem.message);
                    let problem = self.source.error(draft.at, message).maybe_help(problem.help);
                    self.problems.push(problem.class(Class::Kind).about(Some(draft.kind)));
                }
            }
        }
    }

    fn derived(&mut self, owner: &Draft, wanted: Derived, depth: usize) -> Result<usize, Problem> {
        let kinds = self.kinds;
        let kind = kinds
            .iter()
            .find(|kind| kind.name == wanted.kind)
            .filter(|_| depth < MAXIMUM_DERIVED)
            .ok_or_else(|| {
                Problem::at(
                    "",
                    format!("needs the kind `{}`, which this program has not", wanted.kind),
                )
            })?;
        let work = (kind.parse)(&wanted.with)?;
        let seed = work.needs().seed.then(|| owner.seed.to_hex());
        let identity = json!([kind.name, wanted.with, seed]).to_string();
        if let Some(index) = self.known.get(&identity) {
            return Ok(*index);
        }
        let with = Node::from_value(&wanted.with, Span::default());
        let outcome = check(&schema_value(kind), &with, &|path| format!("`{}`", path.join(".")));
        if let Some(fault) = outcome.faults.into_iter().next() {
            return Err(Problem::at("", format!("{}: {}", wanted.label, fault.message)));
        }
        let mut draft = Draft {
            name: self.free_name(&wanted.label),
            step: wanted.label,
            axes: Vec::new(),
            kind,
            shown: self.shown(&with, &outcome.findings),
            settings: wanted.with,
            work: Some(work),
            seed: owner.seed,
            origins: Origins {
                settings: BTreeMap::new(),
                ..owner.origins.clone()
            },
            policy: owner.policy,
            inputs: Vec::new(),
            derived: true,
            left_out: None,
            at: owner.at,
        };
        for finding in &outcome.findings {
            if let Mark::Artifact { .. } = finding.mark {
                let text = with.locate(&finding.path).node.text().unwrap_or_default();
                let (index, part) = self
                    .named(text)
                    .ok_or_else(|| Problem::at("", format!("{} reads `{text}`, which is no instance", draft.name)))?;
                if !draft.inputs.iter().any(|(_, input)| input.text == text) {
                    let mut input = self.input(index, part.as_deref());
                    text.clone_into(&mut input.text);
                    draft.inputs.push((index, input));
                }
            }
        }
        self.derive(&mut draft, depth + 1, &[]);
        if let Some(problem) = self.checked(&draft).into_iter().next() {
            return Err(problem);
        }
        let index = self.add(draft);
        self.known.insert(identity, index);
        Ok(index)
    }

    /// Two derived instances can have one label and different settings; names are unique.
    fn free_name(&self, label: &str) -> String {
        let mut name = label.to_owned();
        let mut number = 2;
        while self.by_name.contains_key(&name) {
            name = format!("{label} #{number}");
            number += 1;
        }
        name
    }

    /// The instance, and its part, that a reference in its final form names.
    fn named(&self, text: &str) -> Option<(usize, Option<String>)> {
        if let Some(index) = self.by_name.get(text) {
            return Some((*index, None));
        }
        let (name, part) = text.rsplit_once('.')?;
        Some((*self.by_name.get(name)?, Some(part.to_owned())))
    }

    fn shown(&self, with: &Node, findings: &[Finding]) -> Value {
        with.replaced(&|path| {
            let found = findings
                .iter()
                .find(|finding| finding.mark == Mark::Path && finding.path == path)?;
            let text = with.locate(&found.path).node.text()?;
            Some(Replacement::One(self.as_written(text)))
        })
    }
}
