//! Statistics of samples that an earlier attempt at the same evaluation computed.

use std::collections::HashMap;
use std::path::Path;

use super::MetricsError;
use super::scorer::Chunk;
use crate::step::Journal;

/// A journal of chunks, each by the number of its first sample. Numbers come back to the last bit,
/// so a resumed evaluation gives the same bytes.
pub(super) struct Resume {
    journal: Journal<(usize, Chunk)>,
    earlier: HashMap<usize, Chunk>,
}

impl Resume {
    /// Opens the journal in a checkpoint folder.
    pub fn open(checkpoints: &Path) -> Result<Self, MetricsError> {
        const NAME: &str = "statistics.journal";
        let journal = Journal::open(checkpoints, NAME).map_err(|source| MetricsError::Write {
            path: checkpoints.join(NAME),
            source,
        })?;
        let earlier = journal.earlier().iter().cloned().collect();
        Ok(Self { journal, earlier })
    }

    /// Samples that were scored before.
    pub fn samples(&self) -> usize {
        self.earlier.values().map(|chunk| chunk.samples).sum()
    }

    /// The chunk that begins with a sample and has so many, if it was computed before; else
    /// computes it and keeps it.
    pub fn chunk(&self, first: usize, samples: usize, compute: impl FnOnce() -> Chunk) -> Result<Chunk, MetricsError> {
        if let Some(earlier) = self.earlier.get(&first).filter(|chunk| chunk.samples == samples) {
            return Ok(earlier.clone());
        }
        let chunk = (first, compute());
        self.journal.append(&chunk).map_err(|source| MetricsError::Write {
            path: self.journal.path().to_owned(),
            source,
        })?;
        Ok(chunk.1)
    }
}
