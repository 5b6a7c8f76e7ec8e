//! Why something must run: the difference between what it depends on now and what it did before.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::store::{Action, Dependencies};

/// One field in which two descriptions differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The field: `train.learning_rate`; `implementation`, `seed`, `device` and `lineage` stand for
    /// what is not a setting.
    pub field: String,
    /// Its value then; `None` if it was not there. Content is `{"artifact": digest}` or
    /// `{"file": digest}`.
    pub before: Option<Value>,
    /// Its value now.
    pub after: Option<Value>,
    /// A sentence for people: `train.learning_rate 0.001 → 0.0003`.
    pub text: String,
}

/// The differences between an earlier description and the present one. `pending` names the fields
/// of the present one that are not known yet: about them nothing is said.
pub fn differences(before: &Dependencies, now: &Dependencies, pending: &[String]) -> Vec<Difference> {
    let mut found = Vec::new();
    if before.implementation != now.implementation {
        let (old, new) = (before.implementation, now.implementation);
        found.push(Difference {
            field: "implementation".into(),
            before: Some(old.into()),
            after: Some(new.into()),
            text: format!("{} implementation {old} → {new}", now.kind),
        });
    }
    for (name, old, new) in unequal(before, now, pending) {
        let text = match (old, new) {
            (Some(old), Some(new)) => changed(name, old, new),
            (None, Some(new)) => added(name, new),
            (Some(old), None) => removed(name, old),
            (None, None) => continue,
        };
        found.push(Difference {
            field: name.to_owned(),
            before: old.cloned(),
            after: new.cloned(),
            text,
        });
    }
    let value = |text: &Option<String>| text.clone().map(Value::String);
    if before.seed != now.seed {
        let text = match (&before.seed, &now.seed) {
            (None, _) => "draws random numbers now",
            (_, None) => "draws no random numbers any more",
            _ => "seed changed",
        };
        found.push(Difference {
            field: "seed".into(),
            before: value(&before.seed),
            after: value(&now.seed),
            text: text.into(),
        });
    }
    if before.numerics != now.numerics {
        let name = |numerics: &Option<String>| numerics.clone().unwrap_or_else(|| "none".into());
        found.push(Difference {
            field: "device".into(),
            before: value(&before.numerics),
            after: value(&now.numerics),
            text: format!("device {} → {}", name(&before.numerics), name(&now.numerics)),
        });
    }
    if lineage_differs(before, now, pending) {
        for text in history(before.lineage.as_ref(), now.lineage.as_ref()) {
            found.push(Difference {
                field: "lineage".into(),
                before: None,
                after: None,
                text,
            });
        }
    }
    found
}

/// The differences between an earlier action and the present, with seeds as files name them.
pub(super) fn differences_from(before: &Action, now: &Dependencies, seed: &str, pending: &[String]) -> Vec<Difference> {
    let mut found = differences(&before.dependencies, now, pending);
    for difference in found.iter_mut().filter(|one| one.field == "seed") {
        if let (Some(old), Some(_), Some(_)) = (&before.seed, &difference.before, &difference.after) {
            difference.text = format!("seed {old} → {seed}");
            difference.before = Some(old.clone().into());
            difference.after = Some(seed.into());
        }
    }
    found
}

/// How many differences there are, without their sentences.
pub(super) fn distance(before: &Dependencies, now: &Dependencies, pending: &[String]) -> usize {
    let others = [
        before.implementation != now.implementation,
        before.seed != now.seed,
        before.numerics != now.numerics,
        lineage_differs(before, now, pending),
    ];
    unequal(before, now, pending).len() + others.into_iter().filter(|differs| *differs).count()
}

fn lineage_differs(before: &Dependencies, now: &Dependencies, pending: &[String]) -> bool {
    before.lineage != now.lineage && !pending.iter().any(|field| field == "lineage")
}

/// The settings in which two descriptions differ, in the order of their names.
fn unequal<'a>(
    before: &'a Dependencies,
    now: &'a Dependencies,
    pending: &[String],
) -> Vec<(&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let pending: HashSet<&str> = pending.iter().map(String::as_str).collect();
    let names: BTreeSet<&String> = before.fields.keys().chain(now.fields.keys()).collect();
    let both = names
        .into_iter()
        .map(|name| (name.as_str(), before.fields.get(name), now.fields.get(name)));
    both.filter(|(name, old, new)| old != new && !pending.contains(name))
        .collect()
}

fn changed(name: &str, old: &Value, new: &Value) -> String {
    match (content(old), content(new)) {
        (Some("artifact"), Some("artifact")) => format!("input {name}: content changed"),
        (Some("file"), Some("file")) => format!("file {name}: content changed"),
        _ if old.is_null() => added(name, new),
        _ if new.is_null() => removed(name, old),
        _ => format!("{name} {} → {}", short(old), short(new)),
    }
}

fn added(name: &str, new: &Value) -> String {
    match content(new) {
        Some(what) => format!("{} {name}: new", noun(what)),
        None => format!("{name} is now {}", short(new)),
    }
}

fn removed(name: &str, old: &Value) -> String {
    match content(old) {
        Some(what) => format!("{} {name}: no longer there", noun(what)),
        None => format!("{name} was {}", short(old)),
    }
}

fn noun(what: &str) -> &'static str {
    if what == "file" { "file" } else { "input" }
}

/// Whether a key field stands for content: `{"artifact": digest}` or `{"file": digest}`.
fn content(value: &Value) -> Option<&str> {
    let members = value.as_object()?;
    let (name, _) = members.iter().next().filter(|_| members.len() == 1)?;
    matches!(name.as_str(), "artifact" | "file").then_some(name)
}

