//! What is wrong with a file, where, and what to do: for people with the source line, for programs
//! as JSON.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::source::{Source, Span, Text};

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
            message: message.into(),
            help: None,
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
            message: message.into(),
            help: None,
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
        self.help = Some(help.into());
        self
    }

    pub(super) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    pub(super) fn class(mut self, class: Class) -> Self {
        self.class = class;
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

    /// A second place that belongs to the problem.
    pub(super) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// The message with its source line and a caret, for people.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()));
        group = match self.source.as_ref().filter(|_| !self.hidden) {
            Some(source) => self.snippets(source, group),
            None if self.hidden => group.element(
                Origin::path(self.file.as_str())
                    .line(self.at.line)
                    .char_column(self.at.column),
            ),
            None => group.element(Origin::path(self.file.as_str())),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The lines that it is about: those of its own file first, then those of others.
    fn snippets<'a>(&'a self, source: &Source, mut group: Group<'a>) -> Group<'a> {
        let own = source.text_at(self.span.start);
        let others = source.texts().into_iter().filter(|text| text.start != own.start);
        for text in std::iter::once(own.clone()).chain(others) {
            let labels: Vec<_> = self.labels.iter().filter(|(span, _)| text.holds(*span)).collect();
            if text.start != own.start && labels.is_empty() {
                continue;
            }
            // tabs and control characters are shown by annotate-snippets as visible symbols
            let mut snippet = Snippet::source(text.text.clone()).path(text.file.clone());
            if text.start == own.start {
                snippet = snippet.annotation(AnnotationKind::Primary.span(visible(&text, self.span)));
            }
            for (span, label) in labels {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(visible(&text, *span))
                        .label(label.as_str()),
                );
            }
            group = group.element(snippet);
        }
        group
    }

    fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.at.line,
            "column": self.at.column,
            "message": self.message,
            "help": self.help,
        })
    }
}

/// A caret needs a place: the first line of a span, at least one byte where there is one.
fn visible(text: &Text, span: Span) -> std::ops::Range<usize> {
    let (offset, text) = (text.start, &text.text);
    let start = span.start.saturating_sub(offset).min(text.len());
    let end = span.end.saturating_sub(offset).clamp(start, text.len());
    let first_line = text[start..end]
        .find(['\n', '\r'])
        .map_or(end, |newline| start + newline);
    let end = start + text[start..first_line].trim_end().len();
    start..end
}

/// A message without the names of steps in it.
fn without_step(message: &str) -> String {
    let mut parts = message.split("step `");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("step `");
        plain.push_str(part.split_once('`').map_or(part, |(_, rest)| rest));
    }
    plain
}

impl fmt::Display for Diagnostic {
    /// One line: `lab.yaml:14:12: step ..: no such step; did you mean `base`?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.at.line, self.at.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// All problems of a file, in file order. Never empty as an error.
#[derive(Clone, Debug)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// In file order, each once: a matrix finds the same problem many times.
    ///
    /// A value that YAML aliases repeat is one mistake however many steps it is in: the first names it,
    /// with a note at each of the others. Where a secret may stand in a line, no lines are shown.
    pub(super) fn sorted(mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|one| (one.span.start, one.span.end));
        let secret = list.iter().any(|one| one.hidden);
        let mut told = HashSet::new();
        let mut first: HashMap<_, usize> = HashMap::new();
        let mut kept: Vec<Diagnostic> = Vec::with_capacity(list.len());
        for one in list {
            if !told.insert((one.span, one.severity, one.message.clone())) {
                continue;
            }
            let mistake = (one.span, one.severity, without_step(&one.message));
            match (one.alias, first.get(&mistake)) {
                (Some(alias), Some(earlier)) => kept[*earlier].labels.push((alias, "used here too".into())),
                _ => {
                    first.entry(mistake).or_insert(kept.len());
                    kept.push(one);
                }
            }
        }
        if secret {
            kept = kept.into_iter().map(Diagnostic::hidden).collect();
        }
        Self(kept)
    }

    /// All of them for people, with source lines; colour only when asked for.
    pub fn render(&self, colour: bool) -> String {
        let rendered: Vec<_> = self.0.iter().map(|diagnostic| diagnostic.render(colour)).collect();
        rendered.join("\n\n")
    }

    /// `{"errors": [{"file", "line", "column", "message", "help"}]}`
    pub fn to_json(&self) -> Value {
        json!({ "errors": self.0.iter().map(Diagnostic::to_json).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_renders() {
        let text = "a: ñ\r\n\tb: \"x\u{7}\"\n";
        let source = Source::new(Path::new("a.yaml"), text);
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let inside = |byte: usize| byte > text.len() || text.is_char_boundary(byte);
                if inside(start) && inside(end) {
                    let rendered = source.error(Span { start, end }, "wrong").render(false);
                    assert!(rendered.contains("a.yaml:"), "{rendered}");
                }
            }
        }
    }

    #[test]
    fn json_is_the_design_s() {
        let source = Source::new(Path::new("a.yaml"), "a: 1\n");
        let list = Diagnostics::sorted(vec![source.error(Span { start: 3, end: 4 }, "no").help("do")]);
        assert_eq!(
            list.to_json(),
            json!({"errors": [{"file": "a.yaml", "line": 1, "column": 4, "message": "no", "help": "do"}]})
        );
        assert_eq!(list.0[0].to_string(), "a.yaml:1:4: no; do");
    }
}
