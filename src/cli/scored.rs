//! The comparison after a run, as a table of text.

use std::path::Path;

use serde_json::Value;

use super::print::{Paint, colour, counted, line};
use super::table::{Align, Cell, PAGE, lines};

/// Rows of a table: the page has them all.
const MOST_ROWS: usize = 20;

/// Prints the comparison of a report by its `scores.json`, which stands beside its page: the best
/// systems first, the best of each column with a star. A report without one (it was made by an
/// earlier version) prints nothing.
pub fn table(page: &Path) {
    let text = std::fs::read(page.with_file_name("scores.json"));
    let Some(scores) = text.ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        return;
    };
    for group in scores["groups"].as_array().into_iter().flatten() {
        line("");
        print(group);
    }
    if let Some(sentence) = scores["headline"]["sentence"].as_str() {
        let caution = scores["headline"]["caution"].as_str().unwrap_or_default();
        line("");
        line(plain(format!("{sentence} {caution}").trim()));
    }
}

fn print(group: &Value) {
    let mut metrics: Vec<&Value> = group["metrics"].as_array().into_iter().flatten().collect();
    metrics.sort_by_key(|metric| metric["leading"] != true); // stable: the others stay in order
    let Some(leading) = metrics.first().copied() else {
        return;
    };
    let name = |metric: &Value| metric["metric"].as_str().unwrap_or_default().to_owned();
    let value = |system: &Value| system["scores"][name(leading)]["value"].as_f64();
    let mut systems: Vec<&Value> = group["systems"].as_array().into_iter().flatten().collect();
    let badness = |value: f64| match leading["good"].as_str() {
        Some("lower") => value,
        Some("one") => (value - 1.0).abs(),
        _ => -value,
    };
    systems.sort_by(|one, other| match (value(one), value(other)) {
        (Some(one), Some(other)) => badness(one).total_cmp(&badness(other)),
        (one, other) => other.is_some().cmp(&one.is_some()),
    });
    let all = systems.len();
    systems.truncate(MOST_ROWS);
    let label = |system: &Value| {
        let label = plain(system["system"].as_str().unwrap_or_default());
        if system["baseline"] == true {
            format!("{label} (baseline)")
        } else {
            label
        }
    };
    let widest = systems
        .iter()
        .map(|system| label(system).chars().count())
        .max()
        .unwrap_or(0);
    // as many metrics as a page is wide
    let mut room = PAGE.saturating_sub(widest.clamp(12, 48) + 2);
    let before = metrics.len();
    metrics.retain(|metric| {
        let head = metric["label"].as_str().unwrap_or_default().chars().count();
        let width = 4 + head.max(7);
        let fits = room >= width;
        room = room.saturating_sub(width);
        fits
    });
    let title = plain(group["title"].as_str().unwrap_or_default());
    let mut head = vec![Cell::painted(format!("  {title}"), Paint::Faint)];
    head.extend(metrics.iter().map(|metric| {
        let arrow = match metric["good"].as_str() {
            Some("lower") => "↓",
            Some("one") => "→ 1",
            _ => "↑",
        };
        Cell::painted(
            format!("{} {arrow}", metric["label"].as_str().unwrap_or_default()),
            Paint::Faint,
        )
    }));
    let mut rows = vec![head];
    for system in systems {
        let best = |metric: &Value| system["scores"][name(metric)]["best"] == true;
        let (mark, paint) = if best(leading) {
            ("▸", Paint::Good)
        } else {
            (" ", Paint::Plain)
        };
        let mut row = vec![Cell::painted(format!("{mark} {}", label(system)), paint)];
        row.extend(
            metrics
                .iter()
                .map(|metric| match system["scores"][name(metric)]["text"].as_str() {
                    Some(text) if best(metric) => Cell::painted(format!("{text}*"), Paint::Good),
                    Some(text) => Cell::from(format!("{text} ")),
                    None => Cell::painted("— ", Paint::Faint), // not measured, which is not zero
                }),
        );
        rows.push(row);
    }
    let mut aligns = vec![Align::Right; rows[0].len()];
    aligns[0] = Align::Left;
    lines(&aligns, 0, rows).iter().for_each(line);
    let mut more = Vec::new();
    if all > MOST_ROWS {
        more.push(counted(all - MOST_ROWS, "more system"));
    }
    if before > metrics.len() {
        more.push(counted(before - metrics.len(), "more metric"));
    }
    if !more.is_empty() {
        line(Paint::Faint.on(&format!("  and {} in the report", more.join(", ")), colour()));
    }
}

/// Text that a terminal does not take for a command.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
