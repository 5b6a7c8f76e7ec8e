//! Mappings: unknown keys, missing keys, and the values under each.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Checker, words};
use crate::pipeline::suggest::{did_you_mean, suggest};
use crate::pipeline::tree::{Content, Entry, Node};

impl<'a> Checker<'a> {
    pub(super) fn object(&mut self, schema: &'a Value, entries: &[Entry]) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let names = self.names(schema);
        // a key that is misspelt is one mistake, not also one that is absent
        let meant: Vec<String> = entries
            .iter()
            .filter(|entry| !names.contains(&entry.key.as_str()))
            .take(super::MAXIMUM_FAULTS)
            .filter_map(|entry| suggest(&entry.key, names.iter().copied()))
            .collect();
        for name in words::array(schema, "required").iter().filter_map(Value::as_str) {
            if !entries.iter().any(|entry| entry.key == name) && !meant.iter().any(|meant| meant == name) {
                self.missing(schema, name);
            }
        }
        let additional = schema.get("additionalProperties");
        let closed = schema.get("unevaluatedProperties") == Some(&Value::Bool(false));
        let evaluated = if closed {
            self.evaluated(schema, entries)
        } else {
            BTreeSet::new()
        };
        for entry in entries {
            if self.is_full() {
                break;
            }
            if let Some(names) = schema.get("propertyNames") {
                self.name_of(names, entry);
            }
            if let Some(property) = properties.and_then(|properties| properties.get(&entry.key)) {
                self.within(entry.key.clone(), property, &entry.value);
            } else {
                match additional {
                    Some(Value::Bool(false)) => self.unknown(schema, entry),
                    Some(additional) => self.within(entry.key.clone(), additional, &entry.value),
                    None if closed && !evaluated.contains(entry.key.as_str()) => self.unknown(schema, entry),
                    None => {}
                }
            }
        }
        let length = entries.len() as u64;
        if let Some(minimum) = words::count(schema, "minProperties")
            && length < minimum
        {
            let message = format!(
                "{} must have at least {}",
                self.subject(),
                words::counted(minimum, "entry")
            );
            self.fault(message.replace("entrys", "entries"), None);
        }
        if let Some(maximum) = words::count(schema, "maxProperties")
            && length > maximum
        {
            let message = format!(
                "{} must have at most {}",
                self.subject(),
                words::counted(maximum, "entry")
            );
            self.fault(message.replace("entrys", "entries"), None);
        }
    }

    /// A key that is absent: shown at the key of the mapping that lacks it.
    fn missing(&mut self, schema: &'a Value, name: &str) {
        let what = schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .map(|property| words::wanted(self.root, property))
            .filter(|what| what != "something else");
        let message = format!("{} lacks `{name}`", self.subject());
        let full = self
            .path
            .iter()
            .map(String::as_str)
            .chain([name])
            .collect::<Vec<_>>()
            .join(".");
        self.key_fault(message, what.map(|what| format!("add `{full}`: {what}")));
    }

    /// A key that `propertyNames` does not take.
    fn name_of(&mut self, names: &'a Value, entry: &Entry) {
        let key = Node::new(entry.key_span, Content::Text(entry.key.clone()));
        let outcome = Checker {
            root: self.root,
            namer: &|_| format!("`{}`", entry.key),
            path: Vec::new(),
            references: 0,
            outcome: super::Outcome::default(),
        }
        .run(names, &key);
        for fault in outcome.faults {
            self.path.push(entry.key.clone());
            self.key_fault(fault.message, fault.help);
            self.path.pop();
        }
    }

    fn unknown(&mut self, schema: &'a Value, entry: &Entry) {
        let key = entry.key.as_str();
        let names = self.names(schema);
        let here = self.subject();
        let deeper = || self.deeper(schema, key, &mut Vec::new());
        let joined = key.split_once(':').filter(|(name, _)| names.contains(name));
        let help = joined
            .map(|(name, value)| format!("put a space after the colon: `{name}: {value}`"))
            .or_else(|| suggest(key, names.iter().copied()).map(|near| format!("did you mean `{near}`?")))
            .or_else(|| deeper().map(|path| format!("did you mean `{path}`?")))
            .or_else(|| did_you_mean(key, names.iter().copied(), "it takes"))
            .or_else(|| Some("it takes no settings".into()));
        let message = format!("{here} has no setting `{key}`");
        self.path.push(key.to_owned());
        self.key_fault(message, help);
        self.path.pop();
    }

    /// Every key that a schema names, its members and branches included, in its order.
    fn names(&self, schema: &'a Value) -> Vec<&'a str> {
        let mut names = Vec::new();
        self.collect_names(schema, 0, &mut names);
        names
    }

    fn collect_names(&self, schema: &'a Value, depth: usize, names: &mut Vec<&'a str>) {
        if depth > 8 {
            return;
        }
        for name in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(serde_json::Map::keys)
        {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let target = self.followed(schema);
        if !std::ptr::eq(target, schema) {
            self.collect_names(target, depth + 1, names);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for member in words::array(schema, keyword) {
                self.collect_names(member, depth + 1, names);
            }
        }
    }

    /// The path of a setting of that very name further inside: `train.learning_rate`.
    fn deeper(&self, schema: &'a Value, key: &str, path: &mut Vec<&'a str>) -> Option<String> {
        if path.len() > 3 {
            return None;
        }
        let schema = self.followed(schema);
        let mut inner = Vec::new();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if name == key && !path.is_empty() {
                return Some(format!("{}.{key}", path.join(".")));
            }
            inner.push((name.as_str(), property));
        }
        for (name, property) in inner {
            path.push(name);
            let branches = ["anyOf", "oneOf"]
                .iter()
                .flat_map(|keyword| words::array(property, keyword));
            let found = std::iter::once(property)
                .chain(branches)
                .find_map(|property| self.deeper(property, key, path));
            path.pop();
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The keys that a schema's parts account for, for `unevaluatedProperties`: those of all members,
    /// and of the branches that fit (of all, where none does: its faults are told by themselves).
    fn evaluated(&self, schema: &'a Value, entries: &[Entry]) -> BTreeSet<&'a str> {
        let mut names: BTreeSet<&'a str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .map(String::as_str)
            .collect();
        let target = self.followed(schema);
        if !std::ptr::eq(target, schema) {
            names.extend(self.evaluated(target, entries));
        }
        for member in words::array(schema, "allOf") {
            names.extend(self.evaluated(member, entries));
        }
        let node = Node::new(crate::pipeline::source::Span::default(), Content::Map(entries.to_vec()));
        for keyword in ["anyOf", "oneOf"] {
            let branches = words::array(schema, keyword);
            let fitting: Vec<_> = branches
                .iter()
                .filter(|branch| self.trial(branch, &node).faults.is_empty())
                .collect();
            let all: Vec<_> = branches.iter().collect();
            for branch in if fitting.is_empty() { all } else { fitting } {
                names.extend(self.evaluated(branch, entries));
            }
        }
        names
    }
}
