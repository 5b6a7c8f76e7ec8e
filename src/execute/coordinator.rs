//! The coordinator: starts what is due, watches what runs, enters what is done.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::event::RunEvent;
use super::record::{InstanceRecord, RunRecord, RunState};
use super::run::{ExecuteError, Options};
use super::start::{Running, Start};
use super::task::Launcher;
use crate::pipeline::Pipeline;
use crate::plan::{Decision, Made, Planner, State};
use crate::step::{Digest, Event};
use crate::store::{Store, write_json};

/// How often workers are looked at.
const TICK: Duration = Duration::from_millis(15);

/// Where an instance is.
pub(super) enum Slot {
    /// Its inputs are not all known.
    Waiting,
    /// It must run, and nobody works on it yet, or another run does.
    Due { decision: Box<Decision>, told: bool },
    /// A worker is at it.
    Running(Box<Running>),
    /// Its record says how it came out.
    Over,
}

pub(super) struct Coordinator<'a> {
    pub pipeline: &'a Pipeline,
    pub store: &'a Store,
    pub options: &'a Options<'a>,
    pub planner: Planner<'a>,
    /// What is known of each instance.
    pub made: Vec<Option<Arc<Made>>>,
    pub record: RunRecord,
    pub slots: Vec<Slot>,
    /// Hears what happens.
    pub listener: &'a mut dyn FnMut(&RunEvent),
    /// Everything told but progress, for the run's folder.
    pub events: File,
}

