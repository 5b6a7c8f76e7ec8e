//! What a pipeline file comes to.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Position};
use super::origin::Origins;
use crate::device::DeviceSpec;
use crate::seed::Seed;
use crate::step::{Input, Kind, Step};

/// A pipeline, resolved: nothing in it is by name only, and nothing is left to expand.
#[derive(Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub about: String,
    /// The root of all randomness; 0 if the file names none.
    pub seed: u64,
    /// The file, as it was named.
    pub file: PathBuf,
    /// The parameters, `--set` applied.
    pub params: Map<String, Value>,
    /// In an order in which they can run: each after what it reads.
    pub instances: Vec<Instance>,
    /// Steps and instances that a `when:` leaves out, in file order.
    pub left_out: Vec<LeftOut>,
    /// The text of every file that the pipeline is written in, the named one first, for the record
    /// of a run; paths as messages show them.
    pub sources: Vec<(PathBuf, String)>,
    /// What is probably not meant: a parameter that nothing uses.
    pub warnings: Vec<Diagnostic>,
}

/// One step after its matrix is expanded, or one that a step had added before it.
pub struct Instance {
    /// `answers[model=tuned,shots=1]`, or a derived instance's label.
    pub name: String,
    /// The step's name; a derived instance's label.
    pub step: String,
    /// Matrix axes and values: its own in file order, then those of what it reads.
    pub axes: Vec<(String, String)>,
    /// What it uses.
    pub kind: &'static Kind,
    /// The settings: placeholders replaced, references by instance name, paths absolute.
    pub settings: Value,
    /// The same with paths as the file wrote them, for records and reports.
    pub shown: Value,
    /// The settings, parsed.
    pub work: Box<dyn Step>,
    /// The root of its random numbers.
    pub seed: Seed,
    /// What it reads: the instance's index in [`Pipeline::instances`], and what it looks like.
    pub inputs: Vec<(usize, Input)>,
    /// Whether a step had it added.
    pub derived: bool,
    /// How it is to be run.
    pub policy: Policy,
    /// Where the step's name stands in the file.
    pub at: Position,
    /// Where its settings and its seed came from.
    pub origins: Origins,
}

/// How an instance is to be run. None of it is in the key: it cannot change the result, but for
/// `gpus: 0`, which changes the device, and that is in the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What it takes of the machine.
    pub resources: Resources,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// How long one attempt may take; after that it is stopped and has failed.
    pub timeout: Option<Duration>,
}

/// What an instance takes of the machine while it runs; what is not given, the scheduler decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Threads.
    pub cpus: Option<NonZeroUsize>,
    /// Bytes of main memory.
    pub memory: Option<u64>,
    /// Graphics devices; 0 has it compute on the CPU.
    pub gpus: Option<u32>,
}

/// What a `when:` leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The step or instance.
    pub name: String,
    /// Why: `` when: params.quantize is false ``, or `` reads `int8`, which is left out ``.
    pub reason: String,
}

impl Instance {
    /// Where it computes: on the run's device, or with `gpus: 0` on the CPU.
    pub fn device(&self, run: &DeviceSpec) -> DeviceSpec {
        match self.policy.resources.gpus {
            Some(0) => DeviceSpec::CPU,
            _ => *run,
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("settings", &self.settings)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}
