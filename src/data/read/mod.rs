//! Files into rows: one file a format. One whose name ends in `.gz` is read as what it holds.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, Row};

mod csv;
mod json;
pub(super) mod jsonl;
mod parallel;
mod source;
mod text;

pub(in crate::data) use json::StrictRow;
pub use parallel::{Aligned, parallel};
pub use text::Unit;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line (`.jsonl`, `.ndjson`). Empty lines hold no row.
    Jsonl,
    /// A JSON list of objects (`.json`).
    Json,
    /// Comma-separated values with a header; every value is text (`.csv`).
    Csv,
    /// Tab-separated values with a header; every value is text (`.tsv`).
    Tsv,
    /// Plain text into the field `text` (`.txt`, `.text`, `.md`).
    Text,
}

/// Each format and the file extensions that mean it.
const EXTENSIONS: &[(Format, &[&str])] = &[
    (Format::Jsonl, &["jsonl", "ndjson"]),
    (Format::Json, &["json"]),
    (Format::Csv, &["csv"]),
    (Format::Tsv, &["tsv"]),
    (Format::Text, &["txt", "text", "md"]),
];

impl Format {
    /// The format that a file's extension means.
    ///
    /// # Errors
    /// An extension that means none.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let name = source::uncompressed_name(path).map(Path::new);
        let extension = name
            .unwrap_or(path)
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let lower = extension.to_ascii_lowercase();
        let known = EXTENSIONS.iter().find(|(_, names)| names.contains(&lower.as_str()));
        known.map(|(format, _)| *format).ok_or_else(|| {
            let names: Vec<_> = EXTENSIONS
                .iter()
                .flat_map(|(_, names)| *names)
                .map(|name| format!(".{name}"))
                .collect();
            DataError::file(
                path,
                format!(
                    "the format is not known by its extension ({}, each with .gz as well); say `format:`",
                    names.join(", ")
                ),
            )
        })
    }

    /// The rows of a file. A byte order mark is skipped, and CRLF ends a line as LF does.
    ///
    /// # Errors
    /// A file that cannot be read or is not UTF-8, and every row that is not what the format says,
    /// with its line.
    pub fn read(self, path: &Path, unit: Unit) -> Result<Vec<Row>, DataError> {
        match self {
            Self::Jsonl => jsonl::read(path),
            Self::Json => json::read(path),
            Self::Csv => csv::read(path, b','),
            Self::Tsv => csv::read(path, b'\t'),
            Self::Text => text::read(path, unit),
        }
    }
}
