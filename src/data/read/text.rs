//! Plain text into the field `text`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source;
use crate::data::{DataError, Row};

/// What becomes one row of a text file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// The whole file.
    #[default]
    File,
    /// Each line that is not blank.
    Line,
    /// Each run of lines that are not blank.
    Paragraph,
}

/// The rows of a text file. Line ends become `\n`; a whole file otherwise stays as it is.
pub(super) fn read(path: &Path, unit: Unit) -> Result<Vec<Row>, DataError> {
    let text = source::text(path)?.replace("\r\n", "\n");
    let texts: Vec<String> = match unit {
        Unit::File => vec![text],
        Unit::Line => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(str::to_owned)
            .collect(),
        Unit::Paragraph => paragraphs(&text),
    };
    if texts.iter().all(String::is_empty) {
        return Err(DataError::file(path, "holds no text"));
    }
    let row = |text| Row::from_iter([("text".to_owned(), Value::String(text))]);
    Ok(texts.into_iter().map(row).collect())
}

fn paragraphs(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            lines.push(line);
        } else if !lines.is_empty() {
            found.push(lines.join("\n"));
            lines.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lines_and_paragraphs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        std::fs::write(&path, "\u{feff}one\r\ntwo\r\n \r\n\r\nthree\n").unwrap();
        let texts = |unit| -> Vec<String> {
            let rows = read(&path, unit).unwrap();
            rows.iter()
                .map(|row| row["text"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(texts(Unit::File), ["one\ntwo\n \n\nthree\n"]);
        assert_eq!(texts(Unit::Line), ["one", "two", "three"]);
        assert_eq!(texts(Unit::Paragraph), ["one\ntwo", "three"]);
        std::fs::write(&path, "\n\n").unwrap();
        assert!(read(&path, Unit::Line).is_err());
    }
}
