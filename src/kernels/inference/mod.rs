//! Inference on the CPU over plain slices: what a token costs when nothing is allocated, dispatched or
//! differentiated.
//!
//! [`Panels`] multiply rows with a weight, [`Attended`] holds the keys and values that rows attend to,
//! [`rows`] has what is between, and a [`Screen`] finds the likeliest output sooner than all of them are computed.
//! **Every number of a row is computed from that row alone, by sums in one order**: a row
//! gives the same bits alone and among others, on any number of threads and on every instruction set.
//! Products use fused multiply-add, so that this form is for processors that have it: see
//! [`available`].

mod attended;
mod lanes;
mod likeliest;
pub mod logits;
mod pages;
mod panels;
pub mod rows;
mod screen;

pub use attended::{Attended, Attention, Terms};
pub use lanes::available;
pub use likeliest::Finding;
pub use panels::{Panels, Target};
pub use screen::{Screen, Screening};
