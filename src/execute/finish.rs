//! The end of an instance's work: what the worker made is verified, put into the store and entered.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::coordinator::Coordinator;
use super::environment::here;
use super::event::RunEvent;
use super::record::RunState;
use super::start::Running;
use super::task::{Ended, Exit, WorkOutcome};
use crate::plan::Made;
use crate::step::Digest;
use crate::store::{Action, Attempt, Claim, Dependencies, Manifest, Object, StoreError};

impl Coordinator<'_> {
    /// Takes in what an ended worker left. `killed`: by us, on the user's second word.
    pub(super) fn finish(&mut self, index: usize, running: Running, ended: &Ended, killed: bool) {
        let folder = running.attempt.path.clone();
        let exit = read_exit(&folder, running.attempt.number);
        match exit {
            Some(Exit {
                outcome: WorkOutcome::Failed { message },
                ..
            }) => self.failed(index, message, Some(&folder)),
            Some(Exit {
                outcome: WorkOutcome::Interrupted,
                ..
            }) => self.interrupted(index),
            Some(exit) => match self.take_in(index, &exit, &running) {
                Ok(made) => self.executed(index, made, &running.claim),
                Err(error) => self.failed(index, error.to_string(), Some(&folder)),
            },
            None if killed => self.interrupted(index),
            None => self.failed(index, format!("the worker {}", ended.how), Some(&folder)),
        }
    }

    fn take_in(&mut self, index: usize, exit: &Exit, running: &Running) -> Result<Made, TakeIn> {
        let out = running.attempt.out();
        let found = Manifest::of_folder(&out)?;
        if found != exit.outputs {
            return Err(TakeIn::Changed);
        }
        let object = self.store.publish(&out, &found)?;
        Ok(self.enter(index, object, exit, &running.key, &running.dependencies)?)
    }

    fn enter(
        &mut self,
        index: usize,
        object: Object,
        exit: &Exit,
        key: &Digest,
        dependencies: &Dependencies,
    ) -> Result<Made, StoreError> {
        let instance = &self.pipeline.instances[index];
        let action = Action {
            key: key.clone(),
            output: object.digest.clone(),
            step: instance.step.clone(),
            instance: instance.name.clone(),
            dependencies: dependencies.clone(),
            seconds: exit.seconds,
            peak_bytes: exit.peak_bytes,
            attempt: exit.attempt,
            finished: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            environment: here(),
        };
        self.store.record(&action)?;
        Ok(Made { object, action })
    }

    fn executed(&mut self, index: usize, made: Made, claim: &Claim) {
        if let Err(error) = claim.clean() {
            self.warn(index, format!("{error}; nothing depends on it"));
        }
        let digest = made.object.digest.to_string();
        let (seconds, peak_bytes) = (made.action.seconds, made.action.peak_bytes);
        let record = self.over(index, RunState::Executed);
        record.digest = Some(digest.clone());
        record.seconds = Some(seconds);
        record.peak_bytes = peak_bytes;
        self.made[index] = Some(Arc::new(made));
        self.tell(&RunEvent::Executed {
            instance: self.pipeline.instances[index].name.clone(),
            kind: self.pipeline.instances[index].kind.name,
            digest,
            seconds,
            peak_bytes,
        });
    }

    fn interrupted(&mut self, index: usize) {
        self.over(index, RunState::Interrupted);
        let instance = self.pipeline.instances[index].name.clone();
        self.tell(&RunEvent::Interrupted { instance });
    }

    /// A coordinator may have been killed between a worker's success and the entry of it. What the
    /// worker listed is then still in its folder, or already an object: nothing is done twice.
    pub(super) fn recover(
        &mut self,
        index: usize,
        key: &Digest,
        dependencies: &Dependencies,
        claim: &Claim,
    ) -> Option<Arc<Made>> {
        for attempt in claim.attempts().ok()? {
            let Some(exit) = read_exit(&attempt.path, attempt.number) else {
                continue;
            };
            if exit.outcome != WorkOutcome::Succeeded {
                continue;
            }
            if let Some(object) = self.object_of(&attempt, &exit) {
                let made = self.enter(index, object, &exit, key, dependencies).ok()?;
                claim.clean().ok(); // only takes room
                return Some(Arc::new(made));
            }
        }
        None
    }

    fn object_of(&self, attempt: &Attempt, exit: &Exit) -> Option<Object> {
        match Manifest::of_folder(&attempt.out()) {
            Ok(found) if found == exit.outputs => self.store.publish(&attempt.out(), &found).ok(),
            _ => self.store.object(&exit.outputs.digest()).ok(),
        }
    }
}

/// Why a success was not taken in.
#[derive(Debug, thiserror::Error)]
enum TakeIn {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the files are not what the worker wrote: did something change them? run again")]
    Changed,
}

/// The exit record of an attempt, if the worker lived to write it.
fn read_exit(attempt: &Path, number: u32) -> Option<Exit> {
    let text = fs::read(attempt.join(Exit::FILE)).ok()?;
    let exit: Exit = serde_json::from_slice(&text).ok()?;
    (exit.attempt == number).then_some(exit)
}
