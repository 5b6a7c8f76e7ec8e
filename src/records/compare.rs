//! Compares two runs: first what was asked for, then what came out, then what it took and where.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::difference::{
    ArtifactDifference, FileDifference, RunDifference, ScoreDifference, SettingsDifference, TimeDifference,
    ValueDifference,
};
use super::scores::scores;
use super::{PastRun, RecordsError};
use crate::execute::{Resolved, ResolvedInstance, RunRecord};
use crate::store::{Manifest, Store};

/// How two runs differ.
///
/// # Errors
/// When a record cannot be read.
pub fn compare(store: &Store, before: &PastRun, after: &PastRun) -> Result<RunDifference, RecordsError> {
    let (old, new) = (before.resolved()?, after.resolved()?);
    let mut found = RunDifference {
        before: before.record.run.clone(),
        after: after.record.run.clone(),
        ..RunDifference::default()
    };
    match (&old, &new) {
        (Some(old), Some(new)) => {
            found.parameters = values(&flat(&json!(old.params)), &flat(&json!(new.params)));
            found.settings = settings(old, new);
        }
        _ => found
            .notes
            .push("settings and scores are not compared: a run was made by a fragua that did not keep them".into()),
    }
    instances(before, after, &mut found);
    artifacts(store, before, after, &mut found);
    score_differences(store, (before, old.as_ref()), (after, new.as_ref()), &mut found);
    times(before, after, &mut found);
    found.environment = values(&environment(&before.record), &environment(&after.record));
    Ok(found)
}

/// What differs between the facts of two places, by name.
pub(super) fn values(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<ValueDifference> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let value = |of: &BTreeMap<String, Value>, name: &String| of.get(name).cloned().unwrap_or(Value::Null);
    let pairs = names
        .into_iter()
        .map(|name| (name, value(before, name), value(after, name)));
    pairs
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| ValueDifference {
            name: name.clone(),
            before,
            after,
        })
        .collect()
}

/// The facts of a run's machine and program that may matter, by name.
pub(super) fn environment(record: &RunRecord) -> BTreeMap<String, Value> {
    let mut facts = flat(&serde_json::to_value(&record.environment).unwrap_or_default());
    facts.insert("threads".into(), json!(record.threads));
    facts
}

/// Nested mappings by path: `train.learning_rate`. A list is one value.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn add(prefix: &str, members: &Map<String, Value>, all: &mut BTreeMap<String, Value>) {
        for (name, value) in members {
            let path = format!("{prefix}{name}");
            match value {
                Value::Object(inner) if !inner.is_empty() => add(&format!("{path}."), inner, all),
                other => {
                    all.insert(path, other.clone());
                }
            }
        }
    }
    let mut all = BTreeMap::new();
    if let Value::Object(members) = value {
        add("", members, &mut all);
    }
    all
}

fn settings(old: &Resolved, new: &Resolved) -> Vec<SettingsDifference> {
    let described = |one: &ResolvedInstance| {
        let mut all = flat(&one.settings);
        // a setting may be called so too: then it is under its own name, and this beside it
        all.insert("(kind)".into(), json!(one.kind));
        all.insert("(implementation)".into(), json!(one.implementation));
        all.insert("(seed)".into(), json!(one.seed));
        all
    };
    let later: BTreeMap<&str, &ResolvedInstance> = new.instances.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut found = Vec::new();
    for one in &old.instances {
        let Some(other) = later.get(one.name.as_str()) else {
            continue;
        };
        let fields = values(&described(one), &described(other));
        if !fields.is_empty() {
            found.push(SettingsDifference {
                instance: one.name.clone(),
                fields,
            });
        }
    }
    found
}

fn instances(before: &PastRun, after: &PastRun, found: &mut RunDifference) {
    let only = |run: &PastRun, other: &PastRun| {
        let names = run.record.instances.iter().map(|one| one.name.clone());
        names.filter(|name| other.instance(name).is_none()).collect()
    };
    found.only_before = only(before, after);
    found.only_after = only(after, before);
}

