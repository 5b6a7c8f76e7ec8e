//! The graph of steps, drawn from top to bottom: a row a distance from the sources, long edges led
//! around the steps between, each row ordered by where its edges come from (Sugiyama's method).

use serde::Serialize;

use super::material::Material;
use super::panels::shortened;
use super::steps::{self, StepGroup};
use super::words::Words;

const WIDTH: f64 = 158.0;
const HEIGHT: f64 = 58.0;
/// The width of a lane in which an edge passes a row.
const LANE: f64 = 18.0;
const GAP_X: f64 = 18.0;
const GAP_Y: f64 = 34.0;

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

/// A place in a row: a step, or a lane of the edge `(from, to)`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Step(usize),
    Lane(usize, usize),
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

    let rows = ordered(report + 1, &edges);
    let row_width = |row: &[Slot]| row.iter().map(|slot| width(*slot) + GAP_X).sum::<f64>() - GAP_X;
    let total = rows.iter().map(|row| row_width(row)).fold(0.0, f64::max);
    // the centre of each slot
    let mut places: Vec<(Slot, f64, f64)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut x = (total - row_width(row)) / 2.0;
        for slot in row {
            places.push((
                *slot,
                1.0 + x + width(*slot) / 2.0,
                1.0 + index as f64 * (HEIGHT + GAP_Y),
            ));
            x += width(*slot) + GAP_X;
        }
    }
    let place = |slot: Slot| {
        places
            .iter()
            .find(|(known, ..)| *known == slot)
            .map_or((0.0, 0.0), |(_, x, y)| (*x, *y))
    };
    let node = |index: usize| {
        let (x, y) = place(Slot::Step(index));
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
    let path = |(from, to): &(usize, usize)| {
        let lanes = rows.iter().flatten().filter(|slot| **slot == Slot::Lane(*from, *to));
        let lanes: Vec<_> = lanes.map(|slot| place(*slot)).collect();
        curve(place(Slot::Step(*from)), &lanes, place(Slot::Step(*to)))
    };
    Drawing {
        width: total + 2.0,
        height: rows.len() as f64 * (HEIGHT + GAP_Y) - GAP_Y + 2.0,
        nodes: (0..=report).map(node).collect(),
        edges: edges.iter().map(path).collect(),
    }
}

fn width(slot: Slot) -> f64 {
    match slot {
        Slot::Step(_) => WIDTH,
        Slot::Lane(..) => LANE,
    }
}

/// From the bottom of one step through lanes to the top of another.
fn curve(from: (f64, f64), lanes: &[(f64, f64)], to: (f64, f64)) -> String {
    let (mut x, mut y) = (from.0, from.1 + HEIGHT);
    let mut path = format!("M{x:.1} {y:.1}");
    let mut bend = |to_x: f64, to_y: f64, path: &mut String| {
        let middle = f64::midpoint(y, to_y);
        path.push_str(&format!(
            "C{x:.1} {middle:.1} {to_x:.1} {middle:.1} {to_x:.1} {to_y:.1}"
        ));
        (x, y) = (to_x, to_y);
    };
    for (lane_x, lane_y) in lanes {
        bend(*lane_x, *lane_y, &mut path);
        bend(*lane_x, lane_y + HEIGHT, &mut path);
    }
    bend(to.0, to.1 - 5.0, &mut path);
    path
}

/// The rows from top to bottom, each ordered. Edges lead from lower to higher numbers.
fn ordered(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<Slot>> {
    let mut depth = vec![0usize; nodes];
    for node in 0..nodes {
        let above = edges
            .iter()
            .filter(|(_, to)| *to == node)
            .map(|(from, _)| depth[*from] + 1);
        depth[node] = above.max().unwrap_or(0);
    }
    let mut rows = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (node, row) in depth.iter().enumerate() {
        rows[*row].push(Slot::Step(node));
    }
    for (from, to) in edges {
        for row in &mut rows[depth[*from] + 1..depth[*to]] {
            row.push(Slot::Lane(*from, *to));
        }
    }
    // down and up a few times: each slot moves to the mean place of its neighbours in the row before
    for sweep in 0..8 {
        let down = sweep % 2 == 0;
        let order: Vec<usize> = if down {
            (1..rows.len()).collect()
        } else {
            (0..rows.len().saturating_sub(1)).rev().collect()
        };
        for row in order {
            let fixed = rows[if down { row - 1 } else { row + 1 }].clone();
            let share = |at: usize| (at as f64 + 0.5) / fixed.len() as f64;
            let mut keyed: Vec<(f64, Slot)> = Vec::new();
            for (at, slot) in rows[row].iter().enumerate() {
                let near: Vec<f64> = (0..fixed.len())
                    .filter(|other| {
                        if down {
                            linked(fixed[*other], *slot, edges, &depth)
                        } else {
                            linked(*slot, fixed[*other], edges, &depth)
                        }
                    })
                    .map(share)
                    .collect();
                let own = (at as f64 + 0.5) / rows[row].len() as f64;
                let mean = if near.is_empty() {
                    own
                } else {
                    near.iter().sum::<f64>() / near.len() as f64
                };
                keyed.push((mean, *slot));
            }
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0)); // stable: equals keep their order
            rows[row] = keyed.into_iter().map(|(_, slot)| slot).collect();
        }
    }
    rows
}

/// Whether an edge leads from a slot to one in the next row.
fn linked(above: Slot, below: Slot, edges: &[(usize, usize)], depth: &[usize]) -> bool {
    match (above, below) {
        (Slot::Step(from), Slot::Step(to)) => edges.contains(&(from, to)),
        (Slot::Step(from), Slot::Lane(lane_from, _)) => from == lane_from,
        (Slot::Lane(_, lane_to), Slot::Step(to)) => lane_to == to && depth[to] > 0,
        (Slot::Lane(from, to), Slot::Lane(other_from, other_to)) => (from, to) == (other_from, other_to),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lead_down_and_long_ones_have_lanes() {
        let edges = [(0, 1), (0, 3), (1, 2), (2, 3)];
        let rows = ordered(4, &edges);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1].len(), 2);
        assert!(rows[2].contains(&Slot::Lane(0, 3)));
        assert_eq!(rows[3], [Slot::Step(3)]);
    }
}
