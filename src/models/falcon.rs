//! Falcon (Almazrouei et al. 2023), as Hugging Face's `FalconForCausalLM` computes it: 7B (multi-query,
//! parallel), 40B and 180B (grouped heads, two norms), 11B (grouped heads, one norm), RW (ALiBi).

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout, rope_theta};
use super::inference::{self, Embedding, Mlp, Network, Order, Positions, Stack};
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::layers::{LayerNorm, Linear, parts};
use super::{LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::{
    Activation, Bias, Heads, Rotation, Scaling, Scoring, alibi, attention, cached_attention, dropout, embedding,
    regroup, rotary, scored_attention, scored_cached_attention,
};

/// Which of the Falcons a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FalconLayout {
    /// How attention and MLP follow each other.
    pub blocks: Blocks,
    /// How the product for queries, keys and values is laid out.
    pub rows: Rows,
    /// Whether positions are ALiBi's and not rotary.
    pub alibi: bool,
    /// Whether products have biases.
    pub bias: bool,
}

/// How attention and MLP follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// The MLP reads what attention added (RW).
    Sequential,
    /// Both read one norm of the block's input (7B, 11B).
    Parallel,
    /// Each reads a norm of its own (40B, 180B).
    ParallelTwoNorms,
}

/// How the product for queries, keys and values is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All queries, the one key, the one value (7B).
    MultiQuery,
    /// Each head's query, key and value together (RW).
    PerHead,
    /// Each key/value head's queries, key and value together (40B, 180B, 11B): the
    /// `new_decoder_architecture`.
    Grouped,
}

