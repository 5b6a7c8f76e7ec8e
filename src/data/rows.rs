//! The rows of one split on disk: `data.jsonl`, one JSON object a row, and `info.json`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{DataError, Row, read};

/// The rows of a split's folder, in order.
///
/// # Errors
/// A file that is missing or damaged (with its line).
pub fn read(split: &Path) -> Result<Vec<Row>, DataError> {
    read::jsonl::read(&split.join("data.jsonl"))
}

/// The same, one after the other: they need not fit in memory.
///
/// # Errors
/// A file that is missing; of each row, a line that is damaged.
pub fn each(split: &Path) -> Result<impl Iterator<Item = Result<Row, DataError>> + use<>, DataError> {
    read::jsonl::each(&split.join("data.jsonl"))
}

/// How many rows a split has, as its `info.json` says; `None` if it does not.
pub fn count(split: &Path) -> Option<u64> {
    let info: Value = serde_json::from_slice(&std::fs::read(split.join("info.json")).ok()?).ok()?;
    info["rows"].as_u64()
}

/// Writes a split: the rows and what is known of them (`version`, `rows`, `fields` in order of first
/// appearance, and what `info` adds). The folder is made if it is not there.
///
/// # Errors
/// When a file cannot be written.
pub fn write(split: &Path, rows: &[Row], info: &Map<String, Value>) -> Result<(), DataError> {
    std::fs::create_dir_all(split).map_err(DataError::io(split))?;
    let mut text = String::new();
    let mut fields: Map<String, Value> = Map::new();
    for row in rows {
        for name in row.keys() {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), Value::Null);
            }
        }
        writeln!(text, "{}", Value::Object(row.clone())).expect("writing to a string cannot fail");
    }
    let path = split.join("data.jsonl");
    std::fs::write(&path, text).map_err(DataError::io(&path))?;
    let fields: Vec<_> = fields.keys().collect();
    let mut about = json!({"version": 1, "rows": rows.len(), "fields": fields});
    about.as_object_mut().expect("made as one").extend(info.clone());
    write_json(&split.join("info.json"), &about)
}

/// Writes a value as indented JSON with a newline at the end.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), DataError> {
    let text = serde_json::to_string_pretty(value).expect("a JSON value can be written") + "\n";
    std::fs::write(path, text).map_err(DataError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_round_trip(texts in prop::collection::vec(".*", 0..20), number in any::<f64>()) {
            let rows: Vec<Row> = texts
                .iter()
                .enumerate()
                .map(|(id, text)| json!({"z": text, "id": id, "a": number}).as_object().unwrap().clone())
                .collect();
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &rows, &Map::new()).unwrap();
            prop_assert_eq!(read(folder.path()).unwrap(), rows.clone());
            let info: Value = serde_json::from_slice(&std::fs::read(folder.path().join("info.json")).unwrap()).unwrap();
            prop_assert_eq!(&info["rows"], &json!(rows.len()));
            if !rows.is_empty() {
                prop_assert_eq!(&info["fields"], &json!(["z", "id", "a"]));
            }
        }
    }
}
