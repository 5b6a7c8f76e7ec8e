//! Writing a scores artifact.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use super::bootstrap::{LEVEL, RESAMPLES};
use super::{Confusion, Evaluated, MetricsError, Score, ScoredSample, Settings, Slice};

/// Writes `samples.jsonl` as samples come, then `scores.json`.
pub struct ScoresFile {
    folder: PathBuf,
    samples: BufWriter<File>,
}

impl ScoresFile {
    /// Begins both in a folder.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(folder: &Path) -> Result<Self, MetricsError> {
        let path = folder.join("samples.jsonl");
        let file = File::create(&path).map_err(|source| MetricsError::Write { path, source })?;
        Ok(Self {
            folder: folder.to_owned(),
            samples: BufWriter::with_capacity(1 << 20, file),
        })
    }

    /// Appends samples, in order.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn push(&mut self, samples: &[ScoredSample]) -> Result<(), MetricsError> {
        let lines = samples.par_iter().map(|sample| {
            let mut line = serde_json::to_vec(sample).expect("a sample is plain values");
            line.push(b'\n');
            line
        });
        let lines: Vec<Vec<u8>> = lines.collect();
        lines
            .iter()
            .try_for_each(|line| self.samples.write_all(line))
            .map_err(|source| self.failed(source))
    }

    /// Ends with the scores of all samples, and the settings that they were computed with.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self, evaluated: &Evaluated, settings: &Settings) -> Result<(), MetricsError> {
        self.samples.flush().map_err(|source| self.failed(source))?;
        let Evaluated {
            scores,
            slices,
            confusion,
            ..
        } = evaluated;
        put(&self.folder, scores, Some(settings), slices, confusion.as_ref())
    }

    fn failed(&self, source: std::io::Error) -> MetricsError {
        let path = self.folder.join("samples.jsonl");
        MetricsError::Write { path, source }
    }
}

/// Writes scores without samples: of a model on a text.
///
/// # Errors
/// When a file cannot be written.
pub fn write(out: &Path, scores: &[Score]) -> Result<(), MetricsError> {
    ScoresFile::create(out)?;
    put(out, scores, None, &[], None)
}

fn put(
    out: &Path,
    scores: &[Score],
    settings: Option<&Settings>,
    slices: &[Slice],
    confusion: Option<&Confusion>,
) -> Result<(), MetricsError> {
    let has_intervals = scores.iter().any(|score| score.low.is_some());
    let how = || json!({"method": "percentile bootstrap over samples", "level": LEVEL, "resamples": RESAMPLES});
    let interval = has_intervals.then(how).unwrap_or(Value::Null);
    let mut file = json!({"version": 1, "scores": scores, "interval": interval});
    if let Some(settings) = settings {
        file["settings"] = json!(settings);
    }
    if !slices.is_empty() {
        file["slices"] = json!(slices);
    }
    if let Some(confusion) = confusion {
        file["confusion"] = json!(confusion);
    }
    let path = out.join("scores.json");
    std::fs::write(&path, format!("{file:#}\n")).map_err(|source| MetricsError::Write { path, source })
}
