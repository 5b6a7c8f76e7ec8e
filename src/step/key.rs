//! The key: everything that a result depends on, by name, so that the reason for a miss is a
//! difference between two of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FilePath, Ref, Refs, Step};

/// A BLAKE3 digest, as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// The digest of a file's content, read in pieces.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        Ok(Self(hasher.finalize().to_hex().to_string()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough digits to tell one from another on a screen.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that a key depends on and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// What the planner knows of an input when it computes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its content.
    Digest(Digest),
    /// It must be made first.
    Pending,
}

/// Collects a step's dependencies. Field names are paths: `train.learning_rate`.
pub struct Key<'a> {
    prefix: String,
    fields: BTreeMap<String, Value>,
    pending: Vec<String>,
    known: &'a dyn Fn(&str) -> Known,
    /// Files by field, of a key that only asks which ones there are.
    files: Option<BTreeMap<String, PathBuf>>,
}

/// The files that a step reads: each by the field under which the key has its content. Nothing is
/// read but the folders that a pattern names.
///
/// # Errors
/// When a pattern matches nothing or a folder cannot be read.
pub fn files_of(step: &dyn Step) -> Result<BTreeMap<String, PathBuf>, KeyError> {
    let mut key = Key::new(&|_| Known::Pending);
    key.files = Some(BTreeMap::new());
    step.key(&mut key)?;
    Ok(key.files.unwrap_or_default())
}

impl<'a> Key<'a> {
    /// An empty key; `known` answers for a reference's text, and for `@field` of a derived input.
    pub fn new(known: &'a dyn Fn(&str) -> Known) -> Self {
        Self {
            prefix: String::new(),
            fields: BTreeMap::new(),
            pending: Vec::new(),
            known,
            files: None,
        }
    }

    /// A setting by its value.
    pub fn set(&mut self, field: &str, value: &impl Serialize) {
        let value = serde_json::to_value(value).expect("settings are plain values");
        self.insert(field, value);
    }

    /// A group of settings under a common name.
    pub fn nest<R>(&mut self, field: &str, fill: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::take(&mut self.prefix);
        self.prefix = format!("{outer}{field}.");
        let result = fill(self);
        self.prefix = outer;
        result
    }

    /// A referenced artifact by its content.
    pub fn artifact<T>(&mut self, field: &str, reference: &Ref<T>) {
        self.input(field, reference.text());
    }

    /// Several referenced artifacts by their content, in order.
    pub fn artifacts<T>(&mut self, field: &str, references: &Refs<T>) {
        for (index, reference) in references.iter().enumerate() {
            self.input(&format!("{field}.{index}"), reference.text());
        }
    }

    /// A derived input ([`super::Step::derived`]) by its content.
    pub fn derived(&mut self, field: &str) {
        self.input(field, &format!("@{field}"));
    }

    /// A file by its content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&mut self, field: &str, path: &FilePath) -> Result<(), KeyError> {
        if let Some(files) = &mut self.files {
            files.insert(format!("{}{field}", self.prefix), path.as_path().to_owned());
            return Ok(());
        }
        let digest = Digest::of_file(path.as_path()).map_err(|source| KeyError {
            path: path.written().to_owned(),
            source,
        })?;
        self.insert(field, serde_json::json!({ "file": digest }));
        Ok(())
    }

    fn input(&mut self, field: &str, text: &str) {
        match (self.known)(text) {
            Known::Digest(digest) => self.insert(field, serde_json::json!({ "artifact": digest })),
            Known::Pending => self.pending.push(format!("{}{field}", self.prefix)),
        }
    }

    fn insert(&mut self, field: &str, value: Value) {
        let name = format!("{}{field}", self.prefix);
        let earlier = self.fields.insert(name.clone(), value);
        assert!(earlier.is_none(), "key field {name} is set twice");
    }

    /// The fields, or the names of those that must be made first together with what is known.
    pub fn finish(self) -> (BTreeMap<String, Value>, Vec<String>) {
        (self.fields, self.pending)
    }
}
