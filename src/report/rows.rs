//! The samples of a group, row by row over all its systems: what was asked once, and what each system
//! answered. Nothing but the row at hand is in memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use super::material::{Group, ReportError, System};
use crate::metrics::ScoredSample;

/// One sample of a group: a line of each system, `None` for a system without samples.
pub(super) type Row = Vec<Option<ScoredSample>>;

/// Reads the samples of all systems of a group beside each other.
pub(super) struct Rows {
    systems: Vec<Lines>,
    left: u64,
}

impl Rows {
    /// The rows of a group. Its systems have the same samples in the same order: that is what makes
    /// it a group.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(super) fn of(group: &Group) -> Result<Self, ReportError> {
        let systems = group.systems.iter().map(Lines::of).collect::<Result<_, _>>()?;
        let left = group.systems.iter().map(|system| system.samples).max().unwrap_or(0);
        Ok(Self { systems, left })
    }
}

impl Iterator for Rows {
    type Item = Result<Row, ReportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.systems.iter_mut().map(|lines| lines.next().transpose()).collect())
    }
}

/// The samples of one system, with the scores of all its evaluations.
pub(super) struct Lines {
    files: Vec<(PathBuf, BufReader<File>)>,
    line: usize,
    text: Vec<u8>,
}

impl Lines {
    /// The samples of a system.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(super) fn of(system: &System) -> Result<Self, ReportError> {
        let open = |path: &PathBuf| match File::open(path) {
            Ok(file) => Ok((path.clone(), BufReader::new(file))),
            Err(source) => Err(ReportError::Read {
                path: path.clone(),
                source,
            }),
        };
        Ok(Self {
            files: system.files.iter().map(open).collect::<Result<_, _>>()?,
            line: 0,
            text: Vec::new(),
        })
    }

    fn read(&mut self) -> Result<Option<ScoredSample>, ReportError> {
        self.line += 1;
        let mut whole: Option<ScoredSample> = None;
        for (path, file) in &mut self.files {
            self.text.clear();
            let read = file.read_until(b'\n', &mut self.text);
            if read.map_err(|source| ReportError::Read {
                path: path.clone(),
                source,
            })? == 0
            {
                return Ok(None);
            }
            let sample: ScoredSample = serde_json::from_slice(&self.text).map_err(|source| ReportError::Content {
                path: path.clone(),
                line: self.line,
                source,
            })?;
            match &mut whole {
                Some(whole) => whole.scores.extend(sample.scores),
                None => whole = Some(sample),
            }
        }
        Ok(whole)
    }
}

impl Iterator for Lines {
    type Item = Result<ScoredSample, ReportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
