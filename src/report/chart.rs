//! Charts: kuva lays them out and draws the SVG, the page colours it.
//!
//! kuva takes any CSS colour, so that a chart is drawn with the page's variables and follows its theme.
//! Each is drawn twice, for a wide and for a narrow place, both at one pixel a unit: text is never scaled, and
//! the page shows the one that fits.

use std::sync::Arc;

use kuva::TickFormat;
use kuva::backend::svg::SvgBackend;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use serde::Serialize;

use super::words::Words;

/// The widths of a chart in pixels: in the page's column, and on a phone.
pub(super) const WIDE: f64 = 500.0;
/// On a phone.
pub(super) const NARROW: f64 = 310.0;

/// A chart as the page holds it.
#[derive(Clone, Serialize)]
pub(super) struct Chart {
    /// What it shows, for those who cannot see it: the figures are in a table or a list nearby.
    pub(super) label: String,
    /// The SVG for a wide place.
    pub(super) wide: String,
    /// The SVG for a narrow place.
    pub(super) narrow: String,
}

impl Chart {
    /// Draws a chart at both widths.
    pub(super) fn draw(label: String, at: impl Fn(f64) -> (Vec<Plot>, Layout)) -> Self {
        let [wide, narrow] = [WIDE, NARROW].map(|width| {
            let (plots, layout) = at(width);
            svg(plots, layout.with_width(width), "", &label)
        });
        Self { label, wide, narrow }
    }
}

/// The chart's own colours are the page's.
fn theme(line: &str) -> Theme {
    let none = || "none".to_owned();
    Theme {
        background: none(),
        axis_color: line.into(),
        grid_color: "var(--faint)".into(),
        tick_color: line.into(),
        text_color: "var(--quiet)".into(),
        legend_bg: none(),
        legend_border: none(),
        pie_leader: "var(--quiet)".into(),
        box_median: "var(--ink)".into(),
        violin_border: "var(--ink)".into(),
        colorbar_border: "var(--line)".into(),
        font_family: Some("inherit".into()),
        show_grid: true,
    }
}

/// The layout that all charts begin with.
pub(super) fn layout(plots: &[Plot], height: f64, words: &Words) -> Layout {
    let format = number_format(words);
    Layout::auto_from_plots(plots)
        .with_height(height)
        .with_theme(theme("var(--axis)"))
        .with_tick_size(12)
        .with_label_size(12)
        .with_body_size(12)
        .with_x_tick_format(format.clone())
        .with_y_tick_format(format)
}

/// A line without axes as high as a line of text.
pub(super) fn sparkline(of: &str, plots: Vec<Plot>, width: f64, height: f64) -> String {
    let blank = TickFormat::Custom(Arc::new(|_| String::new()));
    let layout = Layout::auto_from_plots(&plots)
        .with_theme(theme("none"))
        .with_show_grid(false)
        .with_ticks(1)
        .with_tick_format(blank)
        .with_force_margins(1.0, 1.0)
        .with_force_margins_y(2.0, 1.0)
        .with_width(width)
        .with_height(height);
    svg(plots, layout, " aria-hidden=\"true\"", of)
}

/// A kind of number that a tick can be.
fn number_format(words: &Words) -> TickFormat {
    let language = words.language();
    TickFormat::Custom(Arc::new(move |value| tick(value, language)))
}

/// `0.25`, `1,500`, `20 k`, `5 M`, `1e−4`: a tick's number in the page's language, short.
fn tick(value: f64, language: super::Language) -> String {
    let words = |text: String| match language {
        super::Language::En => text,
        super::Language::Es => text.replace('.', ","),
    };
    let size = value.abs();
    let short = |value: f64| {
        // three digits that count
        let decimals = if value.abs() < 1.0 {
            2.0 - value.abs().log10().floor()
        } else {
            2.0
        };
        let text = format!("{value:.*}", decimals.clamp(0.0, 6.0) as usize);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        text.replace('-', "\u{2212}")
    };
    words(match size {
        0.0 => "0".to_owned(),
        _ if size < 1e-3 => format!("{value:e}").replace('-', "\u{2212}"),
        _ if size >= 1e9 => format!("{} G", short(value / 1e9)),
        _ if size >= 1e6 => format!("{} M", short(value / 1e6)),
        _ if size >= 1e4 => format!("{} k", short(value / 1e3)),
        _ => short(value),
    })
}

