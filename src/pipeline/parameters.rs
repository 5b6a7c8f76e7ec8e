//! Parameters: what the file declares, what `--params` and `--set` make of it, and what nothing uses.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::{Number, Value};

use super::border::file_text;
use super::declared::{Declared, ParameterType, is_long_form, meant_long_form, meant_parameter, misspelt_key};
use super::diagnostic::Diagnostic;
use super::load::LoadOptions;
use super::read::{read, read_value};
use super::source::{Source, Span};
use super::substitute::{Scope, Substitution};
use super::tree::{Content, Entry, Node};

/// A parameter of a pipeline, for people and programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `width`; of a group `train.updates`.
    pub name: String,
    /// What its values are.
    pub kind: ParameterType,
    /// What it is if nothing else is said; `None` where it must be given.
    pub default: Option<Value>,
    /// The only values that it may have; any, if empty.
    pub allowed: Vec<Value>,
    /// The least that it may be.
    pub minimum: Option<Number>,
    /// The most that it may be.
    pub maximum: Option<Number>,
    /// What it is for.
    pub help: Option<String>,
    /// What it is now; `None` where it must still be given.
    pub value: Option<Value>,
    /// What gave that value, if not the default: `--set width=64`, a file's name.
    pub given: Option<String>,
}

/// All parameters.
pub(super) struct Parameters {
    /// In file order.
    pub list: Vec<Declared>,
    /// Their values, as placeholders reach them.
    pub values: Node,
}

impl Parameters {
    /// The parameters of a tree, with what the options give. What must be given and is not goes to
    /// `missing`.
    pub fn read(
        source: &Arc<Source>,
        root: &Node,
        options: &LoadOptions,
        problems: &mut Vec<Diagnostic>,
        missing: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut reader = Reader {
            source,
            problems,
            list: Vec::new(),
            // without `params:` it is the file as a whole that lacks them
            key: root.entry("params").map_or(Span::default(), |entry| entry.key_span),
        };
        let groups = root.get("params");
        for entry in groups.map(Node::entries).unwrap_or_default() {
            reader.declare(String::new(), entry);
        }
        for path in &options.params {
            reader.file(path);
        }
        for (name, value) in &options.set {
            reader.set(name, value);
        }
        let list = reader.list;
        for one in list.iter().filter(|one| one.value.is_none()) {
            let message = format!("the parameter `{}` has no value", one.name);
            let help = format!("give it one: --set {}={}", one.name, one.kind.name().to_uppercase());
            missing.push(source.error(one.key, message).help(help));
        }
        let mut next = list.iter();
        let values = groups.map_or_else(
            || Node::new(Span::default(), Content::Map(Vec::new())),
            |groups| values(groups, &mut next, true),
        );
        Self { list, values }
    }

    /// As the outside sees them.
    pub fn shown(&self) -> Vec<Parameter> {
        let shown = |one: &Declared| Parameter {
            name: one.name.clone(),
            kind: one.kind,
            default: one.default.as_ref().map(Node::to_value),
            allowed: one.allowed.clone(),
            minimum: one.minimum.clone(),
            maximum: one.maximum.clone(),
            help: one.help.clone(),
            value: one.value.as_ref().map(Node::to_value),
            given: one.given.clone(),
        };
        self.list.iter().map(shown).collect()
    }
}

/// Whether an entry of `params:` is a group of parameters.
fn is_group(node: &Node) -> bool {
    !node.entries().is_empty() && !is_long_form(node) && misspelt_key(node).is_none()
}

/// The tree of values: each declaration replaced by what it stands for, in the order in which they
/// were declared.
fn values<'a>(node: &Node, declared: &mut impl Iterator<Item = &'a Declared>, group: bool) -> Node {
    if group {
        let value = |entry: &Entry, declared: &mut _| Entry {
            value: values(&entry.value, declared, is_group(&entry.value)),
            ..entry.clone()
        };
        return Node {
            content: match &node.content {
                Content::Map(entries) => Content::Map(entries.iter().map(|entry| value(entry, declared)).collect()),
                other => other.clone(), // told by the structure check
            },
            ..node.clone()
        };
    }
    declared.next().and_then(|one| one.value.clone()).unwrap_or(Node {
        content: Content::Unknown,
        ..node.clone()
    })
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Vec<Diagnostic>,
    list: Vec<Declared>,
    /// Where `params` stands.
    key: Span,
}

