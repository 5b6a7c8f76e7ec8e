//! JSON lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
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
        rows.push(row(path, number, line)?);
    }
    Ok(rows)
}

/// The same of a file that is not compressed, line by line: it need not fit in memory.
pub(in crate::data) fn each(path: &Path) -> Result<impl Iterator<Item = Result<Row, DataError>> + use<>, DataError> {
    let mut file = BufReader::new(File::open(path).map_err(DataError::io(path))?);
    let path = path.to_owned();
    let mut number = 0;
    let mut line = Vec::new();
    Ok(std::iter::from_fn(move || {
        loop {
            line.clear();
            number += 1;
            match file.read_until(b'\n', &mut line).map_err(DataError::io(&path)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let Ok(text) = std::str::from_utf8(&line) else {
                return Some(Err(DataError::row(&path, number, "is not UTF-8".to_owned())));
            };
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() {
                return Some(row(&path, number, text));
            }
        }
    }))
}

fn row(path: &Path, number: u64, line: &str) -> Result<Row, DataError> {
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
    Ok(row)
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
    fn line_by_line_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        for text in [
            "",
            "\u{feff}{\"b\": 1}\r\n\r\n{\"b\": \"ñ\\n\"}\n\n",
            "{\"a\": 1}\n{\"a\": [2]}",
        ] {
            std::fs::write(&path, text).unwrap();
            let rows: Result<Vec<_>, _> = each(&path).unwrap().collect();
            assert_eq!(rows.unwrap(), read(&path).unwrap());
        }
        std::fs::write(&path, b"{\"a\": 1}\n{\"a\": \"\xff\"}\n").unwrap();
        let wrong = each(&path).unwrap().nth(1).unwrap();
        assert!(matches!(wrong, Err(DataError::Row { line: 2, .. })));
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
