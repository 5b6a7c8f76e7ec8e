//! The Parquet files, for pandas, polars and DuckDB: scores and samples with the columns of their CSV
//! files and texts as they are, and the scores of every sample with all systems beside each other.

use std::path::Path;

use parquet::errors::ParquetError;
use polars::prelude::{
    Column, DataFrame, DataFrameJoinOps, IntoColumn, JoinArgs, JoinType, MaintainOrderJoin, NamedFrom, PolarsError,
    Series,
};

use super::columnar::{Cell, Kind, Table};
use super::material::{Group, Material, ReportError, System};
use super::ranking;
use super::rows::Lines;
use super::tables;

fn identity_columns(axes: &[&str]) -> Vec<(String, Kind)> {
    let names = std::iter::once("generations").chain(axes.iter().copied());
    names.map(|name| (name.to_owned(), Kind::Text)).collect()
}

fn identity<'a>(system: &'a System, axes: &[&str]) -> Vec<Cell<'a>> {
    let step = std::iter::once(Cell::Text(Some(system.generations.as_str())));
    step.chain(axes.iter().map(|axis| Cell::Text(system.on(axis))))
        .collect()
}

/// Writes `scores.parquet`: the columns of `scores.csv`.
///
/// # Errors
/// When it cannot be written.
pub(super) fn scores(material: &Material, path: &Path) -> Result<(), ReportError> {
    let write = || -> Result<(), ParquetError> {
        let axes = tables::axes(material);
        let mut columns = identity_columns(&axes);
        let own = [
            ("metric", Kind::Text),
            ("value", Kind::Number),
            ("n", Kind::Whole),
            ("low", Kind::Number),
            ("high", Kind::Number),
            ("signature", Kind::Text),
        ];
        columns.extend(own.map(|(name, kind)| (name.to_owned(), kind)));
        let mut table = Table::create(path, &columns)?;
        for system in tables::systems(material) {
            for score in &system.scores {
                let mut cells = identity(system, &axes);
                cells.extend([
                    Cell::Text(Some(&score.metric)),
                    Cell::Number(Some(score.value)),
                    Cell::Whole(score.n),
                    Cell::Number(score.low),
                    Cell::Number(score.high),
                    Cell::Text(Some(&score.signature)),
                ]);
                table.push(cells)?;
            }
        }
        table.close()
    };
    write().map_err(unwritten(path))
}

/// Writes `samples.parquet`: the columns of `samples.csv`, the samples read line by line.
///
/// # Errors
/// When samples cannot be read or the file not be written.
pub(super) fn samples(material: &Material, path: &Path) -> Result<(), ReportError> {
    let axes = tables::axes(material);
    let metrics = tables::sample_metrics(material)?;
    let mut columns = identity_columns(&axes);
    columns.extend(["id", "prompt", "output", "references", "finish"].map(|name| (name.to_owned(), Kind::Text)));
    columns.extend(["prompt_tokens", "output_tokens"].map(|name| (name.to_owned(), Kind::Whole)));
    columns.extend(metrics.iter().map(|name| (name.clone(), Kind::Number)));
    let mut table = Table::create(path, &columns).map_err(unwritten(path))?;
    for system in tables::systems(material) {
        for scored in Lines::of(system)? {
            let scored = scored?;
            let sample = &scored.sample;
            let references = sample.references.join("\n");
            let mut cells = identity(system, &axes);
            cells.extend(
                [&sample.id, &sample.prompt, &sample.output, &references, &sample.finish]
                    .map(|text| Cell::Text(Some(text))),
            );
            cells.extend([sample.prompt_tokens, sample.output_tokens].map(Cell::Whole));
            let score = |metric: &String| scored.scores.get(metric).and_then(serde_json::Value::as_f64);
            cells.extend(metrics.iter().map(|metric| Cell::Number(score(metric))));
            table.push(cells).map_err(unwritten(path))?;
        }
    }
    table.close().map_err(unwritten(path))
}

