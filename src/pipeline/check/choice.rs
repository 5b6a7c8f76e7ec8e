//! `anyOf` and `oneOf`: the branch that fits, else the one that was most likely meant, so that its
//! problems are told and not "does not match any of".

use serde_json::Value;

use super::{Checker, Outcome, words};
use crate::pipeline::suggest::suggest;
use crate::pipeline::tree::{Content, Node};

impl<'a> Checker<'a> {
    /// The outcome of a schema on its own, without keeping it.
    pub(super) fn trial(&self, schema: &'a Value, node: &Node) -> Outcome {
        let checker = Checker {
            root: self.root,
            namer: self.namer,
            path: self.path.clone(),
            references: self.references + 1,
            outcome: Outcome::default(),
        };
        checker.run(schema, node)
    }

    pub(super) fn choose(&mut self, branches: &'a [Value], node: &Node) {
        let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.trial(branch, node)).collect();
        if let Some(fits) = outcomes.iter().position(|outcome| outcome.faults.is_empty()) {
            return self.adopt(outcomes, fits);
        }
        let of_type: Vec<usize> = (0..branches.len())
            .filter(|index| self.may_be(&branches[*index], node))
            .collect();
        if let Content::Map(_) = node.content {
            if let Some(chosen) = self.by_tag(branches, &of_type, node) {
                return match chosen {
                    Chosen::Branch(index) => self.adopt(outcomes, index),
                    Chosen::Told => {}
                };
            }
        } else if !of_type.is_empty() && of_type.iter().all(|index| self.is_literal(&branches[*index])) {
            let allowed: Vec<&Value> = branches
                .iter()
                .flat_map(|branch| words::literals(self.followed(branch)))
                .collect();
            return self.not_among(&allowed, node);
        }
        let nearest = of_type.into_iter().min_by_key(|index| outcomes[*index].faults.len());
        match nearest {
            Some(index) => self.adopt(outcomes, index),
            None => self.no_branch(branches, node),
        }
    }

    fn adopt(&mut self, mut outcomes: Vec<Outcome>, index: usize) {
        let outcome = outcomes.swap_remove(index);
        self.outcome.faults.extend(outcome.faults);
        self.outcome.findings.extend(outcome.findings);
    }

    /// Whether a branch takes values of this one's type.
    fn may_be(&self, branch: &'a Value, node: &Node) -> bool {
        let schema = self.followed(branch);
        if let literals @ [_, ..] = words::literals(schema).as_slice() {
            return literals
                .iter()
                .any(|literal| literal.is_string() == node.text().is_some());
        }
        let nested = ["anyOf", "oneOf"]
            .iter()
            .flat_map(|keyword| words::array(schema, keyword));
        let mut nested = nested.peekable();
        if Self::types(schema).is_empty() && nested.peek().is_some() {
            return nested.any(|branch| self.may_be(branch, node));
        }
        self.type_fits(schema, node)
    }

    fn is_literal(&self, branch: &'a Value) -> bool {
        !words::literals(self.followed(branch)).is_empty()
    }

    fn no_branch(&mut self, branches: &'a [Value], node: &Node) {
        let schema = serde_json::json!({ "anyOf": branches });
        let wanted = words::wanted(self.root, &schema);
        let message = format!("{} must be {wanted}, not {}", self.subject(), node.describe());
        let types: Vec<_> = branches
            .iter()
            .flat_map(|branch| Self::types(self.followed(branch)))
            .collect();
        self.misfit(message, &types, node);
    }

    /// A tagged union: the branch whose tag the mapping has, or the fault of a tag that no branch has.
    fn by_tag(&mut self, branches: &'a [Value], of_type: &[usize], node: &Node) -> Option<Chosen> {
        let objects: Vec<(usize, &'a Value)> = of_type
            .iter()
            .map(|index| (*index, self.followed(&branches[*index])))
            .collect();
        let (_, first) = objects.first()?;
        if objects.len() < 2 {
            return None;
        }
        // internally tagged: every branch holds the same property to one literal
        let tag = first
            .get("properties")?
            .as_object()?
            .keys()
            .find(|name| objects.iter().all(|(_, schema)| tag_value(schema, name).is_some()));
        if let Some(tag) = tag {
            let values: Vec<String> = objects
                .iter()
                .filter_map(|(_, schema)| tag_value(schema, tag))
                .map(words::plain)
                .collect();
            let Some(given) = node.get(tag) else {
                let choice = words::one_of(values.iter().map(String::as_str));
                self.key_fault(
                    format!("{} lacks `{tag}`", self.subject()),
                    Some(format!("add `{tag}`: {choice}")),
                );
                return Some(Chosen::Told);
            };
            let value = given.to_value();
            if let Some((index, _)) = objects
                .iter()
                .find(|(_, schema)| tag_value(schema, tag) == Some(&value))
            {
                return Some(Chosen::Branch(*index));
            }
            let allowed: Vec<&Value> = objects
                .iter()
                .filter_map(|(_, schema)| tag_value(schema, tag))
                .collect();
            self.path.push(tag.clone());
            self.not_among(&allowed, given);
            self.path.pop();
            return Some(Chosen::Told);
        }
        self.by_key(&objects, node)
    }

    /// Externally tagged: every branch requires a key of its own.
    fn by_key(&mut self, objects: &[(usize, &'a Value)], node: &Node) -> Option<Chosen> {
        let key = |schema: &'a Value| words::array(schema, "required").first().and_then(Value::as_str);
        let keys: Option<Vec<&str>> = objects.iter().map(|(_, schema)| key(schema)).collect();
        let keys = keys?;
        let distinct = keys.iter().enumerate().all(|(index, key)| !keys[..index].contains(key));
        if !distinct {
            return None;
        }
        if let Some(position) = keys.iter().position(|key| node.get(key).is_some()) {
            return Some(Chosen::Branch(objects[position].0));
        }
        let near = node
            .entries()
            .iter()
            .find_map(|entry| suggest(&entry.key, keys.iter().copied()));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        self.key_fault(
            format!("{} needs {}", self.subject(), words::one_of(keys.iter().copied())),
            help,
        );
        Some(Chosen::Told)
    }
}

enum Chosen {
    Branch(usize),
    /// The fault is already told.
    Told,
}

/// The only value that a schema takes under a property.
fn tag_value<'a>(schema: &'a Value, property: &str) -> Option<&'a Value> {
    let property = schema.get("properties")?.get(property)?;
    match words::literals(property).as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
