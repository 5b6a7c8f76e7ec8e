//! A step's own matrix: every combination of its axes' values, the last axis turning fastest.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::source::Source;
use super::tree::{Content, Entry, Node};

/// More instances of one step are a mistake.
pub(super) const MAXIMUM_INSTANCES: usize = 100_000;

/// The values of all axes in one combination, in file order.
pub(super) type Combination = Vec<(String, Node)>;

/// All combinations; a step without a matrix has the empty one. What is wrong goes to `problems`,
/// and an axis that is wrong as a whole is then unknown.
pub(super) fn combinations(
    source: &Arc<Source>,
    step: &str,
    matrix: Option<&Node>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Combination> {
    let mut all = vec![Combination::new()];
    for entry in matrix.map(Node::entries).unwrap_or_default() {
        let values = values(source, step, entry, problems);
        if all.len().saturating_mul(values.len()) > MAXIMUM_INSTANCES {
            let message = format!("the matrix of step `{step}` has more than {MAXIMUM_INSTANCES} combinations");
            problems.push(source.error(entry.key_span, message));
            return Vec::new();
        }
        let width = all.first().map_or(0, Vec::len) + 1;
        if !source.afford(all.len() * values.len() * width, entry.key_span, problems) {
            return Vec::new();
        }
        all = all
            .iter()
            .flat_map(|combination| {
                values.iter().map(|value| {
                    let mut longer = combination.clone();
                    longer.push((entry.key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    all
}

fn values(source: &Arc<Source>, step: &str, axis: &Entry, problems: &mut Vec<Diagnostic>) -> Vec<Node> {
    let unknown = vec![Node {
        content: Content::Unknown,
        ..axis.value.clone()
    }];
    let items = match &axis.value.content {
        Content::List(items) if !items.is_empty() => items,
        Content::Unknown => return unknown,
        _ => {
            let message = format!(
                "axis `{}` of step `{step}` must be a list of values, not {}",
                axis.key,
                if matches!(axis.value.content, Content::List(_)) {
                    "an empty list".into()
                } else {
                    axis.value.describe()
                }
            );
            let help = axis.value.scalar_text().map(|text| format!("write [{text}]"));
            problems.push(axis.value.error(source, message).maybe_help(help));
            return unknown;
        }
    };
    let mut values: Vec<Node> = Vec::new();
    let mut first_at = HashMap::new();
    for item in items {
        if matches!(item.content, Content::Unknown) {
            values.push(item.clone());
            continue;
        }
        let Some(text) = item.scalar_text() else {
            let message = format!(
                "axis `{}` of step `{step}` takes plain values, not {}",
                axis.key,
                item.describe()
            );
            problems.push(
                item.error(source, message)
                    .help("name the values, and choose by them in the settings"),
            );
            continue;
        };
        if let Some(first) = first_at.get(&text) {
            let message = format!("axis `{}` of step `{step}` has the value `{text}` twice", axis.key);
            let problem = item.error(source, message).label(*first, "first here");
            problems.push(problem.help("remove one of the two"));
            continue;
        }
        first_at.insert(text, item.span);
        values.push(item.clone());
    }
    if values.is_empty() { unknown } else { values }
}

/// The combination as an instance's axes show it.
pub(super) fn labels(combination: &Combination) -> Vec<(String, String)> {
    combination
        .iter()
        .map(|(axis, value)| (axis.clone(), value.scalar_text().unwrap_or_default()))
        .collect()
}
