//! One instance: whether it is known, and if not, why.

use std::sync::{Arc, OnceLock};

use super::graph::{self, Graph};
use super::input::{described, input_of, lineage_of};
use super::reason::nearest;
use super::selection::{Choice, Part};
use super::{Planned, State};
use crate::device::DeviceSpec;
use crate::pipeline::{Instance, Pipeline};
use crate::step::{Digest, Key, Known, Redaction};
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
    store: &'a Store,
    device: &'a DeviceSpec,
    graph: Graph,
    choice: Choice,
    /// All earlier actions, read when the first reason is asked for.
    history: OnceLock<Vec<Action>>,
}

impl<'a> Planner<'a> {
    /// A planner for one pipeline on one (concrete) device.
    pub fn new(pipeline: &'a Pipeline, store: &'a Store, device: &'a DeviceSpec) -> Self {
        Self {
            pipeline,
            store,
            device,
            graph: graph::graph(pipeline),
            choice: Choice::everything(pipeline),
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

    /// Decides about one instance from what is known of the others.
    pub fn decide(&self, index: usize, made: &[Option<Arc<Made>>]) -> Decision {
        let instance = &self.pipeline.instances[index];
        if self.choice.part(index) == Part::Skipped {
            return decision(instance, State::Skipped, None, vec![NOT_SELECTED.into()]);
        }
        let mut decision = self.decide_wanted(index, made);
        let planned = &mut decision.planned;
        match (self.choice.part(index), planned.state) {
            (Part::Selected, State::Cached | State::Maybe) if self.choice.forces(index) => {
                planned.state = State::Run;
                planned.reasons.insert(0, FORCED.into());
                decision.before = decision.made.take();
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
        let instance = &self.pipeline.instances[index];
        let (dependencies, pending) = match self.dependencies(index, made) {
            Ok(found) => found,
            Err(error) => {
                let reason = Redaction::of(&instance.settings).clean(&error.to_string());
                return decision(instance, State::Blocked, None, vec![reason]);
            }
        };
        if !pending.is_empty() {
            return self.decide_pending(index, made, &dependencies, &pending);
        }
        let key = dependencies.key();
        let mut warnings = Vec::new();
        let mut reasons = Vec::new();
        match self.store.action(&key) {
            Ok(Some(action)) => match self.store.object(&action.output) {
                Ok(object) => {
                    let mut known = decision(instance, State::Cached, Some(key), Vec::new());
                    known.dependencies = Some(dependencies);
                    known.made = Some(Arc::new(Made { object, action }));
                    return known;
                }
                Err(damage) => {
                    if matches!(damage, Damage::Broken { .. }) {
                        warnings.push(format!("{damage}; it will be made again"));
                    }
                    reasons.push(damage.to_string());
                }
            },
            Ok(None) => reasons = self.reasons(instance, &dependencies, &[]),
            Err(error) => {
                warnings.push(format!("{error}; the step will run again"));
                reasons.push("its entry in the store cannot be read".into());
            }
        }
        if self.store.has_checkpoints(&key) {
            reasons.push("goes on from a checkpoint".into());
        }
        let mut run = decision(instance, State::Run, Some(key), reasons);
        run.dependencies = Some(dependencies);
        run.warnings = warnings;
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
        let mut waits: Vec<&str> = Vec::new();
        for (from, _) in instance.inputs.iter().filter(|(from, _)| made[*from].is_none()) {
            let name = self.pipeline.instances[*from].name.as_str();
            if !waits.contains(&name) {
                waits.push(name);
            }
        }
        let agrees = |action: &Action| {
            action.dependencies.kind == now.kind && super::differences(&action.dependencies, now, pending).is_empty()
        };
        let (state, mut reasons) = if self.history().iter().any(agrees) {
            (State::Maybe, Vec::new())
        } else {
            (State::Run, self.reasons(instance, now, pending))
        };
        // with a lineage, what it waits for may be further up
        if !waits.is_empty() {
            reasons.push(format!("waits for {}", listed(&waits)));
        }
        decision(instance, state, None, reasons)
    }

    /// The artifact of a key, if it is in the store, whole.
    pub fn look_up(&self, key: &Digest) -> Option<Arc<Made>> {
        let action = self.store.action(key).ok()??;
        let object = self.store.object(&action.output).ok()?;
        Some(Arc::new(Made { object, action }))
    }

    fn reasons(&self, instance: &Instance, now: &Dependencies, pending: &[String]) -> Vec<String> {
        match nearest(self.history(), &instance.step, &instance.name, now, pending) {
            Some((_, differences)) => differences.into_iter().map(|difference| difference.text).collect(),
            None => vec!["never run".into()],
        }
    }

    pub(super) fn history(&self) -> &[Action] {
        // what cannot be read gives no reasons; each entry that matters is read again by its key
        self.history.get_or_init(|| self.store.actions().unwrap_or_default())
    }

    /// Everything that an instance depends on, as far as it is known, and the fields that are not.
    fn dependencies(
        &self,
        index: usize,
        made: &[Option<Arc<Made>>],
    ) -> Result<(Dependencies, Vec<String>), crate::step::KeyError> {
        let instance = &self.pipeline.instances[index];
        let known = |text: &str| {
            let input = instance.inputs.iter().find(|(_, input)| input.text == text);
            let digest = input.and_then(|(from, input)| {
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

fn decision(instance: &Instance, state: State, key: Option<Digest>, reasons: Vec<String>) -> Decision {
    let planned = Planned {
        name: instance.name.clone(),
        kind: instance.kind.name,
        state,
        key,
        reasons,
    };
    Decision {
        planned,
        dependencies: None,
        made: None,
        before: None,
        warnings: Vec::new(),
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
