//! What a key gave.

use std::fs;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::layout::{is_digest, read_if_there};
use super::{Dependencies, Store, StoreError, write_json};
use crate::step::Digest;

/// The result of one key: the artifact that it gave, from what, and what that cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The key.
    pub key: Digest,
    /// The artifact.
    pub output: Digest,
    /// The step that asked first.
    pub step: String,
    /// The instance that asked first.
    pub instance: String,
    /// Everything that went into the key.
    pub dependencies: Dependencies,
    /// The seed as the file named it (`42`), of a step that draws random numbers: for people, since
    /// the key has only what is derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// How long the work took; over all attempts is not known, so the last one's.
    pub seconds: f64,
    /// The most memory that the worker held at once, where the system tells.
    pub peak_bytes: Option<u64>,
    /// Which attempt it was.
    pub attempt: u32,
    /// When it was finished (RFC 3339).
    pub finished: String,
    /// Where it was made.
    pub environment: Environment,
}

/// What may make the last bits of a number differ from one machine to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// fragua's version.
    pub fragua: String,
    /// Operating system.
    pub os: String,
    /// Instruction set architecture.
    pub arch: String,
    /// The widest vector instructions (`avx512f`): sums round differently by width.
    pub simd: String,
}

impl Store {
    /// The action of a key, if there is one.
    ///
    /// # Errors
    /// When the entry cannot be read or is not a record.
    pub fn action(&self, key: &Digest) -> Result<Option<Action>, StoreError> {
        let path = self.action_path(key);
        let Some(bytes) = read_if_there(&path)? else {
            return Ok(None);
        };
        let action: Action = serde_json::from_slice(&bytes).map_err(StoreError::record(&path))?;
        // an entry that another key's record was copied over, or whose digest is not one, is no answer
        let sound = action.key == *key && action.dependencies.key() == *key && is_digest(action.output.as_str());
        if !sound {
            let fact = "does not describe the key that it is named by";
            return Err(StoreError::Entry { path, fact });
        }
        Ok(Some(action))
    }

    /// Enters an action, durably. Its object is in the store.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&self, action: &Action) -> Result<(), StoreError> {
        write_json(&self.action_path(&action.key), action)
    }

    /// Every action that can be read, in the order of their keys.
    ///
    /// # Errors
    /// When the folder cannot be read; an entry that cannot is left out (looking it up by its key
    /// says why).
    pub fn actions(&self) -> Result<Vec<Action>, StoreError> {
        let folder = self.root().join("actions");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::file("read", &folder)(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::file("read", &folder))?;
            let name = entry.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(key) = key.and_then(digest_of_name) {
                keys.push(key);
            }
        }
        keys.sort();
        Ok(keys
            .par_iter()
            .filter_map(|key| self.action(key).ok().flatten())
            .collect())
    }
}

/// The digest that a file is named by.
pub(super) fn digest_of_name(name: &str) -> Option<Digest> {
    let digest = serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()?;
    is_digest(name).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn action(n: u32) -> Action {
        let dependencies = Dependencies {
            kind: "a".into(),
            implementation: n,
            fields: BTreeMap::new(),
            seed: None,
            numerics: None,
            lineage: None,
        };
        Action {
            key: dependencies.key(),
            output: Digest::of(b"x"),
            step: "s".into(),
            instance: "s".into(),
            dependencies,
            seed: None,
            seconds: 0.5,
            peak_bytes: None,
            attempt: 1,
            finished: String::new(),
            environment: Environment {
                fragua: "0".into(),
                os: "o".into(),
                arch: "a".into(),
                simd: "s".into(),
            },
        }
    }

    #[test]
    fn an_action_comes_back_by_its_key_and_another_ones_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (one, two) = (action(1), action(2));
        assert_eq!(store.action(&one.key).unwrap(), None);
        store.record(&one).unwrap();
        assert_eq!(store.action(&one.key).unwrap(), Some(one.clone()));
        fs::copy(store.action_path(&one.key), store.action_path(&two.key)).unwrap();
        assert!(store.action(&two.key).is_err());
        fs::write(folder.path().join("actions/.writing-x"), "half").unwrap();
        assert_eq!(store.actions().unwrap(), [one]);
    }
}
