//! The steps with all their settings, and the instances with their digests.

use serde::Serialize;
use serde_json::Value;

use super::material::Material;
use crate::step::{Ancestor, ArtifactType};

/// The instances of one step.
pub(super) struct StepGroup<'a> {
    /// What the page calls it: the step, or the label of an instance that the engine added.
    pub(super) title: String,
    /// Its anchor on the page.
    pub(super) anchor: String,
    pub(super) kind: String,
    pub(super) artifact: ArtifactType,
    pub(super) instances: Vec<&'a Ancestor>,
}

/// The steps of the history, in its order.
pub(super) fn groups(material: &Material) -> Vec<StepGroup<'_>> {
    let mut groups: Vec<StepGroup<'_>> = Vec::new();
    for ancestor in &material.lineage {
        // instances that the engine added have labels for names, and belong to no step of the file
        match groups.iter_mut().find(|group| group.title == ancestor.step) {
            Some(group) => group.instances.push(ancestor),
            None => groups.push(StepGroup {
                title: ancestor.step.clone(),
                anchor: format!("step-{}", groups.len() + 1),
                kind: ancestor.kind.clone(),
                artifact: ancestor.artifact,
                instances: vec![ancestor],
            }),
        }
    }
    groups
}

/// A step as the page lists it.
#[derive(Serialize)]
pub(super) struct Step {
    title: String,
    anchor: String,
    kind: String,
    artifact: &'static str,
    settings: Vec<Setting>,
    instances: Vec<Instance>,
}

#[derive(Serialize)]
struct Setting {
    name: String,
    /// One value, or the values of the instances where they differ.
    values: Vec<String>,
    /// What it would be if the file did not say it, if that is something else.
    default: Option<String>,
    /// Whether it differs from the default, or has none.
    changed: bool,
}

#[derive(Serialize)]
struct Instance {
    name: String,
    digest: String,
}

/// A dataset that the results rest on.
#[derive(Serialize)]
pub(super) struct Data {
    instance: String,
    /// Its files, as the pipeline names them.
    from: String,
    digest: String,
}

/// The datasets with their digests.
pub(super) fn data(material: &Material) -> Vec<Data> {
    let datasets = material
        .lineage
        .iter()
        .filter(|one| one.artifact == ArtifactType::Dataset);
    let data = |dataset: &Ancestor| {
        let mut files = Vec::new();
        flatten(String::new(), &dataset.settings["files"], &mut files);
        Data {
            instance: dataset.instance.clone(),
            from: files.into_iter().map(|(_, file)| file).collect::<Vec<_>>().join(", "),
            digest: dataset.digest.as_str().to_owned(),
        }
    };
    datasets.map(data).collect()
}

/// The steps, for the page.
pub(super) fn steps(material: &Material) -> Vec<Step> {
    let step = |group: StepGroup<'_>| Step {
        settings: settings(&group.instances, material.defaults.get(&group.kind)),
        instances: group
            .instances
            .iter()
            .map(|ancestor| Instance {
                name: ancestor.instance.clone(),
                digest: ancestor.digest.as_str().to_owned(),
            })
            .collect(),
        title: group.title,
        anchor: group.anchor,
        kind: group.kind,
        artifact: group.artifact.name(),
    };
    groups(material).into_iter().map(step).collect()
}

fn settings(instances: &[&Ancestor], defaults: Option<&Value>) -> Vec<Setting> {
    let mut known = Vec::new();
    flatten(String::new(), defaults.unwrap_or(&Value::Null), &mut known);
    let mut settings: Vec<Setting> = Vec::new();
    for ancestor in instances {
        let mut flat = Vec::new();
        flatten(String::new(), &ancestor.settings, &mut flat);
        for (name, value) in flat {
            match settings.iter_mut().find(|setting| setting.name == name) {
                Some(setting) if setting.values.contains(&value) => {}
                Some(setting) => setting.values.push(value),
                None => settings.push(Setting {
                    default: known
                        .iter()
                        .find(|(known, _)| *known == name)
                        .map(|(_, default)| default.clone()),
                    name,
                    values: vec![value],
                    changed: true,
                }),
            }
        }
    }
    for setting in &mut settings {
        setting.changed = setting
            .default
            .as_ref()
            .is_none_or(|default| setting.values != [default.as_str()]);
        if !setting.changed {
            setting.default = None;
        }
    }
    settings
}

/// `{train: {updates: 5}}` as `train.updates`, `5`. Lists of plain values stay together.
fn flatten(name: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{field}"), value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => into.push((name, text.clone())),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<_> = items.iter().map(plain).collect();
            into.push((name, items.join(", ")));
        }
        other => into.push((name, other.to_string())),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_flattened_by_path() {
        let mut flat = Vec::new();
        flatten(
            String::new(),
            &json!({"a": {"b": 1, "c": ["x", 2]}, "d": null, "e": "t"}),
            &mut flat,
        );
        let flat: Vec<_> = flat
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(flat, [("a.b", "1"), ("a.c", "x, 2"), ("e", "t")]);
    }
}
