//! The plan as a picture: DOT for Graphviz, Mermaid for Markdown, SVG for itself.
//!
//! Up to [`EACH`] instances are a box each; more are a box a step, with how many of its instances
//! are in which state.

mod dot;
mod graph;
mod mermaid;
mod svg;

pub use dot::dot;
pub use graph::EACH;
pub use mermaid::mermaid;
pub use svg::svg;
