//! Reading the material of a report from its inputs' artifacts.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::material::{Group, Material, Quantized, ReportError, System, Trained};
use crate::metrics::Score;
use crate::step::{Ancestor, ArtifactType, Input};

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
    for input in inputs {
        let scored = scored_by(&input.instance, lineage)?;
        let group = group_of(&mut material.groups, &scored.step, &input.step);
        for (axis, _) in &input.axes {
            if !group.axes.contains(axis) {
                group.axes.push(axis.clone());
            }
        }
        group.systems.push(System {
            instance: scored.instance.clone(),
            axes: input.axes.clone(),
            scores: scores(&input.path)?,
            samples: lines(&input.path.join("samples.jsonl"))?,
        });
    }
    for ancestor in lineage.iter().filter(|ancestor| ancestor.artifact == ArtifactType::Model) {
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

/// What a scores instance scored: its generations, else its model.
fn scored_by<'a>(instance: &str, lineage: &'a [Ancestor]) -> Result<&'a Ancestor, ReportError> {
    let find = |name: &str| lineage.iter().find(|ancestor| ancestor.instance == name);
    let inputs = find(instance).map_or(&[][..], |ancestor| &ancestor.inputs);
    let of = |artifact| inputs.iter().filter_map(|name| find(name)).find(|input| input.artifact == artifact);
    of(ArtifactType::Generations)
        .or_else(|| of(ArtifactType::Model))
        .ok_or_else(|| ReportError::Lineage { instance: instance.to_owned() })
}

fn group_of<'a>(groups: &'a mut Vec<Group>, generations: &str, scores: &str) -> &'a mut Group {
    let known = groups.iter().position(|group| group.generations == generations && group.scores == scores);
    let index = known.unwrap_or_else(|| {
        groups.push(Group {
            generations: generations.to_owned(),
            scores: scores.to_owned(),
            ..Group::default()
        });
        groups.len() - 1
    });
    &mut groups[index]
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
        let Some(update) = line["update"].as_u64() else { continue };
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
