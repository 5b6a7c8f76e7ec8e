//! The folders of a dataset, and the text of a row.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{DataError, Row};

/// The folder of a dataset that was not split.
pub const WHOLE: &str = "all";

/// The order in which splits are listed.
const ORDER: [&str; 4] = [WHOLE, "train", "validation", "test"];

/// The splits of a dataset or of encoded tokens, `train` before `validation` before `test`: name and
/// folder. One that was not split has the single folder `all`. A folder that is itself a split (a
/// reference with a part: `dialogues.test`) counts as `all`.
///
/// # Errors
/// When the folder cannot be read or has no split.
pub fn splits(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    if root.join("data.jsonl").is_file() || root.join("tokens.bin").is_file() {
        return Ok(vec![(WHOLE.to_owned(), root.to_owned())]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).map_err(DataError::io(root))? {
        let path = entry.map_err(DataError::io(root))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if let Some(name) = name.filter(|_| path.is_dir()) {
            found.push((name, path));
        }
    }
    if found.is_empty() {
        return Err(DataError::file(root, "holds no split of a dataset"));
    }
    found.sort_by_key(|(name, _)| {
        let rank = ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len());
        (rank, name.clone())
    });
    Ok(found)
}

/// The text of a row: the named fields, or without names every field that is text, in row order,
/// joined by one newline.
///
/// # Errors
/// A named field that the row does not have or that is not text; a row without any text.
pub fn text_of(row: &Row, fields: Option<&[String]>) -> Result<String, DataError> {
    let mut parts = Vec::new();
    match fields {
        Some(names) => {
            for name in names {
                match row.get(name) {
                    Some(Value::String(text)) => parts.push(text.as_str()),
                    Some(other) => {
                        return Err(DataError::Unfit(format!(
                            "field `{name}` is not text but {}",
                            kind_of(other)
                        )));
                    }
                    None => {
                        return Err(DataError::Unfit(format!(
                            "has no field `{name}`; it has {}",
                            names_of(row)
                        )));
                    }
                }
            }
        }
        None => parts.extend(row.values().filter_map(Value::as_str)),
    }
    if parts.is_empty() {
        return Err(DataError::Unfit(format!("has no text field; it has {}", names_of(row))));
    }
    Ok(parts.join("\n"))
}

/// A row's fields for messages: `id, text`.
pub(super) fn names_of(row: &Row) -> String {
    if row.is_empty() {
        return "no fields".into();
    }
    let names: Vec<_> = row.keys().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// A value's type for messages.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A file of the shared test data, found by `FRAGUA_SHARED` or beside the repository. `None`, with a
/// printed line, where it is absent; under `CI=true` that fails instead.
#[cfg(test)]
pub(crate) fn shared_for_tests(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FRAGUA_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is absent, and CI=true wants it",
        path.display()
    );
    println!("skipped: {} is absent (set FRAGUA_SHARED)", path.display());
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn text_is_every_text_field_in_row_order_or_the_named_ones() {
        let row = row(json!({"id": 3, "title": "B", "body": "A"}));
        assert_eq!(text_of(&row, None).unwrap(), "B\nA");
        assert_eq!(text_of(&row, Some(&["body".into()])).unwrap(), "A");
        let missing = text_of(&row, Some(&["boddy".into()])).unwrap_err().to_string();
        assert_eq!(missing, "has no field `boddy`; it has `id`, `title`, `body`");
        assert!(
            text_of(&row, Some(&["id".into()]))
                .unwrap_err()
                .to_string()
                .contains("a number")
        );
    }

    #[test]
    fn splits_come_in_their_usual_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["test", "validation", "train"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> = splits(root.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["train", "validation", "test"]);
        std::fs::write(root.path().join("test/data.jsonl"), "").unwrap();
        let part = splits(&root.path().join("test")).unwrap();
        assert_eq!(part, [(WHOLE.to_owned(), root.path().join("test"))]);
        assert!(splits(&root.path().join("train")).is_err());
    }
}
