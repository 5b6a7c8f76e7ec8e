//! Mapping: a step that reads a step with a matrix runs once for each of its instances.
//!
//! Axes of the same name join (they must have the same value), others multiply. A field that
//! gathers takes all instances and adds no axis.

use std::collections::HashMap;

use super::matrix::MAXIMUM_INSTANCES;
use super::reference::Reference;

/// More instances that all instances of one step read together are a mistake.
const MAXIMUM_READS: usize = 10_000_000;

/// A step's axes, with the instances that each of its references then means.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub axes: Vec<(String, String)>,
    /// For each reference, indices of instances: one, or all of them where it gathers.
    pub targets: Vec<Vec<usize>>,
}

/// Why a reference means nothing.
#[derive(Debug, PartialEq)]
pub(super) enum NoRow {
    /// The reference with this number chooses by axes that no instance has.
    NotChosen(usize),
    /// No instance that this reference means has the values that the axes have so far.
    Apart(usize),
    TooMany,
}

/// All rows of a variant with these axes; `upstream[i]` are the instances of reference `i`'s step
/// with their axes.
pub(super) fn rows(
    own: &[(String, String)],
    references: &[Reference],
    upstream: &[Vec<(usize, &[(String, String)])>],
) -> Result<Vec<Row>, NoRow> {
    let mut rows = vec![Row {
        axes: own.to_vec(),
        targets: Vec::new(),
    }];
    for (number, (reference, instances)) in references.iter().zip(upstream).enumerate() {
        let chosen: Vec<_> = instances
            .iter()
            .filter(|(_, axes)| reference.name.chooses(axes))
            .collect();
        if chosen.is_empty() {
            return Err(NoRow::NotChosen(number));
        }
        if reference.gather {
            let all: Vec<usize> = chosen.iter().map(|(index, _)| *index).collect();
            if rows.len().saturating_mul(all.len()) > MAXIMUM_READS {
                return Err(NoRow::TooMany);
            }
            rows.iter_mut().for_each(|row| row.targets.push(all.clone()));
            continue;
        }
        let shared = Shared::of(&rows, &chosen, &reference.name.chosen);
        rows = rows
            .iter()
            .flat_map(|row| {
                shared.partners(row).iter().filter_map(|(index, axes)| {
                    let axes = joined(&row.axes, axes, &reference.name.chosen)?;
                    let mut targets = row.targets.clone();
                    targets.push(vec![*index]);
                    Some(Row { axes, targets })
                })
            })
            .collect();
        if rows.is_empty() {
            return Err(NoRow::Apart(number));
        }
        if rows.len() > MAXIMUM_INSTANCES {
            return Err(NoRow::TooMany);
        }
    }
    Ok(rows)
}

/// An upstream instance with its axes.
type Upstream<'a> = (usize, &'a [(String, String)]);

/// Upstream instances by their values of the axes that all of them share with all rows, so that a
/// matrix of thousands joins without a comparison of each with each.
struct Shared<'a> {
    axes: Vec<String>,
    by_values: HashMap<Vec<String>, Vec<Upstream<'a>>>,
}

impl<'a> Shared<'a> {
    fn of(rows: &[Row], instances: &[&Upstream<'a>], held: &[(String, String)]) -> Self {
        let in_all = |axis: &str| {
            let joins = |pair: &(String, String)| pair.0 == axis && !held.contains(pair);
            rows.iter().all(|row| value(&row.axes, axis).is_some())
                && instances.iter().all(|(_, axes)| axes.iter().any(joins))
        };
        let names = rows.first().map(|row| row.axes.as_slice()).unwrap_or_default();
        let axes: Vec<String> = names
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| in_all(name))
            .collect();
        let mut by_values: HashMap<_, Vec<_>> = HashMap::new();
        for (index, pairs) in instances {
            let values = axes.iter().filter_map(|axis| value(pairs, axis)).collect();
            by_values.entry(values).or_default().push((*index, *pairs));
        }
        Self { axes, by_values }
    }

    /// The instances that can join a row, in their order.
    fn partners(&self, row: &Row) -> &[Upstream<'a>] {
        let values: Vec<String> = self.axes.iter().filter_map(|axis| value(&row.axes, axis)).collect();
        self.by_values.get(&values).map(Vec::as_slice).unwrap_or_default()
    }
}

fn value(pairs: &[(String, String)], axis: &str) -> Option<String> {
    let pair = pairs.iter().find(|(name, _)| name == axis);
    pair.map(|(_, value)| value.clone())
}

/// The axes with those of an upstream instance, but those that the reference holds to one value;
/// `None` when one has another value.
fn joined(
    axes: &[(String, String)],
    more: &[(String, String)],
    held: &[(String, String)],
) -> Option<Vec<(String, String)>> {
    let mut joined = axes.to_vec();
    for (axis, value) in more.iter().filter(|pair| !held.contains(pair)) {
        match axes.iter().find(|(name, _)| name == axis) {
            Some((_, other)) if other == value => {}
            Some(_) => return None,
            None => joined.push((axis.clone(), value.clone())),
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::reference::Name;

    fn axes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(axis, value)| ((*axis).into(), (*value).into()))
            .collect()
    }

    fn reference(text: &str, gather: bool) -> Reference {
        Reference {
            path: vec![],
            types: vec![],
            gather,
            name: Name::parse(text).expect("a reference"),
        }
    }

    #[test]
    fn same_axes_join_and_others_multiply() {
        let (a1, a2) = (axes(&[("m", "1"), ("s", "x")]), axes(&[("m", "2"), ("s", "x")]));
        let (b1, b2) = (axes(&[("m", "1"), ("t", "p")]), axes(&[("m", "2"), ("t", "q")]));
        let upstream = vec![vec![(0, &a1[..]), (1, &a2[..])], vec![(2, &b1[..]), (3, &b2[..])]];
        let rows = rows(
            &axes(&[("k", "0")]),
            &[reference("a", false), reference("b", false)],
            &upstream,
        )
        .expect("rows");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].axes, axes(&[("k", "0"), ("m", "2"), ("s", "x"), ("t", "q")]));
        assert_eq!(rows[1].targets, [[1], [3]]);
    }

    #[test]
    fn held_axes_do_not_map_and_gathering_takes_all() {
        let (a1, a2) = (axes(&[("m", "1")]), axes(&[("m", "2")]));
        let upstream = vec![vec![(0, &a1[..]), (1, &a2[..])]];
        let held = rows(&[], &[reference("a[m=2]", false)], &upstream).expect("rows");
        assert_eq!(
            held,
            [Row {
                axes: vec![],
                targets: vec![vec![1]]
            }]
        );
        let all = rows(&[], &[reference("a", true)], &upstream).expect("rows");
        assert_eq!(
            all,
            [Row {
                axes: vec![],
                targets: vec![vec![0, 1]]
            }]
        );
        assert_eq!(
            rows(&[], &[reference("a[m=3]", false)], &upstream),
            Err(NoRow::NotChosen(0))
        );
        assert_eq!(
            rows(&axes(&[("m", "3")]), &[reference("a", false)], &upstream),
            Err(NoRow::Apart(0))
        );
    }
}
