//! Everything that makes an instance's key, and where each part of it came from.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::decide::{Made, Planner};
use super::input::input_of;
use super::{Plan, Planned};
use crate::pipeline::{Instance, Origin};
use crate::step::{Digest, Key, KeyError, Known};
use crate::store::Action;

/// One instance, explained.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What is to be done about it, and why.
    #[serde(flatten)]
    pub planned: Planned,
    /// Everything that makes the key, the kind first.
    pub components: Vec<Component>,
    /// What the key gave, if it is in the store.
    pub known: Option<Action>,
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// `kind`, `implementation`, a setting (`train.learning_rate`), `seed`, `device`, `lineage`.
    pub name: String,
    /// As the key has it: content as `{"artifact": digest}` or `{"file": digest}`; null while it is
    /// not known.
    pub value: Value,
    /// Where it came from.
    pub from: String,
}

impl Planner<'_> {
    /// Explains some instances: their plan, with the parts of their keys. One that is blocked because
    /// a file cannot be read has none.
    pub fn explain(&self, indices: &[usize]) -> (Plan, Vec<Explanation>) {
        let (plan, made) = self.plan_with_artifacts();
        let explain = |&index: &usize| {
            let known = plan.instances[index].key.as_ref();
            Explanation {
                planned: plan.instances[index].clone(),
                components: self.components(index, &made).unwrap_or_default(), // the plan says why
                known: known.and_then(|key| self.store.action(key).ok().flatten()),
            }
        };
        let explained = indices.iter().map(explain).collect();
        (plan, explained)
    }

    fn components(&self, index: usize, made: &[Option<Arc<Made>>]) -> Result<Vec<Component>, KeyError> {
        let instance = &self.pipeline.instances[index];
        let (now, pending) = self.dependencies(index, made)?;
        // which reference a field stands for: a key in which each has the digest of its text
        let stand_in = |text: &str| Known::Digest(Digest::of(text.as_bytes()));
        let mut key = Key::new(&stand_in);
        instance.work.key(&mut key)?;
        let (references, _) = key.finish();
        let text_of = |field: &str| {
            let digest = references.get(field)?.get("artifact")?.as_str()?;
            let mut texts = instance.inputs.iter().map(|(_, input)| input.text.as_str());
            texts.find(|text| Digest::of(text.as_bytes()).as_str() == digest)
        };
        let at = format!(
            "{}:{}:{}",
            self.pipeline.file.display(),
            instance.at.line,
            instance.at.column
        );
        let owner = if instance.derived {
            "added for the step at"
        } else {
            "step at"
        };
        let mut found = vec![
            component("kind", json!(now.kind), format!("{owner} {at}")),
            component("implementation", json!(now.implementation), "this version of fragua"),
        ];
        for (field, value) in &now.fields {
            let from = match text_of(field) {
                Some(text) => self.input_from(instance, text, made),
                None => setting_from(instance, field, value),
            };
            found.push(component(field, value.clone(), from));
        }
        for field in pending.iter().filter(|field| *field != "lineage") {
            let from = text_of(field).map(|text| self.input_from(instance, text, made));
            found.push(component(
                field,
                Value::Null,
                from.unwrap_or_else(|| "not known yet".into()),
            ));
        }
        if now.seed.is_some() {
            let from = match &instance.origins.seed_at {
                Some(place) => place.to_string(),
                None => "the pipeline's `seed`".into(),
            };
            found.push(component("seed", json!(instance.origins.seed), from));
        }
        if let Some(numerics) = &now.numerics {
            found.push(component("device", json!(numerics), "--device"));
        }
        if instance.work.needs().lineage {
            let ancestors = now.lineage.as_ref().and_then(|lineage| lineage["ancestors"].as_array());
            let value = ancestors.map_or(Value::Null, |list| json!({"ancestors": list.len()}));
            let from = "names, settings and digests of all that it descends from";
            found.push(component("lineage", value, from));
        }
        Ok(found)
    }

    /// An input: whose artifact, or which part of it.
    fn input_from(&self, instance: &Instance, text: &str, made: &[Option<Arc<Made>>]) -> String {
        let Some((from, input)) = instance.inputs.iter().find(|(_, input)| input.text == text) else {
            return format!("`{text}`");
        };
        let producer = &self.pipeline.instances[*from];
        let part = input.part.as_ref().map(|part| format!(".{part}")).unwrap_or_default();
        let name = format!("`{}{part}`", producer.name);
        match made[*from].as_deref() {
            Some(made) => {
                let digest = input_of(producer, made, input).digest;
                let digest = digest.as_ref().map(Digest::short).unwrap_or_default();
                format!("{name}, {digest}")
            }
            None => format!("{name}, not made yet"),
        }
    }
}

fn component(name: &str, value: Value, from: impl Into<String>) -> Component {
    Component {
        name: name.to_owned(),
        value,
        from: from.into(),
    }
}

/// Where a setting is written, or that it is not.
fn setting_from(instance: &Instance, field: &str, value: &Value) -> String {
    let origin = origin_of(instance, field);
    let file = value.get("file").is_some();
    match (origin, instance.derived) {
        (Some((path, origin)), _) if file => {
            let written = path.split('.').try_fold(&instance.shown, |value, part| match value {
                Value::Array(items) => items.get(part.parse::<usize>().ok()?),
                value => value.get(part),
            });
            match written.and_then(Value::as_str) {
                Some(written) => format!("content of {written}, {origin}"),
                None => origin.to_string(),
            }
        }
        (Some((_, origin)), _) => origin.to_string(),
        (None, true) => "given by the step that it was added for".into(),
        (None, false) => "default".into(),
    }
}

/// The setting that a field of the key stands for: itself, or the nearest that holds it
/// (`files.0.content` is `files`).
fn origin_of<'a>(instance: &'a Instance, field: &str) -> Option<(String, &'a Origin)> {
    let mut path = field;
    loop {
        if let Some(origin) = instance.origins.settings.get(path) {
            // a mapping that does not name the setting leaves it to the default
            let mapping = instance
                .origins
                .settings
                .keys()
                .any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')) && other != field);
            return (path == field || !mapping).then(|| (path.to_owned(), origin));
        }
        path = path.rsplit_once('.')?.0;
    }
}
