//! The CSV files, as polars tables: long form for scores, one row a sample and system for samples.

use polars::prelude::{Column, CsvWriter, DataFrame, IntoColumn, NamedFrom, PolarsError, SerWriter, Series};

use super::material::{GENERATIONS, Material, ReportError, System};
use crate::metrics::ScoredSample;

/// `generations, <one column a matrix axis>, metric, value, n, low, high, signature`.
///
/// # Errors
/// When polars cannot build it.
pub(super) fn scores(material: &Material) -> Result<DataFrame, ReportError> {
    let rows: Vec<_> = systems(material)
        .flat_map(|system| system.scores.iter().map(move |score| (system, score)))
        .collect();
    let mut columns = identity(material, rows.iter().map(|(system, _)| *system));
    columns.push(texts("metric", rows.iter().map(|row| row.1.metric.as_str())));
    columns.push(series("value", rows.iter().map(|row| row.1.value)));
    columns.push(Series::new("n".into(), rows.iter().map(|row| row.1.n).collect::<Vec<u64>>()).into_column());
    columns.push(series("low", rows.iter().map(|row| row.1.low)));
    columns.push(series("high", rows.iter().map(|row| row.1.high)));
    columns.push(texts("signature", rows.iter().map(|row| row.1.signature.as_str())));
    DataFrame::new(rows.len(), columns).map_err(failed("scores"))
}

/// `generations, <axes>, id, prompt, output, references, finish, prompt_tokens, output_tokens`, then
/// one column a metric. Several references are on a line each.
///
/// # Errors
/// When polars cannot build it.
pub(super) fn samples(material: &Material) -> Result<DataFrame, ReportError> {
    let rows: Vec<(&System, &ScoredSample)> = systems(material)
        .flat_map(|system| system.samples.iter().map(move |sample| (system, sample)))
        .collect();
    let mut columns = identity(material, rows.iter().map(|(system, _)| *system));
    let text = |name: &str, of: fn(&ScoredSample) -> String| texts(name, rows.iter().map(|row| of(row.1)));
    columns.push(text("id", |scored| scored.sample.id.clone()));
    columns.push(text("prompt", |scored| scored.sample.prompt.clone()));
    columns.push(text("output", |scored| scored.sample.output.clone()));
    columns.push(text("references", |scored| scored.sample.references.join("\n")));
    columns.push(text("finish", |scored| scored.sample.finish.clone()));
    let count = |name: &str, of: fn(&ScoredSample) -> u64| {
        Series::new(name.into(), rows.iter().map(|row| of(row.1)).collect::<Vec<u64>>()).into_column()
    };
    columns.push(count("prompt_tokens", |scored| scored.sample.prompt_tokens));
    columns.push(count("output_tokens", |scored| scored.sample.output_tokens));
    for metric in metrics(&rows) {
        let values = rows
            .iter()
            .map(|row| row.1.scores.get(&metric).and_then(serde_json::Value::as_f64));
        columns.push(series(&metric, values));
    }
    DataFrame::new(rows.len(), columns).map_err(failed("samples"))
}

/// A table as CSV.
///
/// # Errors
/// When polars cannot write it.
pub(super) fn csv(mut table: DataFrame) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut table).map_err(failed("CSV"))?;
    Ok(bytes)
}

fn systems(material: &Material) -> impl Iterator<Item = &System> {
    material.groups.iter().flat_map(|group| &group.systems)
}

fn identity<'a>(material: &Material, rows: impl Iterator<Item = &'a System> + Clone) -> Vec<Column> {
    let mut axes: Vec<&str> = Vec::new();
    for axis in material
        .groups
        .iter()
        .flat_map(|group| &group.axes)
        .filter(|axis| *axis != GENERATIONS)
    {
        if !axes.contains(&axis.as_str()) {
            axes.push(axis);
        }
    }
    let mut columns = vec![texts(
        "generations",
        rows.clone().map(|system| system.generations.as_str()),
    )];
    for axis in axes {
        columns.push(series(axis, rows.clone().map(|system| system.on(axis).map(safe))));
    }
    columns
}

fn metrics(rows: &[(&System, &ScoredSample)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.1.scores.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn texts(name: &str, values: impl Iterator<Item = impl AsRef<str>>) -> Column {
    let values: Vec<String> = values.map(|value| safe(value.as_ref())).collect();
    Series::new(name.into(), values).into_column()
}

fn series<V>(name: &str, values: impl Iterator<Item = V>) -> Column
where
    Series: NamedFrom<Vec<V>, [V]>,
{
    Series::new(name.into(), values.collect::<Vec<V>>()).into_column()
}

/// A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe,
/// unless it is a number.
fn safe(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if formula { format!("'{text}") } else { text.to_owned() }
}

fn failed(what: &'static str) -> impl FnOnce(PolarsError) -> ReportError {
    move |source| ReportError::Table { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(safe("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(safe("- No, she said."), "'- No, she said.");
        assert_eq!(safe("-0.5"), "-0.5");
        assert_eq!(safe("plain"), "plain");
    }
}
