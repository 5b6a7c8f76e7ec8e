//! The whole plan, before anything runs.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::decide::{Decision, Made, Planner};
use super::estimate::{Time, estimate};
use super::reason::Difference;
use super::selection::Part;
use crate::device::DeviceSpec;
use crate::pipeline::{LeftOut, Pipeline};
use crate::step::Digest;
use crate::store::Store;

/// What is to be done about an instance, as far as that can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The result is in the store.
    Cached,
    /// It must run.
    Run,
    /// It waits for inputs; if they come out as they once were, it need not run.
    Maybe,
    /// It cannot run: a file that it needs cannot be read, or what it waits for cannot run.
    Blocked,
    /// The user did not select it; and where something selected needs it, it is not known.
    Skipped,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Run => "run",
            Self::Maybe => "maybe",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
        }
    }
}

/// One instance in the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// The instance.
    pub name: String,
    /// Its step.
    pub step: String,
    /// Its kind.
    pub kind: &'static str,
    /// What is to be done.
    pub state: State,
    /// Its key, once all inputs are known.
    pub key: Option<Digest>,
    /// Why it must run, or what it waits for.
    pub reasons: Vec<String>,
    /// In what it differs from the earlier entry that it was compared with.
    pub differences: Vec<Difference>,
    /// The earlier entry that is nearest; `None` if it need not be compared or nothing is near.
    pub compared_with: Option<Compared>,
    /// The instances that it reads.
    pub inputs: Vec<String>,
    /// How long it will take, from what was measured before; `None` if it need not run or nobody
    /// can know.
    pub estimated_seconds: Option<f64>,
}

/// An earlier entry in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The instance that asked for it first.
    pub instance: String,
    /// Its key.
    pub key: Digest,
    /// When it was made (RFC 3339).
    pub finished: String,
}

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// All instances, in the order in which they can run.
    pub instances: Vec<Planned>,
    /// What a `when:` leaves out.
    pub left_out: Vec<LeftOut>,
    /// How long it takes together.
    #[serde(flatten)]
    pub time: Time,
    /// What is wrong in the store.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Plan {
    /// How many instances are in a state.
    pub fn count(&self, state: State) -> usize {
        self.instances.iter().filter(|planned| planned.state == state).count()
    }
}

/// Plans a pipeline. The store is only looked at.
pub fn build(pipeline: &Pipeline, store: &Store, device: &DeviceSpec) -> Plan {
    Planner::new(pipeline, store, device).plan()
}

impl Planner<'_> {
    /// Plans what is wanted. The store is only looked at.
    pub fn plan(&self) -> Plan {
        self.plan_with_artifacts().0
    }

    /// The same, with the artifacts that are known.
    pub(super) fn plan_with_artifacts(&self) -> (Plan, Vec<Option<Arc<Made>>>) {
        let count = self.pipeline.instances.len();
        let mut made: Vec<Option<Arc<Made>>> = vec![None; count];
        let mut planned: Vec<Option<Planned>> = vec![None; count];
        let mut warnings: Vec<Vec<String>> = vec![Vec::new(); count];
        for wave in waves(self.pipeline) {
            let decisions: Vec<Decision> = wave.par_iter().map(|&index| self.decide(index, &made)).collect();
            for (index, mut decision) in wave.into_iter().zip(decisions) {
                self.block(index, &mut decision.planned, &planned);
                made[index] = decision.made;
                planned[index] = Some(decision.planned);
                warnings[index] = decision.warnings;
            }
        }
        let instances: Vec<Planned> = planned.into_iter().flatten().collect();
        let plan = Plan {
            time: estimate(self.pipeline, &instances, self.jobs),
            instances,
            left_out: self.pipeline.left_out.clone(),
            warnings: warnings.concat(),
        };
        (plan, made)
    }

    /// What cannot be had blocks what reads it.
    fn block(&self, index: usize, planned: &mut Planned, others: &[Option<Planned>]) {
        if planned.state == State::Skipped {
            return;
        }
        let inputs = &self.pipeline.instances[index].inputs;
        let blocker = inputs
            .iter()
            .filter_map(|(from, _)| others[*from].as_ref())
            .find(|input| matches!(input.state, State::Blocked | State::Skipped));
        if let Some(blocker) = blocker {
            let (state, how) = match blocker.state {
                State::Skipped if self.choice().part(index) == Part::Needed => (State::Skipped, "is skipped"),
                State::Skipped => (State::Blocked, "is not known, and not selected"),
                _ => (State::Blocked, "cannot run"),
            };
            planned.state = state;
            planned.reasons = vec![format!("{} {how}", blocker.name)];
        }
    }
}

/// The instances in groups: each after what it reads. Within a group, all can be decided at once.
fn waves(pipeline: &Pipeline) -> Vec<Vec<usize>> {
    let mut depth: Vec<usize> = Vec::with_capacity(pipeline.instances.len());
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (index, instance) in pipeline.instances.iter().enumerate() {
        let deepest = instance.inputs.iter().map(|(from, _)| depth[*from] + 1).max();
        let own = deepest.unwrap_or(0);
        depth.push(own);
        if waves.len() <= own {
            waves.resize_with(own + 1, Vec::new);
        }
        waves[own].push(index);
    }
    waves
}
