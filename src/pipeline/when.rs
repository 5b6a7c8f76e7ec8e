//! `when:`: whether a step takes part, and what goes with one that does not.

use std::collections::HashMap;

use super::resolve::Draft;
use super::resolved::LeftOut;
use super::structure::plain;
use super::substitute::Scope;
use super::suggest::did_you_mean;
use super::tree::{Content, Entry, Node};
use super::variant::{Drafter, StepDraft};

impl Drafter<'_> {
    /// Why a step is left out; `None` when it takes part, or when its `when:` is wrong, which is told.
    pub fn left_out(&mut self, entry: &Entry) -> Option<String> {
        let when = entry.value.get("when")?;
        match &when.content {
            Content::Map(conditions) => {
                // every condition is looked at, so that every mistake is told
                let unmet: Vec<String> = conditions.iter().filter_map(|one| self.unmet(one)).collect();
                unmet.into_iter().next()
            }
            _ => {
                let scope = Scope {
                    params: Some(self.params),
                    matrix: None,
                    env: false,
                    place: "`when`",
                };
                let name = format!("`when` of step `{}`", entry.key);
                let value = self.value(when, &plain::switch(), &scope, &name)?;
                let written = when
                    .text()
                    .map(|text| text.trim_start_matches("${").trim_end_matches('}').trim());
                match (&value.content, written) {
                    (Content::Bool(false), Some(written)) => Some(format!("when: {written} is false")),
                    (Content::Bool(false), None) => Some("when: false".into()),
                    _ => None,
                }
            }
        }
    }

    /// A condition that does not hold, in words: `when: params.architecture is llama`.
    fn unmet(&mut self, condition: &Entry) -> Option<String> {
        let mut value = self.params;
        for part in condition.key.split('.') {
            let Some(inner) = value.get(part) else {
                let names = value.entries().iter().map(|entry| entry.key.as_str());
                let help = did_you_mean(part, names, "there are")
                    .unwrap_or_else(|| "give the file a parameter of that name under `params:`".into());
                let message = format!("`when` asks for `{}`: there is no such parameter", condition.key);
                self.problems
                    .push(self.source.error(condition.key_span, message).help(help));
                return None;
            };
            value = inner;
        }
        self.used.insert(format!(
            "params.{}",
            condition.key.split('.').next().unwrap_or_default()
        ));
        let wanted = match &condition.value.content {
            Content::List(items) => items.iter().collect(),
            _ => vec![&condition.value],
        };
        if matches!(value.content, Content::Unknown) || wanted.iter().any(|wanted| same(wanted, value)) {
            return None;
        }
        let is = value.scalar_text().unwrap_or_else(|| value.to_value().to_string());
        Some(format!("when: params.{} is {is}", condition.key))
    }
}

/// Whether two values are the same; numbers by what they are, not by how they are written.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.content, &other.content) {
        (Content::Number(one), Content::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one.to_value() == other.to_value(),
    }
}

/// What is left out, in the order of the file: a step as a whole, else its instances.
pub(super) fn left_out(steps: &[StepDraft], drafts: &[Draft]) -> Vec<LeftOut> {
    let mut by_step: HashMap<&str, Vec<&Draft>> = HashMap::new();
    for draft in drafts.iter().filter(|draft| !draft.derived) {
        by_step.entry(&draft.step).or_default().push(draft);
    }
    let mut list = Vec::new();
    for step in steps {
        let all = by_step.remove(step.name.as_str()).unwrap_or_default();
        let mut left: Vec<LeftOut> = all
            .iter()
            .filter_map(|draft| {
                Some(LeftOut {
                    name: draft.name.clone(),
                    reason: draft.left_out.clone()?,
                })
            })
            .collect();
        if left.len() == all.len() {
            left.truncate(1);
            left.iter_mut().for_each(|whole| whole.name.clone_from(&step.name));
        }
        list.append(&mut left);
    }
    list
}

/// The drafts that take part, with what they read counted anew.
pub(super) fn remaining(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut place = Vec::with_capacity(drafts.len());
    let mut next = 0;
    for draft in &drafts {
        place.push(next);
        next += usize::from(draft.left_out.is_none());
    }
    let mut kept: Vec<Draft> = drafts.into_iter().filter(|draft| draft.left_out.is_none()).collect();
    for (index, _) in kept.iter_mut().flat_map(|draft| &mut draft.inputs) {
        *index = place[*index]; // what takes part reads nothing that does not
    }
    kept
}
