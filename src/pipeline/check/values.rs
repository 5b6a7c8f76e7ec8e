//! Literals, numbers, text and lists.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::{Checker, words};
use crate::pipeline::suggest::suggest;
use crate::pipeline::tree::Node;

impl<'a> Checker<'a> {
    pub(super) fn literal(&mut self, schema: &'a Value, node: &Node) {
        let allowed = words::literals(schema);
        if allowed.is_empty() {
            return;
        }
        let value = node.to_value();
        if !allowed.contains(&&value) {
            self.not_among(&allowed, node);
        }
    }

    pub(super) fn not_among(&mut self, allowed: &[&Value], node: &Node) {
        let names: Vec<String> = allowed.iter().map(|value| words::plain(value)).collect();
        let message = format!(
            "{} must be {}, not {}",
            self.subject(),
            words::one_of(names.iter().map(String::as_str)),
            node.describe()
        );
        let near = node
            .text()
            .and_then(|text| suggest(text, names.iter().map(String::as_str)));
        self.fault(message, near.map(|near| format!("did you mean `{near}`?")));
    }

    pub(super) fn number(&mut self, schema: &Value, number: &serde_json::Number) {
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

    pub(super) fn string(&mut self, schema: &Value, text: &str) {
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
        if let Some(pattern) = pattern.and_then(compiled)
            && !pattern.is_match(text)
        {
            let wanted = schema.get("x-words").and_then(Value::as_str);
            let wanted = wanted.map_or_else(|| format!("text that matches {pattern}"), str::to_owned);
            let name = words::as_name(text).filter(|name| pattern.is_match(name) && !text.contains("${"));
            let help = name.map(|name| format!("write `{name}`"));
            self.fault(format!("{} must be {wanted}, not {text:?}", self.subject()), help);
        }
    }

    pub(super) fn list(&mut self, schema: &'a Value, items: &[Node]) {
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
}

/// A pattern of the schemas, compiled once: there are few, and each is held against many texts.
pub(super) fn compiled(pattern: &str) -> Option<Regex> {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| match known.get(pattern) {
        Some(regex) => regex.clone(),
        None => {
            let regex = Regex::new(pattern).ok();
            known.insert(pattern.to_owned(), regex.clone());
            regex
        }
    })
}
