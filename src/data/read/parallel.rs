//! Files that are aligned by line: the same text in two languages, a line each.

use std::path::PathBuf;

use serde_json::Value;

use super::source;
use crate::data::{DataError, Row};

/// Rows of files that are aligned by line.
#[derive(Debug, Default)]
pub struct Aligned {
    /// One for each line, with a field for each text.
    pub rows: Vec<Row>,
    /// Lines that are blank in one of the texts, and so no rows.
    pub blank: usize,
}

/// Reads texts that are aligned by line: each by the name of its field, with its files in order. The
/// line is the row; one that is blank in any of the texts is counted and left out.
///
/// # Errors
/// A file that cannot be read or is not UTF-8; texts of different lengths, which are not aligned; and
/// no text at all.
pub fn parallel(texts: &[(&str, Vec<PathBuf>)]) -> Result<Aligned, DataError> {
    let mut columns: Vec<(&str, Vec<String>)> = Vec::with_capacity(texts.len());
    for (field, files) in texts {
        let mut lines = Vec::new();
        for file in files {
            lines.extend(source::text(file)?.lines().map(str::to_owned));
        }
        if let Some((first, before)) = columns.first()
            && before.len() != lines.len()
        {
            return Err(DataError::Unfit(format!(
                "`{first}` has {} lines and `{field}` {}: they are not aligned ({} and {})",
                before.len(),
                lines.len(),
                listed(&texts[0].1),
                listed(files),
            )));
        }
        columns.push((field, lines));
    }
    let lines = columns.first().map_or(0, |(_, lines)| lines.len());
    let mut aligned = Aligned::default();
    let mut columns: Vec<_> = columns
        .into_iter()
        .map(|(field, lines)| (field, lines.into_iter()))
        .collect();
    for _ in 0..lines {
        let mut row = Row::new();
        for (field, lines) in &mut columns {
            let line = lines.next().expect("all texts have as many lines");
            row.insert((*field).to_owned(), Value::String(line));
        }
        let blank = |value: &Value| value.as_str().is_some_and(|line| line.trim().is_empty());
        if row.values().any(blank) {
            aligned.blank += 1;
        } else {
            aligned.rows.push(row);
        }
    }
    Ok(aligned)
}

fn listed(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gzip::Compressor;
    use std::io::Write;

    #[test]
    fn lines_are_rows_compressed_or_not_and_in_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut packed = Compressor::new(Vec::new()).unwrap();
        packed.write_all("the dog\n\nthe cat\n".as_bytes()).unwrap();
        std::fs::write(path("a.en.gz"), packed.finish().unwrap()).unwrap();
        std::fs::write(path("1.es"), "\u{feff}el perro\r\nnada\r\n").unwrap();
        std::fs::write(path("2.es"), "el gato").unwrap();
        let read = |es: Vec<PathBuf>| parallel(&[("en", vec![path("a.en.gz")]), ("es", es)]);
        let aligned = read(vec![path("1.es"), path("2.es")]).unwrap();
        assert_eq!(aligned.blank, 1);
        assert_eq!(
            serde_json::to_string(&aligned.rows).unwrap(),
            r#"[{"en":"the dog","es":"el perro"},{"en":"the cat","es":"el gato"}]"#
        );
        let error = read(vec![path("1.es")]).unwrap_err().to_string();
        assert!(error.contains("`en` has 3 lines and `es` 2"), "{error}");
        std::fs::write(path("a.en.gz"), "the dog and the cat").unwrap();
        let error = read(vec![path("1.es")]).unwrap_err().to_string();
        assert!(error.contains("a.en.gz: is not in gzip's form"), "{error}");
    }
}
