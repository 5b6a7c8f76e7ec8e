//! Where an artifact came from: what made it, from what, down to the files that were read.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::past::PastRun;
use super::{RecordsError, all};
use crate::execute::{Resolved, RunState};
use crate::step::Digest;
use crate::store::{Action, Contents, Store};

/// The history of one artifact: itself first, then what it was made from, each once.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The part that was asked for, if not the whole.
    pub part: Option<String>,
    /// The artifacts; [`TraceInput::node`] is a position here.
    pub nodes: Vec<TraceNode>,
}

/// One artifact of a history.
#[derive(Clone, Debug, Serialize)]
pub struct TraceNode {
    /// The artifact.
    pub digest: Digest,
    /// Whether it is still in the store.
    pub present: bool,
    /// Its bytes.
    pub bytes: Option<u64>,
    /// How it was made; null if nothing in the store says.
    pub made: Option<Making>,
}

/// How an artifact was made.
#[derive(Clone, Debug, Serialize)]
pub struct Making {
    /// The instance that asked first.
    pub instance: String,
    /// Its kind.
    pub kind: String,
    /// The kind's implementation version.
    pub implementation: u32,
    /// The key.
    pub key: Digest,
    /// When (RFC 3339).
    pub finished: String,
    /// How long the work took.
    pub seconds: f64,
    /// The run that did the work; null if its record is gone.
    pub run: Option<String>,
    /// fragua's version.
    pub fragua: String,
    /// The machine's widest vector instructions.
    pub simd: String,
    /// The settings as the file has them, or all that the key has if the run's record is gone.
    pub settings: Map<String, Value>,
    /// The seed, of a step that draws.
    pub seed: Option<String>,
    /// The artifacts that it was made from.
    pub inputs: Vec<TraceInput>,
    /// The files that it was made from.
    pub files: Vec<TraceFile>,
}

/// An artifact that another was made from.
#[derive(Clone, Debug, Serialize)]
pub struct TraceInput {
    /// The setting that names it.
    pub field: String,
    /// The part that was read, if not the whole.
    pub part: Option<String>,
    /// The content that was read.
    pub content: Digest,
    /// Its place in [`Trace::nodes`]; null if the store has it no more.
    pub node: Option<usize>,
}

/// A file that an artifact was made from.
#[derive(Clone, Debug, Serialize)]
pub struct TraceFile {
    /// The setting that names it.
    pub field: String,
    /// Its path from the pipeline's folder; null if the run's record is gone.
    pub path: Option<String>,
    /// Its content.
    pub digest: Digest,
}

/// Answers where artifacts came from.
pub struct Tracer<'a> {
    pub(super) store: &'a Store,
    /// What the objects hold.
    pub contents: Contents,
    actions: Vec<Action>,
    runs: Vec<PastRun>,
    /// What runs were of, read when first asked for.
    resolved: BTreeMap<usize, Option<Resolved>>,
}

