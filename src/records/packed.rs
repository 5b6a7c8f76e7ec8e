//! What a packed run is: `fragua.json`, the first file of its archive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::execute::Facts;
use crate::step::Digest;

/// What a packed run is: everything that is needed to run it again, and what must come out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packed {
    /// Of this form.
    pub version: u32,
    /// The run.
    pub run: String,
    /// The name that the user gave it.
    pub name: Option<String>,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's file in the archive.
    pub file: String,
    /// The parameters in force.
    pub params: Map<String, Value>,
    /// The device, as the command line spells it.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// Where it ran: versions, machine, commit.
    pub environment: Facts,
    /// The implementation version of each kind.
    pub kinds: BTreeMap<String, u32>,
    /// The files that it read, in the order of their paths.
    pub files: Vec<PackedFile>,
    /// What must come out.
    pub instances: Vec<Expected>,
}

/// One file of a packed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedFile {
    /// From the archive's root; absolute if the pipeline names it so.
    pub path: String,
    /// What it is.
    pub role: Role,
    /// Its content.
    pub digest: Digest,
    /// Its bytes, of a file that is in the archive; null of one that is not.
    pub packed: Option<u64>,
}

/// What a file is to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The pipeline is written in it.
    Pipeline,
    /// A step reads it: a template, a grammar, a tokenizer.
    Template,
    /// Rows of a dataset.
    Data,
}

/// An instance's artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The instance.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// Its artifact.
    pub digest: String,
}
