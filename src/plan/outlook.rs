//! What can be said of instances before anything runs.

use super::{Plan, Planner, input_of};
use crate::step::{Outlook, Prospects};

/// What can be said of an instance before it runs, and what was measured if it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// From its settings.
    pub outlook: Outlook,
    /// The most memory that its worker held, of what is in the store.
    pub measured_bytes: Option<u64>,
}

impl Planner<'_> {
    /// The plan, and what can be said of each instance; `threads` is what a run would have.
    pub fn plan_with_outlooks(&self, threads: usize) -> (Plan, Vec<Foreseen>) {
        let (plan, made) = self.plan_with_artifacts();
        let mut foreseen: Vec<Foreseen> = Vec::with_capacity(self.pipeline.instances.len());
        for (index, instance) in self.pipeline.instances.iter().enumerate() {
            let inputs = instance.inputs.iter().map(|(from, input)| {
                let input = match made[*from].as_deref() {
                    Some(made) => input_of(&self.pipeline.instances[*from], made, input),
                    None => input.clone(),
                };
                (input, &foreseen[*from].outlook)
            });
            let prospects = Prospects {
                inputs: inputs.collect(),
                threads,
            };
            foreseen.push(Foreseen {
                outlook: instance.work.outlook(&prospects),
                measured_bytes: made[index].as_deref().and_then(|made| made.action.peak_bytes),
            });
        }
        (plan, foreseen)
    }
}
