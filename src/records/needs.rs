//! What of a store is needed, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::trace::contents_of;
use super::{PastRun, RecordsError};
use crate::step::Digest;
use crate::store::{Action, Contents, Store};

/// What is needed, and what follows from it.
pub(super) struct Needs {
    /// All entries, in the order of their keys.
    pub actions: Vec<Action>,
    contents: Contents,
    /// Keys whose entries are needed.
    pub keys: BTreeSet<Digest>,
    /// Objects that are needed.
    pub objects: BTreeSet<Digest>,
    /// Contents that something needed was made from, and that are not looked for yet.
    wanted: Vec<Digest>,
}

impl Needs {
    pub fn new(store: &Store) -> Result<Self, RecordsError> {
        Ok(Self {
            actions: store.actions()?,
            contents: store.contents()?,
            keys: BTreeSet::new(),
            objects: BTreeSet::new(),
            wanted: Vec::new(),
        })
    }

    pub fn entry(&self, key: &Digest) -> Option<&Action> {
        let at = self.actions.binary_search_by(|action| action.key.cmp(key)).ok()?;
        Some(&self.actions[at])
    }

    pub fn run(&mut self, run: &PastRun) {
        for one in &run.record.instances {
            let digest = |text: &Option<String>| {
                let text = text.clone()?;
                serde_json::from_value(serde_json::Value::String(text)).ok()
            };
            self.keys.extend(digest(&one.key));
            self.objects.extend(digest(&one.digest));
        }
    }

    /// Contents, with every entry that leads to them: which of several the next run finds is not known
    /// here, and what is made again need not come out as it was (on a GPU), so that the checkpoints of
    /// unfinished work that reads it would be of no use.
    pub fn all_that_leads_to(&mut self, mut contents: Vec<Digest>) {
        let outputs = self.by_output();
        let mut seen = BTreeSet::new();
        while let Some(content) = contents.pop() {
            for place in self.contents.places(&content) {
                self.objects.insert(place.object.clone());
                for index in outputs.get(&place.object).into_iter().flatten() {
                    let action = &self.actions[*index];
                    self.keys.insert(action.key.clone());
                    if seen.insert(*index) {
                        contents.extend(read_by(action));
                    }
                }
            }
        }
    }

    /// A needed entry needs its object, and what it was made from. What a kept run has is there already,
    /// with its entries; of anything else, all that leads to it is kept.
    pub fn follow(&mut self) {
        let mut followed = BTreeSet::new();
        loop {
            for action in &self.actions {
                if self.keys.contains(&action.key) && followed.insert(action.key.clone()) {
                    self.objects.insert(action.output.clone());
                    self.wanted.extend(read_by(action));
                }
            }
            if self.wanted.is_empty() {
                return;
            }
            for content in std::mem::take(&mut self.wanted) {
                let places = self.contents.places(&content).iter();
                if !places.clone().any(|place| self.objects.contains(&place.object)) {
                    self.all_that_leads_to(vec![content]);
                }
            }
        }
    }

    fn by_output(&self) -> BTreeMap<Digest, Vec<usize>> {
        let mut outputs: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (index, action) in self.actions.iter().enumerate() {
            outputs.entry(action.output.clone()).or_default().push(index);
        }
        outputs
    }
}

/// The contents of artifacts that an entry was made from.
fn read_by(action: &Action) -> Vec<Digest> {
    let contents = contents_of(action).into_iter();
    contents
        .filter(|(.., is_file)| !is_file)
        .map(|(_, content, _)| content)
        .collect()
}
