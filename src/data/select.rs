//! What of the rows is kept, and in which order: fields, duplicates, shuffle, limit.

use std::collections::HashSet;

use rand::seq::SliceRandom;
use serde_json::Value;

use super::layout::names_of;
use super::{DataError, Row};
use crate::seed::Seed;

/// Rows with only some fields, renamed: pairs of the new name and the old one, in the new order.
///
/// # Errors
/// A row without one of the fields, by its number from 1.
pub fn fields(rows: Vec<Row>, kept: &[(String, String)]) -> Result<Vec<Row>, DataError> {
    let mut selected = Vec::with_capacity(rows.len());
    for (number, row) in (1..).zip(rows) {
        let mut new = Row::new();
        for (name, old) in kept {
            let value = row.get(old).ok_or_else(|| {
                DataError::Unfit(format!("row {number} has no field `{old}`; it has {}", names_of(&row)))
            })?;
            new.insert(name.clone(), value.clone());
        }
        selected.push(new);
    }
    Ok(selected)
}

/// Rows without exact duplicates: of equal ones the first stays. Equal means the same value in each
/// of the given fields, or without fields in all of them (whatever their order).
///
/// # Errors
/// A row without one of the given fields, by its number from 1.
pub fn dedupe(rows: Vec<Row>, by: Option<&[String]>) -> Result<Vec<Row>, DataError> {
    let mut seen = HashSet::with_capacity(rows.len());
    let mut kept = Vec::with_capacity(rows.len());
    for (number, row) in (1..).zip(rows) {
        let identity = match by {
            Some(names) => {
                let values: Result<Vec<&Value>, DataError> = names
                    .iter()
                    .map(|name| {
                        row.get(name).ok_or_else(|| {
                            DataError::Unfit(format!("row {number} has no field `{name}`; it has {}", names_of(&row)))
                        })
                    })
                    .collect();
                serde_json::to_vec(&values?)
            }
            None => {
                let mut fields: Vec<_> = row.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                serde_json::to_vec(&fields)
            }
        };
        let identity = identity.expect("a JSON value can be written");
        if seen.insert(blake3::hash(&identity)) {
            kept.push(row);
        }
    }
    Ok(kept)
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
        let kept = [
            ("text".to_owned(), "body".to_owned()),
            ("id".to_owned(), "id".to_owned()),
        ];
        let selected = fields(rows(&[json!({"id": 1, "x": 2, "body": "b"})]), &kept).unwrap();
        assert_eq!(serde_json::to_string(&selected).unwrap(), r#"[{"text":"b","id":1}]"#);
        let error = fields(rows(&[json!({"body": "a", "id": 1}), json!({"body": "b"})]), &kept).unwrap_err();
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
        assert_eq!(dedupe(rows(&all), None).unwrap().len(), 3);
        let by_b = dedupe(rows(&all[..3]), Some(&["b".into()])).unwrap();
        assert_eq!(by_b, rows(&all[..1]));
        assert!(dedupe(rows(&all), Some(&["b".into()])).is_err());
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
