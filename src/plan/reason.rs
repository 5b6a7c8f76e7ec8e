//! Why something must run: the difference between what it depends on now and what it did before.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::{Action, Dependencies};

/// One field in which two descriptions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field: `train.learning_rate`.
    pub field: String,
    /// A sentence for people: `train.learning_rate 0.001 → 0.0003`.
    pub text: String,
}

/// The differences between an earlier description and the present one. `pending` names the fields
/// of the present one that are not known yet: about them nothing is said.
pub fn differences(before: &Dependencies, now: &Dependencies, pending: &[String]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |field: &str, text: String| {
        found.push(Difference {
            field: field.to_owned(),
            text,
        });
    };
    if before.implementation != now.implementation {
        let text = format!("implementation {} → {}", before.implementation, now.implementation);
        add("implementation", text);
    }
    let names = before.fields.keys().chain(now.fields.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    for name in names {
        if pending.contains(name) {
            continue;
        }
        let text = match (before.fields.get(name), now.fields.get(name)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => changed(name, old, new),
            (None, Some(new)) => added(name, new),
            (Some(old), None) => removed(name, old),
            (None, None) => continue,
        };
        add(name, text);
    }
    if before.seed != now.seed {
        add("seed", "seed changed".into());
    }
    if before.numerics != now.numerics {
        let name = |numerics: &Option<String>| numerics.clone().unwrap_or_else(|| "none".into());
        let text = format!("device {} → {}", name(&before.numerics), name(&now.numerics));
        add("device", text);
    }
    if !pending.iter().any(|field| field == "lineage") && before.lineage != now.lineage {
        for text in history(before.lineage.as_ref(), now.lineage.as_ref()) {
            add("lineage", text);
        }
    }
    found
}

/// The earlier action that is nearest: of the same step, with the fewest differences; among equals
/// the same instance, then the latest.
pub(super) fn nearest<'a>(
    history: &'a [Action],
    step: &str,
    instance: &str,
    now: &Dependencies,
    pending: &[String],
) -> Option<(&'a Action, Vec<Difference>)> {
    let same = history
        .iter()
        .filter(|action| action.step == step && action.dependencies.kind == now.kind);
    same.map(|action| (action, differences(&action.dependencies, now, pending)))
        .min_by_key(|(action, differences)| {
            let other = action.instance != instance;
            (
                differences.len(),
                other,
                std::cmp::Reverse(action.finished.clone()),
                action.key.clone(),
            )
        })
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

/// What changed in the history of a report's inputs, an ancestor a line.
fn history(before: Option<&Value>, now: Option<&Value>) -> Vec<String> {
    let (old, new) = (by_name(before), by_name(now));
    let mut lines = Vec::new();
    for (name, ancestor) in &new {
        match old.get(name) {
            None => lines.push(format!("history: {name} is new")),
            Some(earlier) if earlier == ancestor => {}
            Some(earlier) if earlier.get("settings") != ancestor.get("settings") => {
                lines.push(format!("history: settings of {name} changed"));
            }
            Some(_) => lines.push(format!("history: content of {name} changed")),
        }
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
                "implementation 1 → 2",
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
        assert_eq!(texts(&before, &now, &[]), ["history: settings of base changed"]);
        now.lineage = Some(lineage(json!({"a": 1}), "y"));
        assert_eq!(texts(&before, &now, &[]), ["history: content of base changed"]);
    }
}
