//! Runs, as their records tell.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::RecordsError;
use crate::execute::{InstanceRecord, Outcome, Resolved, RunRecord};
use crate::store::{Store, StoreError};

/// A run of the past, or one that still goes on.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// What it recorded.
    pub record: RunRecord,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether its process lives.
    pub in_flight: bool,
}

/// How a run ended, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Everything is known.
    Done,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Stopped,
    /// It goes on.
    Running,
    /// Its process ended before its end.
    Killed,
}

impl Ending {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Killed => "killed",
        }
    }
}

impl PastRun {
    /// How it ended.
    pub fn ending(&self) -> Ending {
        match self.record.outcome {
            Outcome::Done => Ending::Done,
            Outcome::Failed => Ending::Failed,
            Outcome::Interrupted => Ending::Stopped,
            Outcome::Unfinished if self.in_flight => Ending::Running,
            Outcome::Unfinished => Ending::Killed,
        }
    }

    /// What it was of; `None` of a run by a version that did not keep it.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn resolved(&self) -> Result<Option<Resolved>, RecordsError> {
        Ok(Resolved::read(&self.folder)?)
    }

    /// One of its instances by name.
    pub fn instance(&self, name: &str) -> Option<&InstanceRecord> {
        self.record.instances.iter().find(|instance| instance.name == name)
    }

    /// Its instance of a name, or the only one of a step.
    ///
    /// # Errors
    /// When there is none, or the step has several.
    pub fn instance_or_step(&self, wanted: &str) -> Result<&InstanceRecord, RecordsError> {
        if let Some(instance) = self.instance(wanted) {
            return Ok(instance);
        }
        let of_step = |one: &&InstanceRecord| one.name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('['));
        let found: Vec<_> = self.record.instances.iter().filter(of_step).collect();
        let run = &self.record.run;
        let names = |instances: &[&InstanceRecord]| {
            let mut names: Vec<_> = instances.iter().take(12).map(|one| format!("  {}", one.name)).collect();
            if instances.len() > names.len() {
                names.push(format!(
                    "  and {} more: `fragua show {run}`",
                    instances.len() - names.len()
                ));
            }
            names.join("\n")
        };
        match found[..] {
            [one] => Ok(one),
            [] => {
                let all: Vec<_> = self.record.instances.iter().collect();
                let all = names(&all);
                Err(RecordsError::Question(format!(
                    "run {run} has no instance `{wanted}`; it has\n{all}"
                )))
            }
            _ => Err(RecordsError::Question(format!(
                "step `{wanted}` has {} instances in run {run}; write one of them, in quotes\n{}",
                found.len(),
                names(&found)
            ))),
        }
    }

    fn read(store: &Store, id: &str) -> Result<Option<Self>, RecordsError> {
        let folder = store.run_path(id);
        let path = folder.join(RunRecord::FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // it was killed before it wrote anything, or is just about to
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RecordsError::file("read", path)(error)),
        };
        let record = serde_json::from_slice(&bytes).map_err(StoreError::record(&path))?;
        let in_flight = store.is_in_flight(id);
        Ok(Some(Self {
            record,
            folder,
            in_flight,
        }))
    }
}

/// The run that is meant by an identifier, the beginning of one, a name, or `last`.
///
/// # Errors
/// When there is none, or its record cannot be read.
pub fn find(store: &Store, wanted: &str) -> Result<PastRun, RecordsError> {
    let (id, _) = store.run(wanted)?;
    PastRun::read(store, &id)?.ok_or_else(|| {
        RecordsError::Question(format!(
            "run {id} was ended before it wrote its record: there is nothing to show"
        ))
    })
}

/// All runs that have a record, oldest first.
///
/// # Errors
/// When a record is there and cannot be read.
pub fn all(store: &Store) -> Result<Vec<PastRun>, RecordsError> {
    let runs = store.runs()?;
    let runs = runs.iter().map(|id| PastRun::read(store, id));
    runs.filter_map(Result::transpose).collect()
}
