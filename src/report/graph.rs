//! The graph of steps on the page.

use serde::Serialize;

use super::material::Material;
use super::panels::shortened;
use super::steps::{self, StepGroup};
use super::words::Words;
use crate::layout::{Size, layered};

const WIDTH: f64 = 158.0;
const HEIGHT: f64 = 58.0;
const SIZE: Size = Size {
    width: WIDTH,
    height: HEIGHT,
};

/// The drawing.
#[derive(Serialize)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    nodes: Vec<Node>,
    /// SVG paths.
    edges: Vec<String>,
}

#[derive(Serialize)]
struct Node {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    name: String,
    /// The step's anchor on the page; empty for the report itself.
    anchor: String,
    /// The kind and how many instances; of what the engine added, what it is for.
    detail: String,
    artifact: &'static str,
    count: usize,
}

/// Draws the steps of a report's history and the report itself.
pub(super) fn draw(material: &Material, words: &Words) -> Drawing {
    let groups = steps::groups(material);
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let step_of = |instance: &String| {
        groups
            .iter()
            .position(|group| group.instances.iter().any(|i| i.instance == *instance))
    };
    for (to, group) in groups.iter().enumerate() {
        let inputs = group.instances.iter().flat_map(|instance| &instance.inputs);
        edges.extend(
            inputs
                .filter_map(step_of)
                .filter(|from| *from != to)
                .map(|from| (from, to)),
        );
    }
    let report = groups.len();
    edges.extend(material.inputs.iter().filter_map(step_of).map(|from| (from, report)));
    edges.sort_unstable();
    edges.dedup();

    let layout = layered(report + 1, &edges, SIZE);
    let node = |index: usize| {
        let (x, y) = layout.boxes[index];
        let (x, width, height) = (x - WIDTH / 2.0, WIDTH, HEIGHT);
        match groups.get(index) {
            Some(group) => Node {
                x,
                y,
                width,
                height,
                name: shortened(name_of(group), 18),
                anchor: group.anchor.clone(),
                detail: shortened(&detail_of(group), 22),
                artifact: group.artifact.name(),
                count: group.instances.len(),
            },
            None => Node {
                x,
                y,
                width,
                height,
                name: words.get("this_report").to_owned(),
                anchor: String::new(),
                detail: "report".to_owned(),
                artifact: "report",
                count: 1,
            },
        }
    };
    Drawing {
        width: layout.width,
        height: layout.height,
        nodes: (0..=report).map(node).collect(),
        edges: layout.edges.clone(),
    }
}

/// `encode` of `encode(dialogues, tokenizer)`.
fn name_of<'a>(group: &'a StepGroup<'_>) -> &'a str {
    group
        .title
        .split_once('(')
        .map_or(group.title.as_str(), |(name, _)| name)
}

fn detail_of(group: &StepGroup<'_>) -> String {
    let of = group.title.split_once('(').and_then(|(_, of)| of.strip_suffix(')'));
    let what = of.unwrap_or(&group.kind);
    match group.instances.len() {
        1 => what.to_owned(),
        several => format!("{what} × {several}"),
    }
}
