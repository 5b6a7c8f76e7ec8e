//! What nothing uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::matrix::{EXCLUDE, INCLUDE};
use super::source::Source;
use super::tree::Node;
use super::variant::{StepDraft, Variant};

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
        let axes = entry.value.get("matrix").map(Node::entries).unwrap_or_default();
        for axis in axes.iter().filter(|axis| axis.key != INCLUDE && axis.key != EXCLUDE) {
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
