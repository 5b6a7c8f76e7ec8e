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
mod values;
mod words;

pub(super) use words::artifact_words;

use serde_json::Value;

use super::tree::{Content, Node};
use crate::step::{ARTIFACT_MARK, PATH_MARK, SECRET_MARK};

/// The schema key that makes a reference stand for all instances of a step.
const GATHER_MARK: &str = "x-gather";

/// The schema key of a value that is checked elsewhere, in better words.
pub(super) const ELSEWHERE_MARK: &str = "x-elsewhere";

/// Something that does not fit its schema.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// Where: keys and indices from the root.
    pub path: Vec<String>,
    /// Whether its key is wrong, or lacks something under it, rather than its value.
    pub at_key: bool,
    /// Whether it is only how a whole number is written: `3.0`.
    pub notation: bool,
    /// Whether the value may be a secret, which no message shows.
    pub secret: bool,
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
    /// What only the environment holds.
    Secret,
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
    "x-secret",
    "x-words",
];

/// More faults of one value than can be shown. Each costs a search for what was meant.
const MAXIMUM_FAULTS: usize = 300;

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
        if matches!(node.content, Content::Unknown) || schema.get(ELSEWHERE_MARK).is_some() {
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
        if schema.get(SECRET_MARK) == Some(&Value::Bool(true)) {
            self.secret(schema, node);
            return;
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
        if self.is_full() {
            return;
        }
        self.outcome.faults.push(Fault {
            path: self.path.clone(),
            at_key: false,
            notation: false,
            secret: false,
            message: message.into(),
            help,
        });
    }

    /// Whether so much is wrong already that more says nothing.
    fn is_full(&self) -> bool {
        self.outcome.faults.len() >= MAXIMUM_FAULTS
    }

    fn key_fault(&mut self, message: impl Into<String>, help: Option<String>) {
        if self.is_full() {
            return;
        }
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
        self.misfit(message, &Self::types(schema), node);
    }

    /// A value of none of these types.
    fn misfit(&mut self, message: String, types: &[&str], node: &Node) {
        if self.is_full() {
            return;
        }
        self.fault(message, words::conversion(types, node));
        if let Some(fault) = self.outcome.faults.last_mut() {
            let value = match &node.content {
                Content::Number(number) => number.as_f64(),
                _ => None,
            };
            fault.notation = types.contains(&"integer") && value.is_some_and(|value| value.fract() == 0.0);
        }
    }

    /// A secret is named and never written: what stands there instead may be one, and is not repeated.
    fn secret(&mut self, schema: &Value, node: &Node) {
        let pattern = schema.get("pattern").and_then(Value::as_str).and_then(values::compiled);
        let named = node
            .text()
            .zip(pattern)
            .is_some_and(|(text, pattern)| pattern.is_match(text));
        if !named {
            let message = format!(
                "{} must be `${{env.NAME}}`: a secret is never written in a file",
                self.subject()
            );
            let help = "put it in an environment variable, and its name here";
            self.fault(message, Some(help.into()));
            if let Some(fault) = self.outcome.faults.last_mut() {
                fault.secret = true;
            }
            return;
        }
        self.outcome.findings.push(Finding {
            path: self.path.clone(),
            mark: Mark::Secret,
        });
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

    fn within(&mut self, part: String, schema: &'a Value, node: &Node) {
        let references = std::mem::take(&mut self.references);
        self.path.push(part);
        self.visit(schema, node);
        self.path.pop();
        self.references = references;
    }
}
