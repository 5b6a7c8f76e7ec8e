//! `include:`: the files that a pipeline is written in, read into one tree.
//!
//! An included file brings parameters and steps, as if they stood in the file that was named; its
//! paths stay relative to itself. A file that is included twice is read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::border::file_text;
use super::diagnostic::Diagnostic;
use super::file::{Role, check_structure};
use super::read::read;
use super::source::{Source, Span, Text};
use super::tree::{Content, Entry, Node};
use crate::step::Kind;

/// How many files may include each other in a row.
const MAXIMUM_DEPTH: usize = 8;

/// The bytes of all files together.
const MAXIMUM_TOTAL: usize = 4 * super::border::MAXIMUM_BYTES;

/// What included files add to.
const SHARED: [&str; 2] = ["params", "steps"];

/// The tree of the named file, which is the source's first text, with all that it includes; each
/// file's structure is checked.
///
/// # Errors
/// When the named file cannot be read as YAML.
pub(super) fn whole(source: &Arc<Source>, kinds: &[Kind], problems: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    let text = source.text_at(0);
    let mut root = read(source, &text, problems)?;
    problems.extend(check_structure(source, &root, kinds, Role::Named, text.beginning()));
    let mut reader = Includer {
        source,
        kinds,
        problems,
        read: vec![identity(&text.path)],
        chain: vec![(identity(&text.path), text.file.clone())],
        included: Vec::new(),
    };
    reader.follow(&root, &text);
    let (included, problems) = (reader.included, reader.problems);
    for file in included {
        for name in SHARED {
            if let Some(entry) = file.entry(name) {
                add(source, &mut root, entry.clone(), problems);
            }
        }
    }
    Ok(root)
}

struct Includer<'a> {
    source: &'a Arc<Source>,
    kinds: &'a [Kind],
    problems: &'a mut Vec<Diagnostic>,
    /// Files that were read.
    read: Vec<PathBuf>,
    /// The files that lead to the one at hand, with their names.
    chain: Vec<(PathBuf, String)>,
    /// Their trees, in order.
    included: Vec<Node>,
}

impl Includer<'_> {
    fn follow(&mut self, root: &Node, text: &Text) {
        let Some(include) = root.get("include") else { return };
        let paths = match &include.content {
            Content::List(items) => items.iter().collect(),
            _ => vec![include],
        };
        for node in paths {
            // that it is no path is told by the structure check
            if let Some(written) = node
                .text()
                .filter(|written| !written.is_empty() && !written.contains("${"))
            {
                let path = text.path.parent().unwrap_or(Path::new("")).join(written);
                self.include(node.span, &path);
            }
        }
    }

    fn include(&mut self, at: Span, path: &Path) {
        let identity = identity(path);
        let name = path.display().to_string();
        if let Some(begin) = self.chain.iter().position(|(earlier, _)| *earlier == identity) {
            let names: Vec<&str> = self.chain[begin..]
                .iter()
                .map(|(_, name)| name.as_str())
                .chain([name.as_str()])
                .collect();
            let message = format!("these files include each other: `{}`", names.join("` → `"));
            self.problems
                .push(self.source.error(at, message).help("let one of them include no other"));
            return;
        }
        if self.read.contains(&identity) {
            return;
        }
        if self.chain.len() > MAXIMUM_DEPTH {
            let message = format!("more than {MAXIMUM_DEPTH} files include each other in a row");
            self.problems
                .push(self.source.error(at, message).help("include it from a file further up"));
            return;
        }
        let text = match file_text(path) {
            Ok(text) if self.source.len() + text.len() > MAXIMUM_TOTAL => {
                let message = format!("with `{name}` the files have more than {MAXIMUM_TOTAL} bytes together");
                self.problems
                    .push(self.source.error(at, message).help("include fewer files"));
                return;
            }
            Ok(text) => self.source.add(path, text),
            Err(unreadable) => {
                let place = unreadable.at;
                let message = match (place.line, place.column) {
                    (1, 1) => format!("cannot include `{name}`: {}", unreadable.message),
                    (line, column) => format!("cannot include `{name}`: {line}:{column}: {}", unreadable.message),
                };
                let help = unreadable.help;
                let help = help.unwrap_or_else(|| "check the path; it is relative to this file".into());
                self.problems.push(self.source.error(at, message).help(help));
                return;
            }
        };
        self.read.push(identity.clone());
        match read(self.source, &text, self.problems) {
            Ok(root) => {
                let faults = check_structure(self.source, &root, self.kinds, Role::Included, text.beginning());
                self.problems.extend(faults);
                self.chain.push((identity, name));
                let place = self.included.len();
                self.follow(&root, &text);
                self.chain.pop();
                // a file stands before what it includes
                self.included.insert(place, root);
            }
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// What a file is, however it is named.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

/// Adds an included file's parameters or steps to those that are there.
fn add(source: &Arc<Source>, root: &mut Node, more: Entry, problems: &mut Vec<Diagnostic>) {
    let Content::Map(top) = &mut root.content else { return };
    let Some(there) = top.iter_mut().find(|entry| entry.key == more.key) else {
        top.push(more);
        return;
    };
    let (Content::Map(entries), Content::Map(more_entries)) = (&mut there.value.content, more.value.content) else {
        return;
    };
    let places: HashMap<String, Span> = entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.key_span))
        .collect();
    for entry in more_entries {
        match places.get(&entry.key) {
            None => entries.push(entry),
            Some(earlier) => {
                let what = if more.key == "steps" { "step" } else { "parameter" };
                let message = format!("the {what} `{}` is in another file too", entry.key);
                let problem = source.error(entry.key_span, message).label(*earlier, "the other one");
                problems.push(problem.help("keep one of the two, or rename one"));
            }
        }
    }
}
