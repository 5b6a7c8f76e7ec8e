//! Texts to score from files that no pipeline made: plain text with a segment a line, JSON lines, CSV.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::samples::Row;
use super::text::strip_end;

/// What can be wrong with a file of segments.
#[derive(Debug, thiserror::Error)]
pub enum SegmentsError {
    /// It cannot be read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{name}:{line}: {what}")]
    Line {
        /// The file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and the next move.
        what: String,
    },
}

/// How segments are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A segment a line.
    Text,
    /// A JSON object a line.
    Jsonl,
    /// Rows under a header.
    Csv,
}

impl Layout {
    /// By a file's name; plain text unless it ends in `.jsonl`, `.ndjson` or `.csv`.
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            _ => Self::Text,
        }
    }
}

/// Fields that hold what a system wrote, where none is named; the first that a row has.
pub const OUTPUT_FIELDS: &[&str] = &["output", "prediction", "hypothesis", "generated", "response", "text"];

/// Fields that hold what is right, where none is named; the first that a row has.
pub const REFERENCE_FIELDS: &[&str] = &["references", "reference", "target", "answer", "summary", "text"];

/// One segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its text; of references, all that the field lists.
    pub texts: Vec<String>,
    /// The row that it stands in; empty for plain text.
    pub row: Row,
}

/// The segments of a file, read as they are asked for.
pub struct Segments {
    name: String,
    source: Source,
    /// The field that holds the text, once it is known.
    field: Option<String>,
    candidates: &'static [&'static str],
    line: usize,
}

enum Source {
    Text(Box<dyn BufRead + Send>),
    Jsonl(Box<dyn BufRead + Send>),
    Csv(Vec<String>, Box<csv::Reader<Box<dyn BufRead + Send>>>),
}

impl Segments {
    /// Opens a file, or standard input for `-`. Without `field` the first of `candidates` that the
    /// first row has is read.
    ///
    /// # Errors
    /// When it cannot be read, or a CSV file has no header.
    pub fn open(
        path: &Path,
        layout: Option<Layout>,
        field: Option<&str>,
        candidates: &'static [&'static str],
    ) -> Result<Self, SegmentsError> {
        let (name, input): (String, Box<dyn BufRead + Send>) = if path == Path::new("-") {
            (
                "standard input".to_owned(),
                Box::new(std::io::BufReader::new(std::io::stdin())),
            )
        } else {
            let name = path.display().to_string();
            let file = std::fs::File::open(path).map_err(|source| SegmentsError::Read {
                name: name.clone(),
                source,
            })?;
            (name, Box::new(std::io::BufReader::with_capacity(1 << 18, file)))
        };
        let source = match layout.unwrap_or_else(|| Layout::of(path)) {
            Layout::Text => Source::Text(input),
            Layout::Jsonl => Source::Jsonl(input),
            Layout::Csv => {
                let mut reader = csv::ReaderBuilder::new().from_reader(input);
                let header = reader.headers().map_err(|error| SegmentsError::Line {
                    name: name.clone(),
                    line: 1,
                    what: error.to_string(),
                })?;
                let header = header.iter().map(str::to_owned).collect();
                Source::Csv(header, Box::new(reader))
            }
        };
        Ok(Self {
            name,
            source,
            field: field.map(str::to_owned),
            candidates,
            line: 0,
        })
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many segments were read.
    pub fn read(&self) -> usize {
        self.line
    }

    /// The next segments, at most `most`; fewer at the end only.
    ///
    /// # Errors
    /// A line that cannot be read or is not what it should be.
    pub fn batch(&mut self, most: usize) -> Result<Vec<Segment>, SegmentsError> {
        let mut segments = Vec::new();
        while segments.len() < most {
            let Some(segment) = self.next_segment()? else { break };
            segments.push(segment);
        }
        Ok(segments)
    }

    fn next_segment(&mut self) -> Result<Option<Segment>, SegmentsError> {
        let row: Row = match &mut self.source {
            Source::Text(input) => {
                let Some(text) = next_line(input.as_mut(), &self.name, self.line)? else {
                    return Ok(None);
                };
                self.line += 1;
                return Ok(Some(Segment {
                    texts: vec![strip_end(&text).to_owned()],
                    row: Row::new(),
                }));
            }
            Source::Jsonl(input) => {
                let Some(text) = next_line(input.as_mut(), &self.name, self.line)? else {
                    return Ok(None);
                };
                self.line += 1;
                serde_json::from_str(&text).map_err(|error| self.wrong(format!("not a JSON object: {error}")))?
            }
            Source::Csv(header, reader) => {
                let mut record = csv::StringRecord::new();
                let more = reader.read_record(&mut record);
                self.line += 1;
                match more {
                    Err(error) => return Err(self.wrong(error.to_string())),
                    Ok(false) => {
                        self.line -= 1;
                        return Ok(None);
                    }
                    Ok(true) => {}
                }
                let values = record.iter().map(|value| Value::String(value.to_owned()));
                header.iter().cloned().zip(values).collect()
            }
        };
        let texts = self.texts(&row)?;
        Ok(Some(Segment { texts, row }))
    }

    /// The texts that a row's field holds.
    fn texts(&mut self, row: &Row) -> Result<Vec<String>, SegmentsError> {
        let known = || {
            row.keys()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let field = match &self.field {
            Some(field) => field.clone(),
            None => {
                let found = self.candidates.iter().find(|name| row.contains_key(**name));
                let field = found.ok_or_else(|| {
                    let tried = self.candidates.join(", ");
                    self.wrong(format!(
                        "none of the fields {tried} is there, but {}: name one with --field or --reference-field",
                        known()
                    ))
                })?;
                self.field = Some((*field).to_owned());
                (*field).to_owned()
            }
        };
        let not_text = || self.wrong(format!("field `{field}` is neither a text nor a list of texts"));
        match row.get(&field) {
            None => Err(self.wrong(format!("there is no field `{field}`; the row has {}", known()))),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(texts)) => {
                let text = |text: &Value| text.as_str().map(str::to_owned).ok_or_else(not_text);
                texts.iter().map(text).collect()
            }
            Some(_) => Err(not_text()),
        }
    }

    fn wrong(&self, what: String) -> SegmentsError {
        SegmentsError::Line {
            name: self.name.clone(),
            line: self.line,
            what,
        }
    }
}

