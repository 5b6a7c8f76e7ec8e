//! Every setting of a kind, found by walking the JSON Schema of its `with:`, with values to try.
//!
//! Nested objects, alternatives and tagged unions are walked too, so that a new field is found by the
//! tests that use this without anyone listing it.

use serde_json::{Map, Value, json};

/// One setting: a place under `with:` whose value is not only a group of others.
pub struct Setting {
    /// `["train", "updates"]`
    pub path: Vec<String>,
    /// The schemas of the values that it takes, `$ref`s followed.
    pub schemas: Vec<Value>,
    /// What it is when it is left out, where the schema says so.
    pub default: Option<Value>,
}

impl Setting {
    /// `train.updates`
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// Values that its schema takes (and some that a kind's own check may refuse), each once.
    pub fn values(&self, world: &World) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        for value in self.schemas.iter().flat_map(|schema| candidates(schema, world, 0)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }
}

/// What references and paths can name.
pub struct World<'a> {
    pub references: &'a [&'a str],
    pub paths: &'a [&'a str],
}

/// All settings of a kind, in the order of their definition.
pub fn settings(root: &Value) -> Vec<Setting> {
    let mut found = Vec::new();
    walk(root, root, &mut Vec::new(), &mut found, 0);
    found
}

fn walk(root: &Value, schema: &Value, path: &mut Vec<String>, found: &mut Vec<Setting>, depth: usize) {
    assert!(depth < 12, "settings nest without end at {path:?}");
    let mut leaves = Vec::new();
    for alternative in alternatives(root, schema, 0) {
        let properties = alternative.get("properties").and_then(Value::as_object);
        match properties {
            Some(properties) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    walk(root, property, path, found, depth + 1);
                    path.pop();
                }
            }
            None if path.is_empty() => {}
            None => leaves.push(inlined(root, &alternative, 0)),
        }
    }
    if leaves.is_empty() {
        return;
    }
    match found.iter_mut().find(|setting| setting.path == *path) {
        // the same name in several alternatives of a tagged union
        Some(setting) => setting.schemas.extend(leaves),
        None => found.push(Setting {
            path: path.clone(),
            schemas: leaves,
            default: schema.get("default").cloned(),
        }),
    }
}

/// The schemas that a value may follow: `$ref`, `anyOf` and `oneOf` taken apart, `null` aside.
fn alternatives(root: &Value, schema: &Value, depth: usize) -> Vec<Value> {
    assert!(depth < 12, "a schema that leads to itself");
    let schema = inlined_here(root, schema);
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
            let mut all: Vec<Value> = branches
                .iter()
                .flat_map(|branch| alternatives(root, branch, depth + 1))
                .collect();
            // what stands beside the branches counts as well
            if schema.get("properties").is_some() {
                let mut own = schema.clone();
                own.as_object_mut().unwrap().remove(keyword);
                all.push(own);
            }
            return all;
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "null" => Vec::new(),
        Some(Value::Array(names)) => names
            .iter()
            .filter(|name| *name != "null")
            .map(|name| {
                let mut one = schema.clone();
                one["type"] = name.clone();
                one
            })
            .collect(),
        _ => vec![schema],
    }
}

fn inlined_here(root: &Value, schema: &Value) -> Value {
    let mut schema = schema.clone();
    for _ in 0..12 {
        let Some(target) = schema.get("$ref").and_then(Value::as_str) else {
            break;
        };
        schema = root
            .pointer(target.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("no {target}"))
            .clone();
    }
    schema
}

fn inlined(root: &Value, schema: &Value, depth: usize) -> Value {
    assert!(depth < 12, "a schema that leads to itself");
    match inlined_here(root, schema) {
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (name, inlined(root, &value, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| inlined(root, item, depth + 1)).collect(),
        other => other,
    }
}

const WHOLE: &[i64] = &[1, 2, 3, 4, 5, 7, 8, 0, 16, 32, 96, 260, 512, 1000];
const BROKEN: &[f64] = &[0.5, 0.25, 1.0, 0.1, 2.0, 0.0, 1e-3, 1e-6, 5.0, 100.0];

fn candidates(schema: &Value, world: &World, depth: usize) -> Vec<Value> {
    if depth > 8 {
        return Vec::new();
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
            return branches
                .iter()
                .flat_map(|branch| candidates(branch, world, depth + 1))
                .collect();
        }
    }
    if let Some(literal) = schema.get("const") {
        return vec![literal.clone()];
    }
    if let Some(literals) = schema.get("enum").and_then(Value::as_array) {
        return literals.clone();
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    types
        .into_iter()
        .flat_map(|name| of_type(name, schema, world, depth))
        .collect()
}

fn of_type(name: &str, schema: &Value, world: &World, depth: usize) -> Vec<Value> {
    match name {
        "boolean" => vec![json!(true), json!(false)],
        "integer" => WHOLE
            .iter()
            .filter(|value| in_range(schema, **value as f64))
            .map(|value| json!(value))
            .collect(),
        "number" => BROKEN
            .iter()
            .filter(|value| in_range(schema, **value))
            .map(|value| json!(value))
            .collect(),
        "string" if schema.get("x-artifact").is_some() => world.references.iter().map(|name| json!(name)).collect(),
        "string" if schema.get("x-path").is_some() => world.paths.iter().map(|name| json!(name)).collect(),
        // words, and a model of a Hub at a commit
        "string" => [
            "summary",
            "dialogue",
            "text",
            "org/other@0123456789abcdef0123456789abcdef01234567",
        ]
        .map(|text| json!(text))
        .to_vec(),
        "array" => {
            let items = candidates(&schema["items"], world, depth + 1);
            let pairs = items.windows(2).map(|pair| json!(pair));
            items.iter().map(|item| json!([item])).chain(pairs).collect()
        }
        "object" => {
            let values = candidates(
                schema.get("additionalProperties").unwrap_or(&Value::Null),
                world,
                depth + 1,
            );
            let one = |key: &str| values.iter().map(|value| json!({key: value})).collect::<Vec<_>>();
            if schema.get("minProperties").and_then(Value::as_u64) >= Some(2) {
                return values
                    .iter()
                    .map(|value| json!({"text": value, "summary": value}))
                    .collect();
            }
            ["generations", "text", "model"].into_iter().flat_map(one).collect()
        }
        _ => Vec::new(),
    }
}

fn in_range(schema: &Value, value: f64) -> bool {
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    limit("minimum").is_none_or(|limit| value >= limit)
        && limit("maximum").is_none_or(|limit| value <= limit)
        && limit("exclusiveMinimum").is_none_or(|limit| value > limit)
        && limit("exclusiveMaximum").is_none_or(|limit| value < limit)
}

/// Puts a value at a path, making the groups on the way; false where something else is in the way.
pub fn put(with: &mut Value, path: &[String], value: Value) -> bool {
    let Some((last, groups)) = path.split_last() else {
        return false;
    };
    let mut place = with;
    for group in groups {
        let Some(map) = place.as_object_mut() else { return false };
        place = map.entry(group).or_insert_with(|| json!({}));
    }
    match place.as_object_mut() {
        Some(map) => {
            map.insert(last.clone(), value);
            true
        }
        None => false,
    }
}

/// Takes out what is at a path; false where there is nothing.
pub fn take(with: &mut Value, path: &[String]) -> bool {
    let Some((last, groups)) = path.split_last() else {
        return false;
    };
    let mut place = with;
    for group in groups {
        match place.get_mut(group) {
            Some(inner) => place = inner,
            None => return false,
        }
    }
    place
        .as_object_mut()
        .is_some_and(|map| map.shift_remove(last).is_some())
}
