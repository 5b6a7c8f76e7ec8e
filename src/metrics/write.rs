//! Writing a scores artifact.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::bootstrap::{LEVEL, RESAMPLES};
use super::{MetricsError, Score, ScoredSample};

/// Writes `scores.json` and `samples.jsonl` into a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write(out: &Path, scores: &[Score], samples: &[ScoredSample]) -> Result<(), MetricsError> {
    let has_intervals = scores.iter().any(|score| score.low.is_some());
    let how = || json!({"method": "percentile bootstrap over samples", "level": LEVEL, "resamples": RESAMPLES});
    let interval = has_intervals.then(how).unwrap_or(Value::Null);
    let file = json!({"version": 1, "scores": scores, "interval": interval});
    let path = out.join("scores.json");
    std::fs::write(&path, format!("{file:#}\n")).map_err(|source| MetricsError::Write { path, source })?;

    let path = out.join("samples.jsonl");
    let lines = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for sample in samples {
            serde_json::to_writer(&mut file, sample)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    lines().map_err(|source| MetricsError::Write {
        path: path.clone(),
        source,
    })
}