impl<'a> Tracer<'a> {
    /// Reads the store's entries, manifests and runs.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn new(store: &'a Store) -> Result<Self, RecordsError> {
        Ok(Self {
            store,
            contents: store.contents()?,
            actions: store.actions()?,
            runs: all(store)?,
            resolved: BTreeMap::new(),
        })
    }

    /// The history of an object, or of a part of it. `key` says which of several keys that gave it is
    /// meant, `near` the run to whose keys others are preferred.
    pub fn trace(&mut self, object: &Digest, part: Option<String>, key: Option<&str>, near: Option<&PastRun>) -> Trace {
        let mut trace = Trace {
            part,
            nodes: Vec::new(),
        };
        let action = self.action_of(object, key, near).cloned();
        self.add(object, action, near, &mut trace.nodes);
        trace
    }

    /// Adds an artifact with everything that it was made from; its place. Each of them once.
    fn add(
        &mut self,
        object: &Digest,
        action: Option<Action>,
        near: Option<&PastRun>,
        nodes: &mut Vec<TraceNode>,
    ) -> usize {
        let index = nodes.len();
        let manifest = self.contents.manifests.get(object);
        nodes.push(TraceNode {
            digest: object.clone(),
            present: manifest.is_some(),
            bytes: manifest.map(crate::store::Manifest::size),
            made: None,
        });
        let Some(action) = action else { return index };
        let run = self.run_of(&action);
        let written = self.written(run, &action);
        let mut inputs = Vec::new();
        let mut files = Vec::new();
        for (field, content, is_file) in contents_of(&action) {
            if is_file {
                let path = written.as_ref().and_then(|(_, paths)| paths.get(&field).cloned());
                files.push(TraceFile {
                    path,
                    field,
                    digest: content,
                });
                continue;
            }
            let place = self.place(&content, near);
            let node = place.as_ref().map(|(object, _)| {
                let seen = nodes.iter().position(|node| node.digest == *object);
                seen.unwrap_or_else(|| {
                    let action = self.action_of(object, None, near).cloned();
                    self.add(object, action, near, nodes)
                })
            });
            inputs.push(TraceInput {
                field,
                part: place.and_then(|(_, part)| part),
                content,
                node,
            });
        }
        let all_settings = || {
            let fields = action.dependencies.fields.iter();
            let plain = fields.filter(|(_, value)| content(value).is_none() && !value.is_null());
            plain.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        nodes[index].made = Some(Making {
            run: run.map(|run| self.runs[run].record.run.clone()),
            settings: written.map_or_else(all_settings, |(settings, _)| settings),
            seed: action.dependencies.seed.clone(),
            kind: action.dependencies.kind.clone(),
            implementation: action.dependencies.implementation,
            instance: action.instance,
            key: action.key,
            finished: action.finished,
            seconds: action.seconds,
            fragua: action.environment.fragua,
            simd: action.environment.simd,
            inputs,
            files,
        });
        index
    }

    /// How an object was made: by the key that is meant, else by one of the run that is asked about,
    /// else the first that gave it.
    fn action_of(&self, object: &Digest, key: Option<&str>, near: Option<&PastRun>) -> Option<&Action> {
        let giving = || self.actions.iter().filter(|action| action.output == *object);
        let meant = giving().find(|action| Some(action.key.as_str()) == key);
        let in_run = |action: &&Action| near.is_some_and(|run| mentions(run, &action.key));
        let first = || giving().min_by(|one, other| (&one.finished, &one.key).cmp(&(&other.finished, &other.key)));
        meant.or_else(|| giving().find(in_run)).or_else(first)
    }

    /// The object that holds a content: one of the run that is asked about, if it can be.
    fn place(&self, content: &Digest, near: Option<&PastRun>) -> Option<(Digest, Option<String>)> {
        let places = self.contents.places(content);
        let in_run = |object: &Digest| {
            let mut instances = near.iter().flat_map(|run| &run.record.instances);
            instances.any(|one| one.digest.as_deref() == Some(object.as_str()))
        };
        let place = places.iter().find(|place| in_run(&place.object)).or(places.first())?;
        Some((place.object.clone(), place.part.clone()))
    }

    /// The run that did the work of a key, or the first that knew it.
    fn run_of(&self, action: &Action) -> Option<usize> {
        let did = |run: &PastRun| {
            let mut instances = run.record.instances.iter();
            instances.any(|one| one.key.as_deref() == Some(action.key.as_str()) && one.state == RunState::Executed)
        };
        let worked = self.runs.iter().position(did);
        worked.or_else(|| self.runs.iter().position(|run| mentions(run, &action.key)))
    }

    /// The settings and file paths of a key's instance, as the run's file has them.
    fn written(
        &mut self,
        run: Option<usize>,
        action: &Action,
    ) -> Option<(Map<String, Value>, BTreeMap<String, String>)> {
        let run = run?;
        let past = &self.runs[run];
        let resolved = self
            .resolved
            .entry(run)
            .or_insert_with(|| past.resolved().ok().flatten())
            .as_ref()?;
        let mut instances = past.record.instances.iter();
        let name = &instances
            .find(|one| one.key.as_deref() == Some(action.key.as_str()))?
            .name;
        let one = resolved.instance(name)?;
        Some((one.settings.as_object().cloned().unwrap_or_default(), one.files.clone()))
    }
}

fn mentions(run: &PastRun, key: &Digest) -> bool {
    let mut instances = run.record.instances.iter();
    instances.any(|one| one.key.as_deref() == Some(key.as_str()))
}

/// The contents that a key depends on: field, digest, and whether it is a file's.
pub(super) fn contents_of(action: &Action) -> Vec<(String, Digest, bool)> {
    let fields = action.dependencies.fields.iter();
    fields
        .filter_map(|(field, value)| {
            let (what, digest) = content(value)?;
            Some((field.clone(), digest, what == "file"))
        })
        .collect()
}

/// `{"artifact": digest}` or `{"file": digest}`.
fn content(value: &Value) -> Option<(&str, Digest)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (what, digest) = members.iter().next()?;
    let digest = serde_json::from_value(digest.clone()).ok()?;
    matches!(what.as_str(), "artifact" | "file").then_some((what.as_str(), digest))
}
