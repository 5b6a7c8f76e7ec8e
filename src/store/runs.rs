//! The records of invocations: their folders, their names, and which of them are in flight.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::{Store, StoreError};

/// A run's folder, in flight for as long as this value lives (or the process: the kernel holds it).
#[derive(Debug)]
pub struct RunFolder {
    /// The run.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    _in_flight: File,
    _store_in_use: File,
}

/// The file in a run's folder that holds the name that the user gave it.
const NAME: &str = "name";
/// The file in a run's folder that is locked while the run is in flight.
const LOCK: &str = "lock";

/// Whether a run can be called so: a letter, then letters, digits, `-`, `_` and `.`; up to 64. So a
/// name is never taken for the beginning of an identifier, and it is a file name everywhere.
///
/// # Errors
/// What is wrong with it.
pub fn check_run_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name == "last" {
        return Err("`last` always means the last run: choose another name".into());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) || name.len() > 64 {
        return Err("a name begins with a letter and has letters, digits, `-`, `_` and `.`, up to 64 of them".into());
    }
    Ok(())
}

impl Store {
    /// Begins a run: its folder, marked as in flight, with the name that the user gave it. Until the
    /// value is dropped nothing is collected from the store.
    ///
    /// # Errors
    /// When something cannot be made or locked.
    pub fn begin_run(&self, time: &str, name: Option<&str>) -> Result<RunFolder, StoreError> {
        let store_in_use = self.share()?;
        let (id, path) = self.new_run(time)?;
        let lock = path.join(LOCK);
        let in_flight = File::create(&lock).map_err(StoreError::file("make", &lock))?;
        in_flight.lock().map_err(StoreError::file("lock", &lock))?;
        if let Some(name) = name {
            super::write_atomic(&path.join(NAME), name.as_bytes())?;
        }
        Ok(RunFolder {
            id,
            path,
            _in_flight: in_flight,
            _store_in_use: store_in_use,
        })
    }

    /// Whether a run's process lives.
    pub fn is_in_flight(&self, run: &str) -> bool {
        let lock = File::open(self.run_path(run).join(LOCK));
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The name that the user gave a run.
    pub fn name_of_run(&self, run: &str) -> Option<String> {
        fs::read_to_string(self.run_path(run).join(NAME)).ok()
    }

    /// The folder of a run, there or not.
    pub fn run_path(&self, run: &str) -> PathBuf {
        self.runs_path().join(run)
    }

    /// The folder of a new run. Identifiers sort by time: `20260131-235959-1f`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_run(&self, time: &str) -> Result<(String, PathBuf), StoreError> {
        let mut number = 1u32;
        loop {
            let id = format!("{time}-{number}");
            let path = self.runs_path().join(&id);
            match fs::create_dir(&path) {
                Ok(()) => return Ok((id, path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(StoreError::file("make", &path)(error)),
            }
        }
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.runs_path();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::file("read", &folder)(error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::file("read", &folder))?.file_name();
            runs.extend(name.into_string().ok().filter(|name| is_run(name)));
        }
        runs.sort_by_key(|id| order(id));
        Ok(runs)
    }

    /// The folder of a run by its identifier, the name that the user gave it (the newest one's, if
    /// several have it), the beginning of its identifier, or `last`.
    ///
    /// # Errors
    /// When no run, or more than one, is meant.
    pub fn run(&self, wanted: &str) -> Result<(String, PathBuf), StoreError> {
        let runs = self.runs()?;
        let meant: Vec<_> = match runs.iter().find(|id| *id == wanted) {
            Some(id) => vec![id],
            None if wanted == "last" => runs.last().into_iter().collect(),
            None if wanted.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let named = |id: &&String| self.name_of_run(id).is_some_and(|name| name == wanted);
                runs.iter().rev().find(named).into_iter().collect()
            }
            None => runs.iter().filter(|id| id.starts_with(wanted)).collect(),
        };
        if let [id] = meant[..] {
            return Ok((id.clone(), self.runs_path().join(id)));
        }
        let help = match (&meant[..], runs.last()) {
            ([], None) => "nothing has run yet: `fragua run FILE`".into(),
            ([], Some(last)) => format!("the last one is {last}"),
            (several, _) => format!("it could be any of {} runs: write more of it", several.len()),
        };
        Err(StoreError::NoRun {
            wanted: wanted.to_owned(),
            store: self.root().to_owned(),
            help,
        })
    }
}

/// Whether a file name in `runs/` is a run's: identifiers begin with a digit.
fn is_run(name: &str) -> bool {
    Path::new(name).components().count() == 1 && name.starts_with(|c: char| c.is_ascii_digit())
}

/// `…-10` comes after `…-9`.
fn order(id: &str) -> (String, u32) {
    match id.rsplit_once('-') {
        Some((time, number)) => (time.to_owned(), number.parse().unwrap_or(0)),
        None => (id.to_owned(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_by_name_beginning_or_age() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.run("last").unwrap_err().to_string().contains("nothing has run"));
        for _ in 0..10 {
            store.new_run("20260101-000000").unwrap();
        }
        store.new_run("20251231-000000").unwrap();
        assert_eq!(store.run("last").unwrap().0, "20260101-000000-10");
        assert_eq!(store.run("2025").unwrap().0, "20251231-000000-1");
        assert_eq!(store.run("20260101-000000-1").unwrap().0, "20260101-000000-1");
        assert!(store.run("2026").unwrap_err().to_string().contains("10 runs"));
        assert!(store.run("x").unwrap_err().to_string().contains("last one is 2026"));
    }

    #[test]
    fn a_name_means_the_newest_run_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = store.begin_run("20260101-000000", Some("best")).unwrap();
        assert_eq!(store.run("best").unwrap().0, one.id);
        let two = store.begin_run("20260102-000000", Some("best")).unwrap();
        assert_eq!(store.run("best").unwrap().0, two.id);
        assert_eq!(store.name_of_run(&one.id).as_deref(), Some("best"));
        assert!(store.run("bes").is_err(), "a name is written whole");
        for wrong in ["last", "", "2026", "a/b", "a b", "../x"] {
            assert!(check_run_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_run_name("best-1.2_x").is_ok());
    }

    #[test]
    fn a_run_is_in_flight_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let run = store.begin_run("20260101-000000", None).unwrap();
        let id = run.id.clone();
        assert!(store.is_in_flight(&id));
        assert!(store.alone().unwrap().is_none(), "the store is in use");
        drop(run);
        assert!(!store.is_in_flight(&id));
        assert!(store.alone().unwrap().is_some());
    }
}
