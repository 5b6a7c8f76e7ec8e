//! The record of a run: `runs/ID/run.json`.

use serde::{Deserialize, Serialize};

use super::Facts;

/// How an instance came out of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Not begun.
    Pending,
    /// Its result was in the store.
    Cached,
    /// Its work was done.
    Executed,
    /// Its work failed.
    Failed,
    /// One that it needs failed.
    Blocked,
    /// Stopped on request.
    Interrupted,
    /// The user did not select it, and where something needs it, it is not known.
    Skipped,
}

impl RunState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Cached => "cached",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It has not, or its coordinator was killed.
    Unfinished,
    /// Everything is known.
    Done,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Interrupted,
}

/// One instance in the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The instance.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it came out.
    pub state: RunState,
    /// Its key, if it came to be known.
    pub key: Option<String>,
    /// Its artifact.
    pub digest: Option<String>,
    /// How long the work took; of a cached instance, when it was done.
    pub seconds: Option<f64>,
    /// The most memory that the worker held at once.
    pub peak_bytes: Option<u64>,
    /// Why it ran, or what went wrong.
    pub reasons: Vec<String>,
}

/// One invocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: String,
    /// The name that the user gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's file, as it was named.
    pub file: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began (RFC 3339).
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// The command line.
    pub command: Vec<String>,
    /// Threads for all workers together.
    pub threads: usize,
    /// The report's page.
    pub report: Option<String>,
    /// Where it happened.
    pub environment: Facts,
    /// The instances, in the order in which they could run.
    pub instances: Vec<InstanceRecord>,
}

impl RunRecord {
    /// Its file in the run's folder.
    pub const FILE: &str = "run.json";

    /// How many instances came out so.
    pub fn count(&self, state: RunState) -> usize {
        self.instances.iter().filter(|instance| instance.state == state).count()
    }
}