/// The drawing, with what the page's script reads positions by.
fn svg(plots: Vec<Plot>, layout: Layout, attributes: &str, label: &str) -> String {
    let mut scene = render_multiple(plots, layout.with_interactive());
    let axes = scene.axis_meta.take();
    scene.interactive = false; // the page has a script of its own
    scene.has_tooltips = false;
    scene.background_color = None;
    let (width, height) = (scene.width, scene.height);
    let drawn = SvgBackend::new().render_scene(&scene);
    let body = drawn.split_once("-->").map_or("", |(_, body)| body);
    let mut text = format!("<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"{attributes}");
    if let Some(axes) = axes {
        let place = [axes.plot_left, axes.plot_right, axes.plot_top, axes.plot_bottom];
        let place = place.map(|at| format!("{at:.1}")).join(" ");
        let range = [axes.x_min, axes.x_max, axes.y_min, axes.y_max];
        let range = range.map(|at| at.to_string()).join(" ");
        let logs = format!("{} {}", u8::from(axes.log_x), u8::from(axes.log_y));
        text.push_str(&format!(
            " data-place=\"{place}\" data-range=\"{range}\" data-log=\"{logs}\""
        ));
    }
    text.push_str(" fill=\"var(--quiet)\">");
    text.push_str(&own_clips(body, label));
    text
}

/// kuva counts its clipping areas over the life of the process: the same chart would differ from one
/// call to the next. An area is named by the chart's label and content
/// instead, which no other chart of a page has.
fn own_clips(body: &str, label: &str) -> String {
    const NAME: &str = "kuva-clip-";
    let mut parts = body.split(NAME);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let parts: Vec<(&str, &str)> = parts
        .map(|part| part.split_at(part.bytes().take_while(u8::is_ascii_digit).count()))
        .collect();
    let mut content = blake3::Hasher::new();
    content.update(label.as_bytes()).update(text.as_bytes());
    for (_, rest) in &parts {
        content.update(rest.as_bytes());
    }
    let name = content.finalize().to_hex();
    let mut numbers: Vec<&str> = Vec::new();
    for (number, rest) in parts {
        let index = numbers.iter().position(|known| *known == number);
        let index = index.unwrap_or_else(|| {
            numbers.push(number);
            numbers.len() - 1
        });
        text.push_str(&format!("clip-{}-{index}{rest}", &name[..10]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuva::plot::LinePlot;

    fn line() -> (Vec<Plot>, Layout) {
        let plots: Vec<Plot> = vec![
            LinePlot::new()
                .with_data([(0.0, 1.0), (10.0, 2.0)])
                .with_color("var(--s1)")
                .into(),
        ];
        let layout = layout(&plots, 200.0, &Words::of(super::super::Language::En));
        (plots, layout)
    }

    #[test]
    fn the_same_chart_is_the_same_text_and_takes_its_colours_from_the_page() {
        let draw = || Chart::draw("loss".into(), |_| line());
        let chart = draw();
        assert_eq!(chart.wide, draw().wide);
        assert!(chart.wide.contains("var(--s1)") && !chart.wide.contains("kuva") && !chart.wide.contains("=\"#"));
        assert!(
            chart.narrow.starts_with("<svg viewBox=\"0 0 310 200\""),
            "{}",
            chart.narrow
        );
    }

    #[test]
    fn ticks_are_short_in_both_languages() {
        use super::super::Language::{En, Es};
        let found = [0.25, 1500.0, 20_000.0, 5e6, 1e-4, -2.5].map(|value| tick(value, En));
        assert_eq!(found, ["0.25", "1500", "20 k", "5 M", "1e\u{2212}4", "\u{2212}2.5"]);
        assert_eq!(tick(0.25, Es), "0,25");
    }
}
