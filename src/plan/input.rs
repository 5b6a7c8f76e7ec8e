//! What an instance reads, once it is made.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::decide::Made;
use super::graph::{self, Graph};
use crate::pipeline::{Instance, Pipeline};
use crate::step::{Ancestor, ArtifactType, Digest, Input};
use crate::store::Manifest;

/// An input as the work sees it: where it is, and the digest of the part that is referred to.
pub fn input_of(producer: &Instance, made: &Made, input: &Input) -> Input {
    let artifact = producer.kind.output;
    let path = match &input.part {
        Some(part) if !is_fixed(artifact, part) => made.object.path.join(part),
        _ => made.object.path.clone(),
    };
    let digest = match &input.part {
        None => made.object.digest.clone(),
        Some(_) => part_digest(artifact, input, &made.object.manifest),
    };
    Input {
        path,
        digest: Some(digest),
        ..input.clone()
    }
}

fn is_fixed(artifact: ArtifactType, part: &str) -> bool {
    artifact.fixed_parts().iter().any(|(name, _)| *name == part)
}

/// The digest of what an input means of an artifact with these files: a part of it, or all.
pub(super) fn part_digest(artifact: ArtifactType, input: &Input, manifest: &Manifest) -> Digest {
    let Some(part) = &input.part else {
        return manifest.digest();
    };
    match artifact.fixed_parts().iter().find(|(name, _)| name == part) {
        Some((_, files)) => manifest.only(files).digest(),
        None => manifest.folder(part).digest(),
    }
}

/// All ancestors of an instance in topological order, or `None` while one of them is not made.
pub fn lineage_of(
    pipeline: &Pipeline,
    graph: &Graph,
    index: usize,
    made: &[Option<Arc<Made>>],
) -> Option<Vec<Ancestor>> {
    let ancestor = |other: usize| {
        let instance = &pipeline.instances[other];
        let made = made[other].as_deref()?;
        let inputs = inputs_of(pipeline, instance);
        Some(Ancestor {
            instance: instance.name.clone(),
            step: instance.step.clone(),
            kind: instance.kind.name.into(),
            axes: instance.axes.clone(),
            settings: instance.shown.clone(),
            inputs,
            artifact: instance.kind.output,
            path: made.object.path.clone(),
            digest: made.object.digest.clone(),
        })
    };
    graph::ancestors(graph, index).into_iter().map(ancestor).collect()
}

/// The names of what an instance reads, each once.
pub(super) fn inputs_of(pipeline: &Pipeline, instance: &Instance) -> Vec<String> {
    let mut seen = HashSet::new();
    let froms = instance.inputs.iter().map(|(from, _)| *from);
    froms
        .filter(|from| seen.insert(*from))
        .map(|from| pipeline.instances[from].name.clone())
        .collect()
}

/// The lineage as the key has it: everything but where things lie.
pub(super) fn described(pipeline: &Pipeline, ancestors: &[Ancestor]) -> serde_json::Value {
    let mut list = serde_json::to_value(ancestors).expect("ancestors are plain values");
    for ancestor in list.as_array_mut().into_iter().flatten() {
        if let Some(members) = ancestor.as_object_mut() {
            members.shift_remove("path");
        }
    }
    json!({"pipeline": [pipeline.name, pipeline.about], "ancestors": list})
}
