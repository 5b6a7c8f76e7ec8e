//! What is wrong between steps, in words.

use std::collections::BTreeSet;

use super::check::artifact_words;
use super::diagnostic::Diagnostic;
use super::join::NoRow;
use super::matrix::MAXIMUM_INSTANCES;
use super::reference::Reference;
use super::resolve::Resolver;
use super::source::Span;
use super::suggest::{listed, suggest};
use super::variant::{StepDraft, Variant};
use crate::step::ArtifactType;

/// Of a long cycle the first edges are enough to see it.
const SHOWN_EDGES: usize = 15;

/// An axis that two steps do not agree on, and where each says so.
type Apart = (String, Vec<(Span, String)>);

impl Resolver<'_> {
    pub(super) fn reference_error(&self, variant: &Variant, reference: &Reference, message: String) -> Diagnostic {
        variant.with.locate(&reference.path).node.error(self.source, message)
    }

    /// The other steps that make, or may make, what a reference's field takes.
    pub(super) fn makers(&self, step: &StepDraft, reference: &Reference) -> Vec<&str> {
        let fits = |made: ArtifactType| reference.types.iter().any(|name| name == made.name());
        let others = self.makes.iter().filter(|(name, _)| *name != step.name);
        others
            .filter(|(_, made)| made.is_none_or(fits))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    pub(super) fn no_such_step(&mut self, step: &StepDraft, variant: &Variant, reference: &Reference) {
        let (field, name) = (reference.path.join("."), &reference.name.step);
        let text = variant.with.locate(&reference.path).node.text().unwrap_or(name);
        let message = format!("step `{}` reads `{field}` from `{text}`: no such step", step.name);
        let fitting = self.makers(step, reference);
        let near = suggest(name, fitting.iter().copied())
            .or_else(|| suggest(name, self.makes.iter().map(|(name, _)| name.as_str())));
        let types: Vec<&str> = reference.types.iter().map(String::as_str).collect();
        let help = match (near, listed(fitting)) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, names) if names.is_empty() => format!("add a step that makes {}", artifact_words(&types)),
            (None, names) => format!("these make {}: {names}", artifact_words(&types)),
        };
        let problem = self.reference_error(variant, reference, message).help(help);
        self.problems.push(problem.about(step.kind));
    }

    pub(super) fn cycle(&mut self, steps: &[StepDraft], cycle: &[usize]) {
        let first = &steps[cycle[0]];
        let names: Vec<&str> = cycle
            .iter()
            .chain(&cycle[..1])
            .map(|index| steps[*index].name.as_str())
            .collect();
        let message = if cycle.len() == 1 {
            format!("step `{}` reads itself: `{}`", first.name, names.join(" → "))
        } else {
            format!("these steps wait for each other: `{}`", names.join(" → "))
        };
        // the place of every edge: where each step names the next
        let mut edges = cycle.iter().zip(cycle.iter().cycle().skip(1)).map(|(from, to)| {
            let (step, next) = (&steps[*from], &steps[*to]);
            let place = step.variants.iter().find_map(|variant| {
                let mut references = variant.references.iter();
                let reference = references.find(|reference| reference.name.step == next.name)?;
                Some(variant.with.locate(&reference.path).node.span)
            });
            let text = format!("`{}` reads `{}`", step.name, next.name);
            (place.unwrap_or(step.key), text)
        });
        let place = edges.next().map_or(first.key, |(place, _)| place);
        let mut problem = self.source.error(place, message);
        for (place, text) in edges.take(SHOWN_EDGES) {
            problem = problem.label(place, text);
        }
        self.problems.push(problem.help("let one of them read another step"));
    }

    pub(super) fn no_row(&self, step: &StepDraft, variant: &Variant, no_row: &NoRow) -> Diagnostic {
        let mut apart = Vec::new();
        let (number, what) = match no_row {
            NoRow::TooMany => {
                let message = format!(
                    "step `{}` comes to more than {} instances",
                    step.name, MAXIMUM_INSTANCES
                );
                return self
                    .source
                    .error(step.key, message)
                    .help("shorten an axis of its matrix or of what it reads");
            }
            NoRow::NotChosen(number) => (*number, "has no instance with these axes".to_owned()),
            NoRow::Apart(number) => {
                apart = self.axes_apart(step, variant, *number);
                let axes: Vec<&str> = apart.iter().map(|(axis, ..)| axis.as_str()).collect();
                let what = match axes.as_slice() {
                    [] => "has no instance that goes with what else it reads".to_owned(),
                    axes => format!("has no instance with the same {}", listed(axes.iter().copied())),
                };
                (*number, what)
            }
        };
        let reference = &variant.references[number];
        let text = variant.with.locate(&reference.path).node.text().unwrap_or_default();
        let field = reference.path.join(".");
        let message = format!(
            "step `{}` reads `{field}` from `{text}`: `{}` {what}",
            step.name, reference.name.step
        );
        let instances = self.by_step.get(&reference.name.step).and_then(Option::as_ref);
        let names = listed(
            instances
                .into_iter()
                .flatten()
                .map(|index| self.drafts[*index].name.as_str()),
        );
        let mut problem = self
            .reference_error(variant, reference, message)
            .help(format!("there are {names}"));
        for (span, text) in apart.into_iter().flat_map(|(_, places)| places) {
            problem = problem.label(span, text);
        }
        problem
    }

    /// The axes that a reference and what comes before it have and do not agree on, with both places.
    fn axes_apart(&self, step: &StepDraft, variant: &Variant, number: usize) -> Vec<Apart> {
        let values = |step: &str, axis: &str| -> BTreeSet<&str> {
            let instances = self.by_step.get(step).and_then(Option::as_ref).into_iter().flatten();
            let axes = instances.flat_map(|index| &self.drafts[*index].axes);
            axes.filter(|(name, _)| name == axis)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        let there = &variant.references[number].name.step;
        let instances = self.by_step.get(there).and_then(Option::as_ref);
        let Some(first) = instances.and_then(|instances| instances.first()) else {
            return Vec::new();
        };
        let mut apart = Vec::new();
        for (axis, _) in &self.drafts[*first].axes {
            let theirs = values(there, axis);
            // the step's own axis, or that of a step that it reads before
            let own = |variant: &&Variant| variant.axes.iter().any(|(name, _)| name == axis);
            let mut others = variant.references[..number]
                .iter()
                .map(|reference| &reference.name.step);
            let (here, ours): (&str, BTreeSet<&str>) = if own(&variant) {
                let all = step.variants.iter().flat_map(|variant| &variant.axes);
                let ours = all.filter(|(name, _)| name == axis).map(|(_, value)| value.as_str());
                (&step.name, ours.collect())
            } else {
                match others.find(|other| !values(other, axis).is_empty()) {
                    Some(other) => (other, values(other, axis)),
                    None => continue,
                }
            };
            if !ours.is_disjoint(&theirs) {
                continue;
            }
            let place = |step: &str, values: &BTreeSet<&str>| {
                let span = self.axis_at(step, axis, &mut Vec::new())?;
                Some((span, format!("here `{axis}` is {}", listed(values.iter().copied()))))
            };
            let places = [place(here, &ours), place(there, &theirs)];
            apart.push((axis.clone(), places.into_iter().flatten().collect()));
        }
        apart
    }

    /// Where the axis of a step stands: in its own matrix, or in that of a step that it reads.
    fn axis_at(&self, step: &str, axis: &str, seen: &mut Vec<String>) -> Option<Span> {
        if seen.iter().any(|earlier| earlier == step) {
            return None;
        }
        seen.push(step.to_owned());
        let (own, reads) = self.axes.get(step)?;
        let found = own.iter().find(|(name, _)| name == axis).map(|(_, span)| *span);
        found.or_else(|| reads.iter().find_map(|read| self.axis_at(read, axis, seen)))
    }
}
