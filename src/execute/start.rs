//! The beginning of an instance's work: the claim, what an earlier attempt left, the worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::coordinator::Coordinator;
use super::log::Follower;
use super::run::ExecuteError;
use super::task::{Ended, Job, Launcher, Task};
use crate::plan::{Decision, Made, input_of, lineage_of};
use crate::step::{Digest, Event};
use crate::store::{Attempt, Claim, Dependencies, write_json};

/// A worker at an instance.
pub(super) struct Running {
    pub key: Digest,
    pub dependencies: Dependencies,
    pub attempt: Attempt,
    pub claim: Claim,
    job: Box<dyn Job>,
    follower: Follower,
}

impl Running {
    /// How the worker ended, once it has.
    pub fn poll(&mut self) -> Option<Ended> {
        match self.job.poll() {
            Ok(ended) => ended,
            Err(error) => {
                self.job.kill();
                let how = format!("was lost: {error}");
                Some(Ended { how })
            }
        }
    }

    /// What it told since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.follower.next()
    }

    /// Asks it to stop after its next checkpoint, or ends it.
    pub fn stop(&mut self, now: bool) {
        if now { self.job.kill() } else { self.job.stop() }
    }
}

/// What became of the attempt to begin.
pub(super) enum Start {
    /// Another worker is at the same key; the message is for one of another run.
    Busy { message: Option<String> },
    /// It is known by now.
    Known(Arc<Made>),
    /// The worker could not be started.
    Refused(String),
    /// It works.
    Running(Box<Running>),
}

impl Coordinator<'_> {
    /// Claims an instance that must run and starts its worker.
    pub(super) fn start(
        &mut self,
        index: usize,
        decision: &Decision,
        launcher: &mut dyn Launcher,
    ) -> Result<Start, ExecuteError> {
        let (Some(dependencies), Some(key)) = (&decision.dependencies, &decision.planned.key) else {
            return Ok(Start::Refused("the step has no key: a defect of fragua".into()));
        };
        if self.works_on(key) {
            return Ok(Start::Busy { message: None });
        }
        let Some(claim) = self.store.claim(key)? else {
            let holder = self.store.holder(key);
            let holder = holder.map_or_else(|| "another process".into(), |process| format!("process {process}"));
            let message = Some(format!("{holder} is making the same thing; its result will be taken"));
            return Ok(Start::Busy { message });
        };
        // whoever held the claim before us may have finished it
        if let Some(made) = self.planner.look_up(key) {
            return Ok(Start::Known(made));
        }
        if let Some(made) = self.recover(index, key, dependencies, &claim) {
            return Ok(Start::Known(made));
        }
        let attempt = claim.begin()?;
        let task = self.task(index, dependencies, &attempt, &claim)?;
        write_json(&attempt.path.join(Task::FILE), &task)?;
        match launcher.submit(&attempt.path, task.threads) {
            Ok(job) => Ok(Start::Running(Box::new(Running {
                key: key.clone(),
                dependencies: dependencies.clone(),
                follower: Follower::new(&attempt.path),
                attempt,
                claim,
                job,
            }))),
            Err(error) => Ok(Start::Refused(format!("cannot start a worker: {error}"))),
        }
    }

    fn task(
        &self,
        index: usize,
        dependencies: &Dependencies,
        attempt: &Attempt,
        claim: &Claim,
    ) -> Result<Task, ExecuteError> {
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
            device: *self.options.device,
            threads: (self.options.threads / self.options.jobs).max(1),
            checkpoints: claim.checkpoints()?,
        })
    }
}
