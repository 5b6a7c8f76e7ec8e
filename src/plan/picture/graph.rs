//! The boxes and edges of a picture, whatever it is written in.

use std::collections::{BTreeSet, HashMap};

use crate::plan::{Plan, Planned, State};

/// The most instances that are a box each.
pub const EACH: usize = 40;

/// All states, the one first that a box of several instances shows.
pub(super) const STATES: [State; 5] = [State::Blocked, State::Run, State::Maybe, State::Skipped, State::Cached];

/// A box: an instance, or all instances of a step.
pub(super) struct Node {
    /// The instance's or the step's name.
    pub name: String,
    /// What it makes, how many there are: `generate × 6`.
    pub kind: String,
    /// `run`, or of several `4 cached, 2 run`.
    pub states: String,
    /// The one to colour it by.
    pub state: State,
    /// Why, for who points at it.
    pub reasons: Vec<String>,
}

/// The boxes, each after what it reads, and the edges between their numbers.
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<(usize, usize)>,
}

impl Graph {
    pub fn of(plan: &Plan) -> Self {
        let each = plan.instances.len() <= EACH;
        let mut groups: Vec<Vec<&Planned>> = Vec::new();
        let mut of_step: HashMap<&str, usize> = HashMap::new();
        let mut of_instance: HashMap<&str, usize> = HashMap::new();
        for planned in &plan.instances {
            let name = if each { &planned.name } else { &planned.step };
            let number = *of_step.entry(name).or_insert(groups.len());
            if number == groups.len() {
                groups.push(Vec::new());
            }
            groups[number].push(planned);
            of_instance.insert(&planned.name, number);
        }
        let mut edges = BTreeSet::new();
        for planned in &plan.instances {
            let to = of_instance[planned.name.as_str()];
            let from = planned.inputs.iter().filter_map(|name| of_instance.get(name.as_str()));
            edges.extend(from.filter(|from| **from < to).map(|from| (*from, to)));
        }
        Self {
            nodes: groups.iter().map(|group| node(group, each)).collect(),
            edges: edges.into_iter().collect(),
        }
    }
}

fn node(group: &[&Planned], each: bool) -> Node {
    let first = group[0];
    let count = |state: State| group.iter().filter(|one| one.state == state).count();
    let present: Vec<State> = STATES.into_iter().filter(|state| count(*state) > 0).collect();
    let several = group.len() > 1;
    let words = present.iter().map(|state| {
        if several {
            format!("{} {}", count(*state), state.name())
        } else {
            state.name().to_owned()
        }
    });
    Node {
        name: if each { first.name.clone() } else { first.step.clone() },
        kind: if several {
            format!("{} × {}", first.kind, group.len())
        } else {
            first.kind.to_owned()
        },
        states: words.collect::<Vec<_>>().join(", "),
        state: present.first().copied().unwrap_or(first.state),
        reasons: if several { Vec::new() } else { first.reasons.clone() },
    }
}

/// The colours of a state: fill, border.
pub(super) fn colours(state: State) -> (&'static str, &'static str) {
    match state {
        State::Cached => ("#e6edf7", "#4a6fa5"),
        State::Run => ("#e0f3e4", "#2b7a46"),
        State::Maybe => ("#fcf1d3", "#9a6b00"),
        State::Blocked => ("#fbe3e1", "#b3261e"),
        State::Skipped => ("#efefef", "#6f6f6f"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::Time;

    pub fn planned(name: &str, step: &str, state: State, inputs: &[&str]) -> Planned {
        Planned {
            name: name.into(),
            step: step.into(),
            kind: "generate",
            state,
            key: None,
            reasons: vec!["say \"no\" & <go> #1".into()],
            differences: Vec::new(),
            compared_with: None,
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            estimated_seconds: None,
        }
    }

    pub fn plan(instances: Vec<Planned>) -> Plan {
        Plan {
            instances,
            left_out: Vec::new(),
            time: Time {
                estimated_seconds: None,
                estimated_certain_seconds: None,
                estimated_wall_seconds: None,
                without_estimate: 0,
            },
            warnings: Vec::new(),
        }
    }

    #[test]
    fn many_instances_become_a_box_a_step() {
        let mut instances = vec![planned("base", "base", State::Cached, &[])];
        for number in 0..EACH {
            let state = if number < 3 { State::Run } else { State::Cached };
            instances.push(planned(&format!("answers[n={number}]"), "answers", state, &["base"]));
        }
        let graph = Graph::of(&plan(instances));
        assert_eq!(graph.nodes.len(), 2);
        assert_eq!(graph.edges, [(0, 1)]);
        let answers = &graph.nodes[1];
        assert_eq!((answers.kind.as_str(), answers.state), ("generate × 40", State::Run));
        assert_eq!(answers.states, "3 run, 37 cached");
    }
}
