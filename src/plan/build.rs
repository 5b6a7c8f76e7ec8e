//! The whole plan, before anything runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decide::{Made, Planner};
use super::selection::Part;
use crate::device::DeviceSpec;
use crate::pipeline::Pipeline;
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
    /// Its kind.
    pub kind: &'static str,
    /// What is to be done.
    pub state: State,
    /// Its key, once all inputs are known.
    pub key: Option<Digest>,
    /// Why it must run, or what it waits for.
    pub reasons: Vec<String>,
}

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// All instances, in the order in which they can run.
    pub instances: Vec<Planned>,
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
        let instances = &self.pipeline.instances;
        let mut made: Vec<Option<Arc<Made>>> = vec![None; instances.len()];
        let mut plan = Plan {
            instances: Vec::new(),
            warnings: Vec::new(),
        };
        for (index, instance) in instances.iter().enumerate() {
            let mut decision = self.decide(index, &made);
            let blocker = instance.inputs.iter().map(|(from, _)| &plan.instances[*from]);
            let blocker = blocker
                .filter(|_| decision.planned.state != State::Skipped)
                .find(|planned| matches!(planned.state, State::Blocked | State::Skipped));
            if let Some(blocker) = blocker {
                let (state, how) = match blocker.state {
                    State::Skipped if self.choice().part(index) == Part::Needed => (State::Skipped, "is skipped"),
                    State::Skipped => (State::Blocked, "is not known, and not selected"),
                    _ => (State::Blocked, "cannot run"),
                };
                decision.planned.state = state;
                decision.planned.reasons = vec![format!("{} {how}", blocker.name)];
            }
            made[index] = decision.made;
            plan.instances.push(decision.planned);
            plan.warnings.extend(decision.warnings);
        }
        plan
    }
}
