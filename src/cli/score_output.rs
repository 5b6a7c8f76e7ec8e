//! What `fragua score` prints.

use serde_json::{Value, json};

use super::print::{Paint, line};
use super::score::ScoreArguments;
use super::table::{Align, Cell, lines};
use crate::metrics::{Range, Resampled, Score, Scored, Test, facts};

/// Below it a difference is called supported.
const SIGNIFICANT: f64 = 0.05;

/// A system's score by one metric.
pub struct Row {
    pub system: String,
    pub score: Score,
    pub resampled: Option<Resampled>,
    pub comparison: Option<Comparison>,
}

/// How it differs from the baseline's.
pub struct Comparison {
    pub baseline: String,
    pub difference: f64,
    pub p: f64,
    /// Corrected for the number of systems that are compared.
    pub p_holm: f64,
    pub test: Test,
    pub trials: u64,
}

/// Prints all scores.
pub fn print(as_json: bool, arguments: &ScoreArguments, scored: &[Scored], rows: &[Row]) {
    if as_json {
        line(to_json(scored, rows).to_string());
        return;
    }
    let detailed = rows
        .iter()
        .any(|row| row.resampled.is_some() || row.comparison.is_some());
    let text = if detailed { in_detail(rows) } else { side_by_side(rows) };
    text.iter().for_each(line);
    slices(scored).iter().for_each(line);
    confusions(scored).iter().for_each(line);
    line("");
    if let Some(comparison) = rows.iter().find_map(|row| row.comparison.as_ref()) {
        let test = match comparison.test {
            Test::Bootstrap => "paired bootstrap",
            Test::Randomization => "paired approximate randomization",
        };
        let several = if arguments.systems.len() > 2 {
            ", corrected by Holm for several systems"
        } else {
            ""
        };
        line(format!(
            "* differs from {}: p < {SIGNIFICANT} by {test} with {} trials{several}",
            comparison.baseline, comparison.trials
        ));
    }
    let mut signatures: Vec<&str> = rows.iter().map(|row| row.score.signature.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    signatures.retain(|signature| seen.insert(*signature));
    let samples: Vec<_> = scored.iter().map(|(_, evaluated)| evaluated.samples()).collect();
    let count = match samples.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => format!("{first} segments"),
        counts => format!(
            "{} segments",
            counts.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    line(count);
    signatures.iter().for_each(line);
}

/// A row a system, a column a metric.
fn side_by_side(rows: &[Row]) -> Vec<String> {
    let first = rows.first().map(|row| row.system.as_str()).unwrap_or_default();
    let metrics: Vec<&str> = rows
        .iter()
        .take_while(|row| row.system == first)
        .map(|row| row.score.metric.as_str())
        .collect();
    let header: Vec<Cell> = std::iter::once("system")
        .chain(metrics.iter().copied().map(label))
        .map(Cell::from)
        .collect();
    let mut table = vec![header];
    for system in rows.chunks(metrics.len().max(1)) {
        let mut cells: Vec<Cell> = vec![system[0].system.as_str().into()];
        cells.extend(
            system
                .iter()
                .map(|row| Cell::from(shown(&row.score.metric, row.score.value))),
        );
        table.push(cells);
    }
    let mut aligns = vec![Align::Right; metrics.len() + 1];
    aligns[0] = Align::Left;
    lines(&aligns, 0, table)
}

/// A row a system and metric, with intervals and differences.
fn in_detail(rows: &[Row]) -> Vec<String> {
    let compares = rows.iter().any(|row| row.comparison.is_some());
    let resamples = rows.iter().any(|row| row.resampled.is_some());
    let mut header = vec!["metric", "system", "score"];
    if resamples {
        header.extend(["95% interval", "μ ± 95%"]);
    }
    if compares {
        header.extend(["difference", "p", "p (Holm)"]);
    }
    let columns = header.len();
    let mut table: Vec<Vec<Cell>> = vec![header.into_iter().map(Cell::from).collect()];
    // the systems of a metric stand together, since they are what is compared
    let first = rows.first().map(|row| row.system.as_str()).unwrap_or_default();
    for metric in rows
        .iter()
        .take_while(|row| row.system == first)
        .map(|row| row.score.metric.as_str())
    {
        for row in rows.iter().filter(|row| row.score.metric == metric) {
            let show = |value: f64| shown(metric, value);
            let mut cells: Vec<Cell> = vec![
                label(metric).into(),
                row.system.as_str().into(),
                show(row.score.value).into(),
            ];
            if resamples {
                let of = row.resampled.map(|of| {
                    let interval = format!("{}–{}", show(of.low), show(of.high));
                    [interval, format!("{} ± {}", show(of.mean), show(of.half))]
                });
                cells.extend(of.unwrap_or_default().map(Cell::from));
            }
            if compares {
                match &row.comparison {
                    None => cells.extend(["", "", ""].map(Cell::from)),
                    Some(comparison) => {
                        let sign = if comparison.difference < 0.0 { "-" } else { "+" };
                        let supported = comparison.p_holm < SIGNIFICANT;
                        let mark = if supported { "*" } else { " " };
                        let paint = if supported { Paint::Good } else { Paint::Faint };
                        cells.push(format!("{sign}{}", show(comparison.difference.abs())).into());
                        cells.push(format!("{:.4}", comparison.p).into());
                        cells.push(Cell::painted(format!("{:.4}{mark}", comparison.p_holm), paint));
                    }
                }
            }
            table.push(cells);
        }
    }
    let mut aligns = vec![Align::Right; columns];
    aligns[0] = Align::Left;
    aligns[1] = Align::Left;
    lines(&aligns, 1, table)
}

fn slices(scored: &[Scored]) -> Vec<String> {
    let mut table: Vec<Vec<Cell>> = Vec::new();
    let mut columns = 0;
    for (system, evaluated) in scored {
        for slice in &evaluated.slices {
            if table.is_empty() {
                let metrics = slice.scores.iter().map(|score| label(&score.metric));
                table.push(
                    ["slice", "system", "n"]
                        .into_iter()
                        .chain(metrics)
                        .map(Cell::from)
                        .collect(),
                );
                columns = table[0].len();
            }
            let mut cells: Vec<Cell> = vec![
                format!("{}={}", slice.field, slice.value).into(),
                system.as_str().into(),
            ];
            cells.push(slice.n.to_string().into());
            cells.extend(
                slice
                    .scores
                    .iter()
                    .map(|score| Cell::from(shown(&score.metric, score.value))),
            );
            table.push(cells);
        }
    }
    if table.is_empty() {
        return Vec::new();
    }
    let mut aligns = vec![Align::Right; columns];
    aligns[0] = Align::Left;
    aligns[1] = Align::Left;
    std::iter::once(String::new()).chain(lines(&aligns, 0, table)).collect()
}

fn confusions(scored: &[Scored]) -> Vec<String> {
    let mut text = Vec::new();
    for (system, evaluated) in scored {
        let Some(confusion) = &evaluated.confusion else {
            continue;
        };
        let header = ["right \\ answered"]
            .into_iter()
            .chain(confusion.labels.iter().map(String::as_str));
        let header = header.chain(["other", "precision", "recall", "F1"]);
        let mut table: Vec<Vec<Cell>> = vec![header.map(Cell::from).collect()];
        for (class, row) in confusion.classes.iter().zip(&confusion.matrix) {
            let counts = row.iter().map(u64::to_string);
            let figures = [class.precision, class.recall, class.f1].map(|value| format!("{value:.4}"));
            table.push(
                std::iter::once(class.label.clone())
                    .chain(counts)
                    .chain(figures)
                    .map(Cell::from)
                    .collect(),
            );
        }
        let mut aligns = vec![Align::Right; table[0].len()];
        aligns[0] = Align::Left;
        text.extend([String::new(), format!("confusion of {system}")]);
        text.extend(lines(&aligns, 0, table));
    }
    text
}

fn label(metric: &str) -> &str {
    facts(metric).map_or(metric, |facts| facts.label)
}

/// A score as its reference prints it.
fn shown(metric: &str, value: f64) -> String {
    match facts(metric).map(|facts| facts.range) {
        Some(Range::Percent | Range::ErrorRate) => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn to_json(scored: &[Scored], rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let mut object = json!({"system": row.system});
        let score = json!(row.score);
        if let (Value::Object(to), Value::Object(from)) = (&mut object, score) {
            to.extend(from);
        }
        if let Some(resampled) = row.resampled {
            object["mean"] = json!(resampled.mean);
            object["half_width"] = json!(resampled.half);
        }
        if let Some(comparison) = &row.comparison {
            object["baseline"] = json!(comparison.baseline);
            object["difference"] = json!(comparison.difference);
            object["p"] = json!(comparison.p);
            object["p_holm"] = json!(comparison.p_holm);
            object["test"] = json!(comparison.test);
            object["trials"] = json!(comparison.trials);
        }
        object
    };
    let mut all = json!({"scores": rows.iter().map(row).collect::<Vec<_>>()});
    let slices = scored.iter().flat_map(|(system, evaluated)| {
        evaluated.slices.iter().map(move |slice| {
            let mut object = json!(slice);
            object["system"] = json!(system);
            object
        })
    });
    let slices: Vec<Value> = slices.collect();
    if !slices.is_empty() {
        all["slices"] = json!(slices);
    }
    let confusions = scored.iter().filter_map(|(system, evaluated)| {
        let confusion = evaluated.confusion.as_ref()?;
        let mut object = json!(confusion);
        object["system"] = json!(system);
        Some(object)
    });
    let confusions: Vec<Value> = confusions.collect();
    if !confusions.is_empty() {
        all["confusions"] = json!(confusions);
    }
    all
}
