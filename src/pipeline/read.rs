//! YAML into a tree with places, within bounds.
//!
//! saphyr gives the events and where they stand; what a plain scalar means (`1e-3` a number, `no`
//! text) is asked of serde_yaml, and the whole is held against what serde_yaml reads from the same
//! text: if the two ever differ, that is a message and not a silent choice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::border::{MAXIMUM_BYTES, Unreadable, foreign, too_large};
use super::diagnostic::{Class, Diagnostic};
use super::meaning::{compare, plain};
use super::source::{Source, Span, Text};
use super::tree::{Content, Entry, Node};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

/// Nesting beyond it is not read (serde_yaml stops at 128).
const MAXIMUM_DEPTH: usize = 64;
/// Values, counted again wherever an alias repeats them.
const MAXIMUM_NODES: usize = 100_000;

/// The document's tree. What does not hinder reading on (a key twice, a tag) goes to `problems`;
/// what does is the error.
pub(super) fn read(source: &Arc<Source>, text: &Text, problems: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    let before = problems.len();
    let outcome = document(source, text, problems).map_err(|problem| problem.class(Class::Syntax));
    problems[before..]
        .iter_mut()
        .for_each(|problem| problem.class = Class::Syntax);
    outcome
}

fn document(source: &Arc<Source>, text: &Text, problems: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    if text.text.len() > MAXIMUM_BYTES {
        let Unreadable { message, help, .. } = too_large(text.text.len());
        return Err(source.error(text.beginning(), message).maybe_help(help));
    }
    if let Some((start, what)) = foreign(&text.text) {
        let end = start + text.text[start..].chars().next().map_or(0, char::len_utf8);
        let message = format!("{what} cannot stand in a pipeline file");
        let code = text.text[start..].chars().next().map_or(0, u32::from);
        let help = format!("remove it, or write \\u{code:04X} for it within double quotes");
        return Err(source.error(text.span(start, end), message).help(help));
    }
    let mut reader = Reader {
        source,
        text,
        bytes: byte_offsets(&text.text),
        parser: Parser::new_from_str(&text.text),
        anchors: BTreeMap::new(),
        nodes: 0,
        problems,
    };
    let root = reader.document()?;
    if reader.problems.is_empty() {
        compare(source, text, &root)?;
    }
    Ok(root)
}

/// A single value as `--set` gives it, places relative to its own text.
pub(super) fn read_value(text: &str) -> Result<Node, String> {
    let source = Source::new(std::path::Path::new("--set"), text);
    let mut problems = Vec::new();
    match read(&source, &source.text_at(0), &mut problems) {
        Ok(node) if problems.is_empty() => Ok(node),
        Ok(_) => Err(problems.remove(0).message),
        Err(problem) => Err(problem.message),
    }
}

