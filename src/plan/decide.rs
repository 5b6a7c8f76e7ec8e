//! One instance: whether it is known, and if not, why.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::graph::{self, Graph};
use super::history::History;
use super::input::{described, input_of, inputs_of, lineage_of};
use super::selection::{Choice, Part};
use super::{Planned, State};
use crate::device::DeviceSpec;
use crate::pipeline::Pipeline;
use crate::step::{Digest, Input, Key, Known, Redaction};
use crate::store::{Action, Damage, Dependencies, Object, Store};

/// An instance's artifact, in the store.
#[derive(Clone, Debug)]
pub struct Made {
    /// The artifact.
    pub object: Object,
    /// How it was made.
    pub action: Action,
}

/// What is to be done about one instance.
#[derive(Clone, Debug)]
pub struct Decision {
    /// As the plan shows it.
    pub planned: Planned,
    /// Everything that it depends on, once all inputs are known.
    pub dependencies: Option<Dependencies>,
    /// The artifact, of a cached instance.
    pub made: Option<Arc<Made>>,
    /// What is known although it is to run again.
    pub before: Option<Arc<Made>>,
    /// What is wrong in the store, for the user to see.
    pub warnings: Vec<String>,
}

/// The reason of what the user did not select.
const NOT_SELECTED: &str = "not selected";

/// The reason of what is known and runs again.
const FORCED: &str = "asked for by --force";

/// Decides, instance by instance.
pub struct Planner<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) store: &'a Store,
    device: &'a DeviceSpec,
    graph: Graph,
    /// The names of all instances, and of all steps.
    instances: HashSet<&'a str>,
    pub(super) steps: HashSet<&'a str>,
    choice: Choice,
    /// How many instances are to run side by side.
    pub(super) jobs: usize,
    /// All earlier actions, read when the first reason is asked for.
    history: OnceLock<History>,
}

impl<'a> Planner<'a> {
    /// A planner for one pipeline on one (concrete) device.
    pub fn new(pipeline: &'a Pipeline, store: &'a Store, device: &'a DeviceSpec) -> Self {
        Self {
            pipeline,
            store,
            device,
            graph: graph::graph(pipeline),
            instances: pipeline.instances.iter().map(|one| one.name.as_str()).collect(),
            steps: pipeline.instances.iter().map(|one| one.step.as_str()).collect(),
            choice: Choice::everything(pipeline),
            jobs: 1,
            history: OnceLock::new(),
        }
    }

