//! Step drafts into instances: order, mapping, inputs, and each kind's own checks.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::graph::StepGraph;
use super::join::{NoRow, Row, rows};
use super::origin::Origins;
use super::reference::Reference;
use super::resolved::Policy;
use super::source::{Source, Span};
use super::suggest::listed;
use super::variant::{StepDraft, Variant};
use crate::device::DeviceSpec;
use crate::pipeline::check::artifact_words;
use crate::seed::Seed;
use crate::step::{ArtifactType, Input, Kind, Step};

/// An instance while the file may still be wrong.
pub(super) struct Draft {
    pub name: String,
    pub step: String,
    pub axes: Vec<(String, String)>,
    pub kind: &'static Kind,
    pub settings: serde_json::Value,
    pub shown: serde_json::Value,
    /// `None` when its settings are wrong: what reads it can still be checked.
    pub work: Option<Box<dyn Step>>,
    pub seed: Seed,
    pub origins: Origins,
    pub policy: Policy,
    pub inputs: Vec<(usize, Input)>,
    pub derived: bool,
    /// Why it does not take part. It is resolved like the others, so that its mistakes are told.
    pub left_out: Option<String>,
    pub at: Span,
}

impl Draft {
    /// The parts that can be referred to; `None` when they are not known.
    pub fn parts(&self) -> Option<Vec<String>> {
        let mut parts = self.work.as_ref()?.parts();
        parts.extend(
            self.kind
                .output
                .fixed_parts()
                .iter()
                .map(|(name, _)| (*name).to_owned()),
        );
        Some(parts)
    }
}

/// Resolves steps, one after the other in an order in which they can run.
pub(super) struct Resolver<'a> {
    pub source: &'a Arc<Source>,
    pub kinds: &'static [Kind],
    /// Where steps compute that may; found when it is first asked for, for drivers are slow.
    pub device: LazyCell<Option<DeviceSpec>, Box<dyn FnOnce() -> Option<DeviceSpec>>>,
    /// Paths as the file wrote them, by what they were made.
    pub written: BTreeMap<String, String>,
    pub problems: Vec<Diagnostic>,
    pub drafts: Vec<Draft>,
    /// Instances by name, for references in their final form.
    pub by_name: BTreeMap<String, usize>,
    /// Derived instances by what they are.
    pub known: BTreeMap<String, usize>,
    /// The steps in file order, with what each makes where that is known.
    pub makes: Vec<(String, Option<ArtifactType>)>,
    /// Where each step says what it uses, and what that makes.
    pub uses: BTreeMap<String, (Span, Option<ArtifactType>)>,
    /// Where each step's own axes stand, and the steps that it reads and may have axes of.
    pub axes: BTreeMap<String, (Vec<(String, Span)>, Vec<String>)>,
    /// Instances of each step; `None` for steps that could not be resolved.
    pub by_step: BTreeMap<String, Option<Vec<usize>>>,
}

impl<'a> Resolver<'a> {
    pub fn new(source: &'a Arc<Source>, kinds: &'static [Kind], device: Option<DeviceSpec>) -> Self {
        // one that is named is what it is, whether it is there or not
        let found = move || match device? {
            DeviceSpec::AUTO => DeviceSpec::AUTO.resolve().ok(),
            named => Some(named),
        };
        Self {
            source,
            kinds,
            device: LazyCell::new(Box::new(found)),
            written: BTreeMap::new(),
            problems: Vec::new(),
            drafts: Vec::new(),
            by_name: BTreeMap::new(),
            known: BTreeMap::new(),
            makes: Vec::new(),
            uses: BTreeMap::new(),
            axes: BTreeMap::new(),
            by_step: BTreeMap::new(),
        }
    }