/// Writes `paired.parquet`: one row a sample and metric, one column a system with its score, for paired
/// tests of one's own. `comparison` numbers the groups of systems that were asked the same, from 1.
///
/// # Errors
/// When samples cannot be read or joined or the file not be written.
pub(super) fn paired(material: &Material, path: &Path) -> Result<(), ReportError> {
    let own = [("comparison", Kind::Whole), ("metric", Kind::Text), ("id", Kind::Text)];
    let mut systems: Vec<String> = Vec::new();
    let with_samples = tables::systems(material).filter(|system| system.samples > 0);
    for label in with_samples.map(ranking::label) {
        if !systems.contains(&label) {
            systems.push(label);
        }
    }
    let mut columns: Vec<(String, Kind)> = own.map(|(name, kind)| (name.to_owned(), kind)).into();
    columns.extend(systems.iter().map(|label| {
        let taken = own.iter().any(|(name, _)| name == label);
        let name = if taken {
            format!("{label} (system)")
        } else {
            label.clone()
        };
        (name, Kind::Number)
    }));
    let mut table = Table::create(path, &columns).map_err(unwritten(path))?;
    for (number, group) in (1u64..).zip(&material.groups) {
        for metric in ranking::metrics(group) {
            let Some(joined) = joined(group, metric.name)? else {
                continue;
            };
            let unjoined = |source| ReportError::Table {
                what: "paired scores",
                source,
            };
            let ids = joined.column(ID).and_then(|column| column.str().cloned());
            let ids = ids.map_err(unjoined)?;
            let scores = systems
                .iter()
                .map(|label| joined.column(label).ok().map(Column::f64).transpose());
            let scores = scores.collect::<Result<Vec<_>, _>>().map_err(unjoined)?;
            for row in 0..joined.height() {
                let mut cells = vec![
                    Cell::Whole(number),
                    Cell::Text(Some(metric.name)),
                    Cell::Text(ids.get(row)),
                ];
                cells.extend(
                    scores
                        .iter()
                        .map(|scores| Cell::Number(scores.and_then(|scores| scores.get(row)))),
                );
                table.push(cells).map_err(unwritten(path))?;
            }
        }
    }
    table.close().map_err(unwritten(path))
}

/// A sample's identifier, and how often it has come before in its system's samples: identifiers of a data
/// set need not be unique. No label of a system begins with a space.
const ID: &str = " id";
const AGAIN: &str = " again";

/// The scores of all systems of a group by one metric, joined by sample; `None` where samples have none.
fn joined(group: &Group, metric: &str) -> Result<Option<DataFrame>, ReportError> {
    let mut whole: Option<DataFrame> = None;
    for system in &group.systems {
        let (mut ids, mut again, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = std::collections::HashMap::new();
        for scored in Lines::of(system)? {
            let scored = scored?;
            let Some(score) = scored.scores.get(metric) else {
                break; // every sample of a system has the same metrics
            };
            scores.push(score.as_f64());
            let times: &mut u32 = seen.entry(scored.sample.id.clone()).or_default();
            again.push(*times);
            *times += 1;
            ids.push(scored.sample.id);
        }
        if scores.is_empty() {
            continue;
        }
        let label = ranking::label(system);
        let columns = vec![
            Series::new(ID.into(), ids).into_column(),
            Series::new(AGAIN.into(), again).into_column(),
            Series::new(label.as_str().into(), scores).into_column(),
        ];
        let join = |own: DataFrame| match whole.take() {
            None => Ok(own),
            Some(whole) if whole.column(&label).is_ok() => Ok(whole), // the same system, evaluated twice
            Some(whole) => whole.join(&own, [ID, AGAIN], [ID, AGAIN], in_order(), None),
        };
        let height = columns[0].len();
        let next: Result<DataFrame, PolarsError> = DataFrame::new(height, columns).and_then(join);
        whole = Some(next.map_err(|source| ReportError::Table {
            what: "paired scores",
            source,
        })?);
    }
    Ok(whole)
}

/// The first system's order: the same table on every machine.
fn in_order() -> JoinArgs {
    JoinArgs {
        maintain_order: MaintainOrderJoin::Left,
        ..JoinArgs::new(JoinType::Left)
    }
}

fn unwritten(path: &Path) -> impl FnOnce(ParquetError) -> ReportError + '_ {
    |source| ReportError::Write {
        path: path.to_owned(),
        source: std::io::Error::other(source),
    }
}
