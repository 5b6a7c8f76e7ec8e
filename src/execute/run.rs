//! One invocation, from its record's beginning to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::coordinator::Coordinator;
use super::environment::Facts;
use super::event::RunEvent;
use super::export::export;
use super::record::{InstanceRecord, Outcome, RunRecord, RunState};
use super::resolved::keep;
use super::task::Launcher;
use crate::device::DeviceSpec;
use crate::pipeline::Pipeline;
use crate::plan::Choice;
use crate::store::{Store, StoreError, write_json};

/// How to run.
pub struct Options<'a> {
    /// The device, found and concrete.
    pub device: &'a DeviceSpec,
    /// How to call it.
    pub device_name: String,
    /// Threads for all workers together.
    pub threads: usize,
    /// Workers at a time, if there is a limit besides what they take of the machine.
    pub jobs: Option<usize>,
    /// Bytes of main memory for all workers together, as far as their steps declare what they take.
    pub memory: u64,
    /// What of the pipeline to run.
    pub choice: Choice,
    /// Whether a failure leaves the rest to go on, as far as it does not depend on what failed.
    pub keep_going: bool,
    /// How long a worker may take to stop after its timeout before it is ended.
    pub grace: Duration,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// The name that the user gives the run.
    pub name: Option<String>,
    /// Whether workers record what they do when.
    pub profile: bool,
    /// Where reports are exported to.
    pub reports: PathBuf,
    /// Fills a run's facts into a report's page.
    pub with_facts: fn(&str, &serde_json::Value) -> anyhow::Result<String>,
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
    /// A report's page cannot be filled in.
    #[error("{0:#}")]
    Page(anyhow::Error),
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
    let begun = store.begin_run(&now.strftime("%Y%m%d-%H%M%S").to_string(), options.name.as_deref())?;
    let (run, folder) = (begun.id.clone(), begun.path.clone());
    keep(pipeline, options.device.to_string(), &folder)?;
    let path = folder.join("events.jsonl");
    let events = File::create(&path).map_err(|source| ExecuteError::Write { path, source })?;
    let record = new_record(pipeline, options, run, now);
    write_json(&folder.join(RunRecord::FILE), &record)?;
    let mut coordinator = Coordinator::new(pipeline, store, options, record, events, &folder, tell);
    coordinator.tell(&RunEvent::Started {
        run: coordinator.record.run.clone(),
        pipeline: pipeline.name.clone(),
        device: coordinator.record.environment.device.clone(),
        threads: options.threads,
        instances: pipeline.instances.len(),
    });
    let stopped = coordinator.work(launcher)?;
    coordinator.record.outcome = if coordinator.record.count(RunState::Failed) > 0 {
        Outcome::Failed
    } else if stopped {
        Outcome::Interrupted
    } else {
        Outcome::Done
    };
    coordinator.record.seconds = clock.elapsed().as_secs_f64();
    coordinator.record.report = export(pipeline, &coordinator.made, &coordinator.record, &folder, options)?;
    write_json(&folder.join(RunRecord::FILE), &coordinator.record)?;
    let record = coordinator.record.clone();
    let profile = coordinator.end_time_line();
    coordinator.tell(&RunEvent::Finished {
        run: record.run.clone(),
        executed: record.count(RunState::Executed),
        cached: record.count(RunState::Cached),
        failed: record.count(RunState::Failed),
        blocked: record.count(RunState::Blocked),
        interrupted: record.count(RunState::Interrupted) + record.count(RunState::Pending),
        skipped: record.count(RunState::Skipped),
        seconds: clock.elapsed().as_secs_f64(),
        report: record.report.clone(),
        profile,
    });
    Ok(record)
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
        name: options.name.clone(),
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
