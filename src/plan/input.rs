//! What an instance reads, once it is made.

use std::sync::Arc;

use serde_json::json;

use super::decide::Made;
use super::graph::{self, Graph};
use crate::pipeline::{Instance, Pipeline};
use crate::step::{Ancestor, Input};

/// An input as the work sees it: where it is, and the digest of the part that is referred to.
pub fn input_of(producer: &Instance, made: &Made, input: &Input) -> Input {
    let manifest = &made.object.manifest;
    let mut path = made.object.path.clone();
    let fixed = producer.kind.output.fixed_parts().iter();
    let digest = match &input.part {
        None => made.object.digest.clone(),
        Some(part) => match fixed.clone().find(|(name, _)| name == part) {
            Some((_, files)) => manifest.only(files).digest(),
            None => {
                path.push(part);
                manifest.folder(part).digest()
            }
        },
    };
    Input {
        path,
        digest: Some(digest),
        ..input.clone()
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
        let mut inputs: Vec<String> = Vec::new();
        for (from, _) in &instance.inputs {
            let name = &pipeline.instances[*from].name;
            if !inputs.contains(name) {
                inputs.push(name.clone());
            }
        }
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
