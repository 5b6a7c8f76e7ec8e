//! SVG: one file that needs nothing else, in the reader's light or dark colours.

use super::graph::{Graph, Node, STATES, colours};
use crate::layout::{Size, layered};
use crate::plan::{Plan, State};

/// A box.
const WIDTH: f64 = 148.0;
const HEIGHT: f64 = 44.0;
/// Characters of a box's second line.
const FITS: usize = 24;
/// Around everything.
const MARGIN: f64 = 16.0;
/// The line above the graph: the pipeline and the states.
const HEAD: f64 = 60.0;
/// Room of one state in that line.
const KEY: f64 = 112.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1c2430}.name{font-weight:600}.head{font-size:15px;font-weight:600}\
.edge{fill:none;stroke:#8892a0;stroke-width:1.2}.tip{fill:#8892a0}.skipped{stroke-dasharray:4 3}.maybe{stroke-dasharray:7 2}\
.ground{fill:#fff}@media(prefers-color-scheme:dark){.ground{fill:#14181f}.out{fill:#e6e9ee}}";

/// The plan as an SVG image.
pub fn svg(name: &str, plan: &Plan) -> String {
    let graph = Graph::of(plan);
    let layout = layered(
        graph.nodes.len(),
        &graph.edges,
        Size {
            width: WIDTH,
            height: HEIGHT,
        },
    );
    let present: Vec<(State, usize)> = STATES
        .into_iter()
        .map(|state| (state, plan.count(state)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let wide = layout.width.max(present.len() as f64 * KEY).max(2.0 * WIDTH);
    let (width, height) = (wide + 2.0 * MARGIN, layout.height + HEAD + 2.0 * MARGIN);
    let title = escaped(name);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"plan of {title}\">\n<title>plan of {title}</title>\n\
         <style>{STYLE}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"4\" refY=\"4\" \
         markerWidth=\"6\" markerHeight=\"6\" orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head out\" x=\"{MARGIN}\" y=\"{:.0}\">{title}</text>\n",
        MARGIN + 14.0
    );
    for (number, (state, count)) in present.iter().enumerate() {
        let (x, y) = (MARGIN + number as f64 * KEY, MARGIN + 26.0);
        text.push_str(&format!(
            "{}<text class=\"out\" x=\"{:.0}\" y=\"{:.0}\">{count} {}</text>\n",
            rectangle(*state, x, y, 14.0, 14.0),
            x + 20.0,
            y + 11.5,
            state.name()
        ));
    }
    let left = MARGIN + (wide - layout.width) / 2.0;
    text.push_str(&format!(
        "<g transform=\"translate({left:.1} {:.1})\">\n",
        MARGIN + HEAD
    ));
    for path in &layout.edges {
        text.push_str(&format!(
            "<path class=\"edge\" d=\"{path}\" marker-end=\"url(#tip)\"/>\n"
        ));
    }
    for (node, (x, y)) in graph.nodes.iter().zip(&layout.boxes) {
        let mut whole = format!("{}: {} ({})", node.name, node.states, node.kind);
        node.reasons
            .iter()
            .for_each(|reason| whole.push_str(&format!("\n{reason}")));
        let (title, below) = lines(node);
        text.push_str(&format!(
            "<g><title>{}</title>{}<text class=\"name\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>\n",
            escaped(&whole),
            rectangle(node.state, x - WIDTH / 2.0, *y, WIDTH, HEIGHT),
            y + 18.0,
            escaped(&shortened(&title, 20)),
            y + 34.0,
            escaped(&shortened(&below, FITS + 2)),
        ));
    }
    text.push_str("</g>\n</svg>\n");
    text
}

/// What a box shows: the step, and below it what tells an instance from the others of its step, with
/// its state, which is never cut.
fn lines(node: &Node) -> (String, String) {
    let inside = |text: &str, open: char, close: char| {
        let (step, rest) = text.split_once(open)?;
        Some((step.to_owned(), rest.strip_suffix(close)?.to_owned()))
    };
    let room = FITS.saturating_sub(node.states.chars().count() + 3).max(2);
    let below = |text: &str| format!("{} · {}", shortened(text, room), node.states);
    if let Some((step, axes)) = inside(&node.name, '[', ']') {
        if axes.chars().count() <= room {
            return (step, below(&axes));
        }
        let value = |axis: &str| {
            axis.split_once('=')
                .map_or_else(|| axis.to_owned(), |(_, value)| value.to_owned())
        };
        let values: Vec<String> = axes.split(',').map(value).collect();
        return (step, below(&values.join(", ")));
    }
    match inside(&node.name, '(', ')') {
        Some((kind, of)) => (kind, below(&of)),
        None => (node.name.clone(), below(&node.kind)),
    }
}

fn rectangle(state: State, x: f64, y: f64, width: f64, height: f64) -> String {
    let (fill, border) = colours(state);
    let class = state.name();
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" rx=\"4\" \
         fill=\"{fill}\" stroke=\"{border}\" stroke-width=\"1.4\"/>"
    )
}

/// As much of a text as fits a box.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Text within XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && c != '\n' => escaped.push(' '), // XML takes no others
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{plan, planned};
    use super::*;

    #[test]
    fn the_image_is_whole_and_text_is_text() {
        let plan = plan(vec![
            planned("a", "a", State::Run, &[]),
            planned("b[x=<script>]", "b", State::Maybe, &["a"]),
        ]);
        let text = svg("lab & \"more\"", &plan);
        assert!(
            !text.contains("<script>") && text.contains("x=&lt;script&gt; · maybe"),
            "{text}"
        );
        assert!(text.contains("aria-label=\"plan of lab &amp; &quot;more&quot;\""));
        for tag in ["g", "svg", "text", "title", "style"] {
            let opened = text.matches(&format!("<{tag}>")).count() + text.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(
            !text.contains("href") && !text.contains("url(http"),
            "needs nothing else"
        );
    }
}
