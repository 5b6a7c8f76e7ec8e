//! Reading what a worker writes, while it writes.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::step::Event;

/// Follows an event file from line to line.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Follows the events of an attempt, from the first.
    pub fn new(attempt: &Path) -> Self {
        Self {
            path: attempt.join("events.jsonl"),
            read: 0,
            rest: Vec::new(),
        }
    }

    /// The events since the last call. A line that is no event is left out: it is a half line of a
    /// worker that was killed, and its exit record is missing as well.
    pub fn next(&mut self) -> Vec<Event> {
        let mut bytes = Vec::new();
        let opened = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        if opened.is_err() || bytes.is_empty() {
            return Vec::new(); // not there yet, or nothing new
        }
        self.read += bytes.len() as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// The last lines of a file that may be large and need not be Unicode.
pub(super) fn last_lines(path: &Path, count: usize) -> Vec<String> {
    const ENOUGH: u64 = 64 << 10;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(ENOUGH)))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(count);
    lines[start..].iter().map(|&line| line.to_owned()).collect()
}

/// Whether a log is worth pointing at.
pub(super) fn has_text(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn events_come_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(folder.path());
        assert!(follower.next().is_empty());
        let mut file = File::create(folder.path().join("events.jsonl")).unwrap();
        file.write_all(b"{\"event\":\"info\",\"message\":\"a\"}\n{\"event\":\"in")
            .unwrap();
        let info = |message: &str| Event::Info {
            message: message.into(),
        };
        assert_eq!(follower.next(), [info("a")]);
        assert!(follower.next().is_empty());
        file.write_all(b"fo\",\"message\":\"b\"}\n").unwrap();
        assert_eq!(follower.next(), [info("b")]);
    }

    #[test]
    fn the_last_lines_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, b"one\n\ntwo\n\xffthree\n").unwrap();
        assert_eq!(last_lines(&path, 2), ["two", "\u{fffd}three"]);
        assert!(last_lines(&folder.path().join("none"), 2).is_empty());
    }
}
