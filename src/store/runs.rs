//! The records of invocations.

use std::fs;
use std::path::PathBuf;

use super::{Store, StoreError};

impl Store {
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
            runs.extend(name.into_string().ok());
        }
        runs.sort_by_key(|id| order(id));
        Ok(runs)
    }

    /// The folder of a run by its identifier, the beginning of it, or `last`.
    ///
    /// # Errors
    /// When no run, or more than one, is meant.
    pub fn run(&self, wanted: &str) -> Result<(String, PathBuf), StoreError> {
        let runs = self.runs()?;
        let meant: Vec<_> = match runs.iter().find(|id| *id == wanted) {
            Some(id) => vec![id],
            None if wanted == "last" => runs.last().into_iter().collect(),
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
}
