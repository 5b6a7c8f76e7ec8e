//! Where what an instance is made of stands in the file: for `fragua explain`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::diagnostic::Position;
use super::source::{Source, Span};
use super::tree::{Content, Node};

/// Where an instance's settings and its seed came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// By path under `with` (`train.updates`). What is not here is the kind's default.
    pub settings: BTreeMap<String, Origin>,
    /// The seed as the file gives it: `42`, `42, repetition 3`.
    pub seed: String,
    /// Where the step gives its own seed; `None` if it has the pipeline's.
    pub seed_at: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as messages name it.
    pub file: String,
    /// Where in it.
    pub at: Position,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it is written; of a value that `--set` gave, where the parameter is.
    pub place: Place,
    /// The placeholder that put it where it is used (`${params.width}`), and where that stands.
    pub placeholder: Option<(String, Place)>,
    /// The `--set` that gave it: `width=256`.
    pub set: Option<Arc<str>>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.at.line, self.at.column)
    }
}

impl fmt::Display for Origin {
    /// `lab.yaml:14:12`, `${params.width}: --set width=256`, `${params.width}: lab.yaml:4:18`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((text, _)) = &self.placeholder {
            write!(f, "{text}: ")?;
        }
        match &self.set {
            Some(set) => write!(f, "--set {set}"),
            None => self.place.fmt(f),
        }
    }
}

/// A span as a place.
pub(super) fn place_of(source: &Source, span: Span) -> Place {
    let text = source.text_at(span.start);
    Place {
        file: text.file.clone(),
        at: text.position(span.start),
    }
}

/// The origin of every value in a step's settings.
pub(super) fn origins(source: &Source, with: &Node) -> BTreeMap<String, Origin> {
    let mut found = BTreeMap::new();
    collect(source, with, String::new(), &mut found);
    found
}

fn collect(source: &Source, node: &Node, path: String, found: &mut BTreeMap<String, Origin>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match &node.content {
        Content::Map(entries) => entries
            .iter()
            .for_each(|entry| collect(source, &entry.value, below(&entry.key), found)),
        Content::List(items) => (0..)
            .zip(items)
            .for_each(|(index, item): (usize, _)| collect(source, item, below(&index.to_string()), found)),
        _ => {}
    }
    if !path.is_empty() {
        let placeholder = |used: Span| {
            let text = source
                .text_at(used.start)
                .slice(used)
                .trim_matches(['"', '\''])
                .to_owned();
            (text, place_of(source, used))
        };
        let origin = Origin {
            place: place_of(source, node.span),
            placeholder: node.used.map(placeholder),
            set: node.set.clone(),
        };
        found.insert(path, origin);
    }
}
