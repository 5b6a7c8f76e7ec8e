//! Everything that a result depends on, and the key that it makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::step::Digest;

/// What decides whether an instance is already known. Not here: names, comments, paths, times,
/// threads, logging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependencies {
    /// The kind of step.
    pub kind: String,
    /// The kind's implementation version.
    pub implementation: u32,
    /// The settings, by path (`train.learning_rate`); an artifact as `{"artifact": digest}`, a file
    /// as `{"file": digest}`.
    pub fields: BTreeMap<String, Value>,
    /// The seed, of a step that draws random numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The device's numerics class, of a step that computes on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<String>,
    /// The history of its inputs, of a step that reports on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Value>,
}

impl Dependencies {
    /// The key: the digest of the canonical form.
    pub fn key(&self) -> Digest {
        let value = serde_json::to_value(self).expect("dependencies are plain values");
        Digest::of(canonical(&value).as_bytes())
    }
}

/// JSON with the members of every object in the order of their names, and no spaces: equal values
/// give equal bytes, however they were written.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_sorted(value, &mut text);
    text
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (number, (name, value)) in members.into_iter().enumerate() {
                text.push_str(if number == 0 { "" } else { "," });
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write_sorted(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (number, value) in items.iter().enumerate() {
                text.push_str(if number == 0 { "" } else { "," });
                write_sorted(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn sample() -> Dependencies {
        Dependencies {
            kind: "pretrain".into(),
            implementation: 1,
            fields: BTreeMap::from([
                ("train.updates".into(), json!(10)),
                ("note".into(), json!({"b": 1, "a": 2})),
            ]),
            seed: None,
            numerics: Some("cpu".into()),
            lineage: None,
        }
    }

    #[test]
    fn the_order_of_members_does_not_count_and_every_field_does() {
        let base = sample();
        let mut other = sample();
        other.fields.insert("note".into(), json!({"a": 2, "b": 1}));
        assert_eq!(base.key(), other.key());
        let changes: [fn(&mut Dependencies); 6] = [
            |d| d.kind = "finetune".into(),
            |d| d.implementation = 2,
            |d| {
                d.fields.insert("train.updates".into(), json!(11));
            },
            |d| d.seed = Some("00".into()),
            |d| d.numerics = Some("gpu".into()),
            |d| d.lineage = Some(json!([])),
        ];
        for change in changes {
            let mut other = sample();
            change(&mut other);
            assert_ne!(base.key(), other.key(), "{other:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn canonical_text_reads_back_as_the_same_value(pairs in proptest::collection::btree_map("[a-z\"\\\\ñ]{0,4}", -1e9f64..1e9, 0..8)) {
            let forward: Map<String, Value> = pairs.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
            let backward: Map<String, Value> = pairs.iter().rev().map(|(k, v)| (k.clone(), json!(v))).collect();
            let text = canonical(&Value::Object(forward.clone()));
            proptest::prop_assert_eq!(&text, &canonical(&Value::Object(backward)));
            proptest::prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(forward));
        }
    }
}
