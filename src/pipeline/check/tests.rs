//! The checker beside the specification's plain definition of validity, and its sentences.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{KNOWN_KEYWORDS, check};
use crate::pipeline::source::Span;
use crate::pipeline::tree::Node;

fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let node = Node::from_value(value, Span::default());
    let namer = |path: &[String]| {
        if path.is_empty() {
            "it".to_owned()
        } else {
            format!("`{}`", path.join("."))
        }
    };
    let outcome = check(schema, &node, &namer);
    outcome
        .faults
        .into_iter()
        .map(|fault| match fault.help {
            Some(help) => format!("{}; {help}", fault.message),
            None => fault.message,
        })
        .collect()
}

fn tagged() -> Value {
    json!({ "oneOf": [
        { "type": "object", "properties": { "kind": { "const": "a", "type": "string" }, "x": { "type": "integer" } },
          "required": ["kind", "x"], "additionalProperties": false },
        { "type": "object", "properties": { "kind": { "const": "b", "type": "string" } }, "required": ["kind"],
          "additionalProperties": false },
    ] })
}

#[test]
fn sentences() {
    let whole = json!({ "type": "integer", "minimum": 1 });
    let optional = json!({ "anyOf": [{ "$ref": "#/$defs/E" }, { "type": "null" }],
        "$defs": { "E": { "oneOf": [{ "const": "one", "type": "string" }, { "const": "two", "type": "string" }] } } });
    let external = json!({ "oneOf": [
        { "type": "string", "enum": ["all"] },
        { "type": "object", "properties": { "first": { "type": "integer" } }, "required": ["first"], "additionalProperties": false },
        { "type": "object", "properties": { "last": { "type": "integer" } }, "required": ["last"], "additionalProperties": false },
    ] });
    let nested = json!({ "type": "object", "additionalProperties": false, "properties": {
        "train": { "type": "object", "properties": { "rate": { "type": "number" } } } } });
    let list =
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] });
    let flat = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "unevaluatedProperties": false,
        "allOf": [{ "properties": { "b": { "type": "integer" } } }] });
    for (schema, value, expected) in [
        (&whole, json!(0), "it must be at least 1; it is 0"),
        (&whole, json!("many"), "it must be a whole number, not text \"many\""),
        (&whole, json!(3.0), "it must be a whole number, not 3.0; write 3"),
        (
            &whole,
            json!("1_000"),
            "it must be a whole number, not text \"1_000\"; write 1000",
        ),
        (
            &optional,
            json!("tow"),
            "it must be one of `one`, `two`, not text \"tow\"; did you mean `two`?",
        ),
        (&optional, json!(1), "it must be one of `one`, `two`, not 1"),
        (&tagged(), json!({"kind": "a"}), "it lacks `x`; add `x`: a whole number"),
        (
            &tagged(),
            json!({"kind": "c"}),
            "`kind` must be one of `a`, `b`, not text \"c\"",
        ),
        (
            &tagged(),
            json!({"x": 1}),
            "it lacks `kind`; add `kind`: one of `a`, `b`",
        ),
        (
            &tagged(),
            json!({"kind": "b", "x": 1}),
            "it has no setting `x`; it takes: `kind`",
        ),
        (
            &external,
            json!({"frist": 1}),
            "it needs one of `first`, `last`; did you mean `first`?",
        ),
        (
            &external,
            json!({"first": "x"}),
            "`first` must be a whole number, not text \"x\"",
        ),
        (
            &external,
            json!("al"),
            "it must be `all`, not text \"al\"; did you mean `all`?",
        ),
        (
            &nested,
            json!({"rate": 1}),
            "it has no setting `rate`; did you mean `train.rate`?",
        ),
        (
            &list,
            json!(3),
            "it must be text or a list, not 3; put it in quotes: \"3\"",
        ),
        (&list, json!([]), "it is an empty list"),
        (
            &list,
            json!(["a", 1]),
            "`1` must be text, not 1; put it in quotes: \"1\"",
        ),
        (
            &flat,
            json!({"a": 1, "b": 2, "c": 3}),
            "it has no setting `c`; it takes: `a`, `b`",
        ),
    ] {
        assert_eq!(faults(schema, &value), [expected], "{schema} {value}");
    }
    assert_eq!(
        faults(&tagged(), &json!({"kind": "a", "x": true, "y": 1})).len(),
        2,
        "all at once"
    );
}

/// The schemas of the registry use no keyword that the checker would pass over.
#[test]
fn every_keyword_of_the_registry_is_known() {
    fn walk(schema: &Value, kind: &str) {
        for (keyword, inner) in schema.as_object().into_iter().flatten() {
            assert!(
                KNOWN_KEYWORDS.contains(&keyword.as_str()),
                "{kind}: the checker does not know `{keyword}`"
            );
            match keyword.as_str() {
                "properties" | "$defs" => {
                    inner
                        .as_object()
                        .into_iter()
                        .flatten()
                        .for_each(|(_, inner)| walk(inner, kind));
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    inner
                        .as_array()
                        .into_iter()
                        .flatten()
                        .for_each(|inner| walk(inner, kind));
                }
                "items" | "additionalProperties" | "unevaluatedProperties" | "propertyNames" => walk(inner, kind),
                _ => {}
            }
        }
    }
    for kind in crate::pipeline::tests::kinds() {
        walk(&(kind.schema)().to_value(), kind.name);
    }
}

