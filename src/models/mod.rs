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
mod falcon;
mod files;
mod gpt2;
mod hub;
#[cfg(test)]
mod hub_tests;
mod import;
#[cfg(test)]
mod import_tests;
pub mod inference;
mod init;
mod inputs;
mod layers;
mod llama;
mod lora;
#[cfg(test)]
mod lora_tests;
pub mod memory;
mod model;
mod palm;
mod pass;
mod rnn;
mod settings;
mod t5;
#[cfg(test)]
mod tests;
mod transformer;
mod weight;

pub use cache::Cache;
pub use config::{Architecture, Layout, ModelConfig, SpecialIds};
pub use error::ModelError;
pub use files::{WeightFile, write_weights};
pub use hub::{Hub, HubError, HubModel};
pub use import::Import;
pub use inference::Inference;
pub use inputs::{Inputs, Sources};
pub use lora::Lora;
pub use model::Model;
pub use pass::Learning;
pub use settings::ModelSettings;
pub use weight::{Role, Weight};

use burn::tensor::{Int, Tensor};

use self::inference::Network;
use self::layers::Layer;
use self::pass::{Encoded, Pass};

/// What an architecture is: its weights, and the way from tokens to the rows that its output layer
/// reads.
trait LanguageModel: Layer + Send + Sync {
    /// What an encoder reads: only where [`Architecture::encodes`].
    fn encode(&self, _sources: &Sources, _learning: Learning) -> Encoded {
        unreachable!("this architecture has no encoder")
    }

    /// Keeps what a decoder attends to of its source.
    fn begin(&self, _encoded: &Encoded, _cache: &mut Cache) {}

    /// `[batch, seq]` tokens → `[batch·seq, width]`, after the last norm.
    fn hidden(&self, tokens: Tensor<2, Int>, pass: Pass<'_>) -> Tensor<2>;

    /// The output layer, `[vocab, width]`: its own, or the token embedding when tied.
    fn output(&self) -> &Weight;

    /// Its form for inference on the CPU, which takes its weights.
    fn compile(&mut self, config: &ModelConfig) -> Network;
}
