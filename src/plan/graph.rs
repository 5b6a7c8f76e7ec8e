//! The graph of instances.

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};

use crate::pipeline::Pipeline;

/// Instances by their index in the pipeline; an edge goes from what is read to what reads it.
pub type Graph = DiGraph<usize, ()>;

/// The graph of a resolved pipeline. Node `i` is instance `i`; the pipeline has no cycles.
pub fn graph(pipeline: &Pipeline) -> Graph {
    let mut graph = Graph::new();
    for index in 0..pipeline.instances.len() {
        graph.add_node(index);
    }
    for (index, instance) in pipeline.instances.iter().enumerate() {
        for (from, _) in &instance.inputs {
            graph.update_edge(NodeIndex::new(*from), NodeIndex::new(index), ());
        }
    }
    graph
}

/// Everything that an instance descends from, in topological order, without itself.
pub fn ancestors(graph: &Graph, index: usize) -> Vec<usize> {
    reach(graph, index, Direction::Incoming)
}

/// Everything that descends from an instance, in topological order, without itself.
pub fn descendants(graph: &Graph, index: usize) -> Vec<usize> {
    reach(graph, index, Direction::Outgoing)
}

fn reach(graph: &Graph, index: usize, direction: Direction) -> Vec<usize> {
    let start = NodeIndex::new(index);
    let mut found = Vec::new();
    match direction {
        Direction::Outgoing => {
            let mut walk = Dfs::new(graph, start);
            while let Some(node) = walk.next(graph) {
                found.push(node.index());
            }
        }
        Direction::Incoming => {
            let reversed = Reversed(graph);
            let mut walk = Dfs::new(reversed, start);
            while let Some(node) = walk.next(reversed) {
                found.push(node.index());
            }
        }
    }
    found.retain(|&other| other != index);
    found.sort_unstable(); // the pipeline's order is topological
    found
}
