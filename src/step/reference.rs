//! References to other steps, and paths to files, as settings hold them.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::artifact::Typed;
use super::environment::expanded;

/// A reference to one artifact: `base`, `dialogues.test`, and once resolved
/// `answers[model=tuned,shots=1]` or `dialogues.test`.
pub struct Ref<T> {
    text: String,
    accepts: PhantomData<T>,
}

impl<T> Ref<T> {
    /// A reference by its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            accepts: PhantomData,
        }
    }

    /// The text as the (resolved) settings hold it: the name under which the context has the input.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// References to several artifacts: a name that stands for all instances of a step, or a list.
pub struct Refs<T> {
    list: Vec<Ref<T>>,
}

impl<T> Refs<T> {
    /// The references; once resolved, one an instance.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Ref<T>> {
        self.list.iter()
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self::new(self.text.clone())
    }
}

impl<T> std::fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ref({})", self.text)
    }
}

impl<T> Clone for Refs<T> {
    fn clone(&self) -> Self {
        Self {
            list: self.list.clone(),
        }
    }
}

impl<T> std::fmt::Debug for Refs<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl<T> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

impl<'de, T> Deserialize<'de> for Refs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let names = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(name) => vec![name],
            OneOrMany::Many(names) => names,
        };
        Ok(Self {
            list: names.into_iter().map(Ref::new).collect(),
        })
    }
}

fn artifact_names<T: Typed>() -> Vec<&'static str> {
    T::TYPES.iter().map(|kind| kind.name()).collect()
}

/// The schema key that marks a string as a reference; its value lists the accepted types.
pub const ARTIFACT_MARK: &str = "x-artifact";
/// The schema key that marks a string as a path relative to the pipeline file.
pub const PATH_MARK: &str = "x-path";

impl<T: Typed> JsonSchema for Ref<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("RefTo{}", artifact_names::<T>().join("Or")).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", ARTIFACT_MARK: artifact_names::<T>()})
    }
}

impl<T: Typed> JsonSchema for Refs<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("RefsTo{}", artifact_names::<T>().join("Or")).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({"type": "string", ARTIFACT_MARK: artifact_names::<T>(), "x-gather": true});
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// A file's path, relative to the pipeline file as written and absolute once resolved. Its content,
/// never its name, goes into the key. `${env.NAME}` in it stays as it is wherever the path is
/// written down, and is replaced where it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct FilePath {
    written: PathBuf,
    expanded: PathBuf,
}

impl FilePath {
    /// The path to open. It may hold what the environment says: for messages take [`Self::written`].
    pub fn as_path(&self) -> &Path {
        &self.expanded
    }

    /// The path for messages and records, with the names of environment variables.
    pub fn written(&self) -> &Path {
        &self.written
    }
}

impl From<PathBuf> for FilePath {
    fn from(path: PathBuf) -> Self {
        Self {
            written: path.clone(),
            expanded: path,
        }
    }
}

impl std::fmt::Debug for FilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FilePath({})", self.written.display())
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let expanded = expanded(&written).map_err(serde::de::Error::custom)?;
        let written = PathBuf::from(written);
        Ok(Self { written, expanded })
    }
}

impl JsonSchema for FilePath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, PATH_MARK: true})
    }
}

/// Axes as an instance's name shows them: `[model=tuned,shots=1]`; empty without axes.
pub fn axes_label(axes: &[(String, String)]) -> String {
    if axes.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
    format!("[{}]", pairs.join(","))
}
