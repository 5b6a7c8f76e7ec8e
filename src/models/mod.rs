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
pub use settings::ModelSettings;
pub use weight::{Role, Weight};

use burn::tensor::{Int, Tensor};

use self::inference::Network;
use self::layers::{Layer, Projections};
use crate::kernels::{Dropout, Heads, Scoring, cross_attention, source_attention};
use crate::seed::Seed;

/// What an architecture is: its weights, and the way from tokens to the rows that its output layer
/// reads.
trait LanguageModel: Layer + Send + Sync {
    /// What an encoder reads: only where [`Architecture::encodes`].
    fn encode(&self, _sources: &Sources, _dropout: Option<Seed>) -> Encoded {
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

/// What an encoder read.
struct Encoded {
    /// `[batch·source, width]`
    hidden: Tensor<2>,
    batch: usize,
    /// Tokens of each source, padding not counted.
    lengths: Vec<usize>,
}

/// What one forward pass is for.
enum Pass<'a> {
    /// Whole sequences from their first token; dropout masks from a seed while training.
    Whole {
        dropout: Option<Seed>,
        encoded: Option<Box<Encoded>>,
    },
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

    /// Dropout at one place of a layer, if there is any.
    fn drop(&self, site: &str, layer: usize, rate: f32) -> Option<Dropout> {
        match self {
            Self::Whole { dropout, .. } => Dropout::new(rate, &dropout.as_ref()?.child(site).child(layer)),
            Self::Cached { .. } => None,
        }
    }

    /// Attention of a layer's queries to the source: projected from what the encoder read, or as the
    /// cache remembers it.
    fn attend_to_source(
        &self,
        queries: Tensor<2>,
        layer: usize,
        attention: &Projections,
        heads: Heads,
        scale: f32,
        drop: Option<Dropout>,
    ) -> Tensor<2> {
        let scoring = |lengths| Scoring {
            scale,
            bias: None,
            causal: None,
            lengths,
        };
        match self {
            Self::Whole { encoded, .. } => {
                let encoded = encoded.as_deref().expect("a decoder is given what its encoder read");
                let keys_values = attention.source(encoded.hidden.clone());
                let scoring = scoring(Some(encoded.lengths.as_slice()));
                source_attention(queries, keys_values, encoded.batch, heads, &scoring, drop)
            }
            Self::Cached { cache } => cross_attention(queries, cache.remembered(layer), heads, &scoring(None), drop),
        }
    }
}
