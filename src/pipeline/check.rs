//! A checker of our own for JSON Schema, as schemars writes it, over values with places.
//!
//! It reports every problem and not the first, each with its path and in a sentence for people, and
//! finds on the way which values are references and paths (the schema marks them). Keywords:
//! <https://json-schema.org/draft/2020-12/json-schema-validation>; a test holds the registry's
//! schemas against the list of those that it knows.

mod choice;
mod object;
#[cfg(test)]
pub(super) mod tests;
mod words;

pub(super) use words::artifact_words;

use serde_json::Value;

use super::tree::{Content, Node};
use crate::step::{ARTIFACT_MARK, PATH_MARK};

/// The schema key that makes a reference stand for all instances of a step.
const GATHER_MARK: &str = "x-gather";

/// Something that does not fit its schema.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// Where: keys and indices from the root.
    pub path: Vec<String>,
    /// Whether its key is wrong, or lacks something under it, rather than its value.
    pub at_key: bool,
    pub message: String,
    pub help: Option<String>,
}

/// A value that the schema marks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub path: Vec<String>,
    pub mark: Mark,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// A reference to an artifact of one of these types; `gather` stands for all instances.
    Artifact { types: Vec<String>, gather: bool },
    /// A path relative to the pipeline file.
    Path,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub faults: Vec<Fault>,
    pub findings: Vec<Finding>,
}

/// How a path is called in a sentence: `` `train.updates` of step `base` ``.
pub(super) type Namer<'a> = &'a dyn Fn(&[String]) -> String;

/// Checks a value; `root` holds the schema and its `$defs`.
pub(super) fn check(root: &Value, node: &Node, namer: Namer) -> Outcome {
    let checker = Checker {
        root,
        namer,
        path: Vec::new(),
        references: 0,
        outcome: Outcome::default(),
    };
    checker.run(root, node)
}

/// Where the schemas' own keywords are known. What only documents is listed too.
#[cfg(test)]
const KNOWN_KEYWORDS: &[&str] = &[
    "$ref",
    "$defs",
    "$schema",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "type",
    "const",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "prefixItems",
    "properties",
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "x-artifact",
    "x-gather",
    "x-path",
    "x-words",
];

/// How many `$ref`s may lead to each other without a value in between.
const MAXIMUM_REFERENCES: usize = 64;

struct Checker<'a> {
    root: &'a Value,
    namer: Namer<'a>,
    path: Vec<String>,
    references: usize,
    outcome: Outcome,
}

impl<'a> Checker<'a> {
    fn run(mut self, schema: &'a Value, node: &Node) -> Outcome {
        self.visit(schema, node);
        self.outcome
    }

    fn visit(&mut self, schema: &'a Value, node: &Node) {
        // a placeholder that stands for nothing is told already
        if matches!(node.content, Content::Unknown) {
            return;
        }
        let Some(schema_map) = schema.as_object() else {
            if schema == &Value::Bool(false) {
                self.fault(format!("{} is not accepted here", self.subject()), None);
            }
            return;
        };
        if let Some(target) = schema_map.get("$ref").and_then(Value::as_str) {
            if self.references >= MAXIMUM_REFERENCES {
                return;
            }
            if let Some(target) = self.definition(target) {
                self.references += 1;
                self.visit(target, node);
                self.references -= 1;
            }
        }
        if !self.type_fits(schema, node) {
            self.wrong_type(schema, node);
            return;
        }
        self.marks(schema, node);
        self.literal(schema, node);
        match &node.content {
            Content::Number(number) => self.number(schema, number),
            Content::Text(text) => self.string(schema, text),
            Content::List(items) => self.list(schema, items),
            Content::Map(entries) => self.object(schema, entries),
            Content::Null | Content::Bool(_) | Content::Unknown => {}
        }
        for member in words::array(schema, "allOf") {
            self.visit(member, node);
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches = words::array(schema, keyword);
            if !branches.is_empty() {
                self.choose(branches, node);
            }
        }
    }

    /// The schema that a `$ref` names.
    fn definition(&self, target: &str) -> Option<&'a Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }

