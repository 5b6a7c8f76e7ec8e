//! Reading the material of a report from its inputs' artifacts.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::material::{GENERATIONS, Group, Material, Quantized, ReportError, System, Trained};
use crate::metrics::Score;
use crate::step::{Ancestor, ArtifactType, Digest, Input};

/// Reads scores and what they descend from. `lineage` is in topological order and holds the
/// instances of `inputs`.
///
/// # Errors
/// A file that is missing or damaged, an input without history.
pub fn read(inputs: &[&Input], lineage: &[Ancestor]) -> Result<Material, ReportError> {
    let mut material = Material {
        lineage: lineage.to_vec(),
        inputs: inputs.iter().map(|input| input.instance.clone()).collect(),
        ..Material::default()
    };
    material.groups = groups(inputs, lineage)?;
    for ancestor in lineage
        .iter()
        .filter(|ancestor| ancestor.artifact == ArtifactType::Model)
    {
        material.trained.extend(trained(ancestor)?);
        let record = ancestor.path.join("quantization.json");
        if record.exists() {
            let record = json(&record)?;
            let instance = ancestor.instance.clone();
            material.quantized.push(Quantized { instance, record });
        }
    }
    Ok(material)
}

fn find<'a>(lineage: &'a [Ancestor], instance: &str) -> Option<&'a Ancestor> {
    lineage.iter().find(|ancestor| ancestor.instance == instance)
}

/// The first input of an instance that is of a type.
fn input_of<'a>(lineage: &'a [Ancestor], instance: &str, artifact: ArtifactType) -> Option<&'a Ancestor> {
    let inputs = find(lineage, instance).map_or(&[][..], |ancestor| &ancestor.inputs);
    let mut inputs = inputs.iter().filter_map(|name| find(lineage, name));
    inputs.find(|input| input.artifact == artifact)
}

/// The systems, each beside those that it can be compared with.
fn groups(inputs: &[&Input], lineage: &[Ancestor]) -> Result<Vec<Group>, ReportError> {
    let mut groups: Vec<(String, Group)> = Vec::new();
    for input in inputs {
        let texts = input_of(lineage, &input.instance, ArtifactType::Generations);
        let scored = texts
            .or_else(|| input_of(lineage, &input.instance, ArtifactType::Model))
            .ok_or_else(|| ReportError::Lineage {
                instance: input.instance.clone(),
            })?;
        let system = System {
            instance: scored.instance.clone(),
            generations: scored.step.clone(),
            axes: input.axes.clone(),
            scores: scores(&input.path)?,
            samples: lines(&input.path.join("samples.jsonl"))?,
        };
        let key = if texts.is_some() {
            let references = system
                .samples
                .iter()
                .map(|scored| (&scored.sample.id, &scored.sample.references));
            Digest::of(&serde_json::to_vec(&references.collect::<Vec<_>>()).expect("texts are plain values"))
                .to_string()
        } else {
            let tokens = input_of(lineage, &input.instance, ArtifactType::Tokens);
            tokens.map_or_else(|| input.instance.clone(), |tokens| tokens.digest.to_string())
        };
        // another evaluation of the same instance adds to it, unless it has a metric already: then
        // the two differ in settings, and stand apart
        let same = |group: &Group| {
            group
                .systems
                .iter()
                .position(|known| known.instance == system.instance && known.axes == system.axes)
        };
        let repeated = |group: &Group| {
            same(group).is_some_and(|at| {
                system
                    .scores
                    .iter()
                    .any(|score| group.systems[at].score(&score.metric).is_some())
            })
        };
        let title = if texts.is_some() { &scored.step } else { &input.step };
        let place = groups
            .iter()
            .position(|(known, group)| *known == key && !repeated(group));
        let place = place.unwrap_or_else(|| {
            let title = title.clone();
            groups.push((
                key,
                Group {
                    title,
                    ..Group::default()
                },
            ));
            groups.len() - 1
        });
        let group = &mut groups[place].1;
        match same(group) {
            Some(at) => merge(&mut group.systems[at], system),
            None => group.systems.push(system),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| with_axes(group)).collect())
}

fn merge(into: &mut System, from: System) {
    into.scores.extend(from.scores);
    for (into, from) in into.samples.iter_mut().zip(from.samples) {
        into.scores.extend(from.scores);
    }
}

/// Collects the axes of a group, and adds the scored step as one where the others do not tell all
/// systems apart.
fn with_axes(mut group: Group) -> Group {
    for (axis, _) in group.systems.iter().flat_map(|system| &system.axes) {
        if !group.axes.contains(axis) {
            group.axes.push(axis.clone());
        }
    }
    let distinct: BTreeSet<_> = group.systems.iter().map(|system| &system.axes).collect();
    if distinct.len() < group.systems.len() {
        group.axes.insert(0, GENERATIONS.to_owned());
        for system in &mut group.systems {
            system
                .axes
                .insert(0, (GENERATIONS.to_owned(), system.generations.clone()));
        }
    }
    group
}

fn scores(artifact: &Path) -> Result<Vec<Score>, ReportError> {
    #[derive(Deserialize)]
    struct File {
        scores: Vec<Score>,
    }
    let path = artifact.join("scores.json");
    let file: File = json(&path)?;
    Ok(file.scores)
}

fn trained(ancestor: &Ancestor) -> Result<Option<Trained>, ReportError> {
    let curve = ancestor.path.join("metrics.jsonl");
    if !curve.exists() {
        return Ok(None);
    }
    let summary = ancestor.path.join("training.json");
    let mut trained = Trained {
        instance: ancestor.instance.clone(),
        kind: ancestor.kind.clone(),
        summary: if summary.exists() { json(&summary)? } else { Value::Null },
        ..Trained::default()
    };
    for line in lines::<Value>(&curve)? {
        let Some(update) = line["update"].as_u64() else {
            continue;
        };
        if let Some(loss) = line["train_loss"].as_f64() {
            trained.train.push((update, loss));
        }
        if let Some(loss) = line["validation_loss"].as_f64() {
            trained.validation.push((update, loss));
        }
    }
    Ok(Some(trained))
}

fn text(path: &Path) -> Result<String, ReportError> {
    std::fs::read_to_string(path).map_err(|source| ReportError::Read {
        path: path.to_owned(),
        source,
    })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    serde_json::from_str(&text(path)?).map_err(|source| ReportError::Content {
        path: path.to_owned(),
        line: source.line(),
        source,
    })
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    let parse = |(index, line)| {
        serde_json::from_str(line).map_err(|source| ReportError::Content {
            path: path.to_owned(),
            line: index + 1,
            source,
        })
    };
    text(path)?.lines().enumerate().map(parse).collect()
}
