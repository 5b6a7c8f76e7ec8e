//! What of the rows is kept, and in which order: fields, duplicates, shuffle, limit.

use std::collections::HashSet;

use rand::seq::SliceRandom;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::names_of;
use super::{DataError, Row};
use crate::seed::Seed;

/// Which duplicates are removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Dedupe {
    /// All or none.
    Whole(bool),
    /// Those equal in these fields.
    By(#[schemars(length(min = 1))] Vec<String>),
}

impl Default for Dedupe {
    fn default() -> Self {
        Self::Whole(false)
    }
}

impl Dedupe {
    /// Rows without exact duplicates: of equal ones the first stays. Equal means the same value in
    /// each of the fields, or in all of them whatever their order.
    ///
    /// # Errors
    /// A row without one of the fields, by its number from 1.
    pub fn of(&self, rows: Vec<Row>) -> Result<Vec<Row>, DataError> {
        let mut seen = HashSet::with_capacity(rows.len());
        let mut kept = Vec::with_capacity(rows.len());
        for (number, row) in (1..).zip(rows) {
            let identity = match self {
                Self::Whole(false) => None,
                Self::Whole(true) => {
                    let mut fields: Vec<_> = row.iter().collect();
                    fields.sort_by_key(|(name, _)| *name);
                    Some(serde_json::to_vec(&fields))
                }
                Self::By(names) => {
                    let values: Result<Vec<&Value>, DataError> =
                        names.iter().map(|name| field(&row, number, name)).collect();
                    Some(serde_json::to_vec(&values?))
                }
            };
            let identity = identity.map(|bytes| blake3::hash(&bytes.expect("a JSON value can be written")));
            if identity.is_none_or(|identity| seen.insert(identity)) {
                kept.push(row);
            }
        }
        Ok(kept)
    }
}

/// Fields to keep, as pairs of the new and the old name.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Rows with only these fields, by their new names and in this order.
    ///
    /// # Errors
    /// A row without one of the fields, by its number from 1.
    pub fn of(&self, rows: Vec<Row>) -> Result<Vec<Row>, DataError> {
        let mut selected = Vec::with_capacity(rows.len());
        for (number, row) in (1..).zip(rows) {
            let mut new = Row::new();
            for (name, old) in &self.0 {
                new.insert(name.clone(), field(&row, number, old)?.clone());
            }
            selected.push(new);
        }
        Ok(selected)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of fields, or a map of new names to old ones")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Fields, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = names.next_element::<String>()? {
                    pairs.push((name.clone(), name));
                }
                Ok(Fields(pairs))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut names: A) -> Result<Fields, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = names.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Fields(pairs))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

impl JsonSchema for Fields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({"type": "string", "minLength": 1});
        json_schema!({"anyOf": [
            {"type": "array", "items": name, "minItems": 1},
            {"type": "object", "additionalProperties": name, "minProperties": 1},
        ]})
    }
}

/// A field of a row that must have it; rows are numbered from 1.
fn field<'a>(row: &'a Row, number: usize, name: &str) -> Result<&'a Value, DataError> {
    row.get(name)
        .ok_or_else(|| DataError::Unfit(format!("row {number} has no field `{name}`; it has {}", names_of(row))))
}

/// Rows in an order drawn from the seed (Fisher and Yates).
pub fn shuffle(rows: &mut [Row], seed: Seed) {
    rows.shuffle(&mut seed.rng());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(values: &[Value]) -> Vec<Row> {
        values.iter().map(|value| value.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn fields_are_kept_renamed_and_ordered() {
        let kept: Fields = serde_json::from_value(json!({"text": "body", "id": "id"})).unwrap();
        let selected = kept.of(rows(&[json!({"id": 1, "x": 2, "body": "b"})])).unwrap();
        assert_eq!(serde_json::to_string(&selected).unwrap(), r#"[{"text":"b","id":1}]"#);
        let error = kept
            .of(rows(&[json!({"body": "a", "id": 1}), json!({"body": "b"})]))
            .unwrap_err();
        assert_eq!(error.to_string(), "row 2 has no field `id`; it has `body`");
    }

    #[test]
    fn duplicates_go_whatever_the_order_of_their_fields() {
        let all = [
            json!({"a": 1, "b": "x"}),
            json!({"b": "x", "a": 1}),
            json!({"a": 2, "b": "x"}),
            json!({"a": 1}),
        ];
        assert_eq!(Dedupe::Whole(true).of(rows(&all)).unwrap().len(), 3);
        let by_b = Dedupe::By(vec!["b".into()]).of(rows(&all[..3])).unwrap();
        assert_eq!(by_b, rows(&all[..1]));
        assert!(Dedupe::By(vec!["b".into()]).of(rows(&all)).is_err());
        assert_eq!(Dedupe::default().of(rows(&all)).unwrap().len(), 4);
        let list: Fields = serde_json::from_value(json!(["b"])).unwrap();
        assert_eq!(list.of(rows(&all[..1])).unwrap(), rows(&[json!({"b": "x"})]));
    }

    #[test]
    fn shuffling_is_a_permutation_that_the_seed_fixes() {
        let ordered = rows(&(0..100).map(|i| json!({"i": i})).collect::<Vec<_>>());
        let (mut first, mut second, mut other) = (ordered.clone(), ordered.clone(), ordered.clone());
        shuffle(&mut first, Seed::root(1));
        shuffle(&mut second, Seed::root(1));
        shuffle(&mut other, Seed::root(2));
        assert_eq!(first, second);
        assert_ne!(first, other);
        assert_ne!(first, ordered);
        first.sort_by_key(|row| row["i"].as_u64());
        assert_eq!(first, ordered);
    }
}
