//! What is done so far, a line each, so that an interrupted step goes on where it was.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Digest;

/// A file of a step's checkpoint folder that only grows. Each line is the digest of an entry, a space
/// and the entry as JSON, so that what a kill cut short or a disk lost is never taken for an entry: it is dropped, with all
/// that follows it, and done again.
pub struct Journal<T> {
    path: PathBuf,
    file: Mutex<File>,
    earlier: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens a journal, or begins it. `name` is its file in the checkpoint folder.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(checkpoints: &Path, name: &str) -> io::Result<Self> {
        let path = checkpoints.join(name);
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        let text = std::fs::read(&path)?;
        let (mut earlier, mut whole) = (Vec::new(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some(entry) = line.strip_suffix(b"\n").and_then(entry) else {
                break;
            };
            earlier.push(entry);
            whole += line.len() as u64;
        }
        file.set_len(whole)?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            earlier,
        })
    }

    /// The entries that were there when it was opened, oldest first.
    pub fn earlier(&self) -> &[T] {
        &self.earlier
    }

    /// Its file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an entry, by one write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, entry: &T) -> io::Result<()> {
        let entry = serde_json::to_string(entry)?;
        let line = format!("{} {entry}\n", Digest::of(entry.as_bytes()));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
    }
}

fn entry<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (digest, entry) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let whole = Digest::of(entry.as_bytes()).as_str() == digest;
    whole.then(|| serde_json::from_str(entry).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (usize, String, f64);

    fn entries() -> Vec<Entry> {
        let odd = 0.1 + 0.2;
        vec![
            (4, "¿qué?\n".into(), odd),
            (2, String::new(), -0.0),
            (7, "x".into(), 1e-300),
        ]
    }

    fn written(folder: &Path) -> Vec<u8> {
        let journal = Journal::open(folder, "done.journal").unwrap();
        assert!(journal.earlier().is_empty());
        entries().iter().for_each(|entry| journal.append(entry).unwrap());
        std::fs::read(journal.path()).unwrap()
    }

    #[test]
    fn entries_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let journal = Journal::<Entry>::open(folder.path(), "done.journal").unwrap();
        assert_eq!(journal.earlier(), entries());
        assert!(journal.earlier()[1].2.is_sign_negative());
    }

    #[test]
    fn wherever_it_is_cut_the_whole_lines_count_and_the_rest_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let whole = written(folder.path());
        let path = folder.path().join("done.journal");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::<Entry>::open(folder.path(), "done.journal").unwrap();
            let kept = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(journal.earlier(), &entries()[..kept]);
            entries()[kept..]
                .iter()
                .for_each(|entry| journal.append(entry).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_line_that_a_disk_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = written(folder.path());
        let at = bytes.iter().rposition(|&byte| byte == b'x').unwrap();
        bytes[at] = b'y'; // still JSON, still an entry
        let path = folder.path().join("done.journal");
        std::fs::write(&path, bytes).unwrap();
        let journal = Journal::<Entry>::open(folder.path(), "done.journal").unwrap();
        assert_eq!(journal.earlier(), &entries()[..2]);
    }
}
