//! The beginning of an instance's work: a place in the line, the claim, what an earlier attempt
//! left, the worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::coordinator::{Coordinator, Due, Slot};
use super::event::RunEvent;
use super::log::Follower;
use super::running::Running;
use super::slots::Need;
use super::task::{Launcher, Task};
use crate::plan::{Decision, Made, input_of, lineage_of};
use crate::store::{Attempt, Claim, Dependencies, Holder, StoreError, write_json};

/// What became of the attempt to begin.
enum Start {
    /// A worker of this run is at the same key.
    Twin,
    /// Another run is.
    Busy(Option<Holder>),
    /// It is known by now.
    Known(Arc<Made>),
    /// The worker could not be started.
    Refused(String),
    /// It works.
    Running(Box<Running>),
}

impl Coordinator<'_> {
    /// Starts what there is room for, first in the line first. Whether anything began or came out.
    pub(super) fn start_due(&mut self, launcher: &mut dyn Launcher) -> bool {
        if self.due.is_empty() || self.stops > 0 || self.free.none() {
            return false;
        }
        let mut happened = false;
        let mut free = self.free;
        for place in self.due.clone() {
            if free.none() {
                break;
            }
            let index = place.1;
            let need = self.need(index);
            if !free.fit(&need) {
                free.set_aside(&need);
                continue;
            }
            let Slot::Due(due) = &self.slots[index] else { continue };
            if !self.begins() && due.failures == 0 {
                continue; // what was begun may be tried again; nothing new is
            }
            self.due.remove(&place);
            let Slot::Due(due) = std::mem::replace(&mut self.slots[index], Slot::Waiting) else {
                continue;
            };
            happened = true;
            self.begin(index, *due, need, launcher);
            if self.running.contains(&index) {
                free.take(&need);
            }
        }
        happened
    }

    fn begin(&mut self, index: usize, due: Due, need: Need, launcher: &mut dyn Launcher) {
        let start = self.start(index, &due.decision, need, due.failures, launcher);
        match start.unwrap_or_else(|error| Start::Refused(error.to_string())) {
            Start::Twin => {
                if let Some(key) = due.decision.planned.key {
                    self.twins.entry(key).or_default().push(index);
                }
            }
            Start::Busy(holder) => self.wait_for(index, due, holder.as_ref()),
            Start::Known(made) => self.cached(index, made),
            Start::Refused(message) => self.failed(index, message, None),
            Start::Running(running) => {
                self.tell(&RunEvent::Running {
                    instance: due.decision.planned.name.clone(),
                    kind: due.decision.planned.kind,
                    attempt: running.attempt.number,
                    threads: need.cpus,
                    reasons: due.decision.planned.reasons.clone(),
                });
                self.free.take(&need);
                self.running.insert(index);
                self.slots[index] = Slot::Running(running);
            }
        }
    }

    /// Another run works on the same thing: says so once, and looks again later. Between taking a lock
    /// and writing its name, a holder cannot be named yet: the next look tells.
    fn wait_for(&mut self, index: usize, mut due: Due, holder: Option<&Holder>) {
        if let Some(holder) = holder.filter(|_| !due.told) {
            due.told = true;
            self.tell(&RunEvent::Waiting {
                instance: due.decision.planned.name.clone(),
                message: format!("{holder} is making the same thing; its result will be taken"),
            });
        }
        self.slots[index] = Slot::Due(Box::new(due));
        self.look_later(index);
    }

    /// Looks at what other runs work on: what they have finished is taken, what they have given up
    /// is ours. It needs no room, so it holds up nothing and nothing holds it up.
    pub(super) fn look_at_busy(&mut self) -> bool {
        let now = Instant::now();
        let due: Vec<usize> = self
            .busy
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(index, _)| *index)
            .collect();
        let mut happened = false;
        for index in due {
            let Slot::Due(due) = &self.slots[index] else { continue };
            let key = due.decision.planned.key.clone();
            let free = key.as_ref().map(|key| self.store.claim(key));
            if let Some(Ok(None)) = free {
                self.look_later(index);
                continue;
            }
            // free, or an error that starting it tells
            self.busy.remove(&index);
            happened = true;
            let forced = due.decision.before.is_some();
            match key.and_then(|key| self.planner.look_up(&key)) {
                Some(made) if !forced => self.cached(index, made),
                _ => {
                    if let Slot::Due(due) = std::mem::replace(&mut self.slots[index], Slot::Waiting) {
                        self.line_up(index, *due);
                    }
                }
            }
        }
        happened
    }

    /// Claims an instance that must run and starts its worker.
    fn start(
        &mut self,
        index: usize,
        decision: &Decision,
        need: Need,
        failures: u32,
        launcher: &mut dyn Launcher,
    ) -> Result<Start, StoreError> {
        let (Some(dependencies), Some(key)) = (&decision.dependencies, &decision.planned.key) else {
            return Ok(Start::Refused("the step has no key: a defect of fragua".into()));
        };
        let works_on_it = |index: &usize| matches!(&self.slots[*index], Slot::Running(running) if running.key == *key);
        if self.running.iter().any(works_on_it) {
            return Ok(Start::Twin);
        }
        let Some(claim) = self.store.claim(key)? else {
            return Ok(Start::Busy(self.store.holder(key)));
        };
        if decision.before.is_none() {
            // whoever held the claim before us may have finished it
            if let Some(made) = self.planner.look_up(key) {
                return Ok(Start::Known(made));
            }
            if let Some(made) = self.recover(index, key, dependencies, &claim) {
                return Ok(Start::Known(made));
            }
        }
        let attempt = claim.begin()?;
        let task = self.task(index, dependencies, need, &attempt, &claim)?;
        write_json(&attempt.path.join(Task::FILE), &task)?;
        let policy = self.pipeline.instances[index].policy;
        match launcher.submit(&attempt.path, task.threads) {
            Ok(job) => Ok(Start::Running(Box::new(Running {
                key: key.clone(),
                decision: decision.clone(),
                failures,
                need,
                follower: Follower::new(&attempt.path),
                attempt,
                claim,
                time: super::running::Time::new(policy.timeout, self.options.grace),
                job,
            }))),
            Err(error) => Ok(Start::Refused(format!("cannot start a worker: {error}"))),
        }
    }

    fn task(
        &self,
        index: usize,
        dependencies: &Dependencies,
        need: Need,
        attempt: &Attempt,
        claim: &Claim,
    ) -> Result<Task, StoreError> {
        let instance = &self.pipeline.instances[index];
        let mut inputs = BTreeMap::new();
        for (from, input) in &instance.inputs {
            let made = self.made[*from]
                .as_deref()
                .expect("an instance starts once its inputs are made");
            let input = input_of(&self.pipeline.instances[*from], made, input);
            inputs.insert(input.text.clone(), input);
        }
        let needs = instance.work.needs();
        let (mut lineage, mut pipeline) = (Vec::new(), (String::new(), String::new()));
        if needs.lineage {
            lineage = lineage_of(self.pipeline, self.planner.graph(), index, &self.made)
                .expect("an instance starts once its inputs are made");
            pipeline = (self.pipeline.name.clone(), self.pipeline.about.clone());
        }
        Ok(Task {
            attempt: attempt.number,
            instance: instance.name.clone(),
            kind: instance.kind.name.into(),
            settings: instance.settings.clone(),
            fields: dependencies.fields.clone(),
            inputs,
            lineage,
            pipeline,
            seed: dependencies.seed.clone(),
            device: instance.device(self.options.device),
            threads: need.cpus,
            checkpoints: claim.checkpoints()?,
            profile: self.options.profile,
        })
    }
}
