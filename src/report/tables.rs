//! The CSV files: scores in long form as a polars table, samples line by line, since there may be a
//! million of them.

use std::path::Path;

use polars::prelude::{Column, CsvWriter, DataFrame, IntoColumn, NamedFrom, PolarsError, SerWriter, Series};

use super::material::{GENERATIONS, Material, ReportError, System};
use super::rows::Lines;

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

/// `slices.csv`: the columns of `scores.csv` with `slice_field`, `slice_value` before the metric; `None` where
/// nothing was sliced.
///
/// # Errors
/// When polars cannot build it.
pub(super) fn slices(material: &Material) -> Result<Option<DataFrame>, ReportError> {
    let rows: Vec<_> = systems(material)
        .flat_map(|system| system.slices.iter().map(move |slice| (system, slice)))
        .flat_map(|(system, slice)| slice.scores.iter().map(move |score| (system, slice, score)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut columns = identity(material, rows.iter().map(|(system, ..)| *system));
    columns.push(texts("slice_field", rows.iter().map(|row| row.1.field.as_str())));
    columns.push(texts("slice_value", rows.iter().map(|row| row.1.value.as_str())));
    columns.push(texts("metric", rows.iter().map(|row| row.2.metric.as_str())));
    columns.push(series("value", rows.iter().map(|row| row.2.value)));
    columns.push(Series::new("n".into(), rows.iter().map(|row| row.2.n).collect::<Vec<u64>>()).into_column());
    columns.push(series("low", rows.iter().map(|row| row.2.low)));
    columns.push(series("high", rows.iter().map(|row| row.2.high)));
    columns.push(texts("signature", rows.iter().map(|row| row.2.signature.as_str())));
    DataFrame::new(rows.len(), columns).map(Some).map_err(failed("slices"))
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

/// Writes `samples.csv` line by line: `generations, <axes>, id, prompt, output, references, finish,
/// prompt_tokens, output_tokens`, then one column a metric. Several references are on a line each.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn samples(material: &Material, path: &Path) -> Result<(), ReportError> {
    let fail = |source: csv::Error| ReportError::Write {
        path: path.to_owned(),
        source: source.into(),
    };
    let axes = axes(material);
    let metrics = sample_metrics(material)?;
    let mut table = csv::Writer::from_path(path).map_err(fail)?;
    let names = [
        "id",
        "prompt",
        "output",
        "references",
        "finish",
        "prompt_tokens",
        "output_tokens",
    ];
    let head = std::iter::once("generations")
        .chain(axes.iter().copied())
        .chain(names)
        .chain(metrics.iter().map(String::as_str));
    table.write_record(head).map_err(fail)?;
    for system in systems(material) {
        for scored in Lines::of(system)? {
            let scored = scored?;
            let sample = &scored.sample;
            let mut line = vec![safe(&system.generations)];
            line.extend(axes.iter().map(|axis| system.on(axis).map(safe).unwrap_or_default()));
            line.extend([&sample.id, &sample.prompt, &sample.output].map(|text| safe(text)));
            line.push(safe(&sample.references.join("\n")));
            line.push(safe(&sample.finish));
            line.extend([sample.prompt_tokens, sample.output_tokens].map(|count| count.to_string()));
            let score = |metric: &String| scored.scores.get(metric).and_then(serde_json::Value::as_f64);
            line.extend(
                metrics
                    .iter()
                    .map(|metric| score(metric).map(|v| v.to_string()).unwrap_or_default()),
            );
            table.write_record(&line).map_err(fail)?;
        }
    }
    table.flush().map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The metrics that samples are scored by: every sample of a system has the same.
pub(super) fn sample_metrics(material: &Material) -> Result<Vec<String>, ReportError> {
    let mut names: Vec<String> = Vec::new();
    for system in systems(material) {
        if let Some(first) = Lines::of(system)?.next() {
            for name in first?.scores.keys() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
    }
    Ok(names)
}

pub(super) fn systems(material: &Material) -> impl Iterator<Item = &System> {
    material.groups.iter().flat_map(|group| &group.systems)
}

/// The matrix axes of all groups.
pub(super) fn axes(material: &Material) -> Vec<&str> {
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
    axes
}

fn identity<'a>(material: &Material, rows: impl Iterator<Item = &'a System> + Clone) -> Vec<Column> {
    let axes = axes(material);
    let mut columns = vec![texts(
        "generations",
        rows.clone().map(|system| system.generations.as_str()),
    )];
    for axis in axes {
        columns.push(series(axis, rows.clone().map(|system| system.on(axis).map(safe))));
    }
    columns
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
