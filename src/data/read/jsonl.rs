//! JSON lines.

use std::path::Path;

use super::json::StrictRow;
use super::source;
use crate::data::{DataError, Row};

/// The rows of a file with one JSON object a line.
pub(in crate::data) fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let text = source::text(path)?;
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue; // an empty line (such as a second one at the end) holds no row
        }
        let StrictRow(row) = serde_json::from_str(line).map_err(|error| {
            let fact = error.to_string();
            let fact = fact
                .strip_suffix(&format!(" at line 1 column {}", error.column()))
                .unwrap_or(&fact);
            DataError::row(
                path,
                number,
                format!("not a JSON object: {fact} (column {})", error.column()),
            )
        })?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Row>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn order_marks_line_ends_and_empty_lines() {
        let rows = read_text("\u{feff}{\"b\": 1, \"a\": \"é\"}\r\n\r\n{\"b\": 2}\n\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].keys().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        for (text, line, part) in [
            ("{\"a\": 1}\n[1]\n", 2, "expected an object"),
            ("{\"a\": 1}\n\n{\"a\": 1\n", 3, "not a JSON object"),
            ("{\"a\": 1, \"a\": 2}\n", 1, "field `a` is there twice"),
            ("{\"a\": 1} {\"a\": 2}\n", 1, "trailing characters"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(
                matches!(&error, DataError::Row { line: found, .. } if *found == line),
                "{error}"
            );
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_named_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, b"{\"a\": 1}\n{\"a\": \"\xff\"}\n").unwrap();
        assert!(matches!(read(&path), Err(DataError::Row { line: 2, .. })));
    }
}
