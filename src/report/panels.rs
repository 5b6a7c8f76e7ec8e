//! Scores, charted: for each metric every system with its interval, the score along each numeric
//! axis, and a map over two axes.

use std::collections::{BTreeMap, BTreeSet};

use kuva::plot::ForestPlot;
use kuva::render::plots::Plot;
use serde::Serialize;

use super::chart::{self, Chart};
use super::lines::{About, LineChart, Series, Stroke};
use super::material::{GENERATIONS, Group, Material, System};
use super::ranking;
use super::words::Words;
use crate::metrics::{Facts, Range};

/// Systems in a chart: more would be a wall. The table has all of them.
const MOST_SYSTEMS: usize = 40;

/// Lines in a chart: one for each colour.
const MOST_LINES: usize = 8;

/// The charts of one group.
#[derive(Serialize)]
pub(super) struct Charts {
    title: String,
    legend: Vec<Entry>,
    panels: Vec<Panel>,
    /// How many systems are shown of how many, where not all are.
    cut: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) colour: String,
    pub(super) label: String,
}

/// The charts of one metric.
#[derive(Serialize)]
struct Panel {
    metric: &'static str,
    label: String,
    about: String,
    /// `higher`, `lower`, `one`
    good: &'static str,
    leading: bool,
    intervals: Chart,
    /// Whether the chart has a baseline.
    dashed: bool,
    by_axis: Vec<LineChart>,
    map: Option<Map>,
}

/// A table over two axes whose cells are shaded by their value: text and colour in one.
#[derive(Serialize)]
struct Map {
    rows: String,
    columns: String,
    /// What the other axes are held at, or how many settings a cell is the best of.
    note: String,
    heads: Vec<String>,
    lines: Vec<MapRow>,
}

#[derive(Serialize)]
struct MapRow {
    head: String,
    cells: Vec<Option<Shade>>,
}

#[derive(Serialize)]
struct Shade {
    text: String,
    /// 0 (worst) to 100 (best).
    percent: u8,
}

/// Charts of each group that compares anything.
pub(super) fn charts(material: &Material, baseline: &BTreeMap<String, String>, words: &Words) -> Vec<Charts> {
    let compared = material.groups.iter().filter(|group| group.systems.len() > 1);
    compared.map(|group| group_charts(group, baseline, words)).collect()
}

fn group_charts(group: &Group, baseline: &BTreeMap<String, String>, words: &Words) -> Charts {
    let colours = ranking::colours(group, baseline);
    let leading = ranking::leading(&ranking::metrics(group));
    let panel = |metric: Facts| {
        let (intervals, dashed) = intervals(group, metric, &colours, baseline, words);
        Panel {
            metric: metric.name,
            label: words.label(metric).to_owned(),
            about: words.about(metric).to_owned(),
            good: ranking::good_end(metric.range),
            leading: Some(metric) == leading,
            intervals,
            dashed,
            by_axis: by_axis(group, metric, &colours, words),
            map: map(group, metric, words),
        }
    };
    let shown = group.systems.len().min(MOST_SYSTEMS);
    Charts {
        title: group.title.clone(),
        legend: legend(group, &colours),
        panels: ranking::metrics(group).into_iter().map(panel).collect(),
        cut: (shown < group.systems.len()).then(|| {
            let (shown, all) = (shown.to_string(), group.systems.len().to_string());
            words.fill("chart_cut", &[("shown", &shown), ("all", &all)])
        }),
    }
}

/// What the colours of a group stand for.
pub(super) fn legend(group: &Group, colours: &[String]) -> Vec<Entry> {
    let axis = ranking::colour_axis(group);
    let mut legend: Vec<Entry> = Vec::new();
    for (system, colour) in group.systems.iter().zip(colours) {
        let label = match axis.and_then(|axis| system.on(axis).map(|value| (axis, value))) {
            Some((axis, value)) => ranking::value_label(axis, value),
            None => ranking::label(system),
        };
        if !legend.iter().any(|entry| entry.label == label) && legend.len() < MOST_SYSTEMS {
            legend.push(Entry {
                colour: colour.clone(),
                label,
            });
        }
    }
    legend
}

