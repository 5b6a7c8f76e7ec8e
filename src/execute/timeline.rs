//! The time line of a run: those of its workers, one after the other in one file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

/// What a worker records, in its attempt's folder: an event a line.
pub(super) const RECORD: &str = "profile.jsonl";

/// The time line of a run, in its folder: Chrome's trace event format, as an array. Each instance is a
/// process there.
pub const TIME_LINE: &str = "profile.json";

/// A time line that grows as workers end.
pub(super) struct TimeLine {
    path: PathBuf,
    /// Made with the first event.
    file: Option<BufWriter<File>>,
}

impl TimeLine {
    /// The empty time line of a run's folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            path: folder.join(TIME_LINE),
            file: None,
        }
    }

    /// Takes in what an attempt's worker recorded, if it did; `process` tells instances apart.
    pub fn take_in(&mut self, attempt: &Path, process: usize, instance: &str) -> io::Result<()> {
        let record = attempt.join(RECORD);
        let lines = match File::open(&record) {
            Ok(file) => BufReader::new(file).lines(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let about = json!({"name": "process_name", "ph": "M", "pid": process, "args": {"name": instance}});
        self.write(&about.to_string())?;
        for line in lines {
            // a worker that was killed leaves half a line
            let Ok(mut event) = serde_json::from_str::<serde_json::Map<_, _>>(&line?) else {
                break;
            };
            event.insert("pid".into(), process.into());
            self.write(&serde_json::Value::Object(event).to_string())?;
        }
        fs::remove_file(&record)
    }

    fn write(&mut self, event: &str) -> io::Result<()> {
        match &mut self.file {
            Some(file) => write!(file, ",\n{event}"),
            None => {
                let mut file = BufWriter::new(File::create(&self.path)?);
                write!(file, "[{event}")?;
                self.file = Some(file);
                Ok(())
            }
        }
    }

    /// Ends the array; the file, if anything was recorded.
    pub fn close(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(mut file) = self.file.take() else {
            return Ok(None);
        };
        writeln!(file, "]")?;
        file.flush()?;
        Ok(Some(self.path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_stand_side_by_side_and_half_a_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut line = TimeLine::of(folder.path());
        line.take_in(folder.path(), 0, "none").unwrap(); // recorded nothing
        for (process, text) in [
            "{\"name\":\"a\",\"pid\":0}\n{\"na",
            "{\"name\":\"b\",\"ts\":1760000000000000.125}\n",
        ]
        .into_iter()
        .enumerate()
        {
            fs::write(folder.path().join(RECORD), text).unwrap();
            line.take_in(folder.path(), process + 1, "one").unwrap();
        }
        let path = line.close().unwrap().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let names: Vec<_> = events
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), &one["pid"]))
            .collect();
        let expected = [("process_name", 1), ("a", 1), ("process_name", 2), ("b", 2)];
        assert_eq!(
            names,
            expected.map(|(name, pid)| (name, &*Box::leak(Box::new(json!(pid)))))
        );
        assert!(TimeLine::of(folder.path()).close().unwrap().is_none());
    }
}