impl FalconLayout {
    /// What a new model gets: 7B's layout for one key/value head, 40B's for several, RW's with ALiBi.
    pub(super) fn new(kv_heads: usize, alibi: bool) -> Self {
        Self {
            blocks: match (alibi, kv_heads) {
                (true, _) => Blocks::Sequential,
                (false, 1) => Blocks::Parallel,
                (false, _) => Blocks::ParallelTwoNorms,
            },
            rows: match (alibi, kv_heads) {
                (true, _) => Rows::PerHead,
                (false, 1) => Rows::MultiQuery,
                (false, _) => Rows::Grouped,
            },
            alibi,
            bias: alibi,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Falcon {
    tokens: Weight,
    blocks: Vec<Block>,
    norm: LayerNorm,
    output: Option<Weight>,
    heads: Heads,
    layout: FalconLayout,
    dropout: f32,
    theta: f32,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: LayerNorm,
    /// The MLP's, if it has one of its own.
    mlp_norm: Option<LayerNorm>,
    attention_in: Linear,
    attention_out: Linear,
    mlp_in: Linear,
    mlp_out: Linear,
}

parts!(Falcon {
    tokens,
    blocks,
    norm,
    output
});
parts!(Block {
    attention_norm,
    mlp_norm,
    attention_in,
    attention_out,
    mlp_in,
    mlp_out
});

impl Falcon {
    pub(super) fn new(config: &ModelConfig, layout: FalconLayout, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let heads = config.attention_heads();
        let inside = heads.query * heads.width;
        let residual = residual_deviation(config.layers);
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        let (first, second) = match layout.blocks {
            Blocks::Sequential => ("input_layernorm", Some("post_attention_layernorm")),
            Blocks::Parallel => ("input_layernorm", None),
            Blocks::ParallelTwoNorms => ("ln_attn", Some("ln_mlp")),
        };
        let block = |source: &mut dyn Source, layer: usize| {
            let name = |part: &str| format!("transformer.h.{layer}.{part}");
            let norm =
                |source: &mut dyn Source, part: &str| LayerNorm::new(source, &name(part), width, config.norm_epsilon);
            let linear = |source: &mut dyn Source, part: &str, shape: [usize; 2], deviation: f32| {
                Linear::new(source, &name(part), shape, deviation, layout.bias)
            };
            Block {
                attention_norm: norm(source, first),
                mlp_norm: second.map(|part| norm(source, part)),
                attention_in: linear(
                    source,
                    "self_attention.query_key_value",
                    [heads.packed(), width],
                    DEVIATION,
                ),
                attention_out: linear(source, "self_attention.dense", [width, inside], residual),
                mlp_in: linear(source, "mlp.dense_h_to_4h", [mlp_width, width], DEVIATION),
                mlp_out: linear(source, "mlp.dense_4h_to_h", [width, mlp_width], residual),
            }
        };
        Self {
            tokens: table(source, "transformer.word_embeddings.weight"),
            blocks: (0..config.layers).map(|layer| block(source, layer)).collect(),
            norm: LayerNorm::new(source, "transformer.ln_f", width, config.norm_epsilon),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            heads,
            layout,
            dropout: config.dropout as f32,
            theta: config.rope_theta as f32,
        }
    }
}

/// Where a block is, and what all blocks have in common.
#[derive(Clone, Copy)]
struct Place {
    layer: usize,
    /// The position of the first token, and the number of tokens.
    start: usize,
    seq: usize,
    heads: Heads,
    layout: FalconLayout,
    dropout: f32,
    theta: f32,
}

impl Block {
    fn attend(&self, x: Tensor<2>, place: &Place, pass: &mut Pass<'_>) -> Tensor<2> {
        let Place {
            layer,
            start,
            seq,
            heads,
            layout,
            theta,
            ..
        } = *place;
        let mut packed = self.attention_in.forward(x);
        if layout.rows != Rows::MultiQuery {
            packed = regroup(packed, heads);
        }
        let drop = pass.drop("attention", layer, place.dropout);
        let mixed = if layout.alibi {
            let scoring = Scoring {
                bias: Some(Bias::Keys(alibi(heads, start + seq, &packed.device()))),
                ..Scoring::causal(heads, start)
            };
            match pass {
                Pass::Whole { .. } => scored_attention(packed, heads, seq, &scoring, drop),
                Pass::Cached { cache } => scored_cached_attention(packed, heads, cache.layer(layer), &scoring),
            }
        } else {
            let rotation = Rotation {
                theta,
                start,
                scaling: Scaling::None,
            };
            let packed = rotary(packed, heads, seq, rotation);
            match pass {
                Pass::Whole { .. } => attention(packed, heads, seq, drop),
                Pass::Cached { cache } => cached_attention(packed, heads, cache.layer(layer)),
            }
        };
        self.attention_out.forward(mixed)
    }

    fn forward(&self, mut x: Tensor<2>, place: &Place, pass: &mut Pass<'_>) -> Tensor<2> {
        let (layer, rate) = (place.layer, place.dropout);
        let normal = self.attention_norm.forward(x.clone());
        let mixed = self.attend(normal.clone(), place, pass);
        let mixed = dropout(mixed, pass.drop("attention_out", layer, rate));
        let normal = match (&self.mlp_norm, place.layout.blocks) {
            (Some(norm), Blocks::Sequential) => {
                x = x.add(mixed.clone());
                norm.forward(x.clone())
            }
            (Some(norm), _) => norm.forward(x.clone()),
            (None, _) => normal,
        };
        let inner = Activation::Gelu.apply(self.mlp_in.forward(normal));
        let inner = self.mlp_out.forward(inner);
        let inner = dropout(inner, pass.drop("mlp_out", layer, rate));
        match place.layout.blocks {
            Blocks::Sequential => x.add(inner),
            Blocks::Parallel | Blocks::ParallelTwoNorms => x.add(inner.add(mixed)),
        }
    }
}

impl LanguageModel for Falcon {
    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let start = pass.start(); // before the first layer's cache grows
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let mut x = dropout(x, pass.drop("embedding", 0, self.dropout));
        for (layer, block) in self.blocks.iter().enumerate() {
            let place = Place {
                layer,
                start,
                seq,
                heads: self.heads,
                layout: self.layout,
                dropout: self.dropout,
                theta: self.theta,
            };
            x = pass.through(block, [x], move |block, [x], pass| block.forward(x, &place, pass));
        }
        self.norm.forward(x)
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }

    fn compile(&mut self, config: &ModelConfig) -> Network {
        let (embedding, output) = Embedding::with_output(&mut self.tokens, self.output.as_mut());
        let (heads, layout) = (self.heads, self.layout);
        let blocks = self.blocks.iter_mut().map(|block| inference::Block {
            attention_norm: block.attention_norm.compile(),
            attention_in: match layout.rows {
                Rows::MultiQuery => Linear::compile([&mut block.attention_in]),
                Rows::PerHead | Rows::Grouped => block.attention_in.compile_as(&heads.regrouped()),
            },
            attention_out: Linear::compile([&mut block.attention_out]),
            cross: None,
            mlp_norm: block.mlp_norm.as_mut().map(LayerNorm::compile),
            mlp: Mlp {
                inner: Linear::compile([&mut block.mlp_in]),
                activation: Activation::Gelu,
                gated: false,
                out: Linear::compile([&mut block.mlp_out]),
            },
        });
        let rotation = Rotation {
            theta: self.theta,
            start: 0,
            scaling: Scaling::None,
        };
        let stack = Stack {
            blocks: blocks.collect(),
            norm: Some(self.norm.compile()),
            heads,
            order: match layout.blocks {
                Blocks::Sequential => Order::Before,
                Blocks::Parallel | Blocks::ParallelTwoNorms => Order::Parallel,
            },
            positions: match layout.alibi {
                true => Positions::alibi(heads, config.context),
                false => Positions::rotary(rotation, heads, config.context),
            },
            scale: heads.scale(),
            causal: true,
        };
        Network::decoder_only(embedding, stack, output)
    }
}

/// Reads a Falcon `config.json`.
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    fields.only("activation", &json!("gelu"))?;
    let scaling = super::llama::scaling(fields)?;
    if scaling != Scaling::None {
        return Err(fields.error("`rope_scaling` is set; fragua turns Falcon's positions without scaling"));
    }
    let width = fields.count("hidden_size")?;
    let heads = fields.count("num_attention_heads")?;
    if width % heads != 0 {
        return Err(fields.error(format!("{heads} heads do not divide a width of {width}")));
    }
    let grouped = fields.flag_or("new_decoder_architecture", false)?;
    let (rows, kv_heads) = match (grouped, fields.flag_or("multi_query", true)?) {
        (true, _) => (Rows::Grouped, fields.count_or("num_kv_heads", Some(heads))?),
        (false, true) => (Rows::MultiQuery, 1),
        (false, false) => (Rows::PerHead, heads),
    };
    if heads % kv_heads != 0 {
        return Err(fields.error(format!("{heads} heads are no multiple of {kv_heads} key/value heads")));
    }
    let parallel = fields.flag_or("parallel_attn", true)?;
    let norms = fields.count_or("num_ln_in_parallel_attn", Some(if grouped { 2 } else { 1 }))?;
    let blocks = match (grouped, parallel, norms) {
        (false, false, _) => Blocks::Sequential,
        (false, true, 1) | (true, true, 1) => Blocks::Parallel,
        (true, true, 2) => Blocks::ParallelTwoNorms,
        _ => {
            return Err(fields.error(format!(
                "`new_decoder_architecture` {grouped}, `parallel_attn` {parallel} and `num_ln_in_parallel_attn` \
                 {norms} are not the blocks of a published Falcon"
            )));
        }
    };
    Ok(ModelConfig {
        layout: Layout::Falcon(FalconLayout {
            blocks,
            rows,
            alibi: fields.flag_or("alibi", false)?,
            bias: fields.flag_or("bias", false)?,
        }),
        vocab_size: fields.count("vocab_size")?,
        layers: fields.count("num_hidden_layers")?,
        heads,
        kv_heads,
        head_width: width / heads,
        width,
        mlp_width: fields.count_or("ffn_hidden_size", Some(4 * width))?,
        context: fields.count_or("max_position_embeddings", Some(2048))?,
        dropout: fields.float_or("hidden_dropout", 0.0)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        norm_epsilon: fields.float_or("layer_norm_epsilon", 1e-5)?,
        rope_theta: rope_theta(fields)?,
        special: fields.special()?,
    })
}

/// Writes what is particular to Falcon.
pub(super) fn to_json(config: &ModelConfig, layout: FalconLayout) -> Map<String, Value> {
    let norms = match layout.blocks {
        Blocks::Sequential => Value::Null,
        Blocks::Parallel => json!(1),
        Blocks::ParallelTwoNorms => json!(2),
    };
    let Value::Object(object) = json!({
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "activation": "gelu",
        "alibi": layout.alibi,
        "attention_dropout": config.dropout,
        "bias": layout.bias,
        "ffn_hidden_size": config.mlp_width,
        "hidden_dropout": config.dropout,
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "layer_norm_epsilon": config.norm_epsilon,
        "max_position_embeddings": config.context,
        "multi_query": layout.rows != Rows::PerHead,
        "new_decoder_architecture": layout.rows == Rows::Grouped,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_kv_heads": config.kv_heads,
        "num_ln_in_parallel_attn": norms,
        "parallel_attn": layout.blocks != Blocks::Sequential,
        "rope_theta": config.rope_theta,
    }) else {
        unreachable!("an object was written")
    };
    object
}