/// Every system with its interval, the best first.
fn intervals(
    group: &Group,
    metric: Facts,
    colours: &[String],
    baseline: &BTreeMap<String, String>,
    words: &Words,
) -> (Chart, bool) {
    let mut shown: Vec<(&System, &str, f64)> = group
        .systems
        .iter()
        .zip(colours)
        .filter_map(|(system, colour)| Some((system, colour.as_str(), system.score(metric.name)?.value)))
        .collect();
    shown.sort_by(|one, other| {
        let good = |value: f64| ranking::goodness(value, metric.range);
        good(other.2).total_cmp(&good(one.2))
    });
    let all = shown.len();
    shown.truncate(MOST_SYSTEMS);
    let base = common(&ranking::baselines(group, baseline))
        .and_then(|base| group.systems[base].score(metric.name))
        .map(|score| score.value);
    let label = words.fill(
        "chart_intervals",
        &[
            ("metric", words.label(metric)),
            ("shown", &words.whole(shown.len() as u64)),
            ("all", &words.whole(all as u64)),
        ],
    );
    let chart = Chart::draw(label, |width| {
        let most = if width < chart::WIDE { 22 } else { 44 };
        let mut forest = ForestPlot::new()
            .with_marker_size(4.0)
            .with_cap_size(4.0)
            .with_whisker_width(1.6)
            .with_show_null_line(base.is_some());
        if let Some(base) = base {
            forest = forest.with_null_value(base);
        }
        for (system, colour, value) in &shown {
            let score = system.score(metric.name);
            let (low, high) = score
                .and_then(|score| score.low.zip(score.high))
                .unwrap_or((*value, *value));
            let text = format!(
                "{}  {}",
                shortened(&ranking::label(system), most),
                words.score(*value, metric.range)
            );
            forest = forest.with_colored_row(text, *value, low, high, format!("var(--{colour})"));
        }
        let plots: Vec<Plot> = vec![forest.into()];
        let height = 40.0 + 24.0 * shown.len() as f64;
        let mut layout = chart::layout(&plots, height, words)
            .with_ticks(if width < chart::WIDE { 3 } else { 5 })
            .with_force_margins_y(8.0, 28.0);
        if matches!(metric.range, Range::Fraction | Range::Percent) {
            layout = layout.with_x_axis_min(0.0);
        }
        (plots, layout)
    });
    (chart, base.is_some())
}

/// The one system that all are counted from, if it is one.
fn common(baselines: &[Option<usize>]) -> Option<usize> {
    let first = *baselines.first()?;
    first.filter(|_| baselines.iter().all(|base| *base == first))
}

/// The axes along which a score can be drawn as a line: all values are numbers, and there are several.
fn numeric_axes(group: &Group) -> Vec<&str> {
    let numeric = |axis: &&String| {
        let values = ranking::values(group, axis);
        values.len() > 1
            && axis.as_str() != ranking::REPEAT
            && values
                .iter()
                .all(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
    };
    group.axes.iter().filter(numeric).map(String::as_str).collect()
}

/// The systems that differ in one axis only.
struct Line<'a> {
    name: String,
    colour: &'a str,
    points: Vec<(f64, f64, Option<(f64, f64)>)>,
}

