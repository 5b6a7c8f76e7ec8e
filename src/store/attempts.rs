//! Where work happens before it is known: one folder a key, one numbered folder an attempt.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};
use crate::step::Digest;

/// The right to work on one key. The kernel holds it: it ends with this value, or with the process.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    _lock: File,
}

/// One execution of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Grows with each attempt at the key, so that an earlier one's leftovers are never taken for
    /// this one's.
    pub number: u32,
    /// Its folder: `task.json`, `events.jsonl`, `stderr.log`, `exit.json`, `out/`.
    pub path: PathBuf,
}

impl Attempt {
    /// Where the artifact is written.
    pub fn out(&self) -> PathBuf {
        self.path.join("out")
    }
}

impl Store {
    /// Claims a key, or `None` when another process works on it.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn claim(&self, key: &Digest) -> Result<Option<Claim>, StoreError> {
        let folder = self.attempts_path(key);
        fs::create_dir_all(&folder).map_err(StoreError::file("make", &folder))?;
        let path = folder.join("lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", &path)(error)),
        }
        // whoever waits can name us
        file.set_len(0).map_err(StoreError::file("write", &path))?;
        write!(file, "{}", std::process::id()).map_err(StoreError::file("write", &path))?;
        Ok(Some(Claim { folder, _lock: file }))
    }

    /// The process that holds a key's lock, as it wrote itself.
    pub fn holder(&self, key: &Digest) -> Option<u32> {
        let text = fs::read_to_string(self.attempts_path(key).join("lock")).ok()?;
        text.trim().parse().ok()
    }

    /// The checkpoints of a key that is not finished, if there are any.
    pub fn has_checkpoints(&self, key: &Digest) -> bool {
        let folder = self.attempts_path(key).join("checkpoints");
        fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    }
}

impl Claim {
    /// The folder that outlives the attempts.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn checkpoints(&self) -> Result<PathBuf, StoreError> {
        let path = self.folder.join("checkpoints");
        fs::create_dir_all(&path).map_err(StoreError::file("make", &path))?;
        Ok(path)
    }

    /// Earlier attempts, latest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn attempts(&self) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(StoreError::file("read", &self.folder))? {
            let entry = entry.map_err(StoreError::file("read", &self.folder))?;
            if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                let path = entry.path();
                attempts.push(Attempt { number, path });
            }
        }
        attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.number));
        Ok(attempts)
    }

    /// A new attempt with its empty `out/`. What earlier ones had written of the artifact is
    /// removed; their logs stay.
    ///
    /// # Errors
    /// When folders cannot be made or removed.
    pub fn begin(&self) -> Result<Attempt, StoreError> {
        let earlier = self.attempts()?;
        for attempt in &earlier {
            remove_if_there(&attempt.out())?;
        }
        let number = earlier.first().map_or(1, |attempt| attempt.number + 1);
        let path = self.folder.join(number.to_string());
        let attempt = Attempt { number, path };
        let out = attempt.out();
        fs::create_dir_all(&out).map_err(StoreError::file("make", &out))?;
        Ok(attempt)
    }

    /// Once the key is known: removes checkpoints and all attempts but the last one's logs.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clean(&self) -> Result<(), StoreError> {
        remove_if_there(&self.folder.join("checkpoints"))?;
        for (age, attempt) in self.attempts()?.iter().enumerate() {
            remove_if_there(&if age == 0 { attempt.out() } else { attempt.path.clone() })?;
        }
        Ok(())
    }
}

fn remove_if_there(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_once_and_numbers_grow() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = Digest::of(b"key");
        let claim = store.claim(&key).unwrap().unwrap();
        assert!(store.claim(&key).unwrap().is_none());
        assert_eq!(store.holder(&key), Some(std::process::id()));
        let first = claim.begin().unwrap();
        fs::write(first.out().join("half"), "x").unwrap();
        drop(claim); // as a process that ends does
        let claim = store.claim(&key).unwrap().unwrap();
        let second = claim.begin().unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert!(!first.out().exists());
        assert_eq!(fs::read_dir(second.out()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_key_keeps_only_its_last_log() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = Digest::of(b"key");
        let claim = store.claim(&key).unwrap().unwrap();
        fs::write(claim.checkpoints().unwrap().join("c"), "x").unwrap();
        assert!(store.has_checkpoints(&key));
        let (first, second) = (claim.begin().unwrap(), claim.begin().unwrap());
        fs::write(second.path.join("stderr.log"), "").unwrap();
        claim.clean().unwrap();
        assert!(!store.has_checkpoints(&key));
        assert!(!first.path.exists() && !second.out().exists() && second.path.join("stderr.log").exists());
    }
}
