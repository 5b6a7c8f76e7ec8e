//! How much memory a model takes, by arithmetic alone: for `fragua plan --memory`.
//!
//! [`parameters`] counts weights, [`training`] and [`generation`] add up what is held at the moment
//! when the most is held. No tensor is made, so that a model of 180 billion parameters is planned as
//! quickly as a small one. Tests hold the counts to the weights of every architecture, and the sums to
//! the measured peaks of real trainings.

mod generation;
mod held;
mod operations;
mod parameters;
mod training;

pub use generation::{Likeliest, generation};
pub use parameters::{Group, parameters};
pub use training::{Shape, training};
