//! What is wrong between steps, in words.

use super::check::artifact_words;
use super::diagnostic::Diagnostic;
use super::join::NoRow;
use super::matrix::MAXIMUM_INSTANCES;
use super::reference::Reference;
use super::resolve::Resolver;
use super::suggest::{listed, suggest};
use super::variant::{StepDraft, Variant};
use crate::step::{ArtifactType, axes_label};

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
        self.problems.push(problem);
    }

    pub(super) fn cycle(&mut self, steps: &[StepDraft], cycle: &[usize]) {
        let (first, next) = (&steps[cycle[0]], &steps[cycle[1 % cycle.len()]]);
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
        let reading = first.variants.iter().find_map(|variant| {
            let reference = variant
                .references
                .iter()
                .find(|reference| reference.name.step == next.name)?;
            Some(self.reference_error(variant, reference, message.clone()))
        });
        let problem = reading.unwrap_or_else(|| self.source.error(first.key, message));
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
        self.reference_error(variant, reference, message)
            .help(format!("there are {names}"))
    }
}
