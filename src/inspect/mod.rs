//! Looking inside a model: what its heads attend to in a text, which tokens are near each other, and what it
//! would write next.
//!
//! [`look`] does it all and gives what a page shows ([`crate::report::Inspection`]); `embeddings` has the
//! nearest tokens and the map of them, `principal` the two directions in which they differ most.

mod embeddings;
mod look;
mod principal;

pub use look::{InspectError, Question, look};
