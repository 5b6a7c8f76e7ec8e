//! What a pipeline file says about a new model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::falcon::FalconLayout;
use super::llama::LlamaLayout;
use super::t5::T5Layout;
use super::transformer::TransformerLayout;
use super::{Architecture, Layout, ModelConfig, SpecialIds};
use crate::kernels::{Activation, Cell};
use crate::step::{Key, Problem};

/// The shape of a model that is trained from nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// `llama`: rotary positions, RMS norm, SwiGLU, no biases. `gpt2`: learned positions, layer norm,
    /// GELU, biases. `falcon`: parallel blocks with few key/value heads, or ALiBi. `palm`: parallel
    /// SwiGLU blocks, one key/value head. `t5` and `transformer` have an encoder and a decoder: relative
    /// positions and RMS norm, or the sinusoidal positions of 2017. `rnn`: LSTM or GRU.
    #[serde(default)]
    pub architecture: Architecture,
    /// Blocks, one after another; of `t5` and `transformer` in the encoder.
    #[serde(default = "default_layers")]
    #[schemars(range(min = 1, max = 1000))]
    pub layers: usize,
    /// Blocks of the decoder (`t5`, `transformer`). By default as many as `layers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub decoder_layers: Option<usize>,
    /// Attention heads of a block; they divide `width` (`rnn` has none).
    #[serde(default = "default_heads")]
    #[schemars(range(min = 1, max = 1000))]
    pub heads: usize,
    /// Key/value heads of a block, each shared by `heads / kv_heads` heads (`llama`, `falcon`, `palm`).
    /// By default as many as `heads`; 1 for `falcon` with rotary positions and `palm`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub kv_heads: Option<usize>,
    /// Elements of a token's vector.
    #[serde(default = "default_width")]
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Tokens that the model sees at once; an encoder and its decoder as many each. An `rnn` is trained
    /// on windows of as many.
    #[serde(default = "default_context")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub context: usize,
    /// Elements of a block's inner vector. By default 4 · width, and 8/3 · width rounded up to a
    /// multiple of 32 where the block is gated: `llama`, `palm` and gated `t5` (`rnn` has none).
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
    /// The base of the rotary frequencies (`llama`, `falcon`, `palm`).
    #[serde(default = "default_rope_theta")]
    #[schemars(range(min = 1.0, max = 1e9))]
    pub rope_theta: f64,
    /// Whether attention's products have biases (`llama`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_bias: Option<bool>,
    /// How positions enter (`falcon`): `rotary` as in Falcon 7B and 40B unless said, `alibi` as in
    /// Falcon RW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// What is in an MLP (`t5`): `gated-gelu` as in FLAN-T5 unless said, `relu` as in the first T5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<FeedForward>,
    /// Where norms are (`transformer`): `post`, after each sub-layer as in 2017, unless said; `pre`
    /// trains without a warm-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormPlace>,
    /// What a recurrent layer computes (`rnn`): `lstm` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellKind>,
}

/// How positions enter a Falcon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// Rotary (Su et al. 2021).
    Rotary,
    /// Terms that fall with distance (Press et al. 2022).
    Alibi,
}

/// What is in a T5's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum FeedForward {
    /// A product, GELU times another product, a product.
    #[serde(rename = "gated-gelu")]
    GatedGelu,
    /// A product, ReLU, a product.
    #[serde(rename = "relu")]
    Relu,
}

/// Where the norms of a `transformer` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormPlace {
    /// Before each sub-layer, and once at the end.
    Pre,
    /// After each sub-layer and its residual connection.
    Post,
}

/// What a recurrent layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997).
    Lstm,
    /// A gated recurrent unit (Cho et al. 2014).
    Gru,
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
            decoder_layers: None,
            attention_bias: None,
            positions: None,
            feed_forward: None,
            norm: None,
            cell: None,
        }
    }
}

