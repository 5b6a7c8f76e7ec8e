//! The protocol between the coordinator and a worker: files in the attempt's folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::death::Death;
use crate::device::DeviceSpec;
use crate::step::{Ancestor, Input};
use crate::store::Manifest;

/// Everything that a worker needs, in `task.json`: it reads nothing else but the files named here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The attempt's number, which the exit record repeats.
    pub attempt: u32,
    /// The instance, for messages.
    pub instance: String,
    /// The kind's name.
    pub kind: String,
    /// The resolved settings.
    pub settings: Value,
    /// The key's fields. They must still hold when the work is done: a file that changed meanwhile
    /// would be entered under the key of its earlier content.
    pub fields: BTreeMap<String, Value>,
    /// The inputs, by their text.
    pub inputs: BTreeMap<String, Input>,
    /// All ancestors, of a step that reports on them.
    pub lineage: Vec<Ancestor>,
    /// The pipeline's name and `about`, of a step that reports on it; else empty.
    pub pipeline: (String, String),
    /// The seed as hexadecimal digits, of a step that draws.
    pub seed: Option<String>,
    /// The device.
    pub device: DeviceSpec,
    /// Threads that the worker may use.
    pub threads: usize,
    /// The folder that outlives the attempt.
    pub checkpoints: PathBuf,
    /// Whether to record a time line.
    #[serde(default)]
    pub profile: bool,
}

impl Task {
    /// Its file in the attempt's folder.
    pub const FILE: &str = "task.json";
}

/// How the work ended, in `exit.json`, which appears whole, after everything that it lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// The attempt that wrote it.
    pub attempt: u32,
    /// How it ended.
    pub outcome: WorkOutcome,
    /// Every file of the artifact; empty unless it succeeded.
    pub outputs: Manifest,
    /// How long the work took.
    pub seconds: f64,
    /// The most memory that the worker held at once, where the system tells.
    pub peak_bytes: Option<u64>,
}

impl Exit {
    /// Its file in the attempt's folder.
    pub const FILE: &str = "exit.json";
}

/// The end of one attempt's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "lowercase")]
pub enum WorkOutcome {
    /// The artifact is whole.
    Succeeded,
    /// The step gave up.
    Failed {
        /// Why, with all causes.
        message: String,
    },
    /// It stopped on request, after a checkpoint.
    Interrupted,
}

/// A way to start workers. A cluster's queue runs exactly the same worker.
pub trait Launcher {
    /// Starts `fragua worker ATTEMPT` with that many threads.
    ///
    /// # Errors
    /// When the system refuses.
    fn submit(&mut self, attempt: &Path, threads: usize) -> io::Result<Box<dyn Job>>;
}

/// A started worker.
pub trait Job {
    /// How it ended, once it has.
    ///
    /// # Errors
    /// When the system does not tell.
    fn poll(&mut self) -> io::Result<Option<Ended>>;

    /// Asks it to stop after its next checkpoint.
    fn stop(&mut self);

    /// Ends it now. Idempotent.
    fn kill(&mut self);
}

/// What the system says of a worker that ended. Only a hint: the exit record decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Process(Death),
    Words(String),
}

impl Ended {
    /// In words; of a launcher that has no process to look at.
    pub fn in_words(how: impl Into<String>) -> Self {
        let how = How::Words(how.into());
        Self { how }
    }

    /// A process of this machine.
    pub(super) fn process(death: Death) -> Self {
        let how = How::Process(death);
        Self { how }
    }

    /// For messages, after "the worker". `log` is the end of what it printed.
    pub(super) fn describe(&self, log: &[String]) -> String {
        match &self.how {
            How::Process(death) => death.describe(log),
            How::Words(how) => how.clone(),
        }
    }

    /// The most memory that it was seen to hold.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        match &self.how {
            How::Process(death) => death.peak_bytes,
            How::Words(_) => None,
        }
    }
}
