//! What a running step is given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ArtifactType, Digest, Event, Needs, Ref};
use crate::device::DeviceSpec;
use crate::seed::Seed;

/// An input of a step: a referenced artifact, or one part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The reference as the resolved settings hold it, or `@field` for a derived input.
    pub text: String,
    /// The instance that makes it.
    pub instance: String,
    /// The instance's step, without axes.
    pub step: String,
    /// The kind that makes it.
    pub kind: String,
    /// Its type.
    #[serde(rename = "type")]
    pub artifact: ArtifactType,
    /// The part that is referred to (`train`), if not the whole.
    pub part: Option<String>,
    /// All parts that the artifact has.
    pub parts: Vec<String>,
    /// Of a model, its architecture as settings name it, where it is known before it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The instance's matrix axes and values, in order.
    pub axes: Vec<(String, String)>,
    /// Where it is; empty while the file is only being checked. For a part that is a folder
    /// (`train`), that folder; for a model's `tokenizer`, the model's folder.
    pub path: PathBuf,
    /// Its content; empty while the file is only being checked.
    pub digest: Option<Digest>,
}

/// An instance that a report's inputs descend from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ancestor {
    /// `answers[model=tuned,shots=1]`
    pub instance: String,
    /// `answers`
    pub step: String,
    /// The kind.
    pub kind: String,
    /// Matrix axes and values, in order.
    pub axes: Vec<(String, String)>,
    /// The resolved settings; paths as the file wrote them.
    pub settings: Value,
    /// The instances that it read.
    pub inputs: Vec<String>,
    /// Its artifact's type.
    #[serde(rename = "type")]
    pub artifact: ArtifactType,
    /// Its artifact.
    pub path: PathBuf,
    /// Its artifact's content.
    pub digest: Digest,
}

/// The work was asked to stop and did, after a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("stopped on request")]
pub struct Interrupted;

/// What a running step is given. Built by the worker (`execute/worker.rs`) and by tests.
pub struct Context {
    /// The folder for the artifact: exists and is empty.
    pub out: PathBuf,
    /// A folder that outlives the attempt, for checkpoints: what an earlier attempt at the same key
    /// left is there.
    pub checkpoints: PathBuf,
    /// Threads that the step may use (the worker's rayon pool has as many).
    pub threads: usize,
    /// Inputs by [`Input::text`].
    pub inputs: BTreeMap<String, Input>,
    /// All ancestors, in topological order; empty unless [`Needs::lineage`].
    pub lineage: Vec<Ancestor>,
    /// The pipeline's name and `about`, for titles.
    pub pipeline: (String, String),
    /// What the step declared.
    pub needs: Needs,
    /// The derived seed.
    pub seed: Seed,
    /// The device of this run.
    pub device: DeviceSpec,
    /// Where events go.
    pub sink: Box<dyn Fn(Event) + Send + Sync>,
    /// Set when the work should stop after its next checkpoint.
    pub stop: &'static AtomicBool,
}

impl Context {
    /// The input that a reference names.
    pub fn input<T>(&self, reference: &Ref<T>) -> &Input {
        self.find(reference.text())
    }

    /// The folder of the input that a reference names.
    pub fn path<T>(&self, reference: &Ref<T>) -> &Path {
        &self.input(reference).path
    }

    /// A derived input by its field.
    pub fn derived(&self, field: &str) -> &Input {
        self.find(&format!("@{field}"))
    }

    fn find(&self, text: &str) -> &Input {
        self.inputs
            .get(text)
            .unwrap_or_else(|| panic!("input {text} is in the task: the planner put it there"))
    }

    /// The step's seed. Steps that draw declare [`Needs::seed`].
    pub fn seed(&self) -> Seed {
        assert!(self.needs.seed, "a step that draws random numbers declares Needs::seed");
        self.seed
    }

    /// The step's device. Steps that compute on one declare [`Needs::device`].
    pub fn device(&self) -> &DeviceSpec {
        assert!(
            self.needs.device,
            "a step that computes on a device declares Needs::device"
        );
        &self.device
    }

    /// Whether the work should stop after its next checkpoint.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells how far the work is.
    pub fn progress(&self, done: u64, total: u64, unit: &str, message: impl Into<String>) {
        (self.sink)(Event::Progress {
            done,
            total,
            unit: unit.into(),
            message: message.into(),
        });
    }

    /// Records measured values.
    pub fn metric(&self, step: u64, values: Map<String, Value>) {
        (self.sink)(Event::Metric { step, values });
    }

    /// Tells a fact.
    pub fn info(&self, message: impl Into<String>) {
        (self.sink)(Event::Info {
            message: message.into(),
        });
    }

    /// Warns.
    pub fn warn(&self, message: impl Into<String>) {
        (self.sink)(Event::Warning {
            message: message.into(),
        });
    }
}
