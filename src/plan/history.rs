//! What was made before, found quickly: by instance, by step, by kind, by what came out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::reason::distance;
use crate::pipeline::Instance;
use crate::step::Digest;
use crate::store::{Action, Dependencies};

/// How many earlier entries, latest first, are compared for one reason. A store may hold a hundred
/// thousand; the plan of thousands of instances must not look at each for each.
const COMPARED: usize = 64;

/// Earlier actions.
pub(super) struct History {
    /// Oldest first; equals by their keys.
    actions: Vec<Action>,
    of_instance: HashMap<(String, String), Vec<usize>>,
    of_step: HashMap<(String, String), Vec<usize>>,
    of_kind: HashMap<String, Vec<usize>>,
    of_output: HashMap<Digest, Vec<usize>>,
    agreeing: Mutex<HashMap<(String, Vec<String>), Agreeing>>,
}

/// What was known of earlier actions when some of their fields are left out.
type Agreeing = Arc<HashSet<Digest>>;

/// The earlier action that is nearest to what an instance depends on now.
#[derive(Clone, Copy)]
pub(super) struct Nearest<'a> {
    pub action: &'a Action,
    /// Whether it was the instance's own.
    pub own: bool,
}

impl History {
    pub fn of(mut actions: Vec<Action>) -> Self {
        actions.sort_by(|one, other| (&one.finished, &one.key).cmp(&(&other.finished, &other.key)));
        let mut history = Self {
            actions: Vec::new(),
            of_instance: HashMap::new(),
            of_step: HashMap::new(),
            of_kind: HashMap::new(),
            of_output: HashMap::new(),
            agreeing: Mutex::default(),
        };
        for (number, action) in actions.iter().enumerate() {
            let kind = || action.dependencies.kind.clone();
            let (instance, step) = (action.instance.clone(), action.step.clone());
            history.of_instance.entry((kind(), instance)).or_default().push(number);
            history.of_step.entry((kind(), step)).or_default().push(number);
            history.of_kind.entry(kind()).or_default().push(number);
            history.of_output.entry(action.output.clone()).or_default().push(number);
        }
        history.actions = actions;
        history
    }

    /// Latest first, of one kind and instance.
    pub fn of_instance(&self, kind: &str, instance: &str) -> impl Iterator<Item = &Action> {
        self.latest(self.of_instance.get(&(kind.to_owned(), instance.to_owned())))
    }

    /// Latest first, of one kind and step.
    pub fn of_step(&self, kind: &str, step: &str) -> impl Iterator<Item = &Action> {
        self.latest(self.of_step.get(&(kind.to_owned(), step.to_owned())))
    }

    /// Latest first, of one kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Action> {
        self.latest(self.of_kind.get(kind))
    }

    /// Latest first, what gave an artifact.
    pub fn of_output(&self, output: &Digest) -> impl Iterator<Item = &Action> {
        self.latest(self.of_output.get(output))
    }

    fn latest(&self, numbers: Option<&Vec<usize>>) -> impl Iterator<Item = &Action> {
        let numbers = numbers.map(Vec::as_slice).unwrap_or_default();
        numbers.iter().rev().take(COMPARED).map(|number| &self.actions[*number])
    }

    /// The nearest earlier action: of the instance itself; if it never ran, of its step; if that
    /// never ran, of a step of the same kind that is gone from the pipeline (it may have been
    /// renamed) and agrees in more than half of all fields. Of several, the one with the fewest
    /// differences, then the latest.
    pub fn nearest(
        &self,
        instance: &Instance,
        now: &Dependencies,
        pending: &[String],
        is_step: &dyn Fn(&str) -> bool,
    ) -> Option<Nearest<'_>> {
        let by_distance = |action: &&Action| distance(&action.dependencies, now, pending);
        if let Some(action) = self.of_instance(&now.kind, &instance.name).min_by_key(by_distance) {
            return Some(Nearest { action, own: true });
        }
        if let Some(action) = self.of_step(&now.kind, &instance.step).min_by_key(by_distance) {
            return Some(Nearest { action, own: false });
        }
        self.of_kind(&now.kind)
            .filter(|action| !is_step(&action.step))
            .map(|action| (by_distance(&action), action))
            .filter(|(differences, _)| differences * 2 < now.fields.len())
            .min_by_key(|(differences, _)| *differences)
            .map(|(_, action)| Nearest { action, own: false })
    }

    /// Whether an earlier action agrees in all that is known: if what is pending comes out as it was
    /// then, nothing needs to run.
    pub fn may_agree(&self, now: &Dependencies, pending: &[String]) -> bool {
        let agreeing = {
            let mut known = self.agreeing.lock().unwrap_or_else(PoisonError::into_inner);
            let place = known.entry((now.kind.clone(), pending.to_vec()));
            let numbers = self.of_kind.get(&now.kind).map(Vec::as_slice).unwrap_or_default();
            let actions = numbers.iter().map(|number| &self.actions[*number].dependencies);
            place
                .or_insert_with(|| Arc::new(actions.map(|before| without(before, pending)).collect()))
                .clone()
        };
        agreeing.contains(&without(now, pending))
    }
}

/// A description with the pending fields left out, as a digest.
fn without(dependencies: &Dependencies, pending: &[String]) -> Digest {
    let mut left = dependencies.clone();
    for field in pending {
        left.fields.remove(field);
    }
    if pending.iter().any(|field| field == "lineage") {
        left.lineage = None;
    }
    left.key()
}
