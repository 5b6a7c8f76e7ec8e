//! Taking things out of a store, so that it is whole after a `kill -9` at any instruction.
//!
//! Runs go first, then attempts, then entries, then objects: nothing that is still there ever refers
//! to what is gone, and no attempt without its entry looks like work that nobody lived to enter. A folder is renamed aside by one rename and only then removed; what is left aside
//! by a sweep that was killed goes with the next one. Who sweeps has the store alone
//! ([`Store::alone`]).

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::actions::digest_of_name;
use super::durable::sync_folder;
use super::{Attempt, Store, StoreError};
use crate::step::Digest;

/// What is to be taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Runs.
    pub runs: Vec<String>,
    /// Entries, by their keys.
    pub actions: Vec<Digest>,
    /// Attempts with their checkpoints and logs, by their keys.
    pub attempts: Vec<Digest>,
    /// Objects.
    pub objects: Vec<Digest>,
    /// Files that a killed process left half-written, and what an earlier sweep left aside.
    pub leftovers: Vec<PathBuf>,
}

/// What is known of the work on a key.
#[derive(Clone, Debug)]
pub struct Work {
    /// The key.
    pub key: Digest,
    /// Bytes of checkpoints and logs.
    pub bytes: u64,
    /// When something of it was last written.
    pub touched: SystemTime,
    /// Whether a training could go on from a checkpoint.
    pub has_checkpoints: bool,
    /// Whether a worker is at it, perhaps one whose coordinator was killed.
    pub in_flight: bool,
    /// Its attempts, latest first.
    pub attempts: Vec<Attempt>,
}

impl Store {
    /// All work on keys, finished or not.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn work(&self) -> Result<Vec<Work>, StoreError> {
        let mut all = Vec::new();
        for (name, path) in entries(&self.root().join("attempts"))? {
            let Some(key) = digest_of_name(&name) else { continue };
            let mut attempts = Vec::new();
            for (name, path) in entries(&path)? {
                attempts.extend(name.parse().ok().map(|number| Attempt { number, path }));
            }
            attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.number));
            let (bytes, touched) = measure(&path);
            let lock = File::open(path.join("worker.lock"));
            let in_flight = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
            all.push(Work {
                has_checkpoints: self.has_checkpoints(&key),
                key,
                bytes,
                touched,
                in_flight,
                attempts,
            });
        }
        all.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(all)
    }

    /// The keys of all entries, those that cannot be read included.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entry_keys(&self) -> Result<Vec<Digest>, StoreError> {
        let names = entries(&self.root().join("actions"))?.into_iter().map(|(name, _)| name);
        let keys = names.filter_map(|name| digest_of_name(name.strip_suffix(".json")?));
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        Ok(keys)
    }

    /// Bytes of an object's folder, whatever is in it.
    pub fn object_bytes(&self, object: &Digest) -> u64 {
        measure(&self.object_path(object)).0
    }

    /// What killed processes left: half-written records, manifests without an object, what an earlier
    /// sweep had put aside. Only with the store alone is it sure that nobody is writing them.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let half = |name: &str| name.starts_with(".writing-");
        let mut found = Vec::new();
        for folder in [self.root().to_owned(), self.root().join("actions"), self.runs_path()] {
            let entries = entries(&folder)?.into_iter();
            found.extend(entries.filter(|(name, _)| half(name)).map(|(_, path)| path));
        }
        for (_, shelf) in entries(&self.root().join("objects"))? {
            if !shelf.is_dir() {
                continue;
            }
            for (name, path) in entries(&shelf)? {
                let digest = name.split('.').next().and_then(digest_of_name);
                let alone = digest.is_some_and(|digest| path.is_file() && !self.object_path(&digest).exists());
                found.extend((half(&name) || alone).then_some(path));
            }
        }
        found.extend(entries(&self.aside())?.into_iter().map(|(_, path)| path));
        found.sort();
        Ok(found)
    }

    /// Takes things out. The store is one's own ([`Store::alone`]) until this returns.
    ///
    /// # Errors
    /// When something cannot be removed; what is left is whole.
    pub fn sweep(&self, sweep: &Sweep) -> Result<(), StoreError> {
        for run in &sweep.runs {
            self.put_aside(&self.run_path(run))?;
        }
        for key in &sweep.attempts {
            self.put_aside(&self.attempts_path(key))?;
        }
        for key in &sweep.actions {
            remove_file(&self.action_path(key))?;
        }
        if !sweep.actions.is_empty() {
            // on the disk before the objects that they name are gone
            sync_folder(&self.root().join("actions"))?;
        }
        for object in &sweep.objects {
            self.put_aside(&self.object_path(object))?;
            remove_file(&self.seen_path(object))?;
            remove_file(&self.manifest_path(object))?;
            fs::remove_dir(self.shelf(object)).ok(); // the last one's shelf
        }
        for path in &sweep.leftovers {
            remove(path)?;
            let shelf = path
                .parent()
                .filter(|shelf| shelf.parent() == Some(&self.root().join("objects")));
            shelf.map(fs::remove_dir); // only if that was all
        }
        match fs::remove_dir_all(self.aside()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::file("remove", &self.aside())(error))
            }
            _ => Ok(()),
        }
    }

    fn aside(&self) -> PathBuf {
        self.root().join("aside")
    }

    fn put_aside(&self, path: &Path) -> Result<(), StoreError> {
        let aside = self.aside();
        fs::create_dir_all(&aside).map_err(StoreError::file("make", &aside))?;
        let to = aside.join(path.file_name().unwrap_or_default());
        remove(&to)?;
        match fs::rename(path, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

/// A folder's entries by name; none without the folder.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::file("read", folder)(error)),
    };
    let mut all = Vec::new();
    for entry in list {
        let entry = entry.map_err(StoreError::file("read", folder))?;
        all.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    Ok(all)
}

/// Bytes below a path, and when something there was last written. What vanishes meanwhile counts
/// nothing.
fn measure(path: &Path) -> (u64, SystemTime) {
    let mut sum = (0, SystemTime::UNIX_EPOCH);
    let Ok(meta) = fs::symlink_metadata(path) else {
        return sum;
    };
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let (bytes, touched) = measure(&entry.path());
            sum = (sum.0 + bytes, sum.1.max(touched));
        }
    } else {
        sum = (meta.len(), meta.modified().unwrap_or(sum.1));
    }
    sum
}

fn remove(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        fs::remove_dir_all(path).map_err(StoreError::file("remove", path))
    } else {
        remove_file(path)
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file("remove", path)(error)),
        _ => Ok(()),
    }
}
