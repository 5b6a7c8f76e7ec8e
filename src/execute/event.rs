//! What a run tells while it goes on: lines of `--json`, and what the screen draws from.

use serde::Serialize;
use serde_json::Value;

use crate::step::Event;

/// One thing that happened. The last one is [`RunEvent::Finished`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum RunEvent {
    /// The run began.
    Started {
        /// The run.
        run: String,
        /// The pipeline's name.
        pipeline: String,
        /// The device, as it is called.
        device: String,
        /// Threads for all workers together.
        threads: usize,
        /// How many instances there are.
        instances: usize,
    },
    /// An instance's result is in the store.
    Cached {
        /// The instance.
        instance: String,
        /// Its kind.
        kind: &'static str,
        /// Its artifact.
        digest: String,
    },
    /// Another run works on the same thing; its result will be taken.
    Waiting {
        /// The instance.
        instance: String,
        /// Who works on it.
        message: String,
    },
    /// A worker began.
    Running {
        /// The instance.
        instance: String,
        /// Its kind.
        kind: &'static str,
        /// Which attempt at its key.
        attempt: u32,
        /// Threads that it may use.
        threads: usize,
        /// Why it runs.
        reasons: Vec<String>,
    },
    /// A worker told something; in JSON its event with the instance's name.
    #[serde(skip)]
    Worker {
        /// The instance.
        instance: String,
        /// What it told.
        event: Event,
    },
    /// An instance's artifact was made.
    Executed {
        /// The instance.
        instance: String,
        /// Its kind.
        kind: &'static str,
        /// Its artifact.
        digest: String,
        /// How long the work took.
        seconds: f64,
        /// The most memory that the worker held at once.
        peak_bytes: Option<u64>,
    },
    /// An attempt failed, and the instance is tried again.
    Retry {
        /// The instance.
        instance: String,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        message: String,
        /// How often it may still be tried.
        left: u32,
    },
    /// An instance failed.
    Failed {
        /// The instance.
        instance: String,
        /// Why.
        message: String,
        /// The most memory that its worker was seen to hold.
        peak_bytes: Option<u64>,
        /// The last lines of its worker's output.
        log: Vec<String>,
        /// The whole output.
        log_file: Option<String>,
    },
    /// An instance cannot run since one that it needs failed.
    Blocked {
        /// The instance.
        instance: String,
        /// The one that failed.
        by: String,
    },
    /// An instance stopped on request.
    Interrupted {
        /// The instance.
        instance: String,
    },
    /// Something the user should look at.
    Warning {
        /// The instance, if it is about one.
        instance: Option<String>,
        /// What.
        message: String,
    },
    /// The run was asked to stop.
    Stopping {
        /// At once, without waiting for checkpoints.
        now: bool,
    },
    /// The run ended.
    Finished {
        /// The run.
        run: String,
        /// Instances whose work was done.
        executed: usize,
        /// Instances whose result was in the store.
        cached: usize,
        /// Instances that failed.
        failed: usize,
        /// Instances that could not run since another failed.
        blocked: usize,
        /// Instances that were stopped or not begun.
        interrupted: usize,
        /// Instances that were not selected.
        skipped: usize,
        /// How long the run took.
        seconds: f64,
        /// The report's page.
        report: Option<String>,
        /// The time line, if one was asked for and something ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
    },
}

impl RunEvent {
    /// The event as a JSON object.
    pub fn to_json(&self) -> Value {
        let Self::Worker { instance, event } = self else {
            return serde_json::to_value(self).expect("an event is plain values");
        };
        let mut value = serde_json::to_value(event).expect("an event is plain values");
        if let Some(members) = value.as_object_mut() {
            members.insert("instance".into(), instance.clone().into());
        }
        value
    }
}
