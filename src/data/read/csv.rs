//! Comma- and tab-separated values with a header (RFC 4180).

use std::path::Path;

use serde_json::Value;

use super::source;
use crate::data::{DataError, Row};

/// The rows of a file with a header line; every value is text, as the file has it.
pub(super) fn read(path: &Path, delimiter: u8) -> Result<Vec<Row>, DataError> {
    let text = source::text(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let names: Vec<String> = reader
        .headers()
        .map_err(|error| bad(path, &error))?
        .iter()
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(DataError::row(
            path,
            1,
            "has no header line with the names of the fields",
        ));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(DataError::row(path, 1, format!("column {} has no name", index + 1)));
        }
        if names[..index].contains(name) {
            return Err(DataError::row(path, 1, format!("two columns are named `{name}`")));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| bad(path, &error))?;
        let values = record.iter().map(|value| Value::String(value.to_owned()));
        rows.push(names.iter().cloned().zip(values).collect());
    }
    Ok(rows)
}

fn bad(path: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => DataError::row(
            path,
            line,
            format!("has {len} values where the header has {expected_len} names"),
        ),
        _ => DataError::row(path, line, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Row>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, b',')
    }

    #[test]
    fn values_with_quotes_commas_and_newlines() {
        let rows = read_text("\u{feff}id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\r\n").unwrap();
        assert_eq!(rows[0]["id"], "1");
        assert_eq!(rows[0]["text"], "a, \"b\"\nc");
        assert_eq!(rows[1]["text"], "");
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let error = read_text("a,b\n1,2\n3\n").unwrap_err();
        assert!(matches!(error, DataError::Row { line: 3, .. }), "{error}");
        assert!(error.to_string().contains("has 1 values where the header has 2 names"));
        assert!(read_text("a,a\n1,2\n").unwrap_err().to_string().contains("two columns"));
        assert!(read_text("").is_err());
    }
}
