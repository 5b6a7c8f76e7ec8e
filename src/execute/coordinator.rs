//! The coordinator: starts what is due, watches what runs, enters what is done.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::environment::Facts;
use super::event::RunEvent;
use super::export::export;
use super::record::{InstanceRecord, Outcome, RunRecord, RunState};
use super::start::Running;
use super::task::Launcher;
use crate::device::DeviceSpec;
use crate::pipeline::Pipeline;
use crate::plan::{Decision, Made, Planner, State};
use crate::step::Event;
use crate::store::{Store, StoreError, write_json};

/// How often workers are looked at.
const TICK: Duration = Duration::from_millis(15);

/// How to run.
pub struct Options<'a> {
    /// The device, found and concrete.
    pub device: &'a DeviceSpec,
    /// How to call it.
    pub device_name: String,
    /// Threads for all workers together.
    pub threads: usize,
    /// Workers at a time.
    pub jobs: usize,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// Where reports are exported to.
    pub reports: PathBuf,
    /// How often the user asked to stop: once, after checkpoints; twice, now.
    pub stops: &'a AtomicU32,
}

/// What ends a run as a whole, and not only one instance of it.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where an instance is.
enum Slot {
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
    slots: Vec<Slot>,
    tell: &'a mut dyn FnMut(&RunEvent),
    /// Everything told but progress, for the run's folder.
    events: File,
}

/// Runs what is not yet known, tells what happens, and gives the record of it.
///
/// # Errors
/// When the store or the run's record cannot be written. A step that fails is not an error here:
/// the record says so.
pub fn run(
    pipeline: &Pipeline,
    store: &Store,
    options: &Options<'_>,
    launcher: &mut dyn Launcher,
    tell: &mut dyn FnMut(&RunEvent),
) -> Result<RunRecord, ExecuteError> {
    let clock = Instant::now();
    let now = jiff::Timestamp::now();
    let (run, folder) = store.new_run(&now.strftime("%Y%m%d-%H%M%S").to_string())?;
    let path = folder.join("events.jsonl");
    let events = File::create(&path).map_err(|source| ExecuteError::Write { path, source })?;
    let record = new_record(pipeline, options, run, now);
    write_json(&folder.join(RunRecord::FILE), &record)?;
    let mut coordinator = Coordinator {
        pipeline,
        store,
        options,
        planner: Planner::new(pipeline, store, options.device),
        made: vec![None; pipeline.instances.len()],
        slots: pipeline.instances.iter().map(|_| Slot::Waiting).collect(),
        record,
        tell,
        events,
    };
    coordinator.tell(&RunEvent::Started {
        run: coordinator.record.run.clone(),
        pipeline: pipeline.name.clone(),
        device: coordinator.record.environment.device.clone(),
        threads: options.threads,
        instances: pipeline.instances.len(),
    });
    let stopped = coordinator.work(launcher, &folder)?;
    coordinator.record.outcome = match () {
        () if coordinator.record.count(RunState::Failed) > 0 => Outcome::Failed,
        () if stopped => Outcome::Interrupted,
        () => Outcome::Done,
    };
    coordinator.record.seconds = clock.elapsed().as_secs_f64();
    coordinator.record.report = export(pipeline, &coordinator.made, &coordinator.record, &options.reports)?;
    write_json(&folder.join(RunRecord::FILE), &coordinator.record)?;
    let record = coordinator.record.clone();
    coordinator.tell(&RunEvent::Finished {
        run: record.run.clone(),
        executed: record.count(RunState::Executed),
        cached: record.count(RunState::Cached),
        failed: record.count(RunState::Failed),
        blocked: record.count(RunState::Blocked),
        interrupted: record.count(RunState::Interrupted) + record.count(RunState::Pending),
        seconds: clock.elapsed().as_secs_f64(),
        report: record.report.clone(),
    });
    Ok(record)
}

impl Coordinator<'_> {
    /// Until nothing runs and nothing can. Whether it was stopped with work left.
    fn work(&mut self, launcher: &mut dyn Launcher, folder: &Path) -> Result<bool, ExecuteError> {
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
        use super::start::Start;
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
    pub fn works_on(&self, key: &crate::step::Digest) -> bool {
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
        (self.tell)(event);
    }
}

fn new_record(pipeline: &Pipeline, options: &Options<'_>, run: String, now: jiff::Timestamp) -> RunRecord {
    let folder = pipeline.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).unwrap_or_default();
    let instances = pipeline.instances.iter().map(|instance| InstanceRecord {
        name: instance.name.clone(),
        kind: instance.kind.name.into(),
        state: RunState::Pending,
        key: None,
        digest: None,
        seconds: None,
        peak_bytes: None,
        reasons: Vec::new(),
    });
    RunRecord {
        run,
        pipeline: pipeline.name.clone(),
        file: pipeline.file.display().to_string(),
        outcome: Outcome::Unfinished,
        started: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: 0.0,
        command: options.command.clone(),
        threads: options.threads,
        report: None,
        environment: Facts::gather(&folder, options.device_name.clone()),
        instances: instances.collect(),
    }
}
