//! The pipeline file: from text to instances in an order in which they can run.
//!
//! Reading order: [`load`] is the way through. `read` turns YAML into a `tree` that knows where each
//! value stands; `structure` and `file` check the top level and read it into types; `substitute`
//! and `matrix` expand `${params.x}` and `${matrix.x}`; `check` holds settings against their kind's
//! JSON Schema and finds the references in them; `reference` and `graph` make them edges; `resolve`
//! puts it together. What is wrong is a [`Diagnostic`]: all of a file's problems at once, each with
//! its place. [`schema`] is the same definitions for an editor.
//!
//! The room knows kinds only through [`crate::step::Kind`]: the registry is passed in.

mod border;
mod budget;
mod check;
mod combinations;
mod complaint;
mod declared;
mod diagnostic;
mod file;
mod graph;
mod include;
mod instance;
mod join;
mod load;
mod matrix;
mod meaning;
mod origin;
mod parameters;
mod policy;
mod quantity;
mod read;
mod reference;
mod resolve;
mod resolved;
mod schema;
mod source;
mod structure;
mod substitute;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod unused;
mod variant;
mod when;

pub use declared::ParameterType;
pub use diagnostic::{Class, Diagnostic, Diagnostics, Position, Severity};
pub use load::{LoadOptions, load, load_parameters, load_text};
pub use origin::{Origin, Origins, Place};
pub use parameters::Parameter;
pub use quantity::bytes;
pub use resolved::{Instance, LeftOut, Pipeline, Policy, Resources};
pub use schema::schema;
pub use suggest::suggest;