/// The next line without its end; lines end with a line feed and nothing else, as for sacreBLEU.
fn next_line(input: &mut dyn BufRead, name: &str, before: usize) -> Result<Option<String>, SegmentsError> {
    let mut line = Vec::new();
    let read = input
        .read_until(b'\n', &mut line)
        .map_err(|source| SegmentsError::Read {
            name: name.to_owned(),
            source,
        })?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| SegmentsError::Line {
        name: name.to_owned(),
        line: before + 1,
        what: "not UTF-8: convert the file, for example with `iconv`".to_owned(),
    })
}

/// A system's name: its file's, without folder and ending.
pub fn system_name(path: &Path) -> String {
    if path == Path::new("-") {
        return "-".to_owned();
    }
    path.file_stem()
        .map_or_else(|| PathBuf::from(path), PathBuf::from)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, text: &[u8], field: Option<&str>) -> Result<Vec<Vec<String>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut segments = Segments::open(&path, None, field, REFERENCE_FIELDS).map_err(|error| error.to_string())?;
        let read = segments.batch(100).map_err(|error| error.to_string())?;
        Ok(read.into_iter().map(|segment| segment.texts).collect())
    }

    #[test]
    fn the_three_layouts_read_alike() {
        let expected = vec![vec!["uno, dos".to_owned()], vec!["tres".to_owned()]];
        assert_eq!(all("a.txt", "uno, dos \r\ntres".as_bytes(), None).unwrap(), expected);
        assert_eq!(
            all("a.csv", b"id,text\n1,\"uno, dos\"\n2,tres\n", None).unwrap(),
            expected
        );
        assert_eq!(
            all("a.jsonl", b"{\"target\": \"uno, dos\"}\n{\"target\": \"tres\"}\n", None).unwrap(),
            expected
        );
        assert_eq!(
            all("a.jsonl", b"{\"x\": [\"a\", \"b\"]}", Some("x")).unwrap(),
            [["a", "b"]]
        );
        assert!(all("a.txt", b"", None).unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        assert!(
            all("a.txt", b"fine\n\xff\n", None)
                .unwrap_err()
                .contains("a.txt:2: not UTF-8")
        );
        assert!(all("a.jsonl", b"{\"y\": 1}\n", None).unwrap_err().contains("but `y`"));
        assert!(
            all("a.jsonl", b"{\"text\": 1}\n", None)
                .unwrap_err()
                .contains("neither a text")
        );
        assert!(all("a.csv", b"a,b\n1\n", Some("a")).unwrap_err().contains(":1: "));
    }
}
