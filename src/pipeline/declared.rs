//! One parameter: what the file declares of it, and what a value of it must be.
//!
//! The short form is a value, the long form a mapping of [`KEYS`] with a type or a default. Any other
//! mapping is a group of parameters.

use serde_json::{Map, Number, Value, json};

use super::check::check;
use super::diagnostic::Diagnostic;
use super::file::place;
use super::source::{Source, Span};
use super::suggest::{did_you_mean, suggest};
use super::tree::{Content, Entry, Node};
use std::sync::Arc;

/// The keys of the long form.
const KEYS: [&str; 6] = ["type", "default", "allowed", "minimum", "maximum", "help"];

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A path, relative to the file that it is written in, or of `--set` to the working directory.
    Path,
    /// Whatever it is used for.
    Any,
}

impl ParameterType {
    const ALL: [Self; 6] = [
        Self::Integer,
        Self::Number,
        Self::Text,
        Self::Boolean,
        Self::List,
        Self::Path,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Path => "path",
            Self::Any => "any",
        }
    }

    /// The type of a parameter that is declared by its value alone. A whole number may become
    /// another number: what it is used for knows better.
    fn of(value: &Node) -> Self {
        match value.content {
            Content::Number(_) => Self::Number,
            Content::Text(_) => Self::Text,
            Content::Bool(_) => Self::Boolean,
            Content::List(_) => Self::List,
            Content::Null | Content::Map(_) | Content::Unknown => Self::Any,
        }
    }

    fn schema(self) -> Map<String, Value> {
        let schema = match self {
            Self::Integer => json!({ "type": "integer" }),
            Self::Number => json!({ "type": "number" }),
            Self::Text => json!({ "type": "string" }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::List => json!({ "type": "array" }),
            Self::Path => json!({ "type": "string", "minLength": 1, "x-words": "a path" }),
            Self::Any => json!({}),
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }
}

/// The keys of the long form that are the same for every type.
fn long_form_schema() -> Value {
    let names: Vec<&str> = ParameterType::ALL.iter().map(|kind| kind.name()).collect();
    let number = json!({ "type": "number" });
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string", "enum": names },
            "allowed": { "type": "array", "minItems": 1 },
            "minimum": number,
            "maximum": number,
            "help": { "type": "string" },
        },
    })
}

/// The JSON Schema of a parameter for editors: a value, a definition, or a group of parameters.
/// `reference` leads to this schema itself.
pub(super) fn parameter_schema(reference: &str) -> Value {
    // a definition says its type, or its default does
    let of_type = |kind: ParameterType| {
        let value = Value::Object(kind.schema());
        let by_default = match kind {
            ParameterType::Integer | ParameterType::Path => json!(false), // 1 is a number, "a" is text
            _ => {
                json!({ "required": ["default"], "not": { "required": ["type"] }, "properties": { "default": value } })
            }
        };
        let by_type = json!({ "required": ["type"], "properties": { "type": { "const": kind.name() } } });
        let one = if kind == ParameterType::List {
            json!({})
        } else {
            value.clone()
        };
        let mut then = json!({ "default": value, "allowed": { "items": one } });
        if !matches!(kind, ParameterType::Integer | ParameterType::Number) {
            then["minimum"] = json!(false);
            then["maximum"] = json!(false);
        }
        json!({ "if": { "anyOf": [by_type, by_default] }, "then": { "properties": then } })
    };
    let mut definition = long_form_schema();
    definition["propertyNames"] = json!({ "enum": KEYS });
    definition["allOf"] = ParameterType::ALL.into_iter().map(of_type).collect();
    let names = definition["properties"]["type"].clone();
    json!({
        "description": "A value, or a definition: `{type, default, allowed, minimum, maximum, help}`. Any other mapping is a group of parameters.",
        "if": {
            "type": "object",
            "anyOf": [
                { "required": ["type"], "properties": { "type": names } },
                { "propertyNames": { "enum": KEYS }, "anyOf": [{ "required": ["type"] }, { "required": ["default"] }] },
            ],
        },
        "then": definition,
        "else": { "additionalProperties": { "$ref": reference } },
    })
}

/// A parameter.
pub(super) struct Declared {
    /// `width`, `train.updates`
    pub name: String,
    pub kind: ParameterType,
    pub default: Option<Node>,
    pub allowed: Vec<Value>,
    pub minimum: Option<Number>,
    pub maximum: Option<Number>,
    pub help: Option<String>,
    pub key: Span,
    /// What it is in this run.
    pub value: Option<Node>,
    /// What gave the value, if not the declaration: `--set width=64`, a file's name.
    pub given: Option<String>,
}

/// Whether a mapping declares one parameter, and is no group of several.
pub(super) fn is_long_form(node: &Node) -> bool {
    let entries = node.entries();
    let known = |entry: &Entry| KEYS.contains(&entry.key.as_str());
    let declares = |entry: &Entry| entry.key == "type" || entry.key == "default";
    entries.iter().any(declares) && entries.iter().all(known)
}

/// The key that keeps a mapping with a type, which was probably meant as a long form, from being one.
pub(super) fn misspelt_key(node: &Node) -> Option<&Entry> {
    let kind = node.get("type")?.text()?;
    ParameterType::ALL.iter().find(|known| known.name() == kind)?;
    node.entries().iter().find(|entry| !KEYS.contains(&entry.key.as_str()))
}

