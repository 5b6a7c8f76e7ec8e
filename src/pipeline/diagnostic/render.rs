//! A problem for people: the message, the source lines with carets, the next move.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Severity};
use crate::pipeline::source::{Source, Span, Text};

/// A longer line is not shown: nobody finds a caret in it.
const LONGEST_LINE: usize = 2000;

impl Diagnostic {
    /// The message with its source line and a caret, for people.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()));
        group = match self.source.as_ref().filter(|_| !self.hidden) {
            Some(source) => self.snippets(source, group),
            None => {
                let origin = Origin::path(self.file.as_str()).line(self.at.line);
                group.element(origin.char_column(self.at.column))
            }
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        if let Some(docs) = &self.docs {
            group = group.element(Level::NOTE.message(docs.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The lines that it is about: those of its own file first, then those of others.
    fn snippets<'a>(&'a self, source: &Source, mut group: Group<'a>) -> Group<'a> {
        let own = source.text_at(self.span.start);
        if own.line_at(self.span.start).len() > LONGEST_LINE {
            let origin = Origin::path(self.file.as_str()).line(self.at.line);
            return group.element(origin.char_column(self.at.column));
        }
        let others = source.texts().into_iter().filter(|text| text.start != own.start);
        for text in std::iter::once(own.clone()).chain(others) {
            let mut marks: Vec<(Range<usize>, Option<&str>)> = Vec::new();
            if text.start == own.start {
                marks.push((visible(&text, self.span), None));
            }
            let short = |span: &Span| text.line_at(span.start).len() <= LONGEST_LINE;
            let labels = self.labels.iter().filter(|(span, _)| text.holds(*span) && short(span));
            marks.extend(labels.map(|(span, label)| (visible(&text, *span), Some(label.as_str()))));
            if !marks.is_empty() {
                group = group.element(snippet(&text, &marks));
            }
        }
        group
    }
}

/// The lines of a text from the first to the last mark: the rest of a long file is not looked at.
fn snippet<'a>(
    text: &Text,
    marks: &[(Range<usize>, Option<&'a str>)],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let all = &text.text;
    let first = marks.iter().map(|(range, _)| range.start).min().unwrap_or(0);
    let last = marks.iter().map(|(range, _)| range.end).max().unwrap_or(first);
    let from = all[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let to = all[last..].find('\n').map_or(all.len(), |newline| last + newline + 1);
    // tabs and control characters are shown by annotate-snippets as visible symbols
    let mut snippet = Snippet::source(all[from..to].to_owned())
        .path(text.file.clone())
        .line_start(text.position(text.start + from).line);
    for (range, label) in marks {
        let range = range.start - from..range.end - from;
        snippet = snippet.annotation(match label {
            None => AnnotationKind::Primary.span(range),
            Some(label) => AnnotationKind::Context.span(range).label(*label),
        });
    }
    snippet
}

/// A caret needs a place: the first line of a span, at least one byte where there is one.
fn visible(text: &Text, span: Span) -> Range<usize> {
    let (offset, text) = (text.start, &text.text);
    let start = span.start.saturating_sub(offset).min(text.len());
    let end = span.end.saturating_sub(offset).clamp(start, text.len());
    let first_line = text[start..end]
        .find(['\n', '\r'])
        .map_or(end, |newline| start + newline);
    let end = start + text[start..first_line].trim_end().len();
    start..end
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_span_renders() {
        let text = "a: ñ\r\n\tb: \"x\u{7}\"\n";
        let source = Source::new(Path::new("a.yaml"), text);
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let inside = |byte: usize| byte > text.len() || text.is_char_boundary(byte);
                if inside(start) && inside(end) {
                    let problem = source.error(Span { start, end }, "wrong");
                    let problem = problem.label(Span { start: 0, end: 1 }, "there");
                    let rendered = problem.render(false);
                    assert!(rendered.contains("a.yaml:"), "{rendered}");
                }
            }
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "a: 1\n".repeat(20_000);
        let source = Source::new(Path::new("a.yaml"), text);
        let problem = source.error(
            Span {
                start: 50_000,
                end: 50_001,
            },
            "wrong",
        );
        assert!(
            problem.render(false).contains("a.yaml:10001:1"),
            "{}",
            problem.render(false)
        );
    }
}
