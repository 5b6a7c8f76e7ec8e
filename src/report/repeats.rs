//! Repetitions with other seeds (`repeat: 5`): what is compared is their mean, with its interval over
//! the seeds.

use serde_json::json;

use super::comparison::Spread;
use super::material::{Group, System};
use super::ranking::{self, REPEAT};
use crate::metrics::{Score, spread};

/// A group without the axis of repetitions, and for each of its systems those that it stands for. A
/// group that repeats nothing stays as it is.
pub(super) fn over_repeats(group: &Group) -> (Group, Vec<Vec<usize>>) {
    if ranking::values(group, REPEAT).len() < 2 {
        let each = (0..group.systems.len()).map(|index| vec![index]).collect();
        return (group.clone(), each);
    }
    let mut members: Vec<(Vec<(String, String)>, Vec<usize>)> = Vec::new();
    for (index, system) in group.systems.iter().enumerate() {
        let axes: Vec<_> = system.axes.iter().filter(|(axis, _)| axis != REPEAT).cloned().collect();
        match members.iter_mut().find(|(known, _)| *known == axes) {
            Some((_, members)) => members.push(index),
            None => members.push((axes, vec![index])),
        }
    }
    let system = |(axes, members): &(Vec<(String, String)>, Vec<usize>)| {
        let first = &group.systems[members[0]];
        let mean = |score: &Score| {
            let values: Vec<f64> = members
                .iter()
                .filter_map(|index| group.systems[*index].score(&score.metric))
                .map(|score| score.value)
                .collect();
            let mut mean = score.clone();
            if let Some(spread) = spread(&values) {
                mean.value = spread.mean;
                (mean.low, mean.high) = (
                    spread.interval.map(|(low, _)| low),
                    spread.interval.map(|(_, high)| high),
                );
                mean.details.insert("repeats".into(), json!(spread.n));
                mean.details.insert("sd".into(), json!(spread.sd));
            }
            mean
        };
        System {
            axes: axes.clone(),
            scores: first.scores.iter().map(mean).collect(),
            repeats: members.len(),
            ..first.clone()
        }
    };
    let compared = Group {
        axes: group.axes.iter().filter(|axis| *axis != REPEAT).cloned().collect(),
        systems: members.iter().map(system).collect(),
        ..group.clone()
    };
    (compared, members.into_iter().map(|(_, members)| members).collect())
}

/// The spreads of the systems that stand for several: the sum of theirs.
pub(super) fn summed(spreads: &[Option<Spread>], members: &[Vec<usize>]) -> Vec<Option<Spread>> {
    let sum = |members: &Vec<usize>| {
        let own = members.iter().filter_map(|index| spreads.get(*index)?.as_ref());
        own.cloned()
            .reduce(|one, other| one.iter().zip(&other).map(|(one, other)| one + other).collect())
    };
    members.iter().map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn system(model: &str, repeat: &str, value: f64) -> System {
        let score = Score {
            metric: "rougeL".into(),
            value,
            n: 30,
            low: Some(value - 0.1),
            high: Some(value + 0.1),
            signature: String::new(),
            details: Map::new(),
        };
        System {
            axes: vec![("model".into(), model.into()), (REPEAT.into(), repeat.into())],
            scores: vec![score],
            samples: 30,
            ..System::default()
        }
    }

    #[test]
    fn repetitions_become_one_system_with_their_mean_and_interval() {
        let group = Group {
            title: "answers".into(),
            axes: vec!["model".into(), REPEAT.into()],
            systems: vec![
                system("a", "0", 0.5),
                system("a", "1", 0.6),
                system("a", "2", 0.7),
                system("b", "0", 0.1),
                system("b", "1", 0.1),
                system("b", "2", 0.1),
            ],
        };
        let (compared, members) = over_repeats(&group);
        assert_eq!(compared.axes, ["model"]);
        assert_eq!(members, [vec![0, 1, 2], vec![3, 4, 5]]);
        let score = &compared.systems[0].scores[0];
        assert!((score.value - 0.6).abs() < 1e-12);
        // Student's t with 2 degrees of freedom, 4.303, times 0.1 over the root of 3
        assert!((score.low.unwrap() - (0.6 - 0.2484)).abs() < 1e-3, "{:?}", score.low);
        assert!((score.details["sd"].as_f64().unwrap() - 0.1).abs() < 1e-12);
        let spreads = [Some(vec![1, 0]), Some(vec![0, 2]), None, None, None, None];
        assert_eq!(summed(&spreads, &members), [Some(vec![1, 2]), None]);
    }

    #[test]
    fn a_group_that_repeats_nothing_stays_as_it_is() {
        let group = Group {
            axes: vec!["model".into()],
            systems: vec![system("a", "0", 0.5)],
            ..Group::default()
        };
        let (compared, members) = over_repeats(&group);
        assert_eq!((compared.systems.len(), members), (1, vec![vec![0]]));
    }
}