impl Coordinator<'_> {
    /// Until nothing runs and nothing can. Whether it was stopped with work left.
    pub fn work(&mut self, launcher: &mut dyn Launcher, folder: &Path) -> Result<bool, ExecuteError> {
        let mut heard = 0;
        loop {
            let stops = self.options.stops.load(Ordering::Relaxed).min(2);
            while heard < stops {
                heard += 1;
                self.tell(&RunEvent::Stopping { now: heard == 2 });
                self.stop_workers(heard == 2);
            }
            let mut changed = false;
            for index in 0..self.slots.len() {
                changed |= self.advance(index, heard, launcher)?;
            }
            if changed {
                write_json(&folder.join(RunRecord::FILE), &self.record)?;
                continue;
            }
            let running = self.running() > 0;
            let left = self.slots.iter().any(|slot| !matches!(slot, Slot::Over));
            if !running && (!left || heard > 0) {
                return Ok(left || self.record.count(RunState::Interrupted) > 0);
            }
            std::thread::sleep(TICK);
        }
    }

    fn running(&self) -> usize {
        let running = self.slots.iter().filter(|slot| matches!(slot, Slot::Running(_)));
        running.count()
    }

    /// Takes one instance as far as it goes now. Whether it came out.
    fn advance(&mut self, index: usize, stops: u32, launcher: &mut dyn Launcher) -> Result<bool, ExecuteError> {
        match std::mem::replace(&mut self.slots[index], Slot::Over) {
            Slot::Over => {}
            Slot::Waiting => return Ok(self.look(index)),
            Slot::Due { decision, told } if stops > 0 || self.running() >= self.options.jobs => {
                self.slots[index] = Slot::Due { decision, told };
            }
            Slot::Due { decision, told } => return self.begin(index, decision, told, launcher),
            Slot::Running(mut running) => {
                for event in running.events() {
                    self.forward(index, event);
                }
                match running.poll() {
                    None => self.slots[index] = Slot::Running(running),
                    Some(ended) => {
                        for event in running.events() {
                            self.forward(index, event);
                        }
                        self.finish(index, *running, &ended, stops > 1);
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Decides about an instance once its inputs are known, or gives it up with one of them.
    fn look(&mut self, index: usize) -> bool {
        let pipeline = self.pipeline;
        let inputs = &pipeline.instances[index].inputs;
        let lost = inputs
            .iter()
            .find(|(from, _)| matches!(self.record.instances[*from].state, RunState::Failed | RunState::Blocked));
        if let Some((from, _)) = lost {
            let upstream = &self.record.instances[*from];
            let by = match upstream.state {
                RunState::Blocked => upstream.reasons.concat(),
                _ => upstream.name.clone(),
            };
            self.over(index, RunState::Blocked).reasons = vec![by.clone()];
            let instance = pipeline.instances[index].name.clone();
            self.tell(&RunEvent::Blocked { instance, by });
            return true;
        }
        // a report needs its whole history, which is made once its inputs are
        if inputs.iter().any(|(from, _)| self.made[*from].is_none()) {
            self.slots[index] = Slot::Waiting;
            return false;
        }
        let decision = self.planner.decide(index, &self.made);
        for message in &decision.warnings {
            self.warn(index, message.clone());
        }
        let record = &mut self.record.instances[index];
        record.key = decision.planned.key.as_ref().map(ToString::to_string);
        record.reasons.clone_from(&decision.planned.reasons);
        match (decision.planned.state, &decision.made) {
            (State::Cached, Some(made)) => self.cached(index, made.clone()),
            (State::Run, _) => {
                let decision = Box::new(decision);
                self.slots[index] = Slot::Due { decision, told: false };
                return false;
            }
            _ => self.failed(index, decision.planned.reasons.join("; "), None),
        }
        true
    }

    fn begin(
        &mut self,
        index: usize,
        decision: Box<Decision>,
        told: bool,
        launcher: &mut dyn Launcher,
    ) -> Result<bool, ExecuteError> {
        match self.start(index, &decision, launcher)? {
            Start::Busy { message } => {
                if let Some(message) = message.filter(|_| !told) {
                    let instance = decision.planned.name.clone();
                    self.tell(&RunEvent::Waiting { instance, message });
                }
                self.slots[index] = Slot::Due { decision, told: true };
                Ok(false)
            }
            Start::Known(made) => {
                self.cached(index, made);
                Ok(true)
            }
            Start::Refused(message) => {
                self.failed(index, message, None);
                Ok(true)
            }
            Start::Running(running) => {
                self.tell(&RunEvent::Running {
                    instance: decision.planned.name.clone(),
                    kind: decision.planned.kind,
                    attempt: running.attempt.number,
                    reasons: decision.planned.reasons.clone(),
                });
                self.slots[index] = Slot::Running(running);
                Ok(false)
            }
        }
    }

    /// Whether a worker of this run is at a key.
    pub fn works_on(&self, key: &Digest) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot, Slot::Running(running) if running.key == *key))
    }

    fn stop_workers(&mut self, now: bool) {
        for slot in &mut self.slots {
            if let Slot::Running(running) = slot {
                running.stop(now);
            }
        }
    }

    pub fn over(&mut self, index: usize, state: RunState) -> &mut InstanceRecord {
        self.slots[index] = Slot::Over;
        let record = &mut self.record.instances[index];
        record.state = state;
        record
    }

    fn cached(&mut self, index: usize, made: Arc<Made>) {
        let digest = made.object.digest.to_string();
        let record = self.over(index, RunState::Cached);
        record.digest = Some(digest.clone());
        record.seconds = Some(made.action.seconds);
        record.peak_bytes = made.action.peak_bytes;
        self.made[index] = Some(made);
        let instance = self.pipeline.instances[index].name.clone();
        let kind = self.pipeline.instances[index].kind.name;
        self.tell(&RunEvent::Cached { instance, kind, digest });
    }

    pub fn failed(&mut self, index: usize, message: String, attempt: Option<&Path>) {
        let log_path = attempt.map(|folder| folder.join("stderr.log"));
        let log = log_path.as_deref().map(|path| super::log::last_lines(path, 12));
        let record = self.over(index, RunState::Failed);
        record.reasons = vec![message.clone()];
        self.tell(&RunEvent::Failed {
            instance: self.pipeline.instances[index].name.clone(),
            message,
            log: log.unwrap_or_default(),
            log_file: log_path
                .filter(|path| super::log::has_text(path))
                .map(|path| path.display().to_string()),
        });
    }

    pub fn warn(&mut self, index: usize, message: String) {
        let instance = Some(self.pipeline.instances[index].name.clone());
        self.tell(&RunEvent::Warning { instance, message });
    }

    fn forward(&mut self, index: usize, event: Event) {
        let instance = self.pipeline.instances[index].name.clone();
        self.tell(&RunEvent::Worker { instance, event });
    }

    pub fn tell(&mut self, event: &RunEvent) {
        let passing = matches!(
            event,
            RunEvent::Worker {
                event: Event::Progress { .. },
                ..
            }
        );
        if !passing {
            writeln!(self.events, "{}", event.to_json()).ok(); // the record counts; this is only its story
        }
        (self.listener)(event);
    }
}
