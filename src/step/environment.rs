//! `${env.NAME}`: what is taken from the environment when a step runs, and never written down.
//!
//! Settings, tasks, records and keys hold the name. A path is expanded where it is used
//! ([`super::FilePath`]), a secret where it is revealed ([`Secret`]); what people read is cleaned of
//! both ([`Redaction`]).

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The schema key that marks a string as a secret: it is `${env.NAME}` and nothing else.
pub const SECRET_MARK: &str = "x-secret";

/// Values this short are found in every text; they are no secrets.
const SHORTEST_REDACTED: usize = 4;

/// An environment variable that a setting names and that has no value to take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// It is not there, or empty.
    #[error("the environment variable `{0}` is not set")]
    NotSet(String),
    /// It is there, and no text.
    #[error("the environment variable `{0}` is not UTF-8 text")]
    NotText(String),
}

/// Whether a variable can have this name.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A variable's value.
///
/// # Errors
/// When it has none.
pub fn variable(name: &str) -> Result<String, EnvironmentError> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Err(std::env::VarError::NotUnicode(_)) => Err(EnvironmentError::NotText(name.to_owned())),
        _ => Err(EnvironmentError::NotSet(name.to_owned())),
    }
}

/// The variables that a text names.
pub fn variables(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        rest = &rest[at + 2..];
        let name = rest.strip_prefix("env.").and_then(|rest| rest.split_once('}'));
        if let Some((name, after)) = name.filter(|(name, _)| !escaped && is_variable(name)) {
            names.push(name);
            rest = after;
        }
    }
    names
}

/// A path with its variables replaced. A value that is an absolute path begins anew, as joined paths
/// do.
///
/// # Errors
/// When one of them has no value.
pub fn expanded(text: &str) -> Result<PathBuf, EnvironmentError> {
    let mut path = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        let after = &rest[at + 2..];
        let name = after.strip_prefix("env.").and_then(|rest| rest.split_once('}'));
        match name.filter(|(name, _)| is_variable(name)) {
            _ if before.ends_with('$') => {
                path.push_str(&before[..before.len() - 1]);
                path.push_str("${");
                rest = after;
            }
            Some((name, after)) => {
                path.push_str(before);
                let value = variable(name)?;
                if Path::new(&value).is_absolute() {
                    path.clear();
                }
                path.push_str(&value);
                rest = after;
            }
            None => {
                path.push_str(before);
                path.push_str("${");
                rest = after;
            }
        }
    }
    path.push_str(rest);
    Ok(PathBuf::from(path))
}

/// A secret: a file says only where it is, `${env.NAME}`. It is no part of a key, and is written
/// nowhere but by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    variable: String,
}

impl Secret {
    /// The secret itself, as the environment has it now.
    ///
    /// # Errors
    /// When the environment has it not.
    pub fn reveal(&self) -> Result<String, EnvironmentError> {
        variable(&self.variable)
    }

    /// The environment variable that it is in.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    fn written(&self) -> String {
        format!("${{env.{}}}", self.variable)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.written())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.strip_prefix("${env.").and_then(|rest| rest.strip_suffix('}'));
        match name.filter(|name| is_variable(name)) {
            Some(name) => Ok(Self {
                variable: name.to_owned(),
            }),
            // the text may be the secret: it is not repeated
            None => Err(serde::de::Error::custom(
                "a secret is `${env.NAME}` and never written in a file",
            )),
        }
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\$\{env\.[A-Za-z_][A-Za-z0-9_]*\}$",
            "x-words": "`${env.NAME}`",
            SECRET_MARK: true,
        })
    }
}

/// Takes out of messages what settings take from the environment.
#[derive(Clone, Default)]
pub struct Redaction {
    /// Values with the names that stand for them, the longest first.
    values: Vec<(String, String)>,
}

impl Redaction {
    /// Of everything that these settings name. Values of less than four characters stay: they are in
    /// every text.
    pub fn of(settings: &Value) -> Self {
        fn walk(value: &Value, values: &mut Vec<(String, String)>) {
            match value {
                Value::String(text) => {
                    for name in variables(text) {
                        if let Ok(value) = variable(name)
                            && value.chars().count() >= SHORTEST_REDACTED
                        {
                            values.push((value, format!("${{env.{name}}}")));
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, values)),
                Value::Object(map) => map.values().for_each(|value| walk(value, values)),
                _ => {}
            }
        }
        let mut values = Vec::new();
        walk(settings, &mut values);
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// A text with names in the place of values.
    pub fn clean(&self, text: &str) -> String {
        self.values
            .iter()
            .fold(text.to_owned(), |text, (value, name)| text.replace(value, name))
    }

    /// Whether there is anything to take out.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A variable that every test process has.
    fn path() -> String {
        std::env::var("PATH").expect("is set")
    }

    #[test]
    fn variables_are_found_and_escapes_are_not() {
        assert_eq!(variables("/a/${env.B}/${env.C_1}"), ["B", "C_1"]);
        assert!(variables("$${env.B} ${params.x} ${env.1} ${env.B").is_empty());
    }

    #[test]
    fn paths_expand_where_they_are_used() {
        let expand = |text: &str| expanded(text).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(expand("/lab/$${env.PATH}"), Ok("/lab/${env.PATH}".into()));
        assert_eq!(expand("/lab/${x}"), Ok("/lab/${x}".into()));
        assert_eq!(
            expand("/lab/${env.FRAGUA_NO_SUCH}"),
            Err(EnvironmentError::NotSet("FRAGUA_NO_SUCH".into()))
        );
        // cargo gives it: an absolute path
        let folder = env!("CARGO_MANIFEST_DIR");
        assert_eq!(std::env::var("CARGO_MANIFEST_DIR").as_deref(), Ok(folder));
        assert_eq!(expand("/lab/${env.CARGO_MANIFEST_DIR}/x"), Ok(format!("{folder}/x")));
        let name = std::env::var("CARGO_PKG_NAME").expect("cargo gives it");
        assert_eq!(expand("/lab/${env.CARGO_PKG_NAME}.d"), Ok(format!("/lab/{name}.d")));
    }

    #[test]
    fn a_secret_is_written_by_its_name_only() {
        let secret: Secret = serde_json::from_value(json!("${env.PATH}")).expect("is one");
        assert_eq!(secret.reveal(), Ok(path()));
        assert_eq!(serde_json::to_value(&secret).expect("text"), json!("${env.PATH}"));
        assert_eq!(format!("{secret:?}"), "Secret(${env.PATH})");
        let error = serde_json::from_value::<Secret>(json!("hf_abc"))
            .expect_err("is none")
            .to_string();
        assert!(error.contains("never written") && !error.contains("hf_abc"), "{error}");
    }

    #[test]
    fn messages_are_cleaned() {
        let redaction = Redaction::of(&json!({"a": ["x/${env.PATH}"], "b": 1}));
        assert_eq!(redaction.clean(&format!("no {}!", path())), "no ${env.PATH}!");
        assert!(Redaction::of(&json!({"a": "$${env.PATH}"})).is_empty());
    }
}
