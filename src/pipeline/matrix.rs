//! A step's own matrix: every combination of its axes' values, the last axis turning fastest, less
//! what `exclude` removes and with what `include` adds.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use super::tree::{Content, Entry, Node};

/// More instances of one step are a mistake.
pub(super) const MAXIMUM_INSTANCES: usize = 100_000;

/// The keys of a matrix that are no axes.
pub(super) const INCLUDE: &str = "include";
pub(super) const EXCLUDE: &str = "exclude";

/// An axis at one of its values.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub axis: String,
    /// The value as instances' names and references show it.
    pub label: String,
    pub value: Node,
}

/// One combination, axes in file order.
pub(super) type Combination = Vec<Point>;

/// An axis with all its values.
pub(super) struct Axis {
    pub name: String,
    /// Labels and values.
    pub values: Vec<(String, Node)>,
    /// Whether the file names its values.
    pub labelled: bool,
}

/// Reads the matrix of a step.
pub(super) struct Matrix<'a> {
    pub source: &'a Arc<Source>,
    pub step: &'a str,
    pub problems: &'a mut Vec<Diagnostic>,
}

impl Matrix<'_> {
    /// All combinations; a step without a matrix has the empty one. What is wrong goes to the problems,
    /// and an axis that is wrong as a whole is then unknown.
    pub fn combinations(mut self, matrix: Option<&Node>) -> Vec<Combination> {
        let Some(matrix) = matrix else { return vec![Vec::new()] };
        let is_axis = |entry: &&Entry| entry.key != INCLUDE && entry.key != EXCLUDE;
        let axes: Vec<Axis> = matrix
            .entries()
            .iter()
            .filter(is_axis)
            .map(|entry| self.axis(entry))
            .collect();
        let count = axes
            .iter()
            .fold(1usize, |count, axis| count.saturating_mul(axis.values.len()));
        if count > MAXIMUM_INSTANCES {
            let span = matrix.entries().first().map_or(matrix.span, |entry| entry.key_span);
            self.too_many(span);
            return Vec::new();
        }
        let only_included = axes.is_empty() && matrix.get(INCLUDE).is_some();
        let mut all = if only_included {
            Vec::new()
        } else {
            vec![Combination::new()]
        };
        for (width, axis) in axes.iter().enumerate() {
            let values = all.len() * axis.values.len() * (width + 1);
            if !self.source.afford(values, matrix.span, self.problems) {
                return Vec::new();
            }
            let longer = |combination: &Combination| {
                let more = |(label, value): &(String, Node)| {
                    let mut longer = combination.clone();
                    longer.push(Point {
                        axis: axis.name.clone(),
                        label: label.clone(),
                        value: value.clone(),
                    });
                    longer
                };
                axis.values.iter().map(more).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        if let Some(exclude) = matrix.entry(EXCLUDE) {
            self.exclude(exclude, &axes, &mut all);
        }
        if let Some(include) = matrix.entry(INCLUDE) {
            self.include(include, axes, &mut all);
            if all.len() > MAXIMUM_INSTANCES {
                self.too_many(include.key_span);
                return Vec::new();
            }
        }
        all
    }

    fn too_many(&mut self, span: Span) {
        let message = format!(
            "the matrix of step `{}` has more than {MAXIMUM_INSTANCES} combinations",
            self.step
        );
        self.problems.push(self.source.error(span, message));
    }

    fn axis(&mut self, entry: &Entry) -> Axis {
        let mut axis = Axis {
            name: entry.key.clone(),
            values: Vec::new(),
            labelled: false,
        };
        match &entry.value.content {
            Content::List(items) if !items.is_empty() => axis.values = self.listed(entry, items),
            Content::Map(values) if !values.is_empty() => {
                axis.labelled = true;
                axis.values = self.labelled(entry, values);
            }
            Content::Unknown => {}
            _ => {
                let what = match &entry.value.content {
                    Content::List(_) => "an empty list".into(),
                    Content::Map(_) => "an empty mapping".into(),
                    _ => entry.value.describe(),
                };
                let message = format!(
                    "axis `{}` of step `{}` must be a list of values, or a mapping from labels to values, not {what}",
                    entry.key, self.step
                );
                let help = entry.value.scalar_text().map(|text| format!("write [{text}]"));
                self.problems
                    .push(entry.value.error(self.source, message).maybe_help(help));
            }
        }
        if axis.values.is_empty() {
            let unknown = Node {
                content: Content::Unknown,
                ..entry.value.clone()
            };
            axis.values.push((String::new(), unknown));
        }
        axis
    }

    fn listed(&mut self, axis: &Entry, items: &[Node]) -> Vec<(String, Node)> {
        let mut values = Vec::new();
        let mut first_at = HashMap::new();
        for item in items {
            if matches!(item.content, Content::Unknown) {
                values.push((String::new(), item.clone()));
                continue;
            }
            let Some(label) = item.scalar_text() else {
                let message = format!(
                    "axis `{}` of step `{}` takes plain values, not {}",
                    axis.key,
                    self.step,
                    item.describe()
                );
                let help = format!("name each of them: `{}: {{small: .., large: ..}}`", axis.key);
                self.problems.push(item.error(self.source, message).help(help));
                continue;
            };
            if let Some(first) = first_at.get(&label) {
                let message = format!(
                    "axis `{}` of step `{}` has the value `{label}` twice",
                    axis.key, self.step
                );
                let problem = item.error(self.source, message).label(*first, "first here");
                self.problems.push(problem.help("remove one of the two"));
                continue;
            }
            first_at.insert(label.clone(), item.span);
            values.push((label, item.clone()));
        }
        values
    }

    fn labelled(&mut self, axis: &Entry, entries: &[Entry]) -> Vec<(String, Node)> {
        let mut values = Vec::new();
        for entry in entries {
            if self.is_label(&entry.key, entry.key_span, &axis.key) {
                values.push((entry.key.clone(), entry.value.clone()));
            }
        }
        values
    }

    /// Whether a label can stand in an instance's name: `[size=small]`.
    pub fn is_label(&mut self, label: &str, span: Span, axis: &str) -> bool {
        let fits = !label.trim().is_empty() && label.trim() == label && !label.contains(['[', ']', ',', '=']);
        if !fits {
            let message = format!(
                "the label {label:?} of axis `{axis}` of step `{}` cannot stand in a name",
                self.step
            );
            let help = "a label has no spaces at its ends, and no `[`, `]`, `,` or `=`";
            self.problems.push(self.source.error(span, message).help(help));
        }
        fits
    }
}

/// The combination as an instance's axes show it.
pub(super) fn labels(combination: &Combination) -> Vec<(String, String)> {
    combination
        .iter()
        .map(|point| (point.axis.clone(), point.label.clone()))
        .collect()
}
