//! A value that knows where it stands in the file.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};

/// A YAML value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where its text is.
    pub span: Span,
    /// The placeholder that put it where it is used, when it came through one.
    pub used: Option<Span>,
    /// The `--set` that gave it, as typed; its span is then that of the parameter.
    pub set: Option<Arc<str>>,
    /// The alias that repeats it where it is used.
    pub alias: Option<Span>,
    /// Whether its text holds `${env.NAME}`, which is left for the path or the secret that it is; a
    /// `${` of its own is then written `$${`.
    pub env: bool,
    /// Whether it is a parameter's path, relative to the file where it stands.
    pub path: bool,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// What a placeholder should have given and could not: told already, fits everything.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// What stands in a value's place when a tree becomes plain settings.
pub(super) enum Replacement {
    One(Value),
    /// Within a list, each becomes an item of it.
    Many(Vec<Value>),
}

impl Node {
    pub fn new(span: Span, content: Content) -> Self {
        Self {
            span,
            used: None,
            set: None,
            alias: None,
            env: false,
            path: false,
            content,
        }
    }

    /// A program's value, as if all of it stood at one place.
    pub fn from_value(value: &Value, span: Span) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(value) => Content::Number(value.clone()),
            Value::String(value) => Content::Text(value.clone()),
            Value::Array(items) => Content::List(items.iter().map(|item| Self::from_value(item, span)).collect()),
            Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_span: span,
                        value: Self::from_value(value, span),
                    })
                    .collect(),
            ),
        };
        Self::new(span, content)
    }

    /// Another content in this value's place.
    pub fn holding(&self, content: Content) -> Self {
        Self {
            content,
            span: self.span,
            used: self.used,
            set: self.set.clone(),
            alias: self.alias,
            env: self.env,
            path: self.path,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The paths of values that name environment variables.
    pub fn env_paths(&self) -> Vec<Vec<String>> {
        fn walk(node: &Node, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
            if node.env {
                found.push(path.clone());
            }
            let mut inner = |name: String, node: &Node| {
                path.push(name);
                walk(node, path, found);
                path.pop();
            };
            match &node.content {
                Content::List(items) => items
                    .iter()
                    .enumerate()
                    .for_each(|(at, item)| inner(at.to_string(), item)),
                Content::Map(entries) => entries.iter().for_each(|entry| inner(entry.key.clone(), &entry.value)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        walk(self, &mut Vec::new(), &mut found);
        found
    }

    /// A whole number that is not negative.
    pub fn number(&self) -> Option<u64> {
        match &self.content {
            Content::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Whether a placeholder in it stands for nothing.
    pub fn has_unknown(&self) -> bool {
        match &self.content {
            Content::Unknown => true,
            Content::List(items) => items.iter().any(Self::has_unknown),
            Content::Map(entries) => entries.iter().any(|entry| entry.value.has_unknown()),
            _ => false,
        }
    }

    pub fn to_value(&self) -> Value {
        self.replaced(&|_| None)
    }

    /// The plain value, with what `replace` gives for a path in the place of what stands there.
    pub fn replaced(&self, replace: &dyn Fn(&[String]) -> Option<Replacement>) -> Value {
        match self.replaced_at(&mut Vec::new(), replace) {
            Replacement::One(value) => value,
            Replacement::Many(values) => Value::Array(values),
        }
    }

    fn replaced_at(&self, path: &mut Vec<String>, replace: &dyn Fn(&[String]) -> Option<Replacement>) -> Replacement {
        if let Some(replacement) = replace(path) {
            return replacement;
        }
        Replacement::One(match &self.content {
            Content::Null | Content::Unknown => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(value) => Value::String(value.clone()),
            Content::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    match item.replaced_at(path, replace) {
                        Replacement::One(value) => values.push(value),
                        Replacement::Many(many) => values.extend(many),
                    }
                    path.pop();
                }
                Value::Array(values)
            }
            Content::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    path.push(entry.key.clone());
                    let value = match entry.value.replaced_at(path, replace) {
                        Replacement::One(value) => value,
                        Replacement::Many(many) => Value::Array(many),
                    };
                    map.insert(entry.key.clone(), value);
                    path.pop();
                }
                Value::Object(map)
            }
        })
    }

    /// The value at a path, or the nearest that holds it, with the key that it stands under.
    pub fn locate(&self, path: &[String]) -> Located<'_> {
        let mut found = Located { node: self, key: None };
        for part in path {
            match &found.node.content {
                Content::Map(entries) => match entries.iter().find(|entry| entry.key == *part) {
                    Some(entry) => {
                        found = Located {
                            node: &entry.value,
                            key: Some(entry.key_span),
                        };
                    }
                    None => return found,
                },
                // an item has no key of its own: a problem with it is shown at the item
                Content::List(items) => match part.parse::<usize>().ok().and_then(|index| items.get(index)) {
                    Some(item) => found = Located { node: item, key: None },
                    None => return found,
                },
                _ => return found,
            }
        }
        found
    }

    /// Marks the value, and all within it, as put there by a placeholder.
    pub fn mark_used(&mut self, placeholder: Span) {
        self.visit(&mut |node| node.used = Some(placeholder));
    }

    /// Marks the value, and all within it, as repeated by an alias.
    pub fn mark_alias(&mut self, alias: Span) {
        self.visit(&mut |node| node.alias = Some(alias));
    }

    /// Marks the value, and all within it, as given by `--set`, standing where the parameter stands.
    pub fn mark_set(&mut self, option: &Arc<str>, parameter: Span) {
        self.visit(&mut |node| {
            node.set = Some(option.clone());
            node.span = parameter;
            if let Content::Map(entries) = &mut node.content {
                for entry in entries {
                    entry.key_span = parameter;
                }
            }
        });
    }

    fn visit(&mut self, act: &mut dyn FnMut(&mut Self)) {
        act(self);
        match &mut self.content {
            Content::List(items) => items.iter_mut().for_each(|item| item.visit(act)),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.visit(act)),
            _ => {}
        }
    }

    /// A problem with this value.
    pub fn error(&self, source: &Arc<Source>, message: impl Into<String>) -> Diagnostic {
        self.explain(source.error(self.span, message))
    }

    /// Adds how the value came to stand where it does.
    pub fn explain(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        if let Some(alias) = self.alias {
            diagnostic = diagnostic.alias(Some(alias)).label(alias, "used here");
        }
        if let Some(used) = self.used.filter(|used| *used != self.span) {
            diagnostic = diagnostic.label(used, "used here");
        }
        if let Some(set) = &self.set {
            diagnostic = diagnostic.label(self.span, format!("given by --set {set}"));
        }
        diagnostic
    }

    /// What it is, for messages: `text "many"`, `a list`.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null | Content::Unknown => "nothing".into(),
            Content::Bool(value) => value.to_string(),
            Content::Number(value) => value.to_string(),
            Content::Text(text) if text.chars().count() > 40 => {
                format!("text {:?}", text.chars().take(40).chain(['…']).collect::<String>())
            }
            Content::Text(text) => format!("text {text:?}"),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a mapping".into(),
        }
    }

    /// A scalar's text as an axis value or inside other text; `None` for lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.content {
            Content::Null => Some("null".into()),
            Content::Bool(value) => Some(value.to_string()),
            Content::Number(value) => Some(value.to_string()),
            Content::Text(text) => Some(text.clone()),
            Content::List(_) | Content::Map(_) | Content::Unknown => None,
        }
    }
}

/// A value found by its path.
pub(super) struct Located<'a> {
    pub node: &'a Node,
    /// Its key's place; `None` for the root and for items of a list.
    pub key: Option<Span>,
}
