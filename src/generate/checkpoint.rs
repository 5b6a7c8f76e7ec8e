//! Rows that are done, so that an interrupted step goes on where it was.

use std::collections::BTreeMap;
use std::path::Path;

use super::{GenerateError, Generation};
use crate::step::Journal;

/// The rows that this attempt or an earlier one at the same key has decoded.
pub struct Finished {
    journal: Journal<(usize, Generation)>,
    earlier: BTreeMap<usize, Generation>,
}

impl Finished {
    /// Opens the file of an attempt's checkpoint folder. What cannot be read of it (the line that a
    /// kill cut short, and what follows) is dropped and decoded again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(checkpoints: &Path) -> Result<Self, GenerateError> {
        const NAME: &str = "finished.journal";
        let journal = Journal::open(checkpoints, NAME).map_err(|source| GenerateError::File {
            path: checkpoints.join(NAME),
            source,
        })?;
        let earlier = journal.earlier().iter().cloned().collect();
        Ok(Self { journal, earlier })
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
        let kept = self.journal.append(&(index, generation.clone()));
        kept.map_err(|source| GenerateError::File {
            path: self.journal.path().to_owned(),
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
        let path = folder.path().join("finished.journal");
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
