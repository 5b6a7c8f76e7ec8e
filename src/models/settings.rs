//! What a pipeline file says about a new model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Architecture, ModelConfig, SpecialIds};
use crate::step::{Key, Problem};

/// The shape of a model that is trained from nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// `llama`: rotary positions, RMS norm, SwiGLU, no biases. `gpt2`: learned positions, layer norm,
    /// GELU, biases.
    #[serde(default)]
    pub architecture: Architecture,
    /// Blocks, one after another.
    #[serde(default = "default_layers")]
    #[schemars(range(min = 1, max = 1000))]
    pub layers: usize,
    /// Attention heads of a block; they divide `width`.
    #[serde(default = "default_heads")]
    #[schemars(range(min = 1, max = 1000))]
    pub heads: usize,
    /// Key/value heads of a block, each shared by `heads / kv_heads` heads (`llama` only). By default
    /// as many as `heads`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub kv_heads: Option<usize>,
    /// Elements of a token's vector.
    #[serde(default = "default_width")]
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Tokens that the model sees at once.
    #[serde(default = "default_context")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub context: usize,
    /// Elements of a block's inner vector. By default 4 · width for `gpt2`, and 8/3 · width rounded
    /// up to a multiple of 32 for `llama`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub mlp_width: Option<usize>,
    /// The share of activations that is zeroed while training: of the embedded tokens, of the
    /// attention's probabilities and of each sub-layer's output.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
    /// Whether the output layer is the token embedding, which saves vocabulary · width weights.
    #[serde(default = "default_tied")]
    pub tied_embeddings: bool,
    /// Added to the variance inside norms.
    #[serde(default = "default_norm_epsilon")]
    #[schemars(range(min = 1e-12, max = 0.1))]
    pub norm_epsilon: f64,
    /// The base of the rotary frequencies (`llama` only).
    #[serde(default = "default_rope_theta")]
    #[schemars(range(min = 1.0, max = 1e9))]
    pub rope_theta: f64,
}

fn default_layers() -> usize {
    4
}

fn default_heads() -> usize {
    4
}

fn default_width() -> usize {
    128
}

fn default_context() -> usize {
    256
}

fn default_tied() -> bool {
    true
}

fn default_norm_epsilon() -> f64 {
    1e-5
}

fn default_rope_theta() -> f64 {
    10_000.0
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            layers: default_layers(),
            heads: default_heads(),
            kv_heads: None,
            width: default_width(),
            context: default_context(),
            mlp_width: None,
            dropout: 0.0,
            tied_embeddings: default_tied(),
            norm_epsilon: default_norm_epsilon(),
            rope_theta: default_rope_theta(),
        }
    }
}

impl ModelSettings {
    /// What the schema cannot say: how the numbers depend on each other. Paths are relative to the
    /// settings.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let kv_heads = self.kv_heads.unwrap_or(self.heads);
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            problems.push(
                Problem::at(
                    "heads",
                    format!("{} heads do not divide a width of {}", self.heads, self.width),
                )
                .help("take a width that is a multiple of the heads"),
            );
        } else if self.architecture == Architecture::Llama && !(self.width / self.heads).is_multiple_of(2) {
            problems.push(
                Problem::at(
                    "heads",
                    format!(
                        "a head of {} elements is odd, and rotary positions turn pairs",
                        self.width / self.heads
                    ),
                )
                .help("take an even width / heads"),
            );
        }
        if kv_heads == 0 || !self.heads.is_multiple_of(kv_heads) {
            problems.push(
                Problem::at(
                    "kv_heads",
                    format!("{kv_heads} key/value heads do not divide {} heads", self.heads),
                )
                .help("take a divisor of the heads"),
            );
        } else if self.architecture == Architecture::Gpt2 && kv_heads != self.heads {
            problems.push(
                Problem::at("kv_heads", "gpt2 has one key/value head for each head")
                    .help("leave kv_heads out, or take architecture: llama"),
            );
        }
        if !(0.0..=0.9).contains(&self.dropout) {
            problems.push(Problem::at("dropout", format!("{} is not in 0 to 0.9", self.dropout)));
        }
        problems
    }

    /// Everything that the weights depend on, defaults resolved.
    pub fn key(&self, key: &mut Key) {
        let Self {
            architecture,
            layers,
            heads,
            kv_heads,
            width,
            context,
            mlp_width: _, // resolved below
            dropout,
            tied_embeddings,
            norm_epsilon,
            rope_theta,
        } = self;
        key.set("architecture", architecture);
        key.set("layers", layers);
        key.set("heads", heads);
        key.set("kv_heads", &kv_heads.unwrap_or(*heads));
        key.set("width", width);
        key.set("context", context);
        key.set("mlp_width", &self.mlp_width());
        key.set("dropout", dropout);
        key.set("tied_embeddings", tied_embeddings);
        key.set("norm_epsilon", norm_epsilon);
        if *architecture == Architecture::Llama {
            key.set("rope_theta", rope_theta);
        }
    }

    /// The whole description of a model over a vocabulary.
    pub fn config(&self, vocab_size: usize, special: SpecialIds) -> ModelConfig {
        ModelConfig {
            architecture: self.architecture,
            vocab_size,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            head_width: self.width / self.heads,
            width: self.width,
            mlp_width: self.mlp_width(),
            context: self.context,
            dropout: self.dropout,
            tied_embeddings: self.tied_embeddings,
            norm_epsilon: self.norm_epsilon,
            rope_theta: self.rope_theta,
            special,
        }
    }

    fn mlp_width(&self) -> usize {
        self.mlp_width.unwrap_or(match self.architecture {
            Architecture::Gpt2 => 4 * self.width,
            Architecture::Llama => (8 * self.width).div_ceil(3).next_multiple_of(32),
        })
    }
}
