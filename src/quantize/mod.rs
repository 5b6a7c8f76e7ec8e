//! Smaller number formats for weights, and the error that each costs.
//!
//! A model directory goes in and a smaller one comes out, Hugging Face names and shapes as before;
//! models are loaded from it like from any other. `fp16` and `bf16` store every tensor in that type.
//! `int8` stores a two-dimensional `NAME` as `I8` with its `NAME_scale` beside it and leaves the
//! rest in f32. Reading order: [`Format`], [`int8`], [`WeightError`], [`quantize`].

mod directory;
mod error;
mod format;
pub mod int8;
mod tensor;

pub use directory::{Quantization, QuantizeError, TensorQuantization, quantize};
pub use error::{ErrorSums, WeightError};
pub use format::{Format, Granularity};

#[cfg(test)]
mod tests;