fn artifacts(store: &Store, before: &PastRun, after: &PastRun, found: &mut RunDifference) {
    for one in &before.record.instances {
        let Some(other) = after.instance(&one.name) else {
            continue;
        };
        if one.digest == other.digest {
            found.equal_artifacts += usize::from(one.digest.is_some());
            continue;
        }
        if one.key.is_some() && one.key == other.key && one.digest.is_some() && other.digest.is_some() {
            found.unexplained.push(one.name.clone());
        }
        let manifest = |digest: &Option<String>| store.manifest_of(digest.as_deref()?);
        let files = match (manifest(&one.digest), manifest(&other.digest)) {
            (Some(old), Some(new)) => files(&old, &new),
            _ => Vec::new(),
        };
        found.artifacts.push(ArtifactDifference {
            instance: one.name.clone(),
            before: one.digest.clone(),
            after: other.digest.clone(),
            files,
        });
    }
}

fn files(old: &Manifest, new: &Manifest) -> Vec<FileDifference> {
    let paths: BTreeSet<_> = old.files.keys().chain(new.files.keys()).collect();
    let differs = paths
        .into_iter()
        .filter(|path| old.files.get(*path) != new.files.get(*path));
    differs
        .map(|path| FileDifference {
            path: path.clone(),
            before: old.files.get(path).map(|entry| entry.size),
            after: new.files.get(path).map(|entry| entry.size),
        })
        .collect()
}

fn score_differences(
    store: &Store,
    (before, old): (&PastRun, Option<&Resolved>),
    (after, new): (&PastRun, Option<&Resolved>),
    found: &mut RunDifference,
) {
    let mut rows: Vec<ScoreDifference> = Vec::new();
    for row in scores(store, before, old) {
        rows.push(ScoreDifference {
            generations: row.generations,
            metric: row.metric,
            before: Some(row.value),
            after: None,
            difference: None,
        });
    }
    let mut at: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        at.insert((row.generations.clone(), row.metric.clone()), index);
    }
    for row in scores(store, after, new) {
        match at.get(&(row.generations.clone(), row.metric.clone())) {
            Some(index) => rows[*index].after = Some(row.value),
            None => rows.push(ScoreDifference {
                generations: row.generations,
                metric: row.metric,
                before: None,
                after: Some(row.value),
                difference: None,
            }),
        }
    }
    for mut row in rows {
        if row.before == row.after {
            found.equal_scores += 1;
            continue;
        }
        row.difference = row.before.zip(row.after).map(|(before, after)| after - before);
        found.scores.push(row);
    }
}

fn times(before: &PastRun, after: &PastRun, found: &mut RunDifference) {
    for one in &before.record.instances {
        let Some(other) = after.instance(&one.name) else {
            continue;
        };
        // what both took from the store has the time of its one making
        let (Some(old), Some(new)) = (one.seconds, other.seconds) else {
            continue;
        };
        if old.to_bits() != new.to_bits() {
            found.times.push(TimeDifference {
                instance: one.name.clone(),
                seconds_before: old,
                seconds_after: new,
                peak_before: one.peak_bytes,
                peak_after: other.peak_bytes,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_differ_by_path_and_lists_as_a_whole() {
        let before = flat(&json!({"train": {"rate": 0.1, "updates": 5}, "metrics": ["a"], "same": {}}));
        let after = flat(&json!({"train": {"rate": 0.2}, "metrics": ["a", "b"], "same": {}}));
        let found = values(&before, &after);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), &one.before, &one.after))
            .collect();
        assert_eq!(
            found,
            [
                ("metrics", &json!(["a"]), &json!(["a", "b"])),
                ("train.rate", &json!(0.1), &json!(0.2)),
                ("train.updates", &json!(5), &Value::Null),
            ]
        );
    }
}
