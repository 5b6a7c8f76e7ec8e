//! Rows that are done, so that an interrupted step goes on where it was.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::{GenerateError, Generation};

/// The rows that this attempt or an earlier one at the same key has decoded: a line each in a file
/// of the checkpoint folder.
pub struct Finished {
    path: PathBuf,
    file: Mutex<std::fs::File>,
    earlier: BTreeMap<usize, Generation>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    index: usize,
    generation: Generation,
}

impl Finished {
    /// Opens the file of an attempt's checkpoint folder. What cannot be read of it (the line that a
    /// kill cut short, and what follows) is dropped and decoded again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(checkpoints: &Path) -> Result<Self, GenerateError> {
        let path = checkpoints.join("finished.jsonl");
        let failed = |source| GenerateError::File {
            path: path.clone(),
            source,
        };
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(failed)?;
        let text = std::fs::read(&path).map_err(failed)?;
        let mut earlier = BTreeMap::new();
        let mut whole = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some(content) = line.strip_suffix(b"\n") else { break };
            let Ok(Line { index, generation }) = serde_json::from_slice(content) else {
                break;
            };
            earlier.insert(index, generation);
            whole += line.len();
        }
        file.set_len(whole as u64).map_err(failed)?;
        file.flush().map_err(failed)?;
        Ok(Self {
            file: Mutex::new(file),
            earlier,
            path,
        })
    }

    /// A row that was done when the file was opened.
    pub fn get(&self, index: usize) -> Option<&Generation> {
        self.earlier.get(&index)
    }

    /// How many were done when the file was opened.
    pub fn len(&self) -> usize {
        self.earlier.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.earlier.is_empty()
    }

    /// Keeps a row that is done now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, index: usize, generation: &Generation) -> Result<(), GenerateError> {
        let generation = generation.clone();
        let mut line = serde_json::to_vec(&Line { index, generation }).expect("a record of plain values");
        line.push(b'\n');
        let mut file = self.file.lock().expect("no thread panics while it writes");
        file.write_all(&line).map_err(|source| GenerateError::File {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Finish;

    fn generation(id: &str) -> Generation {
        Generation {
            id: id.into(),
            prompt: "¿qué?".into(),
            output: "line\nline".into(),
            references: vec!["a".into()],
            finish: Finish::Eos,
            prompt_tokens: 3,
            output_tokens: 4,
            seed: u64::MAX,
            shots_used: 1,
            logprobs: Some(vec![-0.25, f32::MIN_POSITIVE]),
            score: None,
            alternatives: Vec::new(),
            row: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::open(folder.path()).unwrap();
        assert!(finished.is_empty());
        finished.keep(4, &generation("four")).unwrap();
        finished.keep(2, &generation("two")).unwrap();
        drop(finished);
        let path = folder.path().join("finished.jsonl");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();

        let finished = Finished::open(folder.path()).unwrap();
        assert_eq!(
            (finished.len(), finished.get(4), finished.get(2)),
            (1, Some(&generation("four")), None)
        );
        finished.keep(2, &generation("two")).unwrap();
        drop(finished);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}
