//! Where the boxes and edges of a graph go in a drawing, from top to bottom: a row a distance from
//! the sources, long edges led around the boxes between, each row ordered by where its edges come
//! from (Sugiyama's method).

/// How large all boxes are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// The width of a lane in which an edge passes a row.
const LANE: f64 = 18.0;
const GAP_X: f64 = 18.0;
const GAP_Y: f64 = 34.0;

/// A graph with a place for everything.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The width of the whole.
    pub width: f64,
    /// The height of the whole.
    pub height: f64,
    /// Where each box is: the middle of its upper side.
    pub boxes: Vec<(f64, f64)>,
    /// Each edge as an SVG path, from the bottom of one box to the top of another.
    pub edges: Vec<String>,
}

/// A place in a row: a box, or a lane of the edge with this number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Box(usize),
    Lane(usize),
}

impl Slot {
    fn width(self, size: Size) -> f64 {
        match self {
            Self::Box(_) => size.width,
            Self::Lane(_) => LANE,
        }
    }
}

/// Places `boxes` boxes. Edges lead from lower to higher numbers, each once.
pub fn layered(boxes: usize, edges: &[(usize, usize)], size: Size) -> Layout {
    let depth = depths(boxes, edges);
    let rows = ordered(&depth, edges);
    let row_width = |row: &[Slot]| row.iter().map(|slot| slot.width(size) + GAP_X).sum::<f64>() - GAP_X;
    let total = rows.iter().map(|row| row_width(row)).fold(0.0, f64::max);
    let mut places = vec![(0.0, 0.0); boxes];
    let mut lanes: Vec<Vec<(f64, f64)>> = vec![Vec::new(); edges.len()];
    for (index, row) in rows.iter().enumerate() {
        let mut x = (total - row_width(row)) / 2.0;
        for slot in row {
            let place = (
                1.0 + x + slot.width(size) / 2.0,
                1.0 + index as f64 * (size.height + GAP_Y),
            );
            match slot {
                Slot::Box(number) => places[*number] = place,
                Slot::Lane(edge) => lanes[*edge].push(place),
            }
            x += slot.width(size) + GAP_X;
        }
    }
    let curves = edges.iter().zip(&lanes);
    Layout {
        width: total.max(0.0) + 2.0,
        height: (rows.len() as f64 * (size.height + GAP_Y) - GAP_Y).max(0.0) + 2.0,
        edges: curves
            .map(|((from, to), lanes)| curve(places[*from], lanes, places[*to], size.height))
            .collect(),
        boxes: places,
    }
}

/// How far each box is from a source.
fn depths(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    edges.iter().for_each(|(from, to)| above[*to].push(*from));
    let mut depth = vec![0usize; boxes];
    for number in 0..boxes {
        depth[number] = above[number].iter().map(|from| depth[*from] + 1).max().unwrap_or(0);
    }
    depth
}

/// From the bottom of one box through lanes to the top of another.
fn curve(from: (f64, f64), lanes: &[(f64, f64)], to: (f64, f64), height: f64) -> String {
    let (mut x, mut y) = (from.0, from.1 + height);
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
        bend(*lane_x, lane_y + height, &mut path);
    }
    bend(to.0, to.1 - 5.0, &mut path);
    path
}

/// The rows from top to bottom, each ordered.
fn ordered(depth: &[usize], edges: &[(usize, usize)]) -> Vec<Vec<Slot>> {
    let mut rows = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (number, row) in depth.iter().enumerate() {
        rows[*row].push(Slot::Box(number));
    }
    // what each slot is linked with in the row above and below
    let mut boxes: [Vec<Vec<Slot>>; 2] = [vec![Vec::new(); depth.len()], vec![Vec::new(); depth.len()]];
    for (edge, (from, to)) in edges.iter().enumerate() {
        for row in &mut rows[depth[*from] + 1..depth[*to]] {
            row.push(Slot::Lane(edge));
        }
        let direct = depth[*from] + 1 == depth[*to];
        boxes[1][*from].push(if direct { Slot::Box(*to) } else { Slot::Lane(edge) });
        boxes[0][*to].push(if direct { Slot::Box(*from) } else { Slot::Lane(edge) });
    }
    // down and up a few times: each slot moves to the mean place of its neighbours in the row before
    let mut box_at = vec![0.0; depth.len()];
    let mut lane_at = vec![0.0; edges.len()];
    for sweep in 0..8 {
        let down = sweep % 2 == 0;
        let order: Vec<usize> = if down {
            (1..rows.len()).collect()
        } else {
            (0..rows.len().saturating_sub(1)).rev().collect()
        };
        for row in order {
            let other = if down { row - 1 } else { row + 1 };
            let length = rows[other].len() as f64;
            for (at, slot) in rows[other].iter().enumerate() {
                let share = (at as f64 + 0.5) / length;
                match slot {
                    Slot::Box(number) => box_at[*number] = share,
                    Slot::Lane(edge) => lane_at[*edge] = share,
                }
            }
            let share = |slot: &Slot| match slot {
                Slot::Box(number) => box_at[*number],
                Slot::Lane(edge) => lane_at[*edge],
            };
            let count = rows[row].len() as f64;
            let mut keyed: Vec<(f64, Slot)> = Vec::new();
            for (at, slot) in rows[row].iter().enumerate() {
                let near: Vec<f64> = match slot {
                    Slot::Box(number) => boxes[usize::from(!down)][*number].iter().map(share).collect(),
                    Slot::Lane(edge) => {
                        let (from, to) = edges[*edge];
                        let end = if down { from } else { to };
                        let neighbour = if depth[end] == other { Slot::Box(end) } else { *slot };
                        vec![share(&neighbour)]
                    }
                };
                let mean = if near.is_empty() {
                    (at as f64 + 0.5) / count
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lead_down_and_long_ones_have_lanes() {
        let edges = [(0, 1), (0, 3), (1, 2), (2, 3)];
        let rows = ordered(&depths(4, &edges), &edges);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1].len(), 2);
        assert!(rows[2].contains(&Slot::Lane(1)));
        assert_eq!(rows[3], [Slot::Box(3)]);
    }

    #[test]
    fn boxes_do_not_overlap_and_nothing_is_a_drawing_too() {
        let edges: Vec<_> = (1..40).map(|to| (to / 3, to)).collect();
        const WIDTH: f64 = 100.0;
        let size = Size {
            width: WIDTH,
            height: 40.0,
        };
        let layout = layered(40, &edges, size);
        for (number, one) in layout.boxes.iter().enumerate() {
            for other in &layout.boxes[number + 1..] {
                assert!(
                    one.1 != other.1 || (one.0 - other.0).abs() >= WIDTH,
                    "{one:?} {other:?}"
                );
            }
            assert!(one.0 >= WIDTH / 2.0 && one.0 + WIDTH / 2.0 <= layout.width);
        }
        assert_eq!(layered(0, &[], size).boxes.len(), 0);
    }
}
