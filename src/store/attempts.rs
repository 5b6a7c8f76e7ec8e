//! Where work happens before it is known: one folder a key, one numbered folder an attempt.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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

/// Who holds a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's name.
    pub host: String,
    /// The process's number there.
    pub process: u32,
    /// Since when: seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// Writes itself over what the lock's last holder wrote.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn write(&self, lock: &mut File) -> std::io::Result<()> {
        lock.set_len(0)?;
        lock.write_all(&serde_json::to_vec(self)?)
    }

    /// What the holder of a lock wrote.
    pub fn read(lock: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(lock).ok()?).ok()
    }

    /// This process, from now on.
    pub fn here() -> Self {
        Self {
            host: sysinfo::System::host_name().unwrap_or_else(|| "this machine".into()),
            process: std::process::id(),
            since: now(),
        }
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `process 17 on castor (for 2 min)`
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = now().saturating_sub(self.since);
        let age = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        write!(f, "process {} on {} (for {age})", self.process, self.host)
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
        Holder::here()
            .write(&mut file)
            .map_err(StoreError::file("write", &path))?;
        Ok(Some(Claim { folder, _lock: file }))
    }

    /// Who holds a key's lock, as it wrote itself. Only for messages: the lock is the kernel's.
    pub fn holder(&self, key: &Digest) -> Option<Holder> {
        Holder::read(&self.attempts_path(key).join("lock"))
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
        let mut holder = store.holder(&key).unwrap();
        assert_eq!(holder.process, std::process::id());
        let said = |holder: &Holder| holder.to_string().rsplit_once(" on ").unwrap().1.to_owned();
        assert!(said(&holder).ends_with("(for 0 s)"), "{holder}");
        holder.since -= 300;
        assert!(said(&holder).ends_with("(for 5 min)"), "{holder}");
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
