//! T5 (Raffel et al. 2020) and FLAN-T5 (Chung et al. 2022), as Hugging Face's
//! `T5ForConditionalGeneration` computes them: pre-norm, relative positions, unscaled attention.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout};
use super::inference::{self, Decoder, Embedding, Network, Order, Positions};
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::layers::{Linear, Projections, RmsNorm, parts};
use super::{Cache, Encoded, LanguageModel, Learning, ModelConfig, ModelError, Pass, Role, Sources, Weight};
use crate::kernels::{Activation, Attending, Bias, Dropout, Heads, RelativeBuckets, Scoring, dropout, embedding, mlp};

/// What T5s differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct T5Layout {
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// What is between an MLP's products.
    pub activation: Activation,
    /// Whether the activation is multiplied by another product (T5 1.1, FLAN-T5).
    pub gated: bool,
    /// Buckets of relative positions.
    pub buckets: usize,
    /// The distance from which all are in one bucket.
    pub max_distance: usize,
    /// Whether what the output layer reads is divided by `√width` (the first T5).
    pub scaled_output: bool,
    /// The token that a decoder begins with.
    pub start: u32,
}

impl T5Layout {
    /// What a new model gets: that of T5 1.1 and FLAN-T5, or the first T5's ReLU.
    pub(super) fn new(decoder_layers: usize, gated: bool, start: u32) -> Self {
        Self {
            decoder_layers,
            activation: if gated { Activation::GeluNew } else { Activation::Relu },
            gated,
            buckets: 32,
            max_distance: 128,
            scaled_output: false,
            start,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct T5 {
    tokens: Weight,
    encoder: Stack,
    decoder: Stack,
    output: Option<Weight>,
    heads: Heads,
    layout: T5Layout,
    dropout: f32,
}

/// An encoder or a decoder.
#[derive(Clone, Debug)]
struct Stack {
    positions: Weight,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    attention: Projections,
    cross: Option<Cross>,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

#[derive(Clone, Debug)]
struct Cross {
    norm: RmsNorm,
    attention: Projections,
}

#[derive(Clone, Debug)]
struct Mlp {
    inner: Linear,
    up: Option<Linear>,
    out: Linear,
}

parts!(T5 {
    tokens,
    encoder,
    decoder,
    output
});
parts!(Stack {
    positions,
    blocks,
    norm
});
parts!(Block {
    attention_norm,
    attention,
    cross,
    mlp_norm,
    mlp
});
parts!(Cross { norm, attention });
parts!(Mlp { inner, up, out });

impl T5 {
    pub(super) fn new(config: &ModelConfig, layout: T5Layout, source: &mut dyn Source) -> Self {
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, config.width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        Self {
            tokens: table(source, "shared.weight"),
            encoder: Stack::new(config, layout, "encoder", config.layers, source),
            decoder: Stack::new(config, layout, "decoder", layout.decoder_layers, source),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            heads: config.attention_heads(),
            layout,
            dropout: config.dropout as f32,
        }
    }

    /// How far the queries are from the keys, as terms of the scores: of whole sequences by diagonal,
    /// `[heads, 2·queries − 1]`, or of new tokens after `start` others, `[heads·queries, keys]`.
    fn terms(&self, stack: &Stack, common: &Common) -> Tensor<2> {
        let buckets = RelativeBuckets {
            buckets: self.layout.buckets,
            max_distance: self.layout.max_distance,
            bidirectional: !common.causal,
        };
        let (table, queries) = (stack.positions.value(), common.seq);
        match common.start {
            None => buckets.diagonals(table, queries, queries),
            Some(start) => {
                let keys = start + queries;
                let each = buckets.bias(table, start, queries, keys);
                each.reshape([self.heads.query * queries, keys])
            }
        }
    }

    /// What the blocks of a side have in common.
    fn common(&self, side: &'static str, seq: usize, pass: &Pass<'_>) -> Common {
        Common {
            side,
            heads: self.heads,
            seq,
            start: matches!(pass, Pass::Cached { .. }).then(|| pass.start()),
            causal: side.is_empty(),
            lengths: None,
            activation: self.layout.activation,
            dropout: self.dropout,
        }
    }
}

/// What the blocks of one side have in common.
#[derive(Clone)]
struct Common {
    /// What the names of its places for dropout begin with: nothing in the decoder.
    side: &'static str,
    heads: Heads,
    seq: usize,
    /// Tokens before, of new tokens of one sequence.
    start: Option<usize>,
    causal: bool,
    lengths: Option<Vec<usize>>,
    activation: Activation,
    dropout: f32,
}

impl Common {
    fn scoring(&self, terms: Tensor<2>) -> Scoring<'_> {
        Scoring {
            scale: 1.0,
            bias: Some(match self.start {
                None => Bias::Diagonals(terms),
                Some(start) => Bias::Whole(terms.reshape([1, self.heads.query, self.seq, start + self.seq])),
            }),
            causal: self.causal.then_some(self.start.unwrap_or(0)),
            lengths: self.lengths.as_deref(),
        }
    }

    fn drop(&self, place: &str, layer: usize, pass: &Pass<'_>) -> Option<Dropout> {
        pass.drop(&format!("{}{place}", self.side), layer, self.dropout)
    }
}

impl Block {
    fn forward(&self, layer: usize, x: Tensor<2>, terms: Tensor<2>, common: &Common, pass: &mut Pass<'_>) -> Tensor<2> {
        let half = self.attention.half(Some(self.attention_norm.row_norm()));
        let attending = Attending {
            heads: common.heads,
            seq: common.seq,
            rotation: None,
            scoring: &common.scoring(terms),
            dropout: common.drop("attention", layer, pass),
        };
        let dropped = common.drop("attention_out", layer, pass);
        let mut x = half.attend(x, &attending, dropped, layer, pass);

        if let Some(cross) = &self.cross {
            let queries = cross.attention.queries(cross.norm.forward(x.clone()));
            let drop = common.drop("cross_attention", layer, pass);
            let mixed = pass.attend_to_source(queries, layer, &cross.attention, common.heads, 1.0, drop);
            let mixed = cross.attention.out(mixed);
            x = x.add(dropout(mixed, common.drop("cross_attention_out", layer, pass)));
        }

        let norm = self.mlp_norm.row_norm();
        let inner = match &self.mlp.up {
            Some(up) => Linear::products([&self.mlp.inner, up]),
            None => Linear::products([&self.mlp.inner]),
        };
        let outer = Linear::products([&self.mlp.out]);
        let dropped = common.drop("mlp_out", layer, pass);
        mlp(x, Some(&norm), &inner, common.activation, &outer, dropped)
    }
}

impl Stack {
    fn new(config: &ModelConfig, layout: T5Layout, side: &str, layers: usize, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let heads = config.attention_heads();
        let deviations = [DEVIATION, residual_deviation(layers)];
        let norm = |source: &mut dyn Source, name: &str| RmsNorm::new(source, name, width, config.norm_epsilon);
        let attention = |source: &mut dyn Source, name: &str| {
            let names = ["q", "k", "v", "o"].map(|part| format!("{name}.{part}"));
            Projections::new(source, names, width, heads, deviations, false)
        };
        let block = |source: &mut dyn Source, layer: usize| {
            let name = |part: &str| format!("{side}.block.{layer}.layer.{part}");
            let last = if side == "decoder" { 2 } else { 1 };
            let linear = |source: &mut dyn Source, part: &str, shape: [usize; 2], deviation: f32| {
                Linear::new(
                    source,
                    &name(&format!("{last}.DenseReluDense.{part}")),
                    shape,
                    deviation,
                    false,
                )
            };
            let (inner, up) = match layout.gated {
                true => ("wi_0", Some("wi_1")),
                false => ("wi", None),
            };
            Block {
                attention_norm: norm(source, &name("0.layer_norm")),
                attention: attention(source, &name("0.SelfAttention")),
                cross: (side == "decoder").then(|| Cross {
                    norm: norm(source, &name("1.layer_norm")),
                    attention: attention(source, &name("1.EncDecAttention")),
                }),
                mlp_norm: norm(source, &name(&format!("{last}.layer_norm"))),
                mlp: Mlp {
                    inner: linear(source, inner, [mlp_width, width], deviations[0]),
                    up: up.map(|up| linear(source, up, [mlp_width, width], deviations[0])),
                    out: linear(source, "wo", [width, mlp_width], deviations[1]),
                },
            }
        };
        let positions = format!("{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let shape = [layout.buckets, config.heads];
        Self {
            positions: source.weight(positions, Role::Embedding, &shape, Start::Normal(DEVIATION)),
            blocks: (0..layers).map(|layer| block(source, layer)).collect(),
            norm: norm(source, &format!("{side}.final_layer_norm")),
        }
    }
}

impl Stack {
    fn compile(&mut self, config: &ModelConfig, layout: T5Layout, causal: bool) -> inference::Stack {
        let buckets = RelativeBuckets {
            buckets: layout.buckets,
            max_distance: layout.max_distance,
            bidirectional: !causal,
        };
        let heads = config.attention_heads();
        let blocks = self.blocks.iter_mut().map(|block| {
            let attention_norm = block.attention_norm.compile();
            let [attention_in, attention_out] = block.attention.compile();
            let Mlp { inner, up, out } = &mut block.mlp;
            inference::Block {
                attention_norm,
                attention_in,
                attention_out,
                cross: block
                    .cross
                    .as_mut()
                    .map(|cross| cross.attention.compile_cross(cross.norm.compile())),
                mlp_norm: Some(block.mlp_norm.compile()),
                mlp: inference::Mlp {
                    gated: up.is_some(),
                    inner: match up {
                        Some(up) => Linear::compile([inner, up]),
                        None => Linear::compile([inner]),
                    },
                    activation: layout.activation,
                    out: Linear::compile([out]),
                },
            }
        });
        inference::Stack {
            blocks: blocks.collect(),
            norm: Some(self.norm.compile()),
            heads,
            order: Order::Before,
            positions: Positions::relative(buckets, &self.positions.take(), heads, config.context),
            scale: 1.0,
            causal,
        }
    }
}

impl LanguageModel for T5 {
    fn encode(&self, source: &Sources, learning: Learning) -> Encoded {
        let [batch, seq] = source.tokens.dims();
        let mut pass = Pass::whole(learning);
        let common = Common {
            lengths: Some(source.lengths.clone()),
            ..self.common("encoder_", seq, &pass)
        };
        let terms = self.terms(&self.encoder, &common);
        let x = embedding(source.tokens.clone().flatten(0, 1), self.tokens.value());
        let mut x = dropout(x, common.drop("embedding", 0, &pass));
        for (layer, block) in self.encoder.blocks.iter().enumerate() {
            let common = common.clone();
            x = pass.through(block, [x, terms.clone()], move |block, [x, terms], pass| {
                block.forward(layer, x, terms, &common, pass)
            });
        }
        Encoded {
            hidden: self.encoder.norm.forward(x),
            batch,
            lengths: source.lengths.clone(),
        }
    }

    fn begin(&self, encoded: &Encoded, cache: &mut Cache) {
        for (layer, block) in self.decoder.blocks.iter().enumerate() {
            let cross = block.cross.as_ref().expect("a decoder attends to its encoder");
            cache.remember(layer, cross.attention.keys_values(encoded, self.heads));
        }
    }

    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let common = self.common("", seq, &pass);
        let terms = self.terms(&self.decoder, &common);
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let mut x = dropout(x, common.drop("embedding", 0, &pass));
        for (layer, block) in self.decoder.blocks.iter().enumerate() {
            let common = common.clone();
            x = pass.through(block, [x, terms.clone()], move |block, [x, terms], pass| {
                block.forward(layer, x, terms, &common, pass)
            });
        }
        let x = self.decoder.norm.forward(x);
        if self.layout.scaled_output {
            let width = x.dims()[1] as f32;
            x.mul_scalar(width.powf(-0.5))
        } else {
            x
        }
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }

    fn compile(&mut self, config: &ModelConfig) -> Network {
        let (embedding, output) = Embedding::with_output(&mut self.tokens, self.output.as_mut());
        let encoder = self.encoder.compile(config, self.layout, false);
        let decoder = self.decoder.compile(config, self.layout, true);
        Network {
            embedding,
            decoder: Decoder::Attention(decoder),
            encoder: Some(encoder),
            output,
            output_scale: match self.layout.scaled_output {
                true => (config.width as f32).powf(-0.5),
                false => 1.0,
            },
        }
    }
}

/// Reads a T5 `config.json`. Whether the output layer is tied is also a question to the weights: see
/// [`super::Model::load`].
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    let feed_forward = match fields.get("feed_forward_proj") {
        Some(_) => fields.text("feed_forward_proj")?,
        None => "relu".into(),
    };
    let (gated, name) = match feed_forward.split_once('-') {
        Some(("gated", name)) => (true, name),
        _ => (false, feed_forward.as_str()),
    };
    // for compatibility, `gated-gelu` has always meant the tanh form
    let name = if gated && name == "gelu" { "gelu_new" } else { name };
    let Some(activation) = Activation::named(name) else {
        return Err(fields.error(format!(
            "`feed_forward_proj` is `{feed_forward}`; fragua has no `{name}`"
        )));
    };
    let buckets = fields.count_or("relative_attention_num_buckets", Some(32))?;
    let max_distance = fields.count_or("relative_attention_max_distance", Some(128))?;
    if buckets % 4 != 0 || max_distance <= buckets / 2 {
        return Err(fields.error(format!(
            "{buckets} relative position buckets up to a distance of {max_distance}: the buckets must be a multiple of \
             4 and less than twice the distance"
        )));
    }
    let layers = fields.count("num_layers")?;
    let heads = fields.count("num_heads")?;
    let tied = fields.flag_or("tie_word_embeddings", true)?;
    let special = fields.special()?;
    let start = match fields.id("decoder_start_token_id")? {
        Some(start) => start,
        None => special.pad.ok_or_else(|| {
            fields.error("`decoder_start_token_id` and `pad_token_id` are missing: a decoder begins with one of them")
        })?,
    };
    Ok(ModelConfig {
        layout: Layout::T5(T5Layout {
            decoder_layers: fields.count_or("num_decoder_layers", Some(layers))?,
            activation,
            gated,
            buckets,
            max_distance,
            // transformers 5 says it; before, an untied output layer meant an unscaled one
            scaled_output: fields.flag_or("scale_decoder_outputs", tied)?,
            start,
        }),
        vocab_size: fields.count("vocab_size")?,
        layers,
        heads,
        kv_heads: heads,
        head_width: fields.count_or("d_kv", Some(64))?,
        width: fields.count("d_model")?,
        mlp_width: fields.count("d_ff")?,
        context: fields.count_or("n_positions", Some(512))?,
        dropout: fields.float_or("dropout_rate", 0.1)?,
        tied_embeddings: tied,
        norm_epsilon: fields.float_or("layer_norm_epsilon", 1e-6)?,
        rope_theta: 10_000.0,
        special,
    })
}

/// Writes what is particular to T5.
pub(super) fn to_json(config: &ModelConfig, layout: T5Layout) -> Map<String, Value> {
    let feed_forward = match (layout.gated, layout.activation) {
        (true, Activation::GeluNew) => "gated-gelu".to_owned(),
        (true, other) => format!("gated-{}", other.name()),
        (false, other) => other.name().to_owned(),
    };
    let Value::Object(object) = json!({
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "d_ff": config.mlp_width,
        "d_kv": config.head_width,
        "d_model": config.width,
        "decoder_start_token_id": layout.start,
        "dense_act_fn": layout.activation.name(),
        "dropout_rate": config.dropout,
        "feed_forward_proj": feed_forward,
        "initializer_factor": 1.0,
        "is_encoder_decoder": true,
        "is_gated_act": layout.gated,
        "layer_norm_epsilon": config.norm_epsilon,
        "n_positions": config.context,
        "num_decoder_layers": layout.decoder_layers,
        "num_heads": config.heads,
        "num_layers": config.layers,
        "relative_attention_max_distance": layout.max_distance,
        "relative_attention_num_buckets": layout.buckets,
        "scale_decoder_outputs": layout.scaled_output,
    }) else {
        unreachable!("an object was written")
    };
    object
}