impl ModelSettings {
    /// What the schema cannot say: how the numbers depend on each other. Paths are relative to the
    /// settings.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.strays();
        let kv_heads = self.kv_heads();
        let rotary = match self.architecture {
            Architecture::Llama | Architecture::Palm => true,
            Architecture::Falcon => !self.alibi(),
            _ => false,
        };
        if self.architecture == Architecture::Rnn {
            // no heads to divide anything
        } else if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            problems.push(
                Problem::at(
                    "heads",
                    format!("{} heads do not divide a width of {}", self.heads, self.width),
                )
                .help("take a width that is a multiple of the heads"),
            );
        } else if rotary && !(self.width / self.heads).is_multiple_of(2) {
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
        if self.architecture == Architecture::Transformer && !self.width.is_multiple_of(2) {
            let fact = format!(
                "a width of {} is odd, and positions are pairs of sine and cosine",
                self.width
            );
            problems.push(Problem::at("width", fact).help("take an even width"));
        }
        if kv_heads == 0 || !self.heads.is_multiple_of(kv_heads) {
            problems.push(
                Problem::at(
                    "kv_heads",
                    format!("{kv_heads} key/value heads do not divide {} heads", self.heads),
                )
                .help("take a divisor of the heads"),
            );
        } else if !self.shares_heads() && kv_heads != self.heads {
            let name = self.architecture.name();
            problems.push(
                Problem::at("kv_heads", format!("{name} has one key/value head for each head"))
                    .help("leave kv_heads out, or take architecture: llama"),
            );
        }
        if !(0.0..=0.9).contains(&self.dropout) {
            problems.push(Problem::at("dropout", format!("{} is not in 0 to 0.9", self.dropout)));
        }
        problems
    }

    /// Settings that the architecture does not have.
    fn strays(&self) -> Vec<Problem> {
        use Architecture::{Falcon, Llama, Rnn, T5, Transformer};
        let architecture = self.architecture;
        let given = [
            (
                "decoder_layers",
                self.decoder_layers.is_some(),
                architecture.encodes(),
                "t5 and transformer",
            ),
            (
                "attention_bias",
                self.attention_bias.is_some(),
                architecture == Llama,
                "llama",
            ),
            ("positions", self.positions.is_some(), architecture == Falcon, "falcon"),
            ("feed_forward", self.feed_forward.is_some(), architecture == T5, "t5"),
            ("norm", self.norm.is_some(), architecture == Transformer, "transformer"),
            ("cell", self.cell.is_some(), architecture == Rnn, "rnn"),
            (
                "mlp_width",
                self.mlp_width.is_some(),
                architecture != Rnn,
                "architectures with an MLP",
            ),
            (
                "kv_heads",
                self.kv_heads.is_some(),
                architecture != Rnn,
                "architectures with attention",
            ),
        ];
        let strays = given.into_iter().filter(|(_, given, used, _)| *given && !used);
        let problem = |(field, _, _, whose): (&str, bool, bool, &str)| {
            let fact = format!("is a setting of {whose}, not of {}", architecture.name());
            Problem::at(field, fact).help("leave it out")
        };
        strays.map(problem).collect()
    }

    fn alibi(&self) -> bool {
        self.positions == Some(Positions::Alibi)
    }

    /// Whether key/value heads may be fewer than heads.
    fn shares_heads(&self) -> bool {
        match self.architecture {
            Architecture::Llama | Architecture::Palm => true,
            Architecture::Falcon => !self.alibi(),
            Architecture::Gpt2 | Architecture::T5 | Architecture::Transformer | Architecture::Rnn => false,
        }
    }

    fn kv_heads(&self) -> usize {
        self.kv_heads.unwrap_or(match self.architecture {
            Architecture::Palm => 1,
            Architecture::Falcon if !self.alibi() => 1,
            _ => self.heads,
        })
    }

    fn gated(&self) -> bool {
        self.feed_forward != Some(FeedForward::Relu)
    }

    fn cell(&self) -> Cell {
        match self.cell {
            Some(CellKind::Lstm) | None => Cell::Lstm,
            Some(CellKind::Gru) => Cell::Gru,
        }
    }

    /// Everything that the weights depend on, defaults resolved.
    pub fn key(&self, key: &mut Key) {
        let Self {
            architecture,
            layers,
            decoder_layers,
            heads,
            kv_heads: _, // resolved below
            width,
            context,
            mlp_width: _, // resolved below
            dropout,
            tied_embeddings,
            norm_epsilon,
            rope_theta,
            attention_bias,
            positions: _,    // resolved below, where the architecture has them
            feed_forward: _, // so
            norm,
            cell: _, // so
        } = self;
        key.set("architecture", architecture);
        key.set("layers", layers);
        key.set("heads", heads);
        key.set("kv_heads", &self.kv_heads());
        key.set("width", width);
        key.set("context", context);
        key.set("mlp_width", &self.mlp_width());
        key.set("dropout", dropout);
        key.set("tied_embeddings", tied_embeddings);
        key.set("norm_epsilon", norm_epsilon);
        if architecture.encodes() {
            key.set("decoder_layers", &decoder_layers.unwrap_or(*layers));
        }
        match architecture {
            Architecture::Llama => {
                key.set("rope_theta", rope_theta);
                if *attention_bias == Some(true) {
                    key.set("attention_bias", attention_bias); // without, keys are those before it was a setting
                }
            }
            Architecture::Palm => key.set("rope_theta", rope_theta),
            Architecture::Falcon => {
                key.set("rope_theta", rope_theta);
                key.set("alibi", &self.alibi());
            }
            Architecture::T5 => key.set("gated", &self.gated()),
            Architecture::Transformer => key.set("norm", &norm.unwrap_or(NormPlace::Post)),
            Architecture::Rnn => key.set("cell", &self.cell.unwrap_or(CellKind::Lstm)),
            Architecture::Gpt2 => {}
        }
    }

    /// The whole description of a model over a vocabulary. A decoder begins with the padding token,
    /// or else with the beginning or the end of text, as the tokenizer declares them.
    pub fn config(&self, vocab_size: usize, special: SpecialIds) -> ModelConfig {
        let start = special
            .pad
            .or(special.bos)
            .or(special.eos.first().copied())
            .unwrap_or(0);
        let decoder_layers = self.decoder_layers.unwrap_or(self.layers);
        let layout = match self.architecture {
            Architecture::Gpt2 => Layout::Gpt2,
            Architecture::Llama => Layout::Llama(LlamaLayout::new(self.attention_bias == Some(true))),
            Architecture::Falcon => Layout::Falcon(FalconLayout::new(self.kv_heads(), self.alibi())),
            Architecture::Palm => Layout::Palm,
            Architecture::T5 => Layout::T5(T5Layout::new(decoder_layers, self.gated(), start)),
            Architecture::Transformer => Layout::Transformer(TransformerLayout {
                decoder_layers,
                pre_norm: self.norm == Some(NormPlace::Pre),
                activation: Activation::Relu,
                scaled_embedding: true,
                start,
            }),
            Architecture::Rnn => Layout::Rnn(self.cell()),
        };
        let recurrent = self.architecture == Architecture::Rnn;
        let (heads, kv_heads) = if recurrent {
            (1, 1)
        } else {
            (self.heads, self.kv_heads())
        };
        ModelConfig {
            layout,
            vocab_size,
            layers: self.layers,
            heads,
            kv_heads,
            head_width: self.width / heads,
            width: self.width,
            mlp_width: self.mlp_width(),
            context: self.context,
            dropout: self.dropout,
            tied_embeddings: self.tied_embeddings,
            // what config.json has no place for is what the class always has
            norm_epsilon: match self.architecture {
                Architecture::Transformer | Architecture::Rnn => default_norm_epsilon(),
                _ => self.norm_epsilon,
            },
            rope_theta: match self.architecture {
                Architecture::Llama | Architecture::Falcon | Architecture::Palm => self.rope_theta,
                _ => default_rope_theta(),
            },
            special,
        }
    }

    fn mlp_width(&self) -> usize {
        let gated = match self.architecture {
            Architecture::Llama | Architecture::Palm => true,
            Architecture::T5 => self.gated(),
            Architecture::Gpt2 | Architecture::Falcon | Architecture::Transformer => false,
            Architecture::Rnn => return self.cell().gates() * self.width,
        };
        self.mlp_width.unwrap_or(match gated {
            false => 4 * self.width,
            true => (8 * self.width).div_ceil(3).next_multiple_of(32),
        })
    }
}
