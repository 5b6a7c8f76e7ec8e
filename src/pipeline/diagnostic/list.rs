//! All problems of a file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde_json::{Value, json};

use super::Diagnostic;

/// More problems than this are of one mistake, or of a file that is no pipeline.
const MOST: usize = 100;

/// All problems of a file, in file order. Never empty as an error.
#[derive(Clone, Debug)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// In file order, each once: a matrix finds the same problem many times, and so does an anchor
    /// that several steps use, which is told with a note at each of the others. Where a secret may
    /// stand in a line, no lines are shown.
    pub(in crate::pipeline) fn sorted(mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|one| (one.span.start, one.span.end));
        let secret = found.iter().any(|one| one.hidden);
        let mut told: HashMap<_, usize> = HashMap::new();
        let mut list: Vec<Diagnostic> = Vec::new();
        for one in found {
            match told.entry((one.span, one.severity, without_steps(&one.message))) {
                Entry::Vacant(place) => {
                    place.insert(list.len());
                    list.push(one);
                }
                Entry::Occupied(place) => {
                    let first: &mut Diagnostic = &mut list[*place.get()];
                    let again = one
                        .alias
                        .filter(|alias| first.labels.iter().all(|(span, _)| span != alias));
                    first
                        .labels
                        .extend(again.map(|alias| (alias, "used here too".to_owned())));
                }
            }
        }
        if secret {
            list = list.into_iter().map(Diagnostic::hidden).collect();
        }
        if list.len() > MOST {
            let rest = list.split_off(MOST);
            let more = Diagnostic {
                message: format!("and at least {} problems more from here on", rest.len()),
                help: Some("the first ones may be the cause of the others".into()),
                docs: None,
                labels: Vec::new(),
                ..rest[0].clone()
            };
            list.push(more);
        }
        Self(list)
    }

    /// All of them for people, with source lines; colour only when asked for.
    pub fn render(&self, colour: bool) -> String {
        let rendered: Vec<_> = self.0.iter().map(|diagnostic| diagnostic.render(colour)).collect();
        rendered.join("\n\n")
    }

    /// `{"errors": [{"file", "line", "column", "end_line", "end_column", "message", "help", "severity",
    /// "class", "notes", "docs"}]}`; a note has a place and a message.
    pub fn to_json(&self) -> Value {
        json!({ "errors": self.values() })
    }

    /// Each of them as in [`Self::to_json`].
    pub fn values(&self) -> Vec<Value> {
        self.0.iter().map(Diagnostic::to_json).collect()
    }
}

/// A message without the names of steps: what stands at one place and is used by several steps is one
/// mistake.
fn without_steps(message: &str) -> String {
    let mut rest = message;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("step `") {
        plain.push_str(before);
        rest = after.split_once('`').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pipeline::source::{Source, Span};

    #[test]
    fn one_mistake_is_told_once() {
        let source = Source::new(Path::new("a.yaml"), "a: 1\n");
        let at = |start: usize, message: &str| source.error(Span { start, end: start + 1 }, message);
        let list = Diagnostics::sorted(vec![
            at(3, "`x` of step `b`: no"),
            at(3, "`x` of step `c`: no"),
            at(3, "`y` of step `c`: no"),
            at(0, "`x` of step `b`: no"),
        ]);
        let told: Vec<_> = list.0.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            told,
            ["`x` of step `b`: no", "`x` of step `b`: no", "`y` of step `c`: no"]
        );
    }

    #[test]
    fn many_are_counted_and_not_shown() {
        let source = Source::new(Path::new("a.yaml"), "a: 1\n".repeat(5000));
        let many = (0..5000).map(|line| {
            source.error(
                Span {
                    start: line * 5,
                    end: line * 5 + 1,
                },
                "no",
            )
        });
        let list = Diagnostics::sorted(many.collect());
        assert_eq!(list.0.len(), MOST + 1);
        assert!(list.0[MOST].message.contains("4900"), "{}", list.0[MOST].message);
    }
}
