//! Line charts that can be read: lines over one axis, a linear and where it helps a logarithmic drawing,
//! and the values themselves for the page's readout.

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use serde::Serialize;

use super::chart::{self, Chart};
use super::words::Words;

/// A line chart as the page holds it.
#[derive(Serialize)]
pub(super) struct LineChart {
    title: String,
    x_label: String,
    y_label: String,
    linear: Chart,
    log: Option<Chart>,
    series: Vec<Series>,
}

/// One line.
#[derive(Clone, Serialize)]
pub(super) struct Series {
    pub(super) label: String,
    /// `s1` to `s8`, `s0` for what is counted from.
    pub(super) colour: String,
    /// How it is drawn.
    pub(super) stroke: Stroke,
    /// In the order of x.
    pub(super) points: Vec<(f64, f64)>,
    /// The interval of each point, where there is one.
    #[serde(skip)]
    pub(super) intervals: Vec<Option<(f64, f64)>>,
}

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stroke {
    /// Measured often: a thin line.
    Thin,
    /// Measured at times: a strong line with its points.
    Points,
}

/// What a chart is about.
pub(super) struct About {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    /// Whether the x axis is logarithmic.
    pub(super) log_x: bool,
    /// Whether a logarithmic y axis is offered.
    pub(super) log_y: bool,
    /// Whether the y axis begins at zero, below which nothing can be.
    pub(super) from_zero: bool,
}

impl LineChart {
    /// Draws lines; `None` where nothing can be drawn.
    pub(super) fn draw(about: About, series: Vec<Series>, words: &Words) -> Option<Self> {
        let series: Vec<Series> = series.into_iter().filter_map(finite).collect();
        if series.is_empty() {
            return None;
        }
        let names: Vec<&str> = series.iter().map(|series| series.label.as_str()).collect();
        let label = words.fill(
            "chart_lines",
            &[
                ("title", &about.title),
                ("x", &about.x_label),
                ("series", &names.join(", ")),
            ],
        );
        let positive = series.iter().flat_map(|series| &series.points).all(|(_, y)| *y > 0.0);
        let at = |log: bool| {
            Chart::draw(label.clone(), |width| {
                let plots = plots(&series);
                let layout = layout(&plots, width, &about, log, words);
                (plots, layout)
            })
        };
        let (linear, log) = (at(false), (about.log_y && positive).then(|| at(true)));
        Some(Self {
            title: about.title,
            x_label: about.x_label,
            y_label: about.y_label,
            linear,
            log,
            series,
        })
    }
}

/// What is not a number is no point, and a line without points is none.
fn finite(mut series: Series) -> Option<Series> {
    let kept: Vec<bool> = series
        .points
        .iter()
        .map(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    let mut index = 0;
    series.intervals.retain(|_| {
        index += 1;
        kept.get(index - 1).copied().unwrap_or(false)
    });
    series.points.retain(|(x, y)| x.is_finite() && y.is_finite());
    (!series.points.is_empty()).then_some(series)
}

fn plots(series: &[Series]) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for one in series {
        let colour = format!("var(--{})", one.colour);
        let width = if one.stroke == Stroke::Thin { 1.2 } else { 2.2 };
        let line = LinePlot::new()
            .with_data(one.points.iter().copied())
            .with_color(&colour)
            .with_stroke_width(width);
        plots.push(line.into());
        if one.stroke == Stroke::Points {
            let reach = |index: usize, y: f64| match one.intervals.get(index).copied().flatten() {
                Some((low, high)) => ((y - low).max(0.0), (high - y).max(0.0)),
                None => (0.0, 0.0),
            };
            let dots = ScatterPlot::new()
                .with_data(one.points.iter().copied())
                .with_color(&colour)
                .with_size(3.0);
            let has_intervals = one.intervals.iter().any(Option::is_some);
            let dots = if has_intervals {
                dots.with_y_err_asymmetric(one.points.iter().enumerate().map(|(index, (_, y))| reach(index, *y)))
            } else {
                dots
            };
            plots.push(dots.into());
        }
    }
    plots
}

fn layout(plots: &[Plot], width: f64, about: &About, log_y: bool, words: &Words) -> Layout {
    let height = if width < chart::WIDE { 230.0 } else { 280.0 };
    let mut layout = chart::layout(plots, height, words)
        .with_x_label(&about.x_label)
        .with_y_label(&about.y_label)
        .with_ticks(if width < chart::WIDE { 4 } else { 5 })
        .with_force_margins_y(10.0, 44.0);
    if about.log_x {
        layout = layout.with_log_x();
    }
    if log_y {
        layout = layout.with_log_y();
    } else if about.from_zero {
        layout = layout.with_y_axis_min(0.0);
    }
    layout
}
