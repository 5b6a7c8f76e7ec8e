//! What a pipeline file comes to.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Position};
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
    /// Where the step's name stands in the file.
    pub at: Position,
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