/// Byte offsets of all characters, and of the end: saphyr counts characters.
fn byte_offsets(text: &str) -> Vec<usize> {
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect()
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    text: &'a Text,
    /// Where each character begins in this text.
    bytes: Vec<usize>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Option<Node>>,
    nodes: usize,
    problems: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let start = self.byte(span.start.index());
                let end = self.byte(span.end.index());
                Ok((event, self.text.span(start, end)))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, self.end())),
        }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.text.text.len())
    }

    fn end(&self) -> Span {
        let end = self.text.text.trim_end().len();
        self.text.span(end, end)
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let text = &self.text.text;
        let start = self.byte(error.marker().index());
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let end = start + usize::from(start < line_start + line.len());
        let end = (end..=text.len())
            .find(|byte| text.is_char_boundary(*byte))
            .unwrap_or(start);
        let help = if line.trim_start_matches(' ').starts_with('\t') {
            "indent with spaces: YAML takes no tabs there"
        } else if line.contains("${") && line.contains(['{', '[']) {
            "inside {..} and [..], a placeholder needs quotes: \"${params.name}\""
        } else if error.info().contains("unknown escape") {
            "within double quotes `\\` begins an escape: write `\\\\`, or use single quotes"
        } else if error.info().contains("unknown anchor") {
            "`*name` repeats what `&name` marked before it; text that begins with `*` needs quotes"
        } else if line_start > 0 && text.starts_with('%') {
            "remove the line that begins with `%`"
        } else {
            "check the indentation, and that every bracket and quote is closed"
        };
        self.source
            .error(
                self.text.span(start, end),
                format!("this is not YAML: {}", error.info()),
            )
            .help(help)
    }

    fn document(&mut self) -> Result<Node, Diagnostic> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    let message = "a second YAML document begins here; a pipeline file holds one";
                    return Err(self.source.error(span, message).help("remove the `---` before it"));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node::new(self.end(), Content::Null)))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        self.count(1, span)?;
        if depth > MAXIMUM_DEPTH {
            return Err(self
                .source
                .error(span, format!("nested more than {MAXIMUM_DEPTH} deep"))
                .help("nothing in a pipeline is so deep: look for brackets that are not closed"));
        }
        let (anchor, tag, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let content = if style == ScalarStyle::Plain {
                    plain(&text).unwrap_or_else(|| {
                        let message = format!("`{text}` is not a number that settings can hold");
                        self.problems
                            .push(self.source.error(span, message).help("write a finite number"));
                        Content::Unknown
                    })
                } else {
                    Content::Text(text.into_owned())
                };
                (anchor, tag, Node::new(span, content))
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor);
                let mut items = Vec::new();
                let end = loop {
                    let (event, item) = self.next()?;
                    if event == Event::SequenceEnd {
                        break item.end;
                    }
                    items.push(self.node(event, item, depth + 1)?);
                };
                let span = Span {
                    start: span.start,
                    end: end.max(span.start),
                };
                (anchor, tag, Node::new(span, Content::List(items)))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(anchor);
                let (entries, end) = self.mapping(depth)?;
                let span = Span {
                    start: span.start,
                    end: end.max(span.start),
                };
                (anchor, tag, Node::new(span, Content::Map(entries)))
            }
            _ => return Err(self.source.error(span, "a value was expected here")),
        };
        if let Some(tag) = tag {
            let message = format!("the tag `{}{}` is not used in pipeline files", tag.handle, tag.suffix);
            self.problems.push(
                self.source
                    .error(span, message)
                    .help("write the value plainly; quotes make it text"),
            );
        }
        if anchor != 0 {
            // the copy for aliases counts too: anchors within anchors would copy one value often
            self.count(size(&node), span)?;
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    /// An anchor that is not closed yet: an alias to it would hold itself.
    fn open(&mut self, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Diagnostic> {
        match self.anchors.get(&anchor) {
            Some(Some(node)) => {
                let mut node = node.clone();
                self.count(size(&node), span)?;
                node.mark_alias(span);
                Ok(node)
            }
            _ => Err(self
                .source
                .error(span, "this alias stands inside the value that it repeats")),
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes += more;
        if self.nodes > MAXIMUM_NODES {
            let message = format!("more than {MAXIMUM_NODES} values, those that anchors and aliases repeat included");
            let problem = self.source.error(span, message);
            return Err(problem.help("write less in one file, and let aliases repeat small values only"));
        }
        Ok(())
    }

    fn mapping(&mut self, depth: usize) -> Result<(Vec<Entry>, usize), Diagnostic> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut first_at: HashMap<String, Span> = HashMap::new(); // thousands of steps stand in one mapping
        let mut merges = Vec::new();
        let end = loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                break key_span.end;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let key = self.node(event, key_span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if merge {
                merges.push((key_span, value));
                continue;
            }
            let Content::Text(key) = key.content else {
                let message = format!("a key is a name; this is {}", key.describe());
                let help = "put it in quotes to make it a name";
                self.problems.push(self.source.error(key_span, message).help(help));
                continue;
            };
            if let Some(earlier) = first_at.get(&key) {
                let problem = self
                    .source
                    .error(key_span, format!("the key `{key}` stands here a second time"));
                let problem = problem.label(*earlier, "first here");
                self.problems.push(problem.help("keep one of the two"));
                continue;
            }
            first_at.insert(key.clone(), key_span);
            entries.push(Entry { key, key_span, value });
        };
        let mut names: HashSet<String> = first_at.into_keys().collect();
        for (span, value) in merges {
            self.merge(&mut entries, &mut names, span, value);
        }
        Ok((entries, end))
    }

    /// `<<: *defaults`: keys that are not there yet; of several mappings, the earlier one wins.
    fn merge(&mut self, entries: &mut Vec<Entry>, names: &mut HashSet<String>, span: Span, value: Node) {
        match value.content {
            Content::Map(more) => {
                for entry in more {
                    if names.insert(entry.key.clone()) {
                        entries.push(entry);
                    }
                }
            }
            Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => {
                for item in items {
                    self.merge(entries, names, span, item);
                }
            }
            _ => {
                let message = format!("`<<` takes a mapping or a list of mappings, not {}", value.describe());
                self.problems.push(self.source.error(span, message));
            }
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::List(items) => items.iter().map(size).sum(),
        Content::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::path::Path;

    fn tree(text: &str) -> Result<(Node, Vec<Diagnostic>), Diagnostic> {
        let source = Source::new(Path::new("t.yaml"), text);
        let mut problems = Vec::new();
        let node = read(&source, &source.text_at(0), &mut problems)?;
        Ok((node, problems))
    }

    fn value(text: &str) -> Value {
        let (node, problems) = tree(text).expect("reads");
        assert!(problems.is_empty(), "{problems:?}");
        node.to_value()
    }

    #[test]
    fn scalars_mean_what_serde_yaml_says() {
        assert_eq!(
            value("a: 1e-3\nb: no\nc: ~\nd: 0x10\ne: '7'\nf: 007\ng: true\nh: -2\ni: a b\n  c\nj: ---x\n"),
            serde_json::json!({
                "a": 1e-3, "b": "no", "c": null, "d": 16, "e": "7", "f": "007", "g": true, "h": -2, "i": "a b c",
                "j": "---x"
            })
        );
    }

    #[test]
    fn places_are_exact_beside_wide_characters() {
        let text = "ñ: {á: [1, «é», \"x\"]}\nb: 2\n";
        let (node, _) = tree(text).expect("reads");
        let list = node.get("ñ").and_then(|node| node.get("á")).expect("is there");
        let Content::List(items) = &list.content else {
            panic!("a list")
        };
        assert_eq!(&text[items[1].span.start..items[1].span.end], "«é»");
        assert_eq!(&text[items[2].span.start..items[2].span.end], "\"x\"");
        let entry = node.entry("b").expect("is there");
        assert_eq!(&text[entry.key_span.start..entry.key_span.end], "b");
    }

    #[test]
    fn anchors_and_merges_work() {
        assert_eq!(
            value("d: &d {x: 1, y: 2}\na: {<<: *d, y: 3}\nl: *d\n"),
            serde_json::json!({"d": {"x": 1, "y": 2}, "a": {"x": 1, "y": 3}, "l": {"x": 1, "y": 2}})
        );
    }

    #[test]
    fn what_is_not_finite_or_too_large_is_a_problem() {
        for text in ["a: .inf\n", "a: .nan\n", "a: 123456789012345678901234567890\n"] {
            assert_eq!(tree(text).expect("reads").1.len(), 1, "{text}");
        }
    }

    #[test]
    fn bounds_hold() {
        let deep = format!("a: {}{}", "[".repeat(80), "]".repeat(80));
        assert!(tree(&deep).expect_err("too deep").message.contains("deep"));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..8 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        assert!(tree(&bomb).expect_err("too many").message.contains("values"));
        assert!(tree("a: &a [*a]\n").is_err());
        assert!(tree(&" ".repeat(MAXIMUM_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\tñ€]{0,80}") {
            let _ = tree(&text);
        }

        #[test]
        fn yaml_like_text_never_panics(parts in prop::collection::vec(
            prop::sample::select(vec!["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "&x ", "*x", "|", ">", "'", "\"", "#",
                "<<: ", "? ", "!t ", "---", "...", "%", "1", "ñ", "\r\n", "\t", "${params.a}", ","]), 0..30)) {
            let _ = tree(&parts.concat());
        }
    }
}
