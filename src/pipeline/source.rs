//! The texts of a pipeline: the file that was named, and what it includes.
//!
//! Places count bytes through all of them, one text after the other, so that a place says which text
//! it is in, and an order of places is an order of files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::budget::Budget;
use super::diagnostic::Position;

/// Bytes of the texts, half open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

/// All texts, in the order in which they were read.
#[derive(Debug)]
pub(super) struct Source {
    texts: RwLock<Vec<Arc<Text>>>,
    budget: Budget,
}

/// One file's.
#[derive(Debug)]
pub(super) struct Text {
    /// The file as messages name it.
    pub file: String,
    pub path: PathBuf,
    /// The folder that its paths are relative to. Nothing but its place is asked: it need not exist.
    pub folder: PathBuf,
    /// Where its first byte stands.
    pub start: usize,
    pub text: String,
    /// Where each line after the first begins: every instance has a place, so places must be quick.
    breaks: Vec<usize>,
}

impl Source {
    pub fn new(file: &Path, text: impl Into<String>) -> Arc<Self> {
        let source = Self {
            texts: RwLock::default(),
            budget: Budget::default(),
        };
        source.add(file, text);
        Arc::new(source)
    }

    /// Adds a text behind the others.
    pub fn add(&self, file: &Path, text: impl Into<String>) -> Arc<Text> {
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        // one byte between two texts, so that the end of one is not the beginning of the next
        let start = texts.last().map_or(0, |last| last.start + last.text.len() + 1);
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let text = one_line_end(text.into());
        let text = Arc::new(Text {
            file: file.display().to_string(),
            folder: absolute.parent().map(Path::to_owned).unwrap_or_default(),
            path: file.to_owned(),
            start,
            breaks: text.match_indices('\n').map(|(newline, _)| newline + 1).collect(),
            text,
        });
        texts.push(text.clone());
        text
    }

    /// The text that a byte is in.
    pub fn text_at(&self, byte: usize) -> Arc<Text> {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        let after = texts.partition_point(|text| text.start <= byte);
        texts[after.saturating_sub(1)].clone()
    }

    /// The bytes of all texts, and one between two.
    pub fn len(&self) -> usize {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.last().map_or(0, |last| last.start + last.text.len())
    }

    /// What the file may still come to.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Every text, the named file's first.
    pub fn texts(&self) -> Vec<Arc<Text>> {
        self.texts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn position(&self, byte: usize) -> Position {
        self.text_at(byte).position(byte)
    }
}

/// A `\r` that ends a line by itself, as YAML and old systems have it, becomes a `\n`: as many bytes,
/// and whatever counts lines counts the same.
fn one_line_end(text: String) -> String {
    let alone = |(at, _): &(usize, &str)| text.as_bytes().get(at + 1) != Some(&b'\n');
    let places: Vec<usize> = text.match_indices('\r').filter(alone).map(|(at, _)| at).collect();
    if places.is_empty() {
        return text;
    }
    let mut places = places.into_iter().peekable();
    text.char_indices()
        .map(|(at, character)| {
            if places.next_if_eq(&at).is_some() {
                '\n'
            } else {
                character
            }
        })
        .collect()
}

impl Text {
    pub fn position(&self, byte: usize) -> Position {
        let before = self.text.get(..byte - self.start).unwrap_or(&self.text);
        let line = self.breaks.partition_point(|start| *start <= before.len());
        let line_start = line.checked_sub(1).map_or(0, |last| self.breaks[last]);
        Position {
            line: line + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// What a span covers; nothing where it is not within the text.
    pub fn slice(&self, span: Span) -> &str {
        let range = span.start.checked_sub(self.start).zip(span.end.checked_sub(self.start));
        range
            .and_then(|(start, end)| self.text.get(start..end))
            .unwrap_or_default()
    }

    /// The line that a byte is in.
    pub fn line_at(&self, byte: usize) -> &str {
        let at = byte.saturating_sub(self.start).min(self.text.len());
        let (before, after) = self.text.as_bytes().split_at(at);
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let end = after
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.text.len(), |newline| at + newline);
        self.text.get(start..end).unwrap_or_default()
    }

    /// A span of this text as one of all texts.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span {
            start: self.start + start,
            end: self.start + end.max(start),
        }
    }

    /// Where its text begins.
    pub fn beginning(&self) -> Span {
        self.span(0, 0)
    }

    /// Whether a span is in it.
    pub fn holds(&self, span: Span) -> bool {
        (self.start..=self.start + self.text.len()).contains(&span.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_their_text() {
        let source = Source::new(Path::new("a.yaml"), "one\ntwo");
        let text = source.add(Path::new("b.yaml"), "ñ: 1\nzwei: x");
        assert_eq!(source.text_at(7).file, "a.yaml");
        assert_eq!(source.text_at(8).file, "b.yaml");
        assert_eq!(source.text_at(9999).file, "b.yaml");
        let span = text.span(6, 10);
        assert_eq!(source.text_at(span.start).slice(span), "zwei");
        assert_eq!(source.position(span.start), Position { line: 2, column: 1 });
        assert_eq!(source.position(text.start + 4), Position { line: 1, column: 4 });
        assert!(text.holds(span) && !source.text_at(0).holds(span));
    }

    #[test]
    fn columns_count_characters() {
        let text = "uno: 1\nñandú: dos\n";
        let source = Source::new(Path::new("a.yaml"), text);
        let byte = text.find("dos").expect("is there");
        assert_eq!(source.position(byte), Position { line: 2, column: 8 });
        assert_eq!(source.position(9999).line, 3);
    }
}