    /// The graph of instances.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The same for a part of the pipeline.
    pub fn choosing(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    /// What of the pipeline is wanted.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The same for a run of so many instances side by side: the work does not change, its time does.
    pub fn side_by_side(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    pub(super) fn has_instance(&self, name: &str) -> bool {
        self.instances.contains(name)
    }

    /// Decides about one instance from what is known of the others.
    pub fn decide(&self, index: usize, made: &[Option<Arc<Made>>]) -> Decision {
        if self.choice.part(index) == Part::Skipped {
            let mut skipped = self.decision(index, State::Skipped, None);
            skipped.planned.reasons = vec![NOT_SELECTED.into()];
            return skipped;
        }
        let mut decision = self.decide_wanted(index, made);
        let planned = &mut decision.planned;
        match (self.choice.part(index), planned.state) {
            (Part::Selected, State::Cached | State::Maybe) if self.choice.forces(index) => {
                planned.state = State::Run;
                planned.reasons.insert(0, FORCED.into());
                decision.before = decision.made.take();
                let before = decision.before.as_deref().map(|made| made.action.seconds);
                planned.estimated_seconds = before.or(planned.estimated_seconds);
            }
            (Part::Needed, State::Run) => {
                planned.state = State::Skipped;
                planned.reasons.insert(0, NOT_SELECTED.into());
            }
            _ => {}
        }
        decision
    }

    fn decide_wanted(&self, index: usize, made: &[Option<Arc<Made>>]) -> Decision {
        let (dependencies, pending) = match self.dependencies(index, made) {
            Ok(found) => found,
            Err(error) => {
                let settings = &self.pipeline.instances[index].settings;
                let mut blocked = self.decision(index, State::Blocked, None);
                blocked.planned.reasons = vec![Redaction::of(settings).clean(&error.to_string())];
                return blocked;
            }
        };
        if !pending.is_empty() {
            return self.decide_pending(index, made, &dependencies, &pending);
        }
        let key = dependencies.key();
        let mut run = self.decision(index, State::Run, Some(key.clone()));
        match self.store.action(&key) {
            Ok(Some(action)) => match self.store.object(&action.output) {
                Ok(object) => {
                    run.planned.state = State::Cached;
                    run.dependencies = Some(dependencies);
                    run.made = Some(Arc::new(Made { object, action }));
                    return run;
                }
                Err(damage) => {
                    if matches!(damage, Damage::Broken { .. }) {
                        run.warnings.push(format!("{damage}; it will be made again"));
                    }
                    run.planned.reasons.push(damage.to_string());
                }
            },
            Ok(None) => self.tell_reasons(&mut run.planned, index, made, &dependencies, &[]),
            Err(error) => {
                run.warnings.push(format!("{error}; the step will run again"));
                run.planned.reasons.push("its entry in the store cannot be read".into());
            }
        }
        if self.store.has_checkpoints(&key) {
            run.planned.reasons.push("goes on from a checkpoint".into());
        }
        run.planned.estimated_seconds = self.seconds(&self.pipeline.instances[index], &dependencies, &[]);
        run.dependencies = Some(dependencies);
        run
    }

    /// Some inputs are not made yet. If an earlier result agrees in all that is known, the inputs
    /// may come out as they were then and nothing needs to run; else it is certain to run.
    fn decide_pending(
        &self,
        index: usize,
        made: &[Option<Arc<Made>>],
        now: &Dependencies,
        pending: &[String],
    ) -> Decision {
        let instance = &self.pipeline.instances[index];
        let mut seen = HashSet::new();
        let froms = instance.inputs.iter().map(|(from, _)| *from);
        let waits: Vec<&str> = froms
            .filter(|from| made[*from].is_none() && seen.insert(*from))
            .map(|from| self.pipeline.instances[from].name.as_str())
            .collect();
        let mut decision = self.decision(index, State::Maybe, None);
        if !self.history().may_agree(now, pending) {
            decision.planned.state = State::Run;
            self.tell_reasons(&mut decision.planned, index, made, now, pending);
        }
        decision.planned.estimated_seconds = self.seconds(instance, now, pending);
        // with a lineage, what it waits for may be further up
        if !waits.is_empty() {
            let waits = format!("waits for {}", listed(&waits));
            decision.planned.reasons.push(waits);
        }
        decision
    }

    /// The artifact of a key, if it is in the store, whole.
    pub fn look_up(&self, key: &Digest) -> Option<Arc<Made>> {
        let action = self.store.action(key).ok()??;
        let object = self.store.object(&action.output).ok()?;
        Some(Arc::new(Made { object, action }))
    }

    pub(super) fn history(&self) -> &History {
        // what cannot be read gives no reasons; each entry that matters is read again by its key
        self.history
            .get_or_init(|| History::of(self.store.actions().unwrap_or_default()))
    }

    fn decision(&self, index: usize, state: State, key: Option<Digest>) -> Decision {
        let instance = &self.pipeline.instances[index];
        Decision {
            planned: Planned {
                name: instance.name.clone(),
                step: instance.step.clone(),
                kind: instance.kind.name,
                state,
                key,
                reasons: Vec::new(),
                differences: Vec::new(),
                compared_with: None,
                inputs: inputs_of(self.pipeline, instance),
                estimated_seconds: None,
            },
            dependencies: None,
            made: None,
            before: None,
            warnings: Vec::new(),
        }
    }

    /// Everything that an instance depends on, as far as it is known, and the fields that are not.
    pub(super) fn dependencies(
        &self,
        index: usize,
        made: &[Option<Arc<Made>>],
    ) -> Result<(Dependencies, Vec<String>), crate::step::KeyError> {
        let instance = &self.pipeline.instances[index];
        let by_text: HashMap<&str, &(usize, Input)> = instance
            .inputs
            .iter()
            .map(|input| (input.1.text.as_str(), input))
            .collect();
        let known = |text: &str| {
            let digest = by_text.get(text).and_then(|(from, input)| {
                let made = made[*from].as_deref()?;
                input_of(&self.pipeline.instances[*from], made, input).digest
            });
            digest.map_or(Known::Pending, Known::Digest)
        };
        let mut key = Key::new(&known);
        instance.work.key(&mut key)?;
        let (fields, mut pending) = key.finish();
        let needs = instance.work.needs();
        let mut lineage = None;
        if needs.lineage {
            match lineage_of(self.pipeline, &self.graph, index, made) {
                Some(ancestors) => lineage = Some(described(self.pipeline, &ancestors)),
                None => pending.push("lineage".into()),
            }
        }
        let dependencies = Dependencies {
            kind: instance.kind.name.into(),
            implementation: instance.kind.version,
            fields,
            seed: needs.seed.then(|| instance.seed.to_hex()),
            numerics: needs.device.then(|| instance.device(self.device).numerics().into()),
            lineage,
        };
        Ok((dependencies, pending))
    }
}

/// The first names of a list that may be long.
fn listed(names: &[&str]) -> String {
    match names {
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        few => few.join(", "),
    }
}
