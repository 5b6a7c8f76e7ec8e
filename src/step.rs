//! The contract between the engine and the work.
//!
//! A [`Kind`] is what a pipeline file names after `uses:`; it parses settings into a [`Step`], which
//! says what its result depends on ([`Step::key`]) and does the work ([`Step::run`]). The engine
//! knows only this contract; `steps/` implements it.

mod artifact;
mod context;
mod environment;
mod event;
mod journal;
mod key;
mod outlook;
mod reference;

pub use artifact::{
    ArtifactType, Dataset, Generations, Model, Report, Scores, Tokenizer, TokenizerOrModel, Tokens, Typed,
};
pub use context::{Ancestor, Context, Input, Interrupted};
pub use environment::{EnvironmentError, Redaction, SECRET_MARK, Secret, expanded, is_variable, variable, variables};
pub use event::Event;
pub use journal::Journal;
pub use key::{Digest, Key, KeyError, Known, files_of};
pub use outlook::{Memory, Outlook, Part, Prospects, Term};
pub use reference::{ARTIFACT_MARK, FilePath, PATH_MARK, Ref, Refs, axes_label};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of step: one member of the registry in `steps/mod.rs`.
pub struct Kind {
    /// The name after `uses:`.
    pub name: &'static str,
    /// One sentence for `--help`, the schema and the docs.
    pub about: &'static str,
    /// The implementation's version: raised whenever the same settings and inputs give another
    /// result, so that what an older version made is made again.
    pub version: u32,
    /// The type of artifact that it makes.
    pub output: ArtifactType,
    /// A whole step in YAML (`uses:` and `with:`), which the contract tests parse.
    pub example: &'static str,
    /// The JSON Schema of `with:`.
    pub schema: fn() -> schemars::Schema,
    /// Parses `with:`, references still by name.
    pub parse: fn(&Value) -> Result<Box<dyn Step>, Problem>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One step's settings, parsed: what it needs, what it depends on, and the work itself.
pub trait Step: Send + Sync {
    /// What the work draws on besides its settings and inputs.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The named parts of the result that other steps may refer to (`dialogues.train`).
    fn parts(&self) -> Vec<String> {
        Vec::new()
    }

    /// The architecture of the model that it makes, as settings name it, as far as they tell. `inputs` as in
    /// [`Self::check`].
    fn architecture(&self, _inputs: &[Input]) -> Option<String> {
        None
    }

    /// Instances that the engine adds before this one, cached by themselves (encoding a dataset).
    fn derived(&self) -> Vec<Derived> {
        Vec::new()
    }

    /// What settings cannot say alone: files that are missing, a baseline that names no instance.
    /// `inputs` describes the referenced instances; nothing of them exists yet.
    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        Vec::new()
    }

    /// What settings ask for that only the CPU computes: problems of a run on another device. They do not
    /// depend on the device, so that none is looked for where there are none.
    fn beyond_cpu(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What can be said of the result before it is made, and of the memory that making it takes.
    fn outlook(&self, _prospects: &Prospects<'_>) -> Outlook {
        Outlook::default()
    }

    /// Everything that the result depends on. Destructure the settings exhaustively, so that a new
    /// field does not compile until someone decides.
    ///
    /// # Errors
    /// When a file that it depends on cannot be read.
    fn key(&self, key: &mut Key) -> Result<(), KeyError>;

    /// Does the work: reads its inputs, writes its artifact under [`Context::out`].
    ///
    /// # Errors
    /// Whatever ends the work; [`Interrupted`] after a requested stop.
    fn run(&self, context: &Context) -> anyhow::Result<()>;
}

/// What a step draws on. What is not asked for is neither given nor part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Random numbers: the seed goes into the key.
    pub seed: bool,
    /// A compute device: its numerics class goes into the key.
    pub device: bool,
    /// The whole history of its inputs (only the report): names, settings and digests of all
    /// ancestors go into the key.
    pub lineage: bool,
}

/// An instance that a step has the engine add before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The name by which the step finds it: [`Context::derived`] and [`Key::derived`].
    pub field: &'static str,
    /// The kind that makes it.
    pub kind: &'static str,
    /// How the plan shows it: `encode(dialogues, tokenizer)`.
    pub label: String,
    /// Its settings, references by name as in the step's own.
    pub with: Value,
}

/// Something wrong in a step's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, under `with`: `["train", "updates"]`; an index is written as a number.
    pub path: Vec<String>,
    /// The fact.
    pub message: String,
    /// The next move.
    pub help: Option<String>,
    /// Other places under `with` that belong to it, each with what is there.
    pub notes: Vec<(Vec<String>, String)>,
}

impl Problem {
    /// A problem at a place under `with`, written `train.updates`.
    pub fn at(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: parts_of(path),
            message: message.into(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// The same with another place under `with` that belongs to it: where two places disagree.
    pub fn also(mut self, path: &str, what: impl Into<String>) -> Self {
        self.notes.push((parts_of(path), what.into()));
        self
    }

    /// The same with the next move.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `train.updates` as a list.
fn parts_of(path: &str) -> Vec<String> {
    path.split('.')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// For [`Kind::schema`]: the schema of a settings type.
pub fn schema_of<S: schemars::JsonSchema>() -> schemars::Schema {
    schemars::schema_for!(S)
}

/// For [`Kind::parse`]: settings into their type, with the place where they do not fit.
///
/// # Errors
/// The first misfit. (The schema is checked before, and finds all of them.)
pub fn parse_as<S: Step + DeserializeOwned + 'static>(with: &Value) -> Result<Box<dyn Step>, Problem> {
    match serde_path_to_error::deserialize::<_, S>(with) {
        Ok(settings) => Ok(Box::new(settings)),
        Err(error) => {
            let path = error.path().to_string();
            let path = if path == "." {
                String::new()
            } else {
                path.replace('[', ".").replace(']', "")
            };
            Err(Problem::at(&path, error.into_inner().to_string()))
        }
    }
}
