//! The checker's words: values, types and choices in sentences for people.

use serde_json::{Number, Value};

use super::{ARTIFACT_MARK, PATH_MARK};
use crate::pipeline::suggest::listed;
use crate::pipeline::tree::{Content, Node};

/// A keyword's list; empty when it is absent.
pub(super) fn array<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A keyword's count.
pub(super) fn count(schema: &Value, keyword: &str) -> Option<u64> {
    schema.get(keyword).and_then(Value::as_u64)
}

/// `1 item`, `3 items`
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// A limit without a needless `.0`.
pub(super) fn number(limit: &Number) -> String {
    let text = limit.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A literal as the file would write it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `` `a` ``, or `` one of `a`, `b` ``.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let list = listed(names.iter().copied());
    if names.len() == 1 {
        list
    } else {
        format!("one of {list}")
    }
}

/// The values that `const` and `enum` accept, `null` aside.
pub(super) fn literals(schema: &Value) -> Vec<&Value> {
    schema.get("const").into_iter().chain(array(schema, "enum")).collect()
}

/// Whether a value is of a JSON type. A whole number is one that is written as one: settings are
/// read into integer types, which take no `3.0`.
pub(super) fn is_of_type(node: &Node, name: &str) -> bool {
    match (name, &node.content) {
        ("integer", Content::Number(number)) => number.is_u64() || number.is_i64(),
        ("null", Content::Null)
        | ("boolean", Content::Bool(_))
        | ("number", Content::Number(_))
        | ("string", Content::Text(_))
        | ("array", Content::List(_))
        | ("object", Content::Map(_)) => true,
        _ => false,
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

/// What a schema takes: `a whole number`, `` one of `a`, `b` ``, `the name of a step that makes a model`.
pub(super) fn wanted(root: &Value, schema: &Value) -> String {
    let mut wanted = Vec::new();
    collect_wanted(root, schema, 0, &mut wanted);
    let mut names = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for want in wanted {
        match want {
            Want::Literal(name) => names.push(name),
            Want::Words(text) if !words.contains(&text) => words.push(text),
            Want::Words(_) => {}
        }
    }
    if !names.is_empty() {
        words.insert(0, one_of(names.iter().map(String::as_str)));
    }
    // an optional value may be nothing, but nobody writes that
    if words.len() > 1 {
        words.retain(|word| word != "nothing");
    }
    if words.is_empty() {
        "something else".into()
    } else {
        words.join(" or ")
    }
}

enum Want {
    Literal(String),
    Words(String),
}

fn collect_wanted(root: &Value, schema: &Value, depth: usize, wanted: &mut Vec<Want>) {
    if depth > 8 {
        return;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        if let Some(target) = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            collect_wanted(root, target, depth + 1, wanted);
        }
        return;
    }
    let literals = literals(schema);
    if !literals.is_empty() {
        wanted.extend(literals.into_iter().map(|value| Want::Literal(plain(value))));
        return;
    }
    let branches: Vec<_> = ["anyOf", "oneOf"]
        .iter()
        .flat_map(|keyword| array(schema, keyword))
        .collect();
    if !branches.is_empty() && schema.get("type").is_none() {
        for branch in branches {
            collect_wanted(root, branch, depth + 1, wanted);
        }
        return;
    }
    if let Some(words) = schema.get("x-words").and_then(Value::as_str) {
        wanted.push(Want::Words(words.to_owned()));
    } else if let Some(types) = schema.get(ARTIFACT_MARK) {
        wanted.push(Want::Words(format!(
            "the name of a step that makes {}",
            artifacts(types)
        )));
    } else if schema.get(PATH_MARK).is_some() {
        wanted.push(Want::Words("a path".into()));
    } else {
        match schema.get("type") {
            Some(Value::String(name)) => wanted.push(Want::Words(type_name(name).into())),
            Some(Value::Array(names)) => {
                wanted.extend(
                    names
                        .iter()
                        .filter_map(Value::as_str)
                        .map(|name| Want::Words(type_name(name).into())),
                );
            }
            _ => {}
        }
    }
}

/// `a tokenizer or a model`
fn artifacts(types: &Value) -> String {
    let names: Vec<_> = types
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    artifact_words(&names)
}

/// `a tokenizer or a model`, `generations`
pub(in crate::pipeline) fn artifact_words(types: &[&str]) -> String {
    let words: Vec<_> = types
        .iter()
        .map(|name| {
            if name.ends_with('s') {
                (*name).to_owned()
            } else {
                format!("a {name}")
            }
        })
        .collect();
    words.join(" or ")
}

/// How to write a value of the wrong type rightly, where that is plain.
pub(super) fn conversion(types: &[&str], node: &Node) -> Option<String> {
    match &node.content {
        Content::Number(number) if types.contains(&"integer") => {
            let value = number.as_f64()?;
            (value.fract() == 0.0 && value.abs() < 1e15).then(|| format!("write {value:.0}"))
        }
        Content::Number(_) | Content::Bool(_) if types.contains(&"string") => {
            Some(format!("put it in quotes: \"{}\"", node.scalar_text()?))
        }
        Content::Text(text) if types.contains(&"integer") || types.contains(&"number") => {
            let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
            digits.parse::<f64>().is_ok().then(|| format!("write {digits}"))
        }
        Content::Text(text) if types.contains(&"boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" => Some("write true".into()),
            "no" | "off" => Some("write false".into()),
            _ => None,
        },
        Content::Text(_) | Content::Number(_) if types.contains(&"array") => {
            Some(format!("write [{}]", node.scalar_text()?))
        }
        _ => None,
    }
}

/// Text as a name: `My Lab` as `my-lab`; `None` where nothing of it can be one.
pub(super) fn as_name(text: &str) -> Option<String> {
    let plain = text.to_lowercase();
    let words: Vec<&str> = plain
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let name = words.join("-");
    name.starts_with(|c: char| c.is_ascii_lowercase()).then_some(name)
}

/// The largest value of a sized integer: schemars names the size in `format`.
pub(super) fn largest(schema: &Value) -> Option<f64> {
    match schema.get("format").and_then(Value::as_str)? {
        "uint8" => Some(f64::from(u8::MAX)),
        "uint16" => Some(f64::from(u16::MAX)),
        "uint32" => Some(f64::from(u32::MAX)),
        "int32" => Some(f64::from(i32::MAX)),
        _ => None,
    }
}