    /// The schema itself, or what its `$ref` leads to.
    fn followed(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..MAXIMUM_REFERENCES {
            match schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|target| self.definition(target))
            {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn fault(&mut self, message: impl Into<String>, help: Option<String>) {
        self.outcome.faults.push(Fault {
            path: self.path.clone(),
            at_key: false,
            message: message.into(),
            help,
        });
    }

    fn key_fault(&mut self, message: impl Into<String>, help: Option<String>) {
        self.fault(message, help);
        if let Some(fault) = self.outcome.faults.last_mut() {
            fault.at_key = true;
        }
    }

    /// The value in a sentence.
    fn subject(&self) -> String {
        (self.namer)(&self.path)
    }

    fn types(schema: &'a Value) -> Vec<&'a str> {
        match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn type_fits(&self, schema: &'a Value, node: &Node) -> bool {
        let types = Self::types(schema);
        types.is_empty() || types.iter().any(|name| words::is_of_type(node, name))
    }

    fn wrong_type(&mut self, schema: &'a Value, node: &Node) {
        let wanted = words::wanted(self.root, schema);
        let message = format!("{} must be {wanted}, not {}", self.subject(), node.describe());
        self.fault(message, words::conversion(&Self::types(schema), node));
    }

    fn marks(&mut self, schema: &Value, node: &Node) {
        if node.text().is_none() {
            return;
        }
        let mark = if let Some(types) = schema.get(ARTIFACT_MARK) {
            let types = types
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned);
            let gather = schema.get(GATHER_MARK) == Some(&Value::Bool(true));
            Mark::Artifact {
                types: types.collect(),
                gather,
            }
        } else if schema.get(PATH_MARK) == Some(&Value::Bool(true)) {
            Mark::Path
        } else {
            return;
        };
        self.outcome.findings.push(Finding {
            path: self.path.clone(),
            mark,
        });
    }

    fn literal(&mut self, schema: &'a Value, node: &Node) {
        let allowed = words::literals(schema);
        if allowed.is_empty() {
            return;
        }
        let value = node.to_value();
        if !allowed.contains(&&value) {
            self.not_among(&allowed, node);
        }
    }

    fn not_among(&mut self, allowed: &[&Value], node: &Node) {
        let names: Vec<String> = allowed.iter().map(|value| words::plain(value)).collect();
        let message = format!(
            "{} must be {}, not {}",
            self.subject(),
            words::one_of(names.iter().map(String::as_str)),
            node.describe()
        );
        let near = node
            .text()
            .and_then(|text| super::suggest(text, names.iter().map(String::as_str)));
        self.fault(message, near.map(|near| format!("did you mean `{near}`?")));
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number) {
        let Some(value) = number.as_f64() else { return };
        let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_number).cloned();
        let checks: [(&str, fn(f64, f64) -> bool, &str); 4] = [
            ("minimum", |value, limit| value >= limit, "at least"),
            ("exclusiveMinimum", |value, limit| value > limit, "more than"),
            ("maximum", |value, limit| value <= limit, "at most"),
            ("exclusiveMaximum", |value, limit| value < limit, "less than"),
        ];
        for (keyword, holds, words) in checks {
            if let Some(limit) = limit(keyword)
                && limit.as_f64().is_some_and(|limit| !holds(value, limit))
            {
                self.fault(
                    format!(
                        "{} must be {words} {}; it is {number}",
                        self.subject(),
                        words::number(&limit)
                    ),
                    None,
                );
            }
        }
        if let Some(step) = limit("multipleOf")
            && step
                .as_f64()
                .is_some_and(|step| step > 0.0 && (value / step).fract() != 0.0)
        {
            self.fault(
                format!("{} must be a multiple of {step}; it is {number}", self.subject()),
                None,
            );
        }
        if schema.get("maximum").is_none()
            && let Some(largest) = words::largest(schema)
            && value > largest
        {
            self.fault(
                format!("{} must be at most {largest}; it is {number}", self.subject()),
                None,
            );
        }
    }

    fn string(&mut self, schema: &Value, text: &str) {
        let length = text.chars().count() as u64;
        if let Some(minimum) = words::count(schema, "minLength")
            && length < minimum
        {
            let message = if length == 0 {
                format!("{} is empty", self.subject())
            } else {
                format!(
                    "{} must have at least {}",
                    self.subject(),
                    words::counted(minimum, "character")
                )
            };
            self.fault(message, None);
        }
        if let Some(maximum) = words::count(schema, "maxLength")
            && length > maximum
        {
            let message = format!(
                "{} must have at most {}",
                self.subject(),
                words::counted(maximum, "character")
            );
            self.fault(message, None);
        }
        let pattern = schema.get("pattern").and_then(Value::as_str);
        if let Some(pattern) = pattern.and_then(|pattern| regex::Regex::new(pattern).ok())
            && !pattern.is_match(text)
        {
            let wanted = schema.get("x-words").and_then(Value::as_str);
            let wanted = wanted.map_or_else(|| format!("text that matches {pattern}"), str::to_owned);
            let name = words::as_name(text).filter(|name| pattern.is_match(name));
            let help = name.map(|name| format!("write `{name}`"));
            self.fault(format!("{} must be {wanted}, not {text:?}", self.subject()), help);
        }
    }

    fn list(&mut self, schema: &'a Value, items: &[Node]) {
        let length = items.len() as u64;
        if let Some(minimum) = words::count(schema, "minItems")
            && length < minimum
        {
            let message = if length == 0 {
                format!("{} is an empty list", self.subject())
            } else {
                format!(
                    "{} must have at least {}; it has {length}",
                    self.subject(),
                    words::counted(minimum, "item")
                )
            };
            self.fault(message, None);
        }
        if let Some(maximum) = words::count(schema, "maxItems")
            && length > maximum
        {
            let most = words::counted(maximum, "item");
            self.fault(
                format!("{} must have at most {most}; it has {length}", self.subject()),
                None,
            );
        }
        let prefix = words::array(schema, "prefixItems");
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = prefix.get(index).or_else(|| schema.get("items")) {
                self.within(index.to_string(), schema, item);
            }
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let values: Vec<_> = items.iter().map(Node::to_value).collect();
            for (index, value) in values.iter().enumerate() {
                if values[..index].contains(value) {
                    self.path.push(index.to_string());
                    self.fault(format!("{} repeats an earlier item", self.subject()), None);
                    self.path.pop();
                }
            }
        }
    }

    fn within(&mut self, part: String, schema: &'a Value, node: &Node) {
        let references = std::mem::take(&mut self.references);
        self.path.push(part);
        self.visit(schema, node);
        self.path.pop();
        self.references = references;
    }
}
