//! DOT, the language of Graphviz.

use super::graph::{Graph, colours};
use crate::plan::Plan;

/// The plan in DOT.
pub fn dot(name: &str, plan: &Plan) -> String {
    let graph = Graph::of(plan);
    let mut text = format!(
        "digraph {} {{\n  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\"];\n",
        quoted(name)
    );
    for (number, node) in graph.nodes.iter().enumerate() {
        let (fill, border) = colours(node.state);
        let label = quoted(&format!("{}\n{}\n{}", node.name, node.kind, node.states));
        let tooltip = quoted(&node.reasons.join("\n"));
        text.push_str(&format!(
            "  n{number} [label={label}, fillcolor=\"{fill}\", color=\"{border}\", tooltip={tooltip}];\n"
        ));
    }
    for (from, to) in &graph.edges {
        text.push_str(&format!("  n{from} -> n{to};\n"));
    }
    text.push_str("}\n");
    text
}

/// A string of DOT: `"` and `\` escaped, `\n` for a new line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{plan, planned};
    use super::*;
    use crate::plan::State;

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        let plan = plan(vec![
            planned("a", "a", State::Run, &[]),
            planned("b[x=\"]; evil \\]", "b", State::Maybe, &["a"]),
        ]);
        let text = dot("my \"lab\"", &plan);
        assert!(text.starts_with("digraph \"my \\\"lab\\\"\" {\n"), "{text}");
        assert!(text.contains(r#"label="b[x=\"]; evil \\]\ngenerate\nmaybe""#), "{text}");
        assert!(text.contains("  n0 -> n1;\n") && text.ends_with("}\n"));
    }
}
