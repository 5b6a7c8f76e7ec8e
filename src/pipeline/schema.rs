//! The JSON Schema of pipeline files, for editors: the structure and each kind's settings under the
//! `uses:` that chooses them. The kinds' parts are the very definitions that parse the file.

use serde_json::{Map, Value, json};

use super::declared::parameter_schema;
use super::file::schema_value;
use super::structure;
use crate::step::{ARTIFACT_MARK, Kind};

/// Where definitions are.
const DEFINITIONS: &str = "#/$defs/";
/// The definition of a placeholder that is the whole value, and may stand for one of any type.
const PLACEHOLDER: &str = "#/$defs/placeholder";
/// The definition of text with a placeholder in it, which stands for text.
const TEXT_WITH_PLACEHOLDER: &str = "#/$defs/textWithPlaceholder";
/// A reference: `base`, `dialogues.test`, `tuned[rate=0.1].tokenizer`.
const REFERENCE: &str = r"^[a-z][a-z0-9_-]*(\[[^\]]+\])?(\.[A-Za-z0-9_-]+)?$";

/// The whole schema, draft 2020-12.
pub fn schema(kinds: &[Kind]) -> Value {
    let mut definitions = Map::new();
    definitions.insert(
        "placeholder".into(),
        json!({
            "type": "string",
            "pattern": r"^\$\{[^}]*\}$",
            "description": "A parameter or an axis: `${params.name}`, `${matrix.axis}`.",
        }),
    );
    definitions.insert(
        "textWithPlaceholder".into(),
        json!({
            "type": "string",
            "pattern": r"(^|[^$])\$\{[^}]*\}",
            "description": "Text with a parameter or an axis in it: `small-${params.name}`.",
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
        let of_kind = OfKind {
            name: kind.name,
            schema: settings.clone(),
        };
        let inner = settings.as_object_mut().and_then(|settings| settings.remove("$defs"));
        if let Some(Value::Object(inner)) = inner {
            for (name, mut definition) in inner {
                of_kind.for_editors(&mut definition);
                definitions.insert(of_kind.qualified(&name), definition);
            }
        }
        of_kind.for_editors(&mut settings);
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
    definitions.insert("parameter".into(), parameter_schema("#/$defs/parameter"));

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
        whole["properties"]["params"]["additionalProperties"] = json!({ "$ref": "#/$defs/parameter" });
        whole.insert("$defs".into(), Value::Object(definitions));
    }
    whole
}

/// A kind's schema on its way into the whole one.
struct OfKind {
    name: &'static str,
    schema: Value,
}

impl OfKind {
    /// A definition's name in the whole schema.
    fn qualified(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Rewrites a schema for a file whose placeholders are not replaced yet: `$ref`s lead to the
    /// kind's own definitions, and any setting may be a placeholder.
    fn for_editors(&self, schema: &mut Value) {
        let Some(map) = schema.as_object_mut() else { return };
        if let Some(Value::String(target)) = map.get_mut("$ref")
            && let Some(name) = target.strip_prefix(DEFINITIONS)
        {
            *target = format!("{DEFINITIONS}{}", self.qualified(name));
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
        if map.contains_key(ARTIFACT_MARK) {
            map.insert("pattern".into(), json!(REFERENCE));
        }
        // what an integer type of Rust takes besides is in `format`, which validators pass over
        if let (None, Some(largest)) = (map.get("maximum"), largest(map.get("format"))) {
            map.insert("maximum".into(), json!(largest));
        }
        for keyword in ["anyOf", "allOf", "prefixItems"] {
            for member in map.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten() {
                self.for_editors(member);
                if keyword == "prefixItems" {
                    self.or_placeholder(member);
                }
            }
        }
        for property in map
            .get_mut("properties")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(Map::values_mut)
        {
            self.for_editors(property);
            self.or_placeholder(property);
        }
        for keyword in ["items", "additionalProperties", "unevaluatedProperties"] {
            if let Some(inner) = map.get_mut(keyword).filter(|inner| inner.is_object()) {
                self.for_editors(inner);
                self.or_placeholder(inner);
            }
        }
    }

    /// The schema, or a placeholder; its description stays outside, where editors look for it.
    fn or_placeholder(&self, schema: &mut Value) {
        let text = self.takes_text(schema, 0);
        let Some(map) = schema.as_object_mut() else { return };
        let held = ["enum", "const", "pattern"]
            .iter()
            .any(|keyword| map.contains_key(*keyword));
        // plain text takes placeholders anyway
        if map.is_empty() || map.get("type") == Some(&json!("string")) && !held {
            return;
        }
        let placeholder = if text { TEXT_WITH_PLACEHOLDER } else { PLACEHOLDER };
        let mut outside = Map::new();
        for keyword in ["title", "description", "default", "examples"] {
            if let Some(value) = map.remove(keyword) {
                outside.insert(keyword.into(), value);
            }
        }
        let inner = std::mem::take(map);
        outside.insert("anyOf".into(), json!([inner, { "$ref": placeholder }]));
        *map = outside;
    }

    /// Whether some text fits, so that a placeholder may stand within it.
    fn takes_text(&self, schema: &Value, depth: usize) -> bool {
        if depth > 8 {
            return false;
        }
        let definition = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| target.strip_prefix(DEFINITIONS))
            .map(|name| name.strip_prefix(&self.qualified("")).unwrap_or(name))
            .and_then(|name| self.schema.get("$defs")?.get(name));
        let texts = |keyword: &str| match schema.get(keyword) {
            Some(Value::Array(several)) => several.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        definition.is_some_and(|definition| self.takes_text(definition, depth + 1))
            || texts("type").contains(&json!("string"))
            || texts("const").iter().chain(&texts("enum")).any(Value::is_string)
            || ["anyOf", "oneOf"]
                .iter()
                .flat_map(|keyword| texts(keyword))
                .any(|branch| self.takes_text(&branch, depth + 1))
    }
}

/// The largest value of a sized integer, as the parser has it.
fn largest(format: Option<&Value>) -> Option<u64> {
    match format?.as_str()? {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        "int32" => u64::try_from(i32::MAX).ok(),
        _ => None,
    }
}
