//! What YAML means, asked of serde_yaml: plain scalars one by one, and the whole text beside the
//! tree that was read from it.

use std::sync::Arc;

use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::source::{Source, Text};
use super::tree::{Content, Node};

/// What a plain scalar is, as serde_yaml reads it; `None` for a number that settings cannot hold.
pub(super) fn plain(text: &str) -> Option<Content> {
    // as a document of their own these would be markers
    if text.starts_with("---") || text.starts_with("...") {
        return Some(Content::Text(text.to_owned()));
    }
    Some(match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(serde_yaml::Value::Null) => Content::Null,
        Ok(serde_yaml::Value::Bool(value)) => Content::Bool(value),
        Ok(serde_yaml::Value::Number(value)) => {
            let whole = value
                .as_u64()
                .map(Into::into)
                .or_else(|| value.as_i64().map(Into::into));
            Content::Number(whole.or_else(|| value.as_f64().and_then(serde_json::Number::from_f64))?)
        }
        // a whole number beyond what its types hold
        Err(_)
            if text
                .trim_start_matches(['-', '+'])
                .chars()
                .all(|digit| digit.is_ascii_digit()) =>
        {
            return None;
        }
        _ => Content::Text(text.to_owned()),
    })
}

/// Holds the tree against serde_yaml's reading of the same text.
pub(super) fn compare(source: &Arc<Source>, text: &Text, root: &Node) -> Result<(), Diagnostic> {
    let other = as_json(&text.text).map_err(|error| {
        let start = error.location().map_or(0, |location| location.index());
        let start = start.min(text.text.len());
        let span = text.span(start, start);
        source.error(span, format!("this is not YAML: {error}"))
    })?;
    match difference(root, &other) {
        None => Ok(()),
        Some((node, other)) => {
            let message = format!("this can be read in two ways, as {} or as {other}", node.describe());
            Err(source
                .error(node.span, message)
                .help("write it plainly, or put it in quotes"))
        }
    }
}

/// The text as serde_yaml reads it, `<<` merged. (serde_yaml's own `apply_merge` leaves a `<<` that
/// comes with what is merged.)
pub(super) fn as_json(text: &str) -> Result<Value, serde_yaml::Error> {
    let value: serde_yaml::Value = serde_yaml::from_str(text)?;
    serde_yaml::from_value(merged(value)?)
}

fn merged(value: serde_yaml::Value) -> Result<serde_yaml::Value, serde_yaml::Error> {
    Ok(match value {
        serde_yaml::Value::Sequence(items) => {
            serde_yaml::Value::Sequence(items.into_iter().map(merged).collect::<Result<_, _>>()?)
        }
        serde_yaml::Value::Mapping(mut entries) => {
            let more = entries.shift_remove("<<").map(merged).transpose()?;
            let mut whole = serde_yaml::Mapping::new();
            for (key, value) in entries {
                whole.insert(key, merged(value)?);
            }
            let list = match more {
                Some(serde_yaml::Value::Sequence(list)) => list,
                one => one.into_iter().collect(),
            };
            for one in list {
                let serde_yaml::Value::Mapping(more) = one else {
                    return Err(serde::de::Error::custom("`<<` takes a mapping or a list of mappings"));
                };
                for (key, value) in more {
                    whole.entry(key).or_insert(value);
                }
            }
            serde_yaml::Value::Mapping(whole)
        }
        other => other,
    })
}

fn difference<'a, 'v>(node: &'a Node, value: &'v Value) -> Option<(&'a Node, &'v Value)> {
    match (&node.content, value) {
        (Content::List(items), Value::Array(values)) if items.len() == values.len() => items
            .iter()
            .zip(values)
            .find_map(|(item, value)| difference(item, value)),
        (Content::Map(entries), Value::Object(map)) if entries.len() == map.len() => {
            entries.iter().find_map(|entry| match map.get(&entry.key) {
                Some(value) => difference(&entry.value, value),
                None => Some((node, value)),
            })
        }
        (Content::List(_) | Content::Map(_), _) => Some((node, value)),
        _ => (node.to_value() != *value).then_some((node, value)),
    }
}
