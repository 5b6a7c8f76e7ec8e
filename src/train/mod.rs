//! The training loop: settings and schedule, batches, optimizer, evaluation, checkpoints.
//!
//! Reading order: [`settings`] (what a pipeline file says under `train:`) → [`batches`] (what an
//! update learns from, a pure function of the seed and the update's number) → [`optimizer`] (AdamW
//! over named weights) → [`run`](mod@run) (the loop) with [`evaluation`], [`checkpoint`] and [`record`].
//!
//! Nothing here depends on time, thread count or what was interrupted: an update is a function of
//! the weights before it, the seed and its number.

pub mod batches;
pub mod checkpoint;
pub mod error;
pub mod evaluation;
pub mod examples;
pub mod gradients;
pub mod objective;
pub mod optimizer;
mod pace;
pub mod record;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod windows;

#[cfg(test)]
mod tests;

pub use error::TrainError;
pub use evaluation::Evaluation;
pub use pace::thousands;
pub use record::Summary;
pub use run::{Outcome, Task, run};
pub use settings::TrainSettings;