fn by_axis(group: &Group, metric: Facts, colours: &[String], words: &Words) -> Vec<LineChart> {
    let chart = |axis: &str| {
        let mut lines: Vec<Line> = Vec::new();
        for (system, colour) in group.systems.iter().zip(colours) {
            let (Some(x), Some(score)) = (system.on(axis).and_then(|x| x.parse().ok()), system.score(metric.name))
            else {
                continue;
            };
            let name = ranking::label_without(system, &[axis]);
            let point = (x, score.value, score.low.zip(score.high));
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line {
                    name,
                    colour,
                    points: vec![point],
                }),
            }
        }
        lines.truncate(MOST_LINES);
        // the group's colours, where they tell the lines apart
        let different: BTreeSet<&str> = lines.iter().map(|line| line.colour).collect();
        let apart = different.len() == lines.len();
        let series = lines.into_iter().enumerate().map(|(index, line)| {
            let mut points = line.points;
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            Series {
                label: if line.name.is_empty() {
                    words.label(metric).to_owned()
                } else {
                    line.name
                },
                colour: if apart {
                    line.colour.to_owned()
                } else {
                    format!("s{}", index + 1)
                },
                stroke: Stroke::Points,
                points: points.iter().map(|(x, y, _)| (*x, *y)).collect(),
                intervals: points.iter().map(|(.., interval)| *interval).collect(),
            }
        });
        let values: Vec<f64> = ranking::values(group, axis)
            .iter()
            .filter_map(|value| value.parse().ok())
            .collect();
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(*x), high.max(*x)));
        let about = About {
            title: words.fill("score_by_axis", &[("metric", words.label(metric)), ("axis", axis)]),
            x_label: axis.to_owned(),
            y_label: words.label(metric).to_owned(),
            log_x: low > 0.0 && high / low >= 50.0,
            log_y: false,
            from_zero: matches!(metric.range, Range::Fraction | Range::Percent),
        };
        LineChart::draw(about, series.collect(), words)
    };
    numeric_axes(group).into_iter().filter_map(chart).collect()
}

/// The map over the two axes with the most values; of several systems in a cell the best.
fn map(group: &Group, metric: Facts, words: &Words) -> Option<Map> {
    const MOST: usize = 30;
    let mut axes: Vec<(&str, usize)> = group
        .axes
        .iter()
        .filter(|axis| axis.as_str() != ranking::REPEAT)
        .map(|axis| (axis.as_str(), ranking::values(group, axis).len()))
        .filter(|(_, count)| *count > 1)
        .collect();
    axes.sort_by_key(|(_, count)| std::cmp::Reverse(*count)); // stable: the file's order among equals
    let [(one, _), (other, _), more @ ..] = axes.as_slice() else {
        return None;
    };
    let position = |axis: &str| group.axes.iter().position(|known| known == axis);
    let (rows, columns) = if position(one) < position(other) {
        (*one, *other)
    } else {
        (*other, *one)
    };
    let (row_values, column_values) = (ranking::values(group, rows), ranking::values(group, columns));
    if row_values.len() > MOST || column_values.len() > MOST {
        return None;
    }
    let good = |value: f64| ranking::goodness(value, metric.range);
    let cell = |row: &str, column: &str| {
        let inside = group
            .systems
            .iter()
            .filter(|system| system.on(rows) == Some(row) && system.on(columns) == Some(column));
        let values = inside
            .filter_map(|system| system.score(metric.name))
            .map(|score| score.value);
        values.max_by(|one, other| good(*one).total_cmp(&good(*other)))
    };
    let cells: Vec<Vec<Option<f64>>> = row_values
        .iter()
        .map(|row| column_values.iter().map(|column| cell(row, column)).collect())
        .collect();
    let (low, high) = cells
        .iter()
        .flatten()
        .flatten()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(good(*value)), high.max(good(*value)))
        });
    let shade = |value: f64| {
        let share = if high > low {
            (good(value) - low) / (high - low)
        } else {
            0.5
        };
        Shade {
            text: words.score(value, metric.range),
            percent: (share * 100.0).round().clamp(0.0, 100.0) as u8,
        }
    };
    let others: Vec<&str> = more.iter().map(|(axis, _)| *axis).collect();
    Some(Map {
        rows: if rows == GENERATIONS {
            words.get("system").to_owned()
        } else {
            rows.to_owned()
        },
        columns: columns.to_owned(),
        note: if others.is_empty() {
            String::new()
        } else {
            words.fill("map_best_of", &[("axes", &others.join(", "))])
        },
        heads: column_values.iter().map(|value| (*value).to_owned()).collect(),
        lines: row_values
            .iter()
            .zip(cells)
            .map(|(head, cells)| MapRow {
                head: (*head).to_owned(),
                cells: cells.into_iter().map(|value| value.map(shade)).collect(),
            })
            .collect(),
    })
}

/// As much of a text as fits.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
