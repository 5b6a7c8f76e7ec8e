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
use crate::step::{ArtifactType, axes_label};

/// Of a long cycle the first edges are enough to see it.
const SHOWN_EDGES: usize = 15;

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
                let axes = axes_label(&variant.axes);
                (
                    *number,
                    format!("has no instance that goes with {axes} and with what else it reads"),
                )
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
        if let NoRow::Apart(_) = no_row {
            for (span, text) in self.axes_apart(step, variant, number) {
                problem = problem.label(span, text);
            }
        }
        problem
    }

    /// Both places of each axis that a reference and what comes before it have and do not agree on.
    fn axes_apart(&self, step: &StepDraft, variant: &Variant, number: usize) -> Vec<(Span, String)> {
        let values = |step: &str, axis: &str| -> BTreeSet<&str> {
            let instances = self.by_step.get(step).and_then(Option::as_ref).into_iter().flatten();
            let axes = instances.flat_map(|index| &self.drafts[*index].axes);
            axes.filter(|(name, _)| name == axis)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        let there = &variant.references[number].name.step;
        let Some(Some(instances)) = self.by_step.get(there) else {
            return Vec::new();
        };
        let Some(first) = instances.first() else {
            return Vec::new();
        };
        let mut notes = Vec::new();
        for (axis, _) in &self.drafts[*first].axes {
            let theirs = values(there, axis);
            // the step's own axis, or that of a step that it reads before
            let own = variant.axes.iter().find(|(name, _)| name == axis);
            let mut others = variant.references[..number]
                .iter()
                .map(|reference| &reference.name.step);
            let (here, ours) = match own {
                Some((_, value)) => (&step.name, BTreeSet::from([value.as_str()])),
                None => match others.find(|other| !values(other, axis).is_empty()) {
                    Some(other) => (other, values(other, axis)),
                    None => continue,
                },
            };
            if !ours.is_disjoint(&theirs) {
                continue;
            }
            for (step, values) in [(here, ours), (there, theirs)] {
                if let Some(span) = self.axis_at(step, axis, &mut Vec::new()) {
                    let values = listed(values.iter().copied());
                    notes.push((span, format!("here `{axis}` is {values}")));
                }
            }
        }
        notes
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
