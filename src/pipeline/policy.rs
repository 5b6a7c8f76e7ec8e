//! A step's own keys beside `uses`, `with` and `matrix`: its seed, its repetitions, how it is run.

use std::num::NonZeroUsize;

use serde_json::Value;

use super::check::{Fault, check};
use super::file::place;
use super::matrix::{Combination, Point};
use super::origin::{Origins, place_of};
use super::quantity::{bytes, duration, meant_bytes, meant_duration};
use super::resolved::{Policy, Resources};
use super::structure::plain;
use super::substitute::Scope;
use super::tree::{Content, Entry, Node};
use super::variant::Drafter;
use crate::seed::Seed;

/// The axis that `repeat:` makes.
pub(super) const REPEAT: &str = "repeat";

impl Drafter<'_> {
    /// `repeat: n` as the last of the step's own axes: the same combinations, each n times.
    pub fn repeated(&mut self, entry: &Entry, combinations: Vec<Combination>) -> Vec<Combination> {
        let Some(repeat) = entry.value.entry(REPEAT) else {
            return combinations;
        };
        if let Some(axis) = entry.value.get("matrix").and_then(|matrix| matrix.entry(REPEAT)) {
            let message = format!("step `{}` has an axis `repeat` and `repeat:` too", entry.key);
            let problem = self.source.error(axis.key_span, message);
            let problem = problem.label(repeat.key_span, "this makes an axis of that name");
            self.problems.push(problem.help("keep one of the two"));
            return combinations;
        }
        let scope = Scope {
            params: Some(self.params),
            matrix: None,
            env: false,
            place: "`repeat`",
        };
        let Some((node, name)) = self.own_value(entry, &[REPEAT], &plain::repeat(), &scope) else {
            return combinations;
        };
        let Some(count) = node.number() else {
            return combinations;
        };
        let total = u64::try_from(combinations.len())
            .unwrap_or(u64::MAX)
            .saturating_mul(count);
        if total > super::matrix::MAXIMUM_INSTANCES as u64 {
            let message = format!(
                "{name} makes more than {} instances of it",
                super::matrix::MAXIMUM_INSTANCES
            );
            self.problems.push(node.error(self.source, message));
            return combinations;
        }
        combinations
            .iter()
            .flat_map(|combination| {
                (1..=count).map(|number| {
                    let mut longer = combination.clone();
                    longer.push(Point {
                        axis: REPEAT.into(),
                        label: number.to_string(),
                        value: Node::new(node.span, Content::Number(number.into())),
                    });
                    longer
                })
            })
            .collect()
    }

    /// The root of a variant's random numbers. The first repetition has the step's own, so that what
    /// is known of a step stays known when it is repeated.
    pub fn seed(&mut self, entry: &Entry, scope: &Scope, repetition: u64) -> (Seed, Origins) {
        let own = self.own_value(entry, &["seed"], &plain::seed(), scope);
        let own = own.and_then(|(node, _)| Some((node.number()?, node.span)));
        let number = own.map_or(self.seed, |(number, _)| number);
        let seed = Seed::root(number);
        let (seed, text) = if repetition > 1 {
            let text = format!("{number}, repetition {repetition}");
            (seed.child(REPEAT).child(repetition), text)
        } else {
            (seed, number.to_string())
        };
        let origins = Origins {
            seed: text,
            seed_at: own.map(|(_, span)| place_of(self.source, span)),
            ..Origins::default()
        };
        (seed, origins)
    }

    /// How a variant is to be run.
    pub fn policy(&mut self, entry: &Entry, scope: &Scope) -> Policy {
        let mut number = |path: &[&str], schema: Value| {
            self.own_value(entry, path, &schema, scope)
                .and_then(|(node, _)| node.number())
        };
        let cpus = number(&["resources", "cpus"], plain::cpus());
        let gpus = number(&["resources", "gpus"], plain::gpus());
        let retries = number(&["retries"], plain::retries());
        let memory = self.quantity(entry, &["resources", "memory"], &plain::memory(), scope, bytes);
        let timeout = self.quantity(entry, &["timeout"], &plain::timeout(), scope, duration);
        Policy {
            resources: Resources {
                cpus: cpus.and_then(|n| usize::try_from(n).ok()).and_then(NonZeroUsize::new),
                memory,
                gpus: gpus.and_then(|n| u32::try_from(n).ok()),
            },
            retries: retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            timeout,
        }
    }

    /// A size or a time. What its pattern takes and its reader does not is zero, or beyond all bounds.
    fn quantity<T>(
        &mut self,
        entry: &Entry,
        path: &[&str],
        schema: &Value,
        scope: &Scope,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (node, name) = self.own_value(entry, path, schema, scope)?;
        let text = node.text()?;
        let quantity = read(text);
        if quantity.is_none() {
            let nothing = !text.contains(|c| ('1'..='9').contains(&c));
            let how = if nothing { "more than nothing" } else { "smaller" };
            let message = format!("{name} must be {how}; it is {text}");
            self.problems.push(node.error(self.source, message));
        }
        quantity
    }

    /// A value among the step's own keys, placeholders replaced, with how it is called; `None` when it
    /// is absent or wrong.
    fn own_value(&mut self, entry: &Entry, path: &[&str], schema: &Value, scope: &Scope) -> Option<(Node, String)> {
        let mut written = &entry.value;
        for part in path {
            written = written.get(part)?;
        }
        let name = format!("`{}` of step `{}`", path.join("."), entry.key);
        let node = self.value(written, schema, scope, &name)?;
        Some((node, name))
    }

    /// A value with its placeholders replaced; `None` when it does not fit. What is wrong with one
    /// that has no placeholder is told by the structure check.
    pub fn value(&mut self, written: &Node, schema: &Value, scope: &Scope, name: &str) -> Option<Node> {
        let node = self.substitution().apply(written, scope);
        let outcome = check(schema, &node, &|_| name.to_owned());
        let fits = outcome.faults.is_empty() && !matches!(node.content, Content::Unknown);
        if written.text().is_some_and(|text| text.contains("${")) {
            for mut fault in outcome.faults {
                fault.help = fault.help.or_else(|| meant(schema, &node));
                self.problems.push(place(self.source, &node, node.span, fault));
            }
        }
        fits.then_some(node)
    }
}

/// How a size or a time was probably meant.
fn meant(schema: &Value, node: &Node) -> Option<String> {
    let text = node.scalar_text()?;
    let meant = match schema.get("pattern") {
        pattern if pattern == plain::memory().get("pattern") => meant_bytes(&text),
        pattern if pattern == plain::timeout().get("pattern") => meant_duration(&text),
        _ => None,
    }?;
    Some(format!("write `{meant}`"))
}

/// The same for a fault that the structure check found.
pub(super) fn meant_at(root: &Node, fault: &Fault) -> Option<String> {
    let schema = match fault.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["steps", _, "resources", "memory"] => plain::memory(),
        ["steps", _, "timeout"] => plain::timeout(),
        _ => return None,
    };
    meant(&schema, root.locate(&fault.path).node)
}
