//! The end of an instance's work: what the worker made is verified, put into the store and entered.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::coordinator::{Coordinator, Due};
use super::environment::here;
use super::event::RunEvent;
use super::log::{has_text, last_lines};
use super::record::RunState;
use super::running::Running;
use super::task::{Ended, Exit, WorkOutcome};
use crate::plan::Made;
use crate::step::Digest;
use crate::store::{Action, Attempt, Claim, Dependencies, Manifest, Object, StoreError};

/// What a worker prints, in its attempt's folder.
const LOG: &str = "stderr.log";

impl Coordinator<'_> {
    /// Takes in what an ended worker left.
    pub(super) fn finish(&mut self, index: usize, running: Running, ended: &Ended) {
        self.record_time(index, &running.attempt.path);
        let exit = read_exit(&running.attempt.path, running.attempt.number);
        let peak_bytes = exit.as_ref().and_then(|exit| exit.peak_bytes).or(ended.peak_bytes());
        let late = running.time.failure();
        let message = match exit {
            Some(exit) => match (&exit.outcome, late) {
                // done is done, also when its time was just over
                (WorkOutcome::Succeeded, _) => match self.take_in(index, &exit, &running) {
                    Ok(made) => return self.executed(index, made, &running),
                    Err(error) => error.to_string(),
                },
                (WorkOutcome::Interrupted, Some(late)) => late,
                (WorkOutcome::Interrupted, None) => return self.interrupted(index),
                (WorkOutcome::Failed { message }, _) => message.clone(),
            },
            None if self.stops > 1 => return self.interrupted(index),
            None => {
                // a word about memory stands before its backtrace
                let log = last_lines(&running.attempt.path.join(LOG), 1000);
                let room = self.no_room(&running.attempt);
                late.unwrap_or_else(|| format!("the worker {}{room}", ended.describe(&log)))
            }
        };
        self.attempt_failed(index, running, message, peak_bytes);
    }

    /// A worker that left no word may have found no room for it. Says so, and frees what it wrote, so
    /// that the run's record finds some.
    fn no_room(&self, attempt: &Attempt) -> String {
        let probe = attempt.path.join("probe");
        let written = fs::write(&probe, [0; 16 << 10]);
        fs::remove_file(&probe).ok();
        match written {
            Err(error) => {
                fs::remove_dir_all(attempt.out()).ok(); // the next attempt begins with an empty one anyway
                format!("; {}", StoreError::file("write", &attempt.path)(error))
            }
            Ok(()) => String::new(),
        }
    }

    /// Tries again if the step's policy allows it; else the instance has failed.
    fn attempt_failed(&mut self, index: usize, running: Running, message: String, peak_bytes: Option<u64>) {
        let (folder, number) = (running.attempt.path, running.attempt.number);
        let failures = running.failures + 1;
        let allowed = self.pipeline.instances[index].policy.retries;
        if failures > allowed || self.stops > 0 {
            self.record.instances[index].peak_bytes = peak_bytes;
            return self.failed(index, message, Some(&folder));
        }
        self.tell(&RunEvent::Retry {
            instance: self.pipeline.instances[index].name.clone(),
            attempt: number,
            message: message.clone(),
            left: allowed - failures,
        });
        let mut decision = running.decision;
        decision.planned.reasons = vec![format!("attempt {number} failed: {message}")];
        if self.store.has_checkpoints(&running.key) {
            decision.planned.reasons.push("goes on from a checkpoint".into());
        }
        drop(running.claim); // the next attempt claims anew, as it would after a crash
        self.line_up(
            index,
            Due {
                decision,
                failures,
                told: false,
            },
        );
    }

    /// An instance has failed. `attempt` is the folder of its last attempt, if one was begun.
    pub(super) fn failed(&mut self, index: usize, message: String, attempt: Option<&Path>) {
        self.failed = true;
        let log_file = attempt.map(|folder| folder.join(LOG));
        let log = log_file.as_deref().map(|path| last_lines(path, 12));
        let record = self.over(index, RunState::Failed);
        record.reasons = vec![message.clone()];
        let peak_bytes = record.peak_bytes;
        self.tell(&RunEvent::Failed {
            instance: self.pipeline.instances[index].name.clone(),
            message,
            peak_bytes,
            log: log.unwrap_or_default(),
            log_file: log_file
                .filter(|path| has_text(path))
                .map(|path| path.display().to_string()),
        });
    }

    fn take_in(&mut self, index: usize, exit: &Exit, running: &Running) -> Result<Made, TakeIn> {
        let out = running.attempt.out();
        let found = Manifest::of_folder(&out)?;
        if found != exit.outputs {
            return Err(TakeIn::Changed);
        }
        let object = self.store.publish(&out, &found)?;
        Ok(self.enter(index, object, exit, &running.key, running.dependencies())?)
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
            seed: dependencies.seed.as_ref().map(|_| instance.origins.seed.clone()),
            seconds: exit.seconds,
            peak_bytes: exit.peak_bytes,
            attempt: exit.attempt,
            finished: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            environment: here(),
        };
        self.store.record(&action)?;
        Ok(Made { object, action })
    }

    fn executed(&mut self, index: usize, made: Made, running: &Running) {
        if let Err(error) = running.claim.clean() {
            self.warn(index, format!("{error}; nothing depends on it"));
        }
        if let Some(before) = &running.decision.before {
            self.compare(index, before, &made);
        }
        self.made_now.insert(running.key.clone());
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

    /// What was run again must come out as it was. On a GPU it may not; elsewhere the user should know.
    fn compare(&mut self, index: usize, before: &Made, made: &Made) {
        let instance = &self.pipeline.instances[index];
        let (old, new) = (&before.object.digest, &made.object.digest);
        let on_cpu = !instance.work.needs().device || instance.device(self.options.device).is_cpu();
        if old == new || !on_cpu {
            return;
        }
        let elsewhere = before.action.environment != made.action.environment;
        let why = if elsewhere {
            "the earlier one was made by another version or machine"
        } else {
            "the same work must give the same bytes on the CPU: a defect of the step"
        };
        let message = format!("not reproducible: {new} now, {old} before ({why}); what depends on it follows the new");
        self.record.instances[index].reasons.push(message.clone());
        self.warn(index, message);
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
        // only the last attempt: an earlier one that ended after its successor began is too late
        let attempt = claim.attempts().ok()?.into_iter().next()?;
        let exit = read_exit(&attempt.path, attempt.number)?;
        if exit.outcome != WorkOutcome::Succeeded {
            return None;
        }
        let object = self.object_of(&attempt, &exit)?;
        let made = self.enter(index, object, &exit, key, dependencies).ok()?;
        claim.clean().ok(); // only takes room
        Some(Arc::new(made))
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
