//! Placeholders: `${params.width}`, `${matrix.shots}`.
//!
//! One that is a whole value keeps the type of what it stands for; inside other text it becomes
//! text. `$${` writes a `${` that is none. What is put in is never looked through again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::matrix::Point;
use super::parameters::relative;
use super::source::{Source, Span};
use super::suggest::did_you_mean;
use super::tree::{Content, Entry, Node};
use crate::step::is_variable;

/// What placeholders can name.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The parameters; `None` where they cannot be used.
    pub params: Option<&'a Node>,
    /// The axes of a step and their values; `None` where they cannot be used.
    pub matrix: Option<&'a [Point]>,
    /// Whether `${env.NAME}` may stand here. It is not replaced.
    pub env: bool,
    /// Where it is, for messages: `` step `base` ``.
    pub place: &'a str,
}

/// Replaces placeholders and remembers which names were used.
pub(super) struct Substitution<'a> {
    pub source: &'a Arc<Source>,
    pub problems: &'a mut Vec<Diagnostic>,
    /// `params.width`, `answers:matrix.shots`: what some placeholder names.
    pub used: &'a mut BTreeSet<String>,
}

impl Substitution<'_> {
    pub fn apply(&mut self, node: &Node, scope: &Scope) -> Node {
        let text = node.text().map_or(0, str::len);
        if !self.source.afford(1 + text / 64, node.span, self.problems) {
            return node.holding(Content::Unknown);
        }
        let content = match &node.content {
            Content::Text(text) if text.contains("${") => return self.text(node, text, scope),
            Content::List(items) => Content::List(items.iter().map(|item| self.apply(item, scope)).collect()),
            Content::Map(entries) => Content::Map(entries.iter().map(|entry| self.entry(entry, scope)).collect()),
            content => content.clone(),
        };
        node.holding(content)
    }

    fn entry(&mut self, entry: &Entry, scope: &Scope) -> Entry {
        if entry.key.contains("${") {
            let message = format!("the key `{}` holds a placeholder; only values can", entry.key);
            self.problems.push(self.source.error(entry.key_span, message));
        }
        Entry {
            key: entry.key.clone(),
            key_span: entry.key_span,
            value: self.apply(&entry.value, scope),
        }
    }

    fn text(&mut self, node: &Node, text: &str, scope: &Scope) -> Node {
        let unknown = node.holding(Content::Unknown);
        let mut pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(message) => {
                let problem = node.error(self.source, message);
                self.problems
                    .push(problem.help("write `$${` for a `${` that is no placeholder"));
                return unknown;
            }
        };
        if let [Piece::Name(name)] = pieces.as_slice()
            && !name.starts_with("env.")
        {
            return match self.look_up(name, node, node.span, scope) {
                Some(found) if !self.source.afford(found.weight(), node.span, self.problems) => unknown,
                Some(found) => {
                    let mut value = found.clone();
                    value.mark_used(node.span);
                    value
                }
                None => unknown,
            };
        }
        let mut parts = Vec::new();
        let mut env = false;
        let mut from = node.span.start;
        for piece in pieces.drain(..) {
            match piece {
                Piece::Text(text) => parts.push(Part::Plain(text)),
                Piece::Name(name) => {
                    let span = self.within(node, &name, &mut from);
                    if let Some(variable) = name.strip_prefix("env.") {
                        if !self.may_name(variable, node, span, scope) {
                            return unknown;
                        }
                        env = true;
                        parts.push(Part::Written(format!("${{{name}}}")));
                        continue;
                    }
                    let Some(found) = self.look_up(&name, node, span, scope) else {
                        return unknown;
                    };
                    match found.scalar_text() {
                        Some(text) if found.env => {
                            env = true;
                            parts.push(Part::Written(text));
                        }
                        Some(text) if found.path => parts.push(Part::Plain(self.as_path_of(node, found, &text))),
                        Some(text) if !matches!(found.content, Content::Null) => {
                            if !self.source.afford(text.len() / 64, span, self.problems) {
                                return unknown;
                            }
                            parts.push(Part::Plain(text));
                        }
                        _ if matches!(found.content, Content::Unknown) => return unknown,
                        _ => {
                            let message = format!(
                                "`${{{name}}}` stands for {} and cannot be put inside text",
                                found.describe()
                            );
                            let problem = self.source.error(span, message);
                            self.problems.push(problem.help("use it alone, as the whole value"));
                            return unknown;
                        }
                    }
                }
            }
        }
        let whole = parts.into_iter().map(|part| match part {
            Part::Plain(text) if env => text.replace("${", "$${"),
            Part::Plain(text) | Part::Written(text) => text,
        });
        let mut text = node.holding(Content::Text(whole.collect()));
        text.env = env;
        text
    }

    /// Whether `${env.NAME}` may stand where it does.
    fn may_name(&mut self, variable: &str, node: &Node, span: Span, scope: &Scope) -> bool {
        if !scope.env {
            let message = format!("`${{env.{variable}}}` cannot be used in {}", scope.place);
            let help = match scope.place {
                "a parameter" => "give the parameter `type: path`, or use it where the path or the secret is wanted",
                _ => "use it where a path or a secret is wanted",
            };
            self.tell(node, span, message, help.into());
            return false;
        }
        if !is_variable(variable) {
            let message = format!("`${{env.{variable}}}` names no environment variable");
            self.tell(
                node,
                span,
                message,
                "a name has letters, digits and `_`, no digit first".into(),
            );
            return false;
        }
        true
    }

    /// A parameter's path, which is relative to the file where it stands, as one of the file in which
    /// the text with it stands.
    fn as_path_of(&self, node: &Node, found: &Node, path: &str) -> String {
        let from = &self.source.text_at(node.span.start).folder;
        let there = &self.source.text_at(found.span.start).folder;
        if from == there {
            path.to_owned()
        } else {
            relative(from, &there.join(path))
        }
    }

    /// Where a placeholder stands within its text, where the text is written as it is read.
    fn within(&self, node: &Node, name: &str, from: &mut usize) -> Span {
        let text = self.source.text_at(*from);
        let written = text.slice(Span {
            start: *from,
            end: node.span.end,
        });
        let place = written.find("${").and_then(|start| {
            let length = written[start..].find('}')? + 1;
            written[start..start + length].contains(name).then_some((start, length))
        });
        match place {
            Some((start, length)) => {
                let start = *from + start;
                *from = start + length;
                Span {
                    start,
                    end: start + length,
                }
            }
            None => node.span,
        }
    }

    fn look_up<'a>(&mut self, name: &str, node: &Node, span: Span, scope: &Scope<'a>) -> Option<&'a Node> {
        let (space, rest) = name.split_once('.').unwrap_or((name, ""));
        match (space, scope.params, scope.matrix) {
            ("params", Some(params), _) => self.parameter(rest, params, node, span),
            ("matrix", _, Some(axes)) => {
                let (axis, path) = rest.split_once('.').unwrap_or((rest, ""));
                self.used.insert(format!("{}:matrix.{axis}", scope.place));
                let Some(point) = axes.iter().find(|point| point.axis == axis) else {
                    let names = axes.iter().map(|point| point.axis.as_str());
                    let help = did_you_mean(axis, names, "its axes")
                        .unwrap_or_else(|| format!("give the step a `matrix:` with `{axis}`"));
                    let message = format!("{} has no axis `{axis}`", scope.place);
                    self.tell(node, span, message, help);
                    return None;
                };
                if path.is_empty() || matches!(point.value.content, Content::Unknown) {
                    return Some(&point.value);
                }
                self.within_value(&point.value, path, &format!("matrix.{axis}"), node, span)
            }
            ("params" | "matrix", ..) => {
                let message = format!("`${{{name}}}` cannot be used in {}", scope.place);
                self.tell(
                    node,
                    span,
                    message,
                    "write the value itself; `$${` writes a `${` as it is".into(),
                );
                None
            }
            _ => {
                let message = format!("`${{{name}}}` is no placeholder");
                let help =
                    "there are `${params.name}`, `${matrix.axis}` and `${env.NAME}`; `$${` writes a `${` as it is";
                self.tell(node, span, message, help.into());
                None
            }
        }
    }

    fn parameter<'a>(&mut self, path: &str, params: &'a Node, node: &Node, span: Span) -> Option<&'a Node> {
        // that `params` is no mapping is told by the structure check
        if !matches!(params.content, Content::Map(_)) {
            return None;
        }
        self.used
            .insert(format!("params.{}", path.split('.').next().unwrap_or(path)));
        self.within_value(params, path, "params", node, span)
    }

    /// What a value holds at a path: `train.updates`.
    fn within_value<'a>(
        &mut self,
        value: &'a Node,
        path: &str,
        name: &str,
        node: &Node,
        span: Span,
    ) -> Option<&'a Node> {
        let mut found = value;
        let mut known = name.to_owned();
        for part in path.split('.') {
            match found.get(part) {
                Some(inner) => {
                    found = inner;
                    known = format!("{known}.{part}");
                }
                None => {
                    let names = found.entries().iter().map(|entry| entry.key.as_str());
                    let help =
                        did_you_mean(part, names, "there are").unwrap_or_else(|| format!("add `{part}` to `{known}`"));
                    self.tell(node, span, format!("`{known}` has no `{part}`"), help);
                    return None;
                }
            }
        }
        Some(found)
    }

    fn tell(&mut self, node: &Node, span: Span, message: String, help: String) {
        let problem = node.explain(self.source.error(span, message)).help(help);
        self.problems.push(problem);
    }
}

/// A part of the text that comes out.
enum Part {
    Plain(String),
    /// With `${env.NAME}` in it, and `$${` for a `${` of its own.
    Written(String),
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Name(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        plain.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            plain.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = after
                .find('}')
                .ok_or_else(|| format!("`{rest}` opens a placeholder and does not close it"))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Name(after[..end].trim().to_owned()));
            rest = &after[end + 1..];
        } else {
            plain.push('$');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_at_placeholders() {
        let name = |name: &str| Piece::Name(name.into());
        let text = |text: &str| Piece::Text(text.into());
        assert_eq!(pieces("${params.a}"), Ok(vec![name("params.a")]));
        assert_eq!(pieces("x${ a }y"), Ok(vec![text("x"), name("a"), text("y")]));
        assert_eq!(pieces("$${a} costs $5"), Ok(vec![text("${a} costs $5")]));
        assert!(pieces("a ${b").is_err());
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[ -~ñ]{0,40}") {
            let escaped = text.replace("${", "$${");
            // a `$` before the escape would join it: that text cannot be escaped and is not claimed to be
            prop_assume!(!text.contains("$${"));
            prop_assert_eq!(pieces(&escaped), Ok(vec![Piece::Text(text)]));
        }
    }
}