/// JSON Schema's definition of validity, keyword by keyword: yes or no, for the keywords in use.
pub(in crate::pipeline) fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        return schema == &json!(true);
    };
    let all =
        |schemas: &Value, holds: &dyn Fn(&Value) -> bool| schemas.as_array().is_some_and(|list| list.iter().all(holds));
    let any =
        |schemas: &Value, holds: &dyn Fn(&Value) -> bool| schemas.as_array().is_some_and(|list| list.iter().any(holds));
    let is_of = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        _ => value.is_object(),
    };
    let number = |limit: &Value, holds: fn(f64, f64) -> bool| {
        value
            .as_f64()
            .zip(limit.as_f64())
            .is_none_or(|(value, limit)| holds(value, limit))
    };
    let empty = Value::Null;
    keywords.iter().all(|(keyword, argument)| match keyword.as_str() {
        "$ref" => {
            let target = argument.as_str().and_then(|target| root.pointer(&target[1..]));
            valid(root, target.expect("a definition"), value)
        }
        "type" => argument
            .as_array()
            .map_or_else(|| is_of(argument), |names| names.iter().any(is_of)),
        "const" => value == argument,
        "enum" => any(argument, &|literal| literal == value),
        "minimum" => number(argument, |value, limit| value >= limit),
        "maximum" => number(argument, |value, limit| value <= limit),
        "exclusiveMinimum" => number(argument, |value, limit| value > limit),
        "minLength" => value
            .as_str()
            .is_none_or(|text| text.chars().count() as u64 >= argument.as_u64().unwrap_or(0)),
        "pattern" => value.as_str().is_none_or(|text| {
            regex::Regex::new(argument.as_str().unwrap_or_default())
                .expect("a pattern")
                .is_match(text)
        }),
        "minItems" => value
            .as_array()
            .is_none_or(|list| list.len() as u64 >= argument.as_u64().unwrap_or(0)),
        "minProperties" => value
            .as_object()
            .is_none_or(|map| map.len() as u64 >= argument.as_u64().unwrap_or(0)),
        "items" => value
            .as_array()
            .is_none_or(|list| list.iter().all(|item| valid(root, argument, item))),
        "required" => value
            .as_object()
            .is_none_or(|map| all(argument, &|name| map.contains_key(name.as_str().unwrap_or_default()))),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter()
                .all(|(name, value)| argument.get(name).is_none_or(|schema| valid(root, schema, value)))
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|map| map.keys().all(|name| valid(root, argument, &json!(name)))),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let named = keywords.get("properties").unwrap_or(&empty);
            map.iter()
                .all(|(name, value)| named.get(name).is_some() || valid(root, argument, value))
        }),
        "allOf" => all(argument, &|schema| valid(root, schema, value)),
        "anyOf" => any(argument, &|schema| valid(root, schema, value)),
        "oneOf" => argument
            .as_array()
            .is_some_and(|list| list.iter().filter(|schema| valid(root, schema, value)).count() == 1),
        "not" => !valid(root, argument, value),
        "if" => {
            let branch = if valid(root, argument, value) { "then" } else { "else" };
            keywords.get(branch).is_none_or(|schema| valid(root, schema, value))
        }
        "then" | "else" | "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        mark => mark.starts_with("x-"),
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        prop::sample::select(vec![0.5, -1.25]).prop_map(Value::from),
        prop::sample::select(vec!["a", "b", "x", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(vec!["kind", "x", "a", "y"]), inner, 0..3)
                .prop_map(|map| json!(map)),
        ]
    })
}

fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "integer", "minimum": -1, "maximum": 2 })),
        Just(json!({ "type": "number", "exclusiveMinimum": 0 })),
        Just(json!({ "type": ["string", "null"], "minLength": 1 })),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "enum": ["a", "b", null] })),
        Just(json!({ "const": 1 })),
        Just(json!(true)),
        Just(json!({ "type": "string", "pattern": "^[ab]" })),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0u64..3)
                .prop_map(|(items, least)| json!({ "type": "array", "items": items, "minItems": least })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "anyOf": any })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "allOf": all })),
            (inner.clone(), inner, any::<bool>()).prop_map(|(x, a, open)| json!({
                "type": "object", "properties": { "x": x, "a": a }, "required": ["x"], "additionalProperties": open
            })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The checker finds something exactly where the specification says that the value is not valid.
    #[test]
    fn it_judges_as_the_specification_does(schema in any_schema(), value in any_value()) {
        prop_assert_eq!(faults(&schema, &value).is_empty(), valid(&schema, &schema, &value), "{} {}", schema, value);
    }
}