/// A value as a line can hold it.
fn short(value: &Value) -> String {
    // a setting kept in 32 bits was written with fewer digits than its 64-bit form shows
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whether it is a 32-bit number is the question"
    )]
    if let Some(number) = value.as_f64().filter(|_| value.is_f64()) {
        let narrow = number as f32;
        return if f64::from(narrow) == number {
            narrow.to_string()
        } else {
            number.to_string()
        };
    }
    let text = value.to_string();
    if text.chars().count() <= 40 {
        return text;
    }
    let start: String = text.chars().take(37).collect();
    format!("{start}...")
}

/// What changed in the history of a report's inputs: the settings, else the content, of each
/// ancestor.
fn history(before: Option<&Value>, now: Option<&Value>) -> Vec<String> {
    let (old, new) = (by_name(before), by_name(now));
    let mut lines = Vec::new();
    for (name, ancestor) in &new {
        let Some(earlier) = old.get(name) else {
            lines.push(format!("history: {name} is new"));
            continue;
        };
        let settings = settings_differences(earlier.get("settings"), ancestor.get("settings"));
        if earlier == ancestor {
            continue;
        }
        if settings.is_empty() {
            lines.push(format!("history: content of {name} changed"));
        }
        lines.extend(settings.into_iter().map(|text| format!("history: {name}: {text}")));
    }
    lines.extend(
        old.keys()
            .filter(|name| !new.contains_key(*name))
            .map(|name| format!("history: {name} is gone")),
    );
    if lines.is_empty() {
        lines.push("history: the pipeline's title or order changed".into());
    }
    lines
}

/// The leaves in which two settings differ, as sentences.
fn settings_differences(before: Option<&Value>, now: Option<&Value>) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    before.iter().for_each(|value| leaves("", value, &mut old));
    now.iter().for_each(|value| leaves("", value, &mut new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let sentence = |name: &String| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(changed(name, old, new)),
        (None, Some(new)) => Some(added(name, new)),
        (Some(old), None) => Some(removed(name, old)),
        (None, None) => None,
    };
    names.into_iter().filter_map(sentence).collect()
}

/// `{"train": {"updates": 3}}` as `train.updates` and 3.
fn leaves<'a>(path: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(members) if !Map::is_empty(members) => {
            members
                .iter()
                .for_each(|(name, value)| leaves(&below(name), value, found));
        }
        leaf => {
            found.insert(path.to_owned(), leaf);
        }
    }
}

fn by_name(lineage: Option<&Value>) -> BTreeMap<String, &Value> {
    let list = lineage.and_then(|lineage| lineage.get("ancestors")?.as_array());
    let named = list.into_iter().flatten();
    named
        .filter_map(|ancestor| Some((ancestor.get("instance")?.as_str()?.to_owned(), ancestor)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(fields: Value) -> Dependencies {
        Dependencies {
            kind: "pretrain".into(),
            implementation: 1,
            fields: serde_json::from_value(fields).unwrap(),
            seed: Some("aa".into()),
            numerics: Some("cpu".into()),
            lineage: None,
        }
    }

    fn texts(before: &Dependencies, now: &Dependencies, pending: &[&str]) -> Vec<String> {
        let pending: Vec<_> = pending.iter().map(|&field| field.to_owned()).collect();
        differences(before, now, &pending)
            .into_iter()
            .map(|difference| difference.text)
            .collect()
    }

    #[test]
    fn each_kind_of_change_has_its_sentence() {
        let before = with(
            json!({"rate": 0.001, "model": {"artifact": "a"}, "template": {"file": "b"}, "old": true, "same": 1, "none": null}),
        );
        let mut now = with(
            json!({"rate": 0.0003, "model": {"artifact": "c"}, "template": {"file": "d"}, "new": "x", "same": 1, "data": {"artifact": "e"}, "none": 2}),
        );
        now.implementation = 2;
        now.seed = Some("bb".into());
        now.numerics = Some("gpu".into());
        assert_eq!(
            texts(&before, &now, &[]),
            [
                "pretrain implementation 1 → 2",
                "input data: new",
                "input model: content changed",
                "new is now \"x\"",
                "none is now 2",
                "old was true",
                "rate 0.001 → 0.0003",
                "file template: content changed",
                "seed changed",
                "device cpu → gpu",
            ]
        );
        assert!(texts(&now, &now, &[]).is_empty());
    }

    #[test]
    fn what_is_pending_is_not_a_difference() {
        let before = with(json!({"model": {"artifact": "a"}}));
        assert!(texts(&before, &with(json!({})), &["model"]).is_empty());
    }

    #[test]
    fn a_setting_in_32_bits_is_shown_as_it_was_written() {
        let (before, now) = (with(json!({"rate": 0.001f32})), with(json!({"rate": 0.0003})));
        assert_eq!(texts(&before, &now, &[]), ["rate 0.001 → 0.0003"]);
    }

    #[test]
    fn a_report_tells_which_ancestor_changed() {
        let lineage = |settings: Value, digest: &str| json!({"ancestors": [{"instance": "base", "settings": settings, "digest": digest}]});
        let mut before = with(json!({}));
        before.lineage = Some(lineage(json!({"a": 1}), "x"));
        let mut now = before.clone();
        now.lineage = Some(lineage(json!({"a": 2}), "y"));
        assert_eq!(texts(&before, &now, &[]), ["history: base: a 1 → 2"]);
        now.lineage = Some(lineage(json!({"a": 1}), "y"));
        assert_eq!(texts(&before, &now, &[]), ["history: content of base changed"]);
    }
}
