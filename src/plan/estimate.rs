//! How long it will take, from how long it took before. What was never measured is not known, and
//! nothing is made up for it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use serde::Serialize;
use serde_json::Value;

use super::decide::Planner;
use super::reason::distance;
use super::{Planned, State};
use crate::pipeline::{Instance, Pipeline};
use crate::store::{Action, Dependencies};

/// Settings that the time is proportional to, with the power in which it is: a training makes so
/// many updates of so many sequences, and its weights grow with the square of the width.
const EFFORT: &[(&str, i32)] = &[
    ("train.updates", 1),
    ("train.epochs", 1),
    ("train.batch_tokens", 1),
    ("train.batch_size", 1),
    ("train.accumulate", 1),
    ("model.layers", 1),
    ("model.width", 2),
    ("generate.rows", 1),
    ("sampling.max_new_tokens", 1),
];

/// A setting that counts only where another is given: sequences of a batch are this long.
const CONTEXT: (&str, &str) = ("model.context", "train.batch_size");

/// How long a plan takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Seconds of work of all that may have to run; `None` if that is not known of each.
    pub estimated_seconds: Option<f64>,
    /// The same, of what is certain to run.
    pub estimated_certain_seconds: Option<f64>,
    /// Seconds from beginning to end of all that may have to run, with so many instances side by
    /// side as was asked for, if each takes as long as alone.
    pub estimated_wall_seconds: Option<f64>,
    /// How many instances may have to run of which nobody can know how long they take.
    pub without_estimate: usize,
}

impl Planner<'_> {
    /// Seconds that the latest earlier work of each instance took, or of its step; `None` of what
    /// never ran.
    pub fn earlier_seconds(&self) -> Vec<Option<f64>> {
        let history = self.history();
        let latest = |instance: &Instance| {
            let (kind, step) = (instance.kind.name, &instance.step);
            let own = history.of_instance(kind, &instance.name).next();
            own.or_else(|| history.of_step(kind, step).next())
                .map(|action| action.seconds)
        };
        self.pipeline.instances.iter().map(latest).collect()
    }

    /// Seconds, from the nearest earlier action of the instance, else of its step, else of its kind,
    /// that ran on the same class of device and is of a comparable size.
    pub(super) fn seconds(&self, instance: &Instance, now: &Dependencies, pending: &[String]) -> Option<f64> {
        let history = self.history();
        let scaled = |action: &Action| {
            let before = &action.dependencies;
            let ratio = ratio(before, now).filter(|_| before.numerics == now.numerics)?;
            Some((distance(before, now, pending), action.seconds * ratio))
        };
        let nearest = |actions: &mut dyn Iterator<Item = &Action>| {
            let scaled = actions.filter_map(scaled);
            scaled
                .min_by_key(|(differences, _)| *differences)
                .map(|(_, seconds)| seconds)
        };
        nearest(&mut history.of_instance(&now.kind, &instance.name))
            .or_else(|| nearest(&mut history.of_step(&now.kind, &instance.step)))
            .or_else(|| nearest(&mut history.of_kind(&now.kind)))
    }
}

/// How many times as much work one description is as another; `None` if the settings do not tell.
fn ratio(before: &Dependencies, now: &Dependencies) -> Option<f64> {
    let number = |of: &Dependencies, field: &str| of.fields.get(field).and_then(Value::as_f64);
    let mut ratio = 1.0;
    let context = [(CONTEXT.0, 1)];
    let counts = number(now, CONTEXT.1).is_some();
    for (field, power) in EFFORT.iter().chain(context.iter().filter(|_| counts)) {
        match (number(before, field), number(now, field)) {
            (None, None) => {}
            (Some(old), Some(new)) if old > 0.0 => ratio *= (new / old).powi(*power),
            _ => return None,
        }
    }
    Some(ratio)
}

/// The time of a whole plan.
pub(super) fn estimate(pipeline: &Pipeline, planned: &[Planned], jobs: usize) -> Time {
    let open = |one: &&Planned| matches!(one.state, State::Run | State::Maybe);
    let sum = |of: &mut dyn Iterator<Item = &Planned>| of.map(|one| one.estimated_seconds).sum::<Option<f64>>();
    let total = sum(&mut planned.iter().filter(open));
    let seconds: Vec<f64> = planned
        .iter()
        .map(|one| one.estimated_seconds.filter(|_| open(&one)).unwrap_or(0.0))
        .collect();
    Time {
        estimated_seconds: total,
        estimated_certain_seconds: sum(&mut planned.iter().filter(|one| one.state == State::Run)),
        estimated_wall_seconds: total.map(|_| wall(pipeline, &seconds, jobs.max(1))),
        without_estimate: planned
            .iter()
            .filter(open)
            .filter(|one| one.estimated_seconds.is_none())
            .count(),
    }
}

/// When the last instance ends, if `jobs` of them run side by side and what has the longest way to
/// the end begins first, as the scheduler has it.
fn wall(pipeline: &Pipeline, seconds: &[f64], jobs: usize) -> f64 {
    let count = seconds.len();
    let mut readers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    let mut waits = vec![0usize; count];
    for (index, instance) in pipeline.instances.iter().enumerate() {
        for (from, _) in &instance.inputs {
            waits[index] += usize::from(readers[*from].insert(index));
        }
    }
    let mut way = seconds.to_vec();
    for index in (0..count).rev() {
        let longest = readers[index].iter().map(|&reader| way[reader]).fold(0.0, f64::max);
        way[index] += longest;
    }
    // nanoseconds, so that they can be ordered
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cut to the integer's range"
    )]
    let exact = |seconds: f64| (seconds * 1e9) as u64;
    let place = |index: usize| (Reverse(exact(way[index])), index);
    let mut ready: BTreeSet<_> = (0..count).filter(|&index| waits[index] == 0).map(place).collect();
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < jobs
            && let Some((_, index)) = ready.pop_first()
        {
            running.push(Reverse((now + exact(seconds[index]), index)));
        }
        let Some(Reverse((end, index))) = running.pop() else {
            break;
        };
        now = end;
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(place(reader));
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let wall = now as f64 / 1e9;
    wall
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(fields: Value) -> Dependencies {
        Dependencies {
            kind: "pretrain".into(),
            implementation: 1,
            fields: serde_json::from_value(fields).unwrap(),
            seed: None,
            numerics: None,
            lineage: None,
        }
    }

    #[test]
    fn time_grows_with_the_work_that_settings_tell() {
        let small = with(json!({"train.updates": 100, "train.batch_size": 4, "model.width": 64, "model.context": 128}));
        let large = with(json!({"train.updates": 300, "train.batch_size": 8, "model.width": 128, "model.context": 64}));
        assert_eq!(ratio(&small, &large), Some(3.0 * 2.0 * 4.0 * 0.5));
        // with tokens in a batch, the context does not change how many there are
        let before = with(json!({"train.batch_tokens": 1000, "model.context": 64}));
        let now = with(json!({"train.batch_tokens": 2000, "model.context": 128}));
        assert_eq!(ratio(&before, &now), Some(2.0));
        // epochs beside updates: who knows
        assert_eq!(ratio(&small, &with(json!({"train.epochs": 1}))), None);
        assert_eq!(ratio(&with(json!({"a": 1})), &with(json!({"a": 9}))), Some(1.0));
    }
}
