//! Language models: one file an architecture over shared layers; Hugging Face directories both ways.
//!
//! A model is created by [`Model::init`] from a [`ModelConfig`] and a seed, or by [`Model::load`]
//! from a directory with `config.json` and `model.safetensors`. An architecture declares its weights
//! once, under their Hugging Face names; drawing, reading, writing and optimizing them all follow
//! that declaration. Adding one: a file beside `gpt2.rs`, a member of [`Architecture`], a line in
//! `model.rs`.

mod cache;
mod config;
mod error;
mod files;
mod gpt2;
mod init;
mod llama;
mod model;
mod settings;
#[cfg(test)]
mod tests;
mod weight;

pub use cache::Cache;
pub use config::{Architecture, ModelConfig, SpecialIds};
pub use error::ModelError;
pub use files::{WeightFile, write_weights};
pub use model::Model;
pub use settings::ModelSettings;
pub use weight::{Role, Weight};

use burn::tensor::{Int, Tensor};

use crate::seed::Seed;

/// What an architecture is: its weights, and the way from tokens to the rows that its output layer
/// reads.
trait LanguageModel: Send + Sync {
    /// All weights, in the order of declaration.
    fn weights(&self) -> Vec<&Weight>;

    /// The same, to be changed in place.
    fn weights_mut(&mut self) -> Vec<&mut Weight>;

    /// `[batch, seq]` tokens → `[batch·seq, width]`, after the last norm.
    fn hidden(&self, tokens: Tensor<2, Int>, pass: Pass<'_>) -> Tensor<2>;

    /// The output layer, `[vocab, width]`: its own, or the token embedding when tied.
    fn output(&self) -> &Weight;
}

/// What one forward pass is for.
enum Pass<'a> {
    /// Whole sequences from their first token; dropout masks from a seed while training.
    Whole { dropout: Option<Seed> },
    /// New tokens of one sequence, after those in the cache.
    Cached { cache: &'a mut Cache },
}

impl Pass<'_> {
    /// The position of the first token.
    fn start(&self) -> usize {
        match self {
            Self::Whole { .. } => 0,
            Self::Cached { cache } => cache.length(),
        }
    }

    /// Where dropout masks come from, if there are any.
    fn dropout(&self) -> Option<Seed> {
        match self {
            Self::Whole { dropout } => *dropout,
            Self::Cached { .. } => None,
        }
    }
}
