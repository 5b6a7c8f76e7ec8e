//! Reading a scores artifact again, for paired tests between two of them.

use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::table::Column;
use super::{Evaluated, MetricsError, Score, Settings, all};

/// Reads the statistics of a scores artifact's samples, without scoring them again: what
/// [`super::paired`] compares. Metrics of classes and of distinct things are left out: theirs are
/// not sums over samples.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub fn read_statistics(artifact: &Path) -> Result<Evaluated, MetricsError> {
    #[derive(Deserialize)]
    struct Scores {
        scores: Vec<Score>,
        #[serde(default)]
        settings: Settings,
    }
    #[derive(Deserialize)]
    struct Own {
        scores: Map<String, Value>,
        #[serde(default)]
        statistics: Map<String, Value>,
    }
    let path = artifact.join("scores.json");
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| MetricsError::Read { path, source }
    };
    let text = std::fs::read(&path).map_err(unreadable(&path))?;
    let damaged = |path: &Path, line: usize| {
        let path = path.to_owned();
        move |source| MetricsError::Damaged { path, line, source }
    };
    let file: Scores = serde_json::from_slice(&text).map_err(damaged(&path, 1))?;
    let known = all(&file.settings);
    let of = |score: &Score| known.iter().find(|metric| metric.facts().name == score.metric);
    let metrics = file.scores.iter().filter_map(of).filter(|metric| !metric.counts_keys());
    let mut columns: Vec<Column> = metrics.map(Column::of_metric).collect();

    let path = artifact.join("samples.jsonl");
    let lines = std::io::BufReader::new(std::fs::File::open(&path).map_err(unreadable(&path))?).lines();
    let mut samples = 0;
    for line in lines {
        let line = line.map_err(unreadable(&path))?;
        samples += 1;
        let own: Own = serde_json::from_str(&line).map_err(damaged(&path, samples))?;
        for column in &mut columns {
            let name = column.facts.name;
            let numbers: Option<Vec<f64>> = match own.statistics.get(name) {
                Some(numbers) => Vec::deserialize(numbers).ok(),
                None => own.scores.get(name).and_then(Value::as_f64).map(|score| vec![score]),
            };
            match numbers {
                Some(numbers) if numbers.len() == column.table.width() => column.table.push(&numbers),
                _ => {
                    let source = serde::de::Error::custom(format!("there are no statistics of {name}"));
                    return Err(damaged(&path, samples)(source));
                }
            }
        }
    }
    Ok(Evaluated::of_columns(columns, samples, file.scores))
}
