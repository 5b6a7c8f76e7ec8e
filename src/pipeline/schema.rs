//! The JSON Schema of pipeline files, for editors: the structure and each kind's settings under the
//! `uses:` that chooses them. The kinds' parts are the very definitions that parse the file.

use serde_json::{Map, Value, json};

use super::file::schema_value;
use super::structure;
use crate::step::Kind;

/// The definition of text that holds a placeholder, which may stand for a value of any type.
const PLACEHOLDER: &str = "#/$defs/placeholder";

/// The whole schema, draft 2020-12.
pub fn schema(kinds: &[Kind]) -> Value {
    let mut definitions = Map::new();
    definitions.insert(
        "placeholder".into(),
        json!({
            "type": "string",
            "pattern": r"\$\{[^}]*\}",
            "description": "A parameter or an axis: `${params.name}`, `${matrix.axis}`.",
        }),
    );
    let mut step = structure::step(kinds);
    step["properties"]["uses"] = json!({
        "description": "The kind of step.",
        "oneOf": kinds.iter().map(|kind| json!({ "const": kind.name, "description": kind.about })).collect::<Vec<_>>(),
    });
    let mut choices = Vec::new();
    for kind in kinds {
        let mut settings = (*schema_value(kind)).clone();
        let inner = settings.as_object_mut().and_then(|settings| settings.remove("$defs"));
        if let Some(Value::Object(inner)) = inner {
            for (name, mut definition) in inner {
                for_editors(&mut definition, kind.name);
                definitions.insert(qualified(kind.name, &name), definition);
            }
        }
        for_editors(&mut settings, kind.name);
        if let Some(settings) = settings.as_object_mut() {
            settings.remove("$schema");
        }
        let required = settings
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|names| !names.is_empty());
        definitions.insert(kind.name.into(), settings);
        let mut then = json!({ "properties": { "with": { "$ref": format!("#/$defs/{}", kind.name) } } });
        if required {
            then["required"] = json!(["with"]);
        }
        choices.push(json!({
            "if": { "properties": { "uses": { "const": kind.name } }, "required": ["uses"] },
            "then": then,
        }));
    }
    step["allOf"] = Value::Array(choices);
    definitions.insert("step".into(), step);

    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fragua pipeline",
        "description": "A pipeline of language-model steps, run with `fragua run FILE`.",
    });
    if let (Some(whole), Value::Object(file)) = (
        whole.as_object_mut(),
        structure::file(&json!({ "$ref": "#/$defs/step" })),
    ) {
        whole.extend(file);
        whole.insert("$defs".into(), Value::Object(definitions));
    }
    whole
}

fn qualified(kind: &str, name: &str) -> String {
    format!("{kind}.{name}")
}

/// Rewrites a kind's schema for a file whose placeholders are not replaced yet: `$ref`s lead to the
/// kind's own definitions, and any setting may be a placeholder.
fn for_editors(schema: &mut Value, kind: &str) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::String(target)) = map.get_mut("$ref")
        && let Some(name) = target.strip_prefix("#/$defs/")
    {
        *target = format!("#/$defs/{}", qualified(kind, name));
    }
    // a placeholder fits several branches, which `oneOf` would refuse
    if let Some(branches) = map.remove("oneOf") {
        match map.get_mut("anyOf") {
            Some(_) => {
                map.insert("allOf".into(), json!([{ "anyOf": branches }]));
            }
            None => {
                map.insert("anyOf".into(), branches);
            }
        }
    }
    for keyword in ["anyOf", "allOf", "prefixItems"] {
        for member in map.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten() {
            for_editors(member, kind);
            if keyword == "prefixItems" {
                or_placeholder(member);
            }
        }
    }
    for property in map
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        for_editors(property, kind);
        or_placeholder(property);
    }
    for keyword in ["items", "additionalProperties", "unevaluatedProperties"] {
        if let Some(inner) = map.get_mut(keyword).filter(|inner| inner.is_object()) {
            for_editors(inner, kind);
            or_placeholder(inner);
        }
    }
}

/// The schema, or a placeholder; its description stays outside, where editors look for it.
fn or_placeholder(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    // a tag tells branches apart, and plain text takes placeholders anyway
    let plain_text =
        map.get("type") == Some(&json!("string")) && !map.contains_key("enum") && !map.contains_key("pattern");
    if map.contains_key("const") || plain_text || map.is_empty() {
        return;
    }
    let mut outside = Map::new();
    for keyword in ["title", "description", "default", "examples"] {
        if let Some(value) = map.remove(keyword) {
            outside.insert(keyword.into(), value);
        }
    }
    let inner = std::mem::take(map);
    outside.insert("anyOf".into(), json!([inner, { "$ref": PLACEHOLDER }]));
    *map = outside;
}
