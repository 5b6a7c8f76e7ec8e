//! The graph of steps: an order in which they can run, and the cycles where there is none.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// Steps by their number in the file; an edge leads from a step to one that reads it.
pub(super) struct StepGraph {
    graph: DiGraph<usize, ()>,
}

impl StepGraph {
    /// `reads[step]` are the steps that it reads.
    pub fn new(reads: &[Vec<usize>]) -> Self {
        let mut graph = DiGraph::new();
        let nodes: Vec<NodeIndex> = (0..reads.len()).map(|step| graph.add_node(step)).collect();
        for (step, sources) in reads.iter().enumerate() {
            for source in sources {
                graph.update_edge(nodes[*source], nodes[step], ());
            }
        }
        Self { graph }
    }

    /// One cycle for each group of steps that wait for each other: every step reads the next, the
    /// last one the first. It begins with the group's first step in the file.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles: Vec<Vec<usize>> = tarjan_scc(&self.graph)
            .into_iter()
            .filter(|group| group.len() > 1 || self.graph.contains_edge(group[0], group[0]))
            .map(|group| self.cycle_within(&group))
            .collect();
        cycles.sort();
        cycles
    }

    /// The shortest way from the group's first step, along what each reads, back to itself.
    fn cycle_within(&self, group: &[NodeIndex]) -> Vec<usize> {
        let first = *group.iter().min().expect("a group of steps has one");
        let mut came_from = vec![None; self.graph.node_count()];
        let mut queue = std::collections::VecDeque::from([first]);
        while let Some(step) = queue.pop_front() {
            let mut sources: Vec<_> = self.graph.neighbors_directed(step, petgraph::Incoming).collect();
            sources.sort();
            for source in sources {
                if source == first {
                    let mut cycle = vec![step];
                    while let Some(before) = came_from[cycle[cycle.len() - 1].index()] {
                        cycle.push(before);
                    }
                    cycle.reverse();
                    return cycle.into_iter().map(|node| self.graph[node]).collect();
                }
                if group.contains(&source) && came_from[source.index()].is_none() {
                    came_from[source.index()] = Some(step);
                    queue.push_back(source);
                }
            }
        }
        vec![self.graph[first]]
    }

    /// The steps in an order in which each comes after what it reads, in file order where that
    /// leaves a choice. Steps in a cycle, and those after one, are left out.
    pub fn order(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self
            .graph
            .node_indices()
            .map(|step| self.graph.neighbors_directed(step, petgraph::Incoming).count())
            .collect();
        let mut order = Vec::new();
        let mut ready: std::collections::BTreeSet<NodeIndex> = self
            .graph
            .node_indices()
            .filter(|step| waiting[step.index()] == 0)
            .collect();
        while let Some(step) = ready.pop_first() {
            order.push(self.graph[step]);
            for reader in self.graph.neighbors(step) {
                waiting[reader.index()] -= 1;
                if waiting[reader.index()] == 0 {
                    ready.insert(reader);
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_follows_edges_then_the_file() {
        assert_eq!(StepGraph::new(&[vec![2], vec![], vec![1]]).order(), [1, 2, 0]);
        assert_eq!(StepGraph::new(&[vec![], vec![], vec![]]).order(), [0, 1, 2]);
    }

    #[test]
    fn cycles_are_spelled_out() {
        // 0 reads 1, 1 reads 2, 2 reads 0; 3 reads itself; 4 reads 0
        let graph = StepGraph::new(&[vec![1], vec![2], vec![0], vec![3], vec![0]]);
        assert_eq!(graph.cycles(), [vec![0, 1, 2], vec![3]]);
        assert!(graph.order().is_empty());
    }

    proptest! {
        #[test]
        fn every_step_is_ordered_or_behind_a_cycle(edges in prop::collection::vec((0usize..8, 0usize..8), 0..20)) {
            let mut reads = vec![Vec::new(); 8];
            for (step, source) in &edges {
                reads[*step].push(*source);
            }
            let graph = StepGraph::new(&reads);
            let order = graph.order();
            for (place, step) in order.iter().enumerate() {
                for source in &reads[*step] {
                    prop_assert!(order[..place].contains(source));
                }
            }
            prop_assert_eq!(order.len() == 8, graph.cycles().is_empty());
            for cycle in graph.cycles() {
                for (place, step) in cycle.iter().enumerate() {
                    prop_assert!(reads[*step].contains(&cycle[(place + 1) % cycle.len()]));
                }
            }
        }
    }
}
