//! Mermaid, which GitHub and others draw within Markdown.

use super::graph::{Graph, STATES, colours};
use crate::plan::Plan;

/// The plan as a Mermaid flowchart.
pub fn mermaid(plan: &Plan) -> String {
    let graph = Graph::of(plan);
    let mut text = String::from("flowchart TD\n");
    for (number, node) in graph.nodes.iter().enumerate() {
        let (name, kind, states) = (escaped(&node.name), escaped(&node.kind), escaped(&node.states));
        let state = node.state.name();
        text.push_str(&format!("  n{number}[\"{name}<br/>{kind}<br/>{states}\"]:::{state}\n"));
    }
    for (from, to) in &graph.edges {
        text.push_str(&format!("  n{from} --> n{to}\n"));
    }
    for state in STATES {
        let (fill, border) = colours(state);
        let name = state.name();
        text.push_str(&format!(
            "  classDef {name} fill:{fill},stroke:{border},color:#1c2430\n"
        ));
    }
    text
}

/// Text within quotes: whatever could end it or be read as markup goes by its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | ';' | '\\' | '[' | ']' | '{' | '}' | '(' | ')' | '|' | '*' | '_' => {
                escaped.push_str(&format!("#{};", u32::from(c)));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{plan, planned};
    use super::*;
    use crate::plan::State;

    #[test]
    fn names_cannot_be_markup() {
        let plan = plan(vec![
            planned("a", "a", State::Cached, &[]),
            planned("b[x=\"]<b>#1]", "b", State::Run, &["a"]),
        ]);
        let text = mermaid(&plan);
        let line = text.lines().nth(2).unwrap();
        assert_eq!(
            line,
            "  n1[\"b#91;x=#34;#93;#60;b#62;#35;1#93;<br/>generate<br/>run\"]:::run"
        );
        assert!(text.contains("  n0 --> n1\n") && text.contains("classDef maybe "));
    }
}