    pub fn resolve(&mut self, steps: &[StepDraft]) {
        let number: BTreeMap<&str, usize> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| (step.name.as_str(), index))
            .collect();
        self.makes = steps
            .iter()
            .map(|step| (step.name.clone(), step.kind.map(|kind| kind.output)))
            .collect();
        let made = |step: &StepDraft| (step.uses, step.kind.map(|kind| kind.output));
        self.uses = steps.iter().map(|step| (step.name.clone(), made(step))).collect();
        let read = |step: &StepDraft| {
            let references = step.variants.iter().flat_map(|variant| &variant.references);
            let mut read: Vec<String> = references.map(|reference| reference.name.step.clone()).collect();
            read.sort();
            read.dedup();
            read
        };
        self.axes = steps
            .iter()
            .map(|step| (step.name.clone(), (step.axes.clone(), read(step))))
            .collect();
        let mut reads = vec![Vec::new(); steps.len()];
        for (index, step) in steps.iter().enumerate() {
            for variant in &step.variants {
                for reference in &variant.references {
                    match number.get(reference.name.step.as_str()) {
                        Some(source) => reads[index].push(*source),
                        None => self.no_such_step(step, variant, reference),
                    }
                }
            }
        }
        let graph = StepGraph::new(&reads);
        for cycle in graph.cycles() {
            self.cycle(steps, &cycle);
        }
        for index in graph.order() {
            self.step(&steps[index]);
        }
    }

    fn step(&mut self, step: &StepDraft) {
        let mut indices = Some(Vec::new());
        for variant in &step.variants {
            match step.kind.and_then(|kind| self.variant(step, kind, variant)) {
                Some(more) => {
                    if let Some(indices) = &mut indices {
                        indices.extend(more);
                    }
                }
                None => indices = None,
            }
        }
        self.by_step.insert(step.name.clone(), indices);
    }

    /// The instances of a variant; `None` when something that it reads is missing.
    fn variant(&mut self, step: &StepDraft, kind: &'static Kind, variant: &Variant) -> Option<Vec<usize>> {
        // each is looked at, also where another is missing, so that every mistake is told
        let references = variant.references.iter();
        let wrong = references
            .filter(|reference| !self.type_fits(step, variant, reference))
            .count();
        if wrong > 0 {
            return None;
        }
        let mut upstream = Vec::with_capacity(variant.references.len());
        for reference in &variant.references {
            upstream.push(self.by_step.get(&reference.name.step)?.clone()?);
        }
        let with_axes: Vec<Vec<(usize, &[(String, String)])>> = upstream
            .iter()
            .map(|instances| {
                instances
                    .iter()
                    .map(|index| (*index, self.drafts[*index].axes.as_slice()))
                    .collect()
            })
            .collect();
        let rows = match rows(&variant.axes, &variant.references, &with_axes) {
            Ok(rows) => rows,
            Err(no_row) => {
                let problem = self.no_row(step, variant, &no_row);
                self.problems.push(problem);
                return None;
            }
        };
        if self.drafts.len() + rows.len() > super::matrix::MAXIMUM_INSTANCES {
            let problem = self.no_row(step, variant, &NoRow::TooMany);
            self.problems.push(problem);
            return None;
        }
        let sound = variant.sound && rows.iter().all(|row| self.parts_exist(step, variant, row));
        Some(
            rows.into_iter()
                .map(|row| self.instance(step, kind, variant, row, sound))
                .collect(),
        )
    }

    /// Whether a reference's step makes what its field takes. A model's `tokenizer` is a tokenizer.
    fn type_fits(&mut self, step: &StepDraft, variant: &Variant, reference: &Reference) -> bool {
        let Some((uses, Some(made))) = self.uses.get(&reference.name.step).copied() else {
            return true;
        };
        let part = reference.name.part.as_deref();
        let effective = match (made, part) {
            (ArtifactType::Model, Some("tokenizer")) => ArtifactType::Tokenizer,
            _ => made,
        };
        if reference.types.iter().any(|name| name == effective.name()) {
            return true;
        }
        let types: Vec<&str> = reference.types.iter().map(String::as_str).collect();
        let is = match part {
            Some("tokenizer") if made == ArtifactType::Model => "is the tokenizer of a model".to_owned(),
            _ => format!("makes {}", artifact_words(&[made.name()])),
        };
        let text = variant.with.locate(&reference.path).node.text().unwrap_or_default();
        let message = format!(
            "`{}` of step `{}` needs {}; `{text}` {is}",
            reference.path.join("."),
            step.name,
            artifact_words(&types)
        );
        let names = listed(self.makers(step, reference));
        let help = (!names.is_empty()).then(|| format!("these make {}: {names}", artifact_words(&types)));
        let problem = self.reference_error(variant, reference, message).maybe_help(help);
        let problem = problem.label(uses, format!("makes {}", artifact_words(&[made.name()])));
        self.problems.push(problem.about(step.kind));
        false
    }

    fn parts_exist(&mut self, step: &StepDraft, variant: &Variant, row: &Row) -> bool {
        let mut sound = true;
        for (reference, targets) in variant.references.iter().zip(&row.targets) {
            let Some(part) = &reference.name.part else { continue };
            for target in targets {
                let Some(parts) = self.drafts[*target].parts() else {
                    continue;
                };
                if parts.contains(part) {
                    continue;
                }
                sound = false;
                let name = &self.drafts[*target].name;
                let field = reference.path.join(".");
                let message = format!(
                    "step `{}` reads `{field}` from `{name}.{part}`: `{name}` has no part `{part}`",
                    step.name
                );
                let names = parts.iter().map(String::as_str);
                let help = super::suggest::did_you_mean(part, names, "its parts")
                    .unwrap_or_else(|| format!("it is whole: write `{}`", reference.name.step));
                let problem = self.reference_error(variant, reference, message).help(help);
                self.problems.push(problem.about(step.kind));
            }
        }
        sound
    }
}