/// What is wrong with such a mapping.
pub(super) fn meant_long_form(source: &Arc<Source>, name: &str, node: &Node) -> Option<Diagnostic> {
    let wrong = misspelt_key(node)?;
    let message = format!("the definition of the parameter `{name}` has no `{}`", wrong.key);
    let help = did_you_mean(&wrong.key, KEYS, "it takes");
    Some(source.error(wrong.key_span, message).maybe_help(help))
}

impl Declared {
    /// A parameter by its value.
    pub fn short(name: String, entry: &Entry) -> Self {
        Self {
            name,
            kind: ParameterType::of(&entry.value),
            default: Some(entry.value.clone()),
            allowed: Vec::new(),
            minimum: None,
            maximum: None,
            help: None,
            key: entry.key_span,
            value: Some(entry.value.clone()),
            given: None,
        }
    }

    /// A parameter by its definition. What is wrong with it is told.
    pub fn long(source: &Arc<Source>, name: String, entry: &Entry, problems: &mut Vec<Diagnostic>) -> Self {
        let node = &entry.value;
        let schema = long_form_schema();
        let namer = |path: &[String]| format!("`{}` of the parameter `{name}`", path.join("."));
        for fault in check(&schema, node, &namer).faults {
            problems.push(place(source, node, entry.key_span, fault));
        }
        let default = node.get("default").cloned();
        let kind = match node.get("type").and_then(Node::text) {
            Some(given) => ParameterType::ALL.into_iter().find(|kind| kind.name() == given),
            None => default.as_ref().map(ParameterType::of),
        };
        let limit = |key: &str| match node.get(key).map(|limit| &limit.content) {
            Some(Content::Number(number)) => Some(number.clone()),
            _ => None,
        };
        let mut declared = Self {
            kind: kind.unwrap_or(ParameterType::Any),
            allowed: Vec::new(),
            minimum: limit("minimum"),
            maximum: limit("maximum"),
            help: node.get("help").and_then(Node::text).map(str::to_owned),
            key: entry.key_span,
            value: default.clone(),
            given: None,
            default,
            name,
        };
        let numeric = matches!(declared.kind, ParameterType::Integer | ParameterType::Number);
        for key in ["minimum", "maximum"] {
            if let Some(limit) = node.entry(key).filter(|_| !numeric && kind.is_some()) {
                let message = format!("the parameter `{}` is no number and has no `{key}`", declared.name);
                problems.push(
                    source
                        .error(limit.key_span, message)
                        .help("remove it, or give `type: number`"),
                );
            }
        }
        if let Some(Content::List(allowed)) = node.get("allowed").map(|allowed| &allowed.content) {
            // of a list, `allowed` are its items
            let one = match declared.kind {
                ParameterType::List => ParameterType::Any,
                kind => kind,
            };
            let one = Value::Object(one.schema());
            for (index, value) in allowed.iter().enumerate() {
                let name = format!("`allowed.{index}` of the parameter `{}`", declared.name);
                for fault in check(&one, value, &|_| name.clone()).faults {
                    problems.push(place(source, value, value.span, fault));
                }
            }
            declared.allowed = allowed.iter().map(Node::to_value).collect();
        }
        if let Some(default) = declared.default.clone() {
            declared.check(
                source,
                &default,
                &format!("the default of `{}`", declared.name),
                problems,
            );
        }
        declared
    }

    /// Tells what is wrong with a value of it; whether it fits.
    pub fn check(&self, source: &Arc<Source>, value: &Node, name: &str, problems: &mut Vec<Diagnostic>) -> bool {
        let faults = self.faults(value, name);
        let fits = faults.is_empty();
        problems.extend(faults.into_iter().map(|fault| place(source, value, value.span, fault)));
        fits
    }

    /// What is wrong with a value of it.
    pub fn faults(&self, value: &Node, name: &str) -> Vec<super::check::Fault> {
        let namer = |path: &[String]| match path {
            [] => name.to_owned(),
            path => format!("`{}` of {name}", path.join(".")),
        };
        check(&Value::Object(self.schema()), value, &namer).faults
    }

    fn schema(&self) -> Map<String, Value> {
        let mut schema = self.kind.schema();
        if !self.allowed.is_empty() {
            let allowed = Value::Array(self.allowed.clone());
            match self.kind {
                ParameterType::List => schema.insert("items".into(), json!({ "enum": allowed })),
                _ => schema.insert("enum".into(), allowed),
            };
        }
        for (key, limit) in [("minimum", &self.minimum), ("maximum", &self.maximum)] {
            if let Some(limit) = limit {
                schema.insert(key.into(), Value::Number(limit.clone()));
            }
        }
        schema
    }
}

/// The declared parameter that a name was meant to be, in words.
pub(super) fn meant_parameter(name: &str, declared: &[Declared]) -> Option<String> {
    let names = declared.iter().map(|one| one.name.as_str());
    // `updates` for `train.updates`
    let last = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    let by_last = declared.iter().find(|one| last(&one.name) == name);
    if let Some(near) = by_last
        .map(|one| one.name.clone())
        .or_else(|| suggest(name, names.clone()))
    {
        return Some(format!("did you mean `{near}`?"));
    }
    did_you_mean(name, names, "the file's parameters")
}