impl Reader<'_> {
    fn declare(&mut self, group: String, entry: &Entry) {
        let name = join(&group, &entry.key);
        if is_long_form(&entry.value) {
            let path = entry.value.get("type").and_then(Node::text) == Some(ParameterType::Path.name());
            let entry = self.replaced(entry, path);
            let declared = Declared::long(self.source, name, &entry, self.problems);
            self.list.push(declared);
        } else if let Some(problem) = meant_long_form(self.source, &name, &entry.value) {
            self.problems.push(problem);
            let unknown = Node {
                content: Content::Unknown,
                ..entry.value.clone()
            };
            let entry = Entry {
                value: unknown,
                ..entry.clone()
            };
            self.list.push(Declared::short(name, &entry));
        } else if is_group(&entry.value) {
            for inner in entry.value.entries() {
                self.declare(name.clone(), inner);
            }
        } else {
            let entry = self.replaced(entry, false);
            self.list.push(Declared::short(name, &entry));
        }
    }

    /// An entry with its placeholders seen to: only a path takes one, `${env.NAME}`.
    fn replaced(&mut self, entry: &Entry, path: bool) -> Entry {
        let mut value = self.value(&entry.value, path);
        if let Content::Map(keys) = &mut value.content {
            for key in keys.iter_mut().filter(|key| key.key == "default") {
                key.value.path = path;
            }
        }
        Entry { value, ..entry.clone() }
    }

    fn value(&mut self, node: &Node, path: bool) -> Node {
        let scope = Scope {
            params: None,
            matrix: None,
            env: path,
            place: "a parameter",
        };
        let mut used = BTreeSet::new();
        let mut substitution = Substitution {
            source: self.source,
            problems: self.problems,
            used: &mut used,
        };
        let mut value = substitution.apply(node, &scope);
        value.path = path;
        value
    }

    /// `--params FILE`
    fn file(&mut self, path: &Path) {
        let text = match file_text(path) {
            Ok(text) => self.source.add(path, text),
            Err(unreadable) => {
                let message = format!("--params {}: {}", path.display(), unreadable.message);
                self.problems
                    .push(self.source.error(self.key, message).maybe_help(unreadable.help));
                return;
            }
        };
        match read(self.source, &text, self.problems) {
            Ok(root) if matches!(root.content, Content::Map(_)) => {
                for entry in root.entries() {
                    self.take(String::new(), entry, &text.file);
                }
            }
            Ok(root) => {
                let message = format!(
                    "a file of parameters is a mapping of their names to values, not {}",
                    root.describe()
                );
                self.problems.push(self.source.error(text.beginning(), message));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn take(&mut self, group: String, entry: &Entry, file: &str) {
        let name = join(&group, &entry.key);
        if let Some(index) = self.list.iter().position(|one| one.name == name) {
            let value = self.value(&entry.value, self.list[index].kind == ParameterType::Path);
            if self.list[index].check(self.source, &value, &format!("`{name}`"), self.problems) {
                self.list[index].value = Some(value);
                self.list[index].given = Some(file.to_owned());
            }
        } else if self.has_group(&name) && !entry.value.entries().is_empty() {
            for inner in entry.value.entries() {
                self.take(name.clone(), inner, file);
            }
        } else {
            let (message, help) = self.unknown(&name);
            self.problems
                .push(self.source.error(entry.key_span, message).help(help));
        }
    }

    fn has_group(&self, name: &str) -> bool {
        self.list
            .iter()
            .any(|one| one.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    fn unknown(&self, name: &str) -> (String, String) {
        if self.has_group(name) {
            let names = self.list.iter().map(|one| one.name.as_str());
            let inner = names.filter(|one| one.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
            let help = format!("name one of them: {}", super::suggest::listed(inner));
            return (format!("`{name}` is a group of parameters"), help);
        }
        let help = meant_parameter(name, &self.list)
            .unwrap_or_else(|| "give the file a parameter of that name under `params:`".into());
        (format!("there is no parameter `{name}`"), help)
    }

    /// `--set name=value`
    fn set(&mut self, name: &str, value: &str) {
        let option: Arc<str> = format!("{name}={value}").into();
        let Some(index) = self.list.iter().position(|one| one.name == name) else {
            let given = read_value(value).ok().filter(|given| !given.entries().is_empty());
            match given.filter(|_| self.has_group(name)) {
                // a group by a mapping: each of its own
                Some(given) => {
                    for entry in given.entries() {
                        let inner = entry
                            .value
                            .scalar_text()
                            .unwrap_or_else(|| entry.value.to_value().to_string());
                        self.set(&join(name, &entry.key), &inner);
                    }
                }
                None => {
                    let (message, help) = self.unknown(name);
                    let message = format!("--set {option}: {message}");
                    self.problems.push(self.source.error(self.key, message).help(help));
                }
            }
            return;
        };
        let one = &self.list[index];
        let place = one.default.as_ref().map_or(one.key, |default| default.span);
        let mut given = match (one.kind, read_value(value)) {
            // what YAML reads otherwise is text all the same where text is asked for
            (ParameterType::Text | ParameterType::Path, given) => match given {
                Ok(given) if given.text().is_some() => given,
                _ => Node::new(place, Content::Text(value.to_owned())),
            },
            (_, Ok(given)) => given,
            (_, Err(message)) => {
                let message = format!("--set {option}: {message}");
                self.problems.push(self.source.error(place, message));
                return;
            }
        };
        if one.kind == ParameterType::Path
            && let Content::Text(path) = &mut given.content
            && !path.is_empty()
        {
            *path = relative_to(&self.source.text_at(place.start).folder, Path::new(path));
        }
        given.mark_set(&option, place);
        given.path = one.kind == ParameterType::Path;
        let faults = one.faults(&given, &format!("`{name}`"));
        if faults.is_empty() {
            self.list[index].value = Some(given);
            self.list[index].given = Some(format!("--set {option}"));
        }
        for fault in faults {
            let message = format!("--set {option}: {}", fault.message);
            self.problems
                .push(self.source.error(place, message).maybe_help(fault.help));
        }
    }
}

fn join(group: &str, name: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{group}.{name}")
    }
}

/// A path of the working directory, as one of a folder; an absolute one as it is.
fn relative_to(folder: &Path, path: &Path) -> String {
    match std::path::absolute(path) {
        Ok(absolute) if path.is_relative() => relative(folder, &absolute),
        _ => path.to_string_lossy().into_owned(),
    }
}

/// An absolute path as one of a folder, where there is a way from one to the other.
pub(super) fn relative(folder: &Path, absolute: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), absolute.components().collect());
    let same = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    if same == 0 || from[same..].contains(&Component::ParentDir) {
        return absolute.to_string_lossy().into_owned(); // another drive
    }
    let up = from[same..].iter().map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(to[same..].iter().copied()).collect();
    relative.to_string_lossy().into_owned()
}
