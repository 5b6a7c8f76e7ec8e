//! Reading the material of a report from its inputs' artifacts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::material::{Encoded, GENERATIONS, Group, Material, ModelCost, Quantized, ReportError, System, Trained};
use crate::data::{Statistics, splits};
use crate::metrics::{Score, Slice};
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
    material.groups = groups(inputs, lineage)?;
    for ancestor in lineage
        .iter()
        .filter(|ancestor| ancestor.artifact == ArtifactType::Model)
    {
        material.trained.extend(trained(ancestor)?);
        material.models.push(cost(ancestor, lineage)?);
        let record = ancestor.path.join("quantization.json");
        if record.exists() {
            let record = json(&record)?;
            let instance = ancestor.instance.clone();
            material.quantized.push(Quantized { instance, record });
        }
    }
    for ancestor in lineage
        .iter()
        .filter(|ancestor| ancestor.artifact == ArtifactType::Tokens && ancestor.path.is_dir())
    {
        // without a split there is nothing to tell of
        for (split, folder) in splits(&ancestor.path).unwrap_or_default() {
            if let Some(statistics) = Statistics::read(&folder)? {
                let instance = ancestor.instance.clone();
                material.encoded.push(Encoded {
                    instance,
                    split,
                    statistics,
                });
            }
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
        let file = input.path.join("samples.jsonl");
        let (references, samples) = references(&file)?;
        let model = match scored.artifact {
            ArtifactType::Model => Some(scored),
            _ => input_of(lineage, &scored.instance, ArtifactType::Model),
        };
        let (scores, slices) = scores(&input.path)?;
        let system = System {
            instance: scored.instance.clone(),
            generations: scored.step.clone(),
            axes: input.axes.clone(),
            scores,
            slices,
            repeats: 1,
            files: if samples > 0 { vec![file] } else { Vec::new() },
            samples,
            model: model.map(|model| model.instance.clone()),
        };
        let key = if texts.is_some() {
            references
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
    into.files.extend(from.files);
    for slice in from.slices {
        let known = |known: &&mut Slice| known.field == slice.field && known.value == slice.value;
        match into.slices.iter_mut().find(known) {
            Some(known) => known.scores.extend(slice.scores),
            None => into.slices.push(slice),
        }
    }
}

/// A digest of all identifiers and references in order, and how many samples there are: systems with
/// the same were asked the same, and are compared sample by sample.
fn references(path: &Path) -> Result<(String, u64), ReportError> {
    #[derive(Deserialize)]
    struct Asked {
        id: Value,
        #[serde(default)]
        references: Vec<String>,
    }
    let (mut hasher, mut samples) = (blake3::Hasher::new(), 0u64);
    for_each_line(path, |asked: Asked| {
        let asked = serde_json::to_vec(&(&asked.id, &asked.references)).expect("texts are plain values");
        hasher.update(&asked).update(b"\n");
        samples += 1;
    })?;
    Ok((hasher.finalize().to_string(), samples))
}

/// What a model takes: its own summary says how many parameters, else the header of its weights.
fn cost(model: &Ancestor, lineage: &[Ancestor]) -> Result<ModelCost, ReportError> {
    let mut chain = vec![model.instance.clone()];
    let mut at = model.instance.as_str();
    while let Some(from) = input_of(lineage, at, ArtifactType::Model).filter(|from| !chain.contains(&from.instance)) {
        chain.insert(0, from.instance.clone());
        at = &from.instance;
    }
    let (mut bytes, mut counted) = (0, 0);
    let entries = std::fs::read_dir(&model.path).map_err(read_error(&model.path))?;
    let mut weights: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    weights.sort();
    for path in &weights {
        bytes += std::fs::metadata(path).map_err(read_error(path))?.len();
        counted += numbers(path)?;
    }
    let summary = model.path.join("training.json");
    let summary: Value = if summary.exists() { json(&summary)? } else { Value::Null };
    let counted = (counted > 0).then_some(counted);
    Ok(ModelCost {
        instance: model.instance.clone(),
        chain,
        parameters: summary["parameters"].as_u64().or(counted),
        bytes: (bytes > 0).then_some(bytes),
    })
}

/// How many numbers a safetensors file holds, the scales of quantized tensors left out; 0 when its
/// header cannot be read as one.
fn numbers(path: &Path) -> Result<u64, ReportError> {
    const MOST: u64 = 100 << 20; // the format's own limit
    let mut file = File::open(path).map_err(read_error(path))?;
    let mut length = [0; 8];
    if file.read_exact(&mut length).is_err() {
        return Ok(0);
    }
    let mut header = Vec::new();
    let length = u64::from_le_bytes(length).min(MOST);
    file.take(length).read_to_end(&mut header).map_err(read_error(path))?;
    let Ok(Value::Object(tensors)) = serde_json::from_slice(&header) else {
        return Ok(0);
    };
    let tensors = tensors
        .iter()
        .filter(|(name, _)| *name != "__metadata__" && !name.ends_with("_scale"));
    let of = |tensor: &Value| {
        let shape = tensor["shape"].as_array().into_iter().flatten();
        shape.filter_map(Value::as_u64).fold(1, u64::saturating_mul)
    };
    Ok(tensors.map(|(_, tensor)| of(tensor)).sum())
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

fn scores(artifact: &Path) -> Result<(Vec<Score>, Vec<Slice>), ReportError> {
    #[derive(Deserialize)]
    struct File {
        scores: Vec<Score>,
        #[serde(default)]
        slices: Vec<Slice>,
    }
    let path = artifact.join("scores.json");
    let file: File = json(&path)?;
    Ok((file.scores, file.slices))
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
    for_each_line(&curve, |line: Value| {
        let Some(update) = line["update"].as_u64() else {
            return;
        };
        for (name, values) in [
            ("train_loss", &mut trained.train),
            ("validation_loss", &mut trained.validation),
            ("learning_rate", &mut trained.learning_rate),
            ("gradient_norm", &mut trained.gradient_norm),
        ] {
            values.extend(line[name].as_f64().map(|value| (update, value)));
        }
    })?;
    Ok(Some(trained))
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> ReportError + '_ {
    |source| ReportError::Read {
        path: path.to_owned(),
        source,
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let text = std::fs::read_to_string(path).map_err(read_error(path))?;
    serde_json::from_str(&text).map_err(|source| ReportError::Content {
        path: path.to_owned(),
        line: source.line(),
        source,
    })
}

/// Hands over the values of a JSON Lines file one by one.
fn for_each_line<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> Result<(), ReportError> {
    let mut file = BufReader::new(File::open(path).map_err(read_error(path))?);
    let (mut text, mut line) = (Vec::new(), 0);
    loop {
        text.clear();
        line += 1;
        if file.read_until(b'\n', &mut text).map_err(read_error(path))? == 0 {
            return Ok(());
        }
        each(serde_json::from_slice(&text).map_err(|source| ReportError::Content {
            path: path.to_owned(),
            line,
            source,
        })?);
    }
}
