//! A JSON list of objects.

use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::source;
use crate::data::{DataError, Row};

/// The rows of a file that is one JSON list of objects.
pub(super) fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let text = source::text(path)?;
    let rows: Vec<StrictRow> = serde_json::from_str(&text).map_err(|error| {
        let fact = error.to_string();
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        let fact = fact.strip_suffix(&suffix).unwrap_or(&fact);
        DataError::row(path, error.line() as u64, format!("not a JSON list of objects: {fact}"))
    })?;
    Ok(rows.into_iter().map(|StrictRow(row)| row).collect())
}

/// A row that names no field twice (which JSON allows, and which would lose the first).
pub(in crate::data) struct StrictRow(pub Row);

impl<'de> Deserialize<'de> for StrictRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = StrictRow;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StrictRow, A::Error> {
                let mut row = Row::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if row.contains_key(&name) {
                        return Err(A::Error::custom(format!("field `{name}` is there twice")));
                    }
                    row.insert(name, value);
                }
                Ok(StrictRow(row))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_objects_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, "\u{feff}[\n {\"b\": 1, \"a\": 2},\r\n {\"b\": 3}\n]\n").unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        std::fs::write(&path, "[\n {\"b\": 1},\n 7\n]").unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, DataError::Row { line: 3, .. }), "{error}");
        std::fs::write(&path, "{\"b\": 1}").unwrap();
        assert!(read(&path).is_err());
    }
}
