//! What is known and what must run: the graph, the keys, the reasons.
//!
//! [`Planner::decide`] answers for one instance from what is known of its inputs; [`build`] asks it
//! for all instances before anything runs, and `execute` asks it again as inputs become known. So
//! the plan and the run cannot disagree, and a step whose input came out identical is found cached.

mod build;
mod cause;
mod decide;
mod estimate;
mod explain;
mod graph;
mod history;
mod input;
mod outlook;
pub mod picture;
mod reason;
mod selection;
mod tell;

pub use build::{Compared, Plan, Planned, State, build};
pub use decide::{Decision, Made, Planner};
pub use estimate::Time;
pub use explain::{Component, Explanation};
pub use graph::{Graph, ancestors, descendants, graph};
pub use input::{input_of, lineage_of};
pub use outlook::Foreseen;
pub use reason::{Difference, differences};
pub use selection::{Choice, Part, Selection, SelectionError, instances_named};
