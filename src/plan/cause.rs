//! Why an input is not what it was: what in it changed, and what its producer was made from then
//! and is made from now.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::decide::{Made, Planner};
use super::input::{input_of, part_digest};
use super::reason::{Difference, differences_from};
use crate::pipeline::Instance;
use crate::step::{ArtifactType, Digest, Input};
use crate::store::{Action, Manifest};

/// How many of an instance's differences are looked into; a report may read thousands of inputs.
const TOLD: usize = 16;

/// How many earlier artifacts of a producer are searched for the one that had a part.
const SEARCHED: usize = 8;

/// How many of the producer's own differences a sentence names.
const NAMED: usize = 2;

impl Planner<'_> {
    /// Writes into differences of inputs and files what is behind them.
    pub(super) fn tell_causes(&self, index: usize, made: &[Option<Arc<Made>>], found: &mut [Difference]) {
        let instance = &self.pipeline.instances[index];
        let mut inputs: HashMap<Digest, (usize, &Input)> = HashMap::new();
        for (from, input) in &instance.inputs {
            if let Some(now) = made[*from].as_deref() {
                let digest = input_of(&self.pipeline.instances[*from], now, input).digest;
                digest.map(|digest| inputs.entry(digest).or_insert((*from, input)));
            }
        }
        for difference in found.iter_mut().take(TOLD) {
            let (Some(before), Some(after)) = (&difference.before, &difference.after) else {
                continue;
            };
            let text = match (digest_in(before, "artifact"), digest_in(after, "artifact")) {
                (Some(old), Some(new)) => inputs.get(&new).and_then(|(from, input)| {
                    let now = made[*from].as_deref()?;
                    Some(self.input_changed(&difference.field, &old, (*from, input), now))
                }),
                _ if digest_in(after, "file").is_some() => file_changed(instance, &difference.field),
                _ => None,
            };
            if let Some(text) = text {
                difference.text = text;
            }
        }
    }

    /// `old`: what the field `field` stood for; `from`: what it stands for now, as `now` has it.
    fn input_changed(&self, field: &str, old: &Digest, (from, input): (usize, &Input), now: &Made) -> String {
        let producer = &self.pipeline.instances[from];
        let Some(earlier) = self.maker_of(producer, input, old) else {
            return format!("input {field}: content of {} changed", quoted(producer, input));
        };
        if earlier.instance != producer.name && self.has_instance(&earlier.instance) {
            return format!("input {field}: `{}` → `{}`", earlier.instance, producer.name);
        }
        let what = match self.store.manifest(&earlier.output) {
            Some(before) => changed_parts(producer.kind.output, input, &before, &now.object.manifest),
            None => "content".into(),
        };
        let reasons = differences_from(
            earlier,
            &now.action.dependencies,
            now.action.seed.as_deref().unwrap_or("?"),
            &[],
        );
        let mut texts: Vec<String> = reasons.iter().take(NAMED).map(brief).collect();
        if reasons.len() > NAMED {
            texts.push(format!("{} more", reasons.len() - NAMED));
        }
        let why = if texts.is_empty() {
            "and came out otherwise".into() // the same key twice: the work is not determined by it
        } else {
            format!("({})", texts.join(", "))
        };
        let of = if field.contains(|c: char| c.is_ascii_digit()) {
            format!(" of `{}`", producer.name) // `scores.3` says nothing
        } else {
            String::new()
        };
        // settings that were tried before give what was made then
        let how = if now.action.finished >= earlier.finished {
            "re-ran"
        } else {
            "is an earlier one"
        };
        format!(
            "input {field}: {what}{of} changed because `{}` {how} {why}",
            producer.name
        )
    }

    /// The action whose artifact, or the part of it that is read, had a digest.
    fn maker_of(&self, producer: &Instance, input: &Input, digest: &Digest) -> Option<&Action> {
        let history = self.history();
        if input.part.is_none() {
            let own = history
                .of_output(digest)
                .find(|action| action.instance == producer.name);
            return own.or_else(|| history.of_output(digest).next());
        }
        let had = |action: &&Action| {
            let manifest = self.store.manifest(&action.output);
            manifest.is_some_and(|manifest| part_digest(producer.kind.output, input, &manifest) == *digest)
        };
        let kind = producer.kind.name;
        let own = history.of_instance(kind, &producer.name).take(SEARCHED);
        let others = history.of_step(kind, &producer.step).take(SEARCHED);
        own.chain(others).find(had)
    }
}

