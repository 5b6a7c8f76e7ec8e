//! What is wrong with a file, where, and what to do: for people with the source line, for programs
//! as JSON.

mod list;
mod render;

pub use list::Diagnostics;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::source::{Source, Span};
use crate::step::Kind;

/// A place in a text: both count from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Source {
    /// A problem at a place of this text.
    pub fn error(self: &Arc<Self>, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            class: Class::Relation,
            file: self.text_at(span.start).file.clone(),
            at: self.position(span.start),
            message: shortened(message.into()),
            help: None,
            docs: None,
            span,
            labels: Vec::new(),
            source: Some(self.clone()),
            alias: None,
            hidden: false,
        }
    }

    pub fn warning(self: &Arc<Self>, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..self.error(span, message)
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What sort of problem it is: what a program can go by, where words may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The text is not a YAML document that is read: its encoding, size, depth, or a key twice.
    Syntax,
    /// A key or a value is not what the JSON Schema says: an editor with the schema finds the same.
    Shape,
    /// A whole number is written with a point, which JSON Schema takes for the same number.
    Notation,
    /// Parts of the file do not go together: parameters, axes, steps that read each other.
    Relation,
    /// A kind's own word on its settings: choices that exclude each other, files that are not there.
    Kind,
}

impl Class {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Shape => "shape",
            Self::Notation => "notation",
            Self::Relation => "relation",
            Self::Kind => "kind",
        }
    }
}

/// One thing wrong with a pipeline file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of problem it is.
    pub class: Class,
    /// The file as it was named.
    pub file: String,
    /// Where: 1:1 for the file as a whole.
    pub at: Position,
    /// The fact.
    pub message: String,
    /// The next move.
    pub help: Option<String>,
    /// The page about the kind that it is about: `docs/steps/pretrain.md`. A path in the project and
    /// no address, so that it is the page of this version, offline too; `fragua schema --markdown
    /// pretrain` prints the same from the program alone.
    pub docs: Option<String>,
    span: Span,
    labels: Vec<(Span, String)>,
    source: Option<Arc<Source>>,
    alias: Option<Span>,
    /// Whether its lines are not shown.
    hidden: bool,
}

impl Diagnostic {
    /// A problem of the file as a whole: it cannot be read.
    pub(super) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            class: Class::Syntax,
            file: file.display().to_string(),
            at: Position { line: 1, column: 1 },
            message: shortened(message.into()),
            help: None,
            docs: None,
            span: Span::default(),
            labels: Vec::new(),
            source: None,
            alias: None,
            hidden: false,
        }
    }

    /// The same at another place of a file whose text there is not.
    pub(super) fn at(mut self, at: Position) -> Self {
        self.at = at;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(shortened(help.into()));
        self
    }

    pub(super) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    pub(super) fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Names the page about the kind whose settings it is about.
    pub(super) fn about(mut self, kind: Option<&Kind>) -> Self {
        self.docs = kind.map(|kind| format!("docs/steps/{}.md", kind.name)).or(self.docs);
        self
    }

    /// A second place that belongs to the problem.
    pub(super) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, shortened(text.into())));
        self
    }

    /// The same without the line that it stands in: there may be a secret in it.
    pub(super) fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The alias by which the value came to stand where it is wrong.
    pub(super) fn alias(mut self, alias: Option<Span>) -> Self {
        self.alias = alias.or(self.alias);
        self
    }

    fn to_json(&self) -> Value {
        let end = |span: Span| {
            let source = self.source.as_ref()?;
            Some(source.text_at(span.start).position(span.end.max(span.start)))
        };
        let place = |span: Span, at: Position, file: &str, message: &str| {
            let end = end(span).unwrap_or(at);
            json!({
                "file": file, "line": at.line, "column": at.column,
                "end_line": end.line, "end_column": end.column, "message": message,
            })
        };
        let notes = self.labels.iter().filter_map(|(span, text)| {
            let source = self.source.as_ref()?;
            Some(place(
                *span,
                source.position(span.start),
                &source.text_at(span.start).file,
                text,
            ))
        });
        let notes: Vec<Value> = notes.collect();
        let mut value = place(self.span, self.at, &self.file, &self.message);
        value["help"] = json!(self.help);
        value["severity"] = json!(self.severity.name());
        value["class"] = json!(self.class.name());
        value["notes"] = json!(notes);
        value["docs"] = json!(self.docs);
        value
    }
}

/// A sentence of bounded length, whatever the file has for a name.
fn shortened(text: String) -> String {
    const LONGEST: usize = 800;
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `lab.yaml:14:12: step ..: no such step; did you mean `base`?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.at.line, self.at.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_documented_fields_and_more() {
        let source = Source::new(Path::new("a.yaml"), "a: 1\nb: 2\n");
        let problem = source
            .error(Span { start: 3, end: 4 }, "no")
            .help("do")
            .label(Span { start: 5, end: 6 }, "here");
        assert_eq!(problem.to_string(), "a.yaml:1:4: no; do");
        assert_eq!(
            Diagnostics::sorted(vec![problem]).to_json(),
            json!({"errors": [{
                "file": "a.yaml", "line": 1, "column": 4, "end_line": 1, "end_column": 5, "message": "no", "help": "do",
                "severity": "error", "class": "relation", "docs": null,
                "notes": [{
                    "file": "a.yaml", "line": 2, "column": 1, "end_line": 2, "end_column": 2, "message": "here",
                }],
            }]})
        );
    }

    #[test]
    fn messages_are_bounded() {
        let source = Source::new(Path::new("a.yaml"), "a: 1\n");
        let problem = source
            .error(Span::default(), "ñ".repeat(100_000))
            .help("x".repeat(100_000));
        assert!(problem.to_string().len() < 4000);
    }
}