/// A difference of a producer, in a few words.
fn brief(difference: &Difference) -> String {
    let is = |name| {
        difference
            .after
            .as_ref()
            .is_some_and(|value| digest_in(value, name).is_some())
    };
    match () {
        () if is("artifact") => format!("input {} changed", difference.field),
        () if is("file") => format!("file {} changed", difference.field),
        () => difference.text.clone(),
    }
}

/// What of an artifact changed, as one speaks of it.
fn changed_parts(artifact: ArtifactType, input: &Input, before: &Manifest, now: &Manifest) -> String {
    if let Some(part) = &input.part {
        return if *part == "tokenizer" {
            "tokenizer".into()
        } else {
            format!("`{part}` split")
        };
    }
    let names: BTreeSet<&String> = before.files.keys().chain(now.files.keys()).collect();
    let changed = names
        .into_iter()
        .filter(|name| before.files.get(*name) != now.files.get(*name));
    let mut parts: Vec<String> = Vec::new();
    for name in changed {
        let part = match (artifact, name.split_once('/')) {
            (ArtifactType::Dataset | ArtifactType::Tokens, Some((split, _))) => format!("`{split}` split"),
            (ArtifactType::Model, _) if name.ends_with(".safetensors") => "weights".into(),
            (ArtifactType::Model, _) if name.starts_with("tokenizer") => "tokenizer".into(),
            // what the weights came from, beside them: told only if it is all that changed
            (ArtifactType::Model, _) if !name.ends_with("config.json") => "record of the training".into(),
            _ => format!("`{name}`"),
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if parts.len() > 1 {
        parts.retain(|part| part != "record of the training" && part != "`info.json`");
    }
    match parts.len() {
        0 => "content".into(),
        1..=3 => parts.join(", "),
        more => format!("{} and {} more", parts[..2].join(", "), more - 2),
    }
}

/// The file that a field stands for, where the settings name it plainly.
fn file_changed(instance: &Instance, field: &str) -> Option<String> {
    let mut value = &instance.shown;
    for part in field.split('.') {
        let inner = match value {
            Value::Object(members) => members.get(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => break,
        };
        value = inner?;
    }
    let path = value.as_str().filter(|path| !path.contains(['*', '?', '[']))?;
    Some(format!("file {path}: content changed"))
}

fn quoted(producer: &Instance, input: &Input) -> String {
    let part = input.part.as_ref().map(|part| format!(".{part}")).unwrap_or_default();
    format!("`{}{part}`", producer.name)
}

/// The digest in `{"artifact": digest}` or `{"file": digest}`.
fn digest_in(value: &Value, name: &str) -> Option<Digest> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    serde_json::from_value(members.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::FileEntry;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entry = |text: &str| FileEntry {
            size: 1,
            digest: Digest::of(text.as_bytes()),
        };
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), entry(text)))
            .collect();
        Manifest { files }
    }

    #[test]
    fn parts_are_named_as_one_speaks_of_them() {
        let input = |part: Option<&str>| Input {
            text: "x".into(),
            instance: "x".into(),
            step: "x".into(),
            kind: "x".into(),
            artifact: ArtifactType::Model,
            part: part.map(str::to_owned),
            parts: Vec::new(),
            architecture: None,
            axes: Vec::new(),
            path: std::path::PathBuf::new(),
            digest: None,
        };
        let before = manifest(&[("model.safetensors", "1"), ("training.json", "1"), ("config.json", "1")]);
        let now = manifest(&[("model.safetensors", "2"), ("training.json", "2"), ("config.json", "1")]);
        let parts = |artifact, part, before, now| changed_parts(artifact, &input(part), before, now);
        assert_eq!(parts(ArtifactType::Model, None, &before, &now), "weights");
        assert_eq!(
            parts(ArtifactType::Model, Some("tokenizer"), &before, &now),
            "tokenizer"
        );
        let before = manifest(&[("info.json", "1"), ("train/data.jsonl", "1"), ("test/data.jsonl", "1")]);
        let now = manifest(&[("info.json", "2"), ("train/data.jsonl", "2"), ("test/data.jsonl", "1")]);
        assert_eq!(parts(ArtifactType::Dataset, None, &before, &now), "`train` split");
        assert_eq!(
            parts(ArtifactType::Dataset, Some("test"), &before, &now),
            "`test` split"
        );
        assert_eq!(parts(ArtifactType::Dataset, None, &now, &now), "content");
    }
}
