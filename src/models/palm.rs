//! PaLM (Chowdhery et al. 2022): parallel blocks, SwiGLU, one key/value head, rotary positions, no
//! biases anywhere. Its weights were never published and transformers has no class for it, so it is
//! trained from nothing and its names are fragua's own.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout};
use super::inference::{self, Embedding, Mlp, Network, Order, Positions, Stack};
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::layers::{LayerNorm, Linear, parts};
use super::{LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::{
    Activation, Heads, Rotation, Scaling, attention, cached_attention, dropout, embedding, rotary, swiglu,
};

#[derive(Clone, Debug)]
pub(super) struct Palm {
    tokens: Weight,
    blocks: Vec<Block>,
    norm: LayerNorm,
    output: Option<Weight>,
    heads: Heads,
    dropout: f32,
    theta: f32,
}

#[derive(Clone, Debug)]
struct Block {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

parts!(Palm {
    tokens,
    blocks,
    norm,
    output
});
parts!(Block {
    norm,
    query,
    key,
    value,
    attention_out,
    gate,
    up,
    down
});

impl Palm {
    pub(super) fn new(config: &ModelConfig, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        let residual = residual_deviation(config.layers);
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        let norm =
            |source: &mut dyn Source, name: &str| LayerNorm::without_bias(source, name, width, config.norm_epsilon);
        let block = |source: &mut dyn Source, layer: usize| {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let linear = |source: &mut dyn Source, part: &str, shape: [usize; 2], deviation: f32| {
                Linear::new(source, &name(part), shape, deviation, false)
            };
            Block {
                norm: norm(source, &name("norm")),
                query: linear(source, "self_attn.q_proj", [queries, width], DEVIATION),
                key: linear(source, "self_attn.k_proj", [keys, width], DEVIATION),
                value: linear(source, "self_attn.v_proj", [keys, width], DEVIATION),
                attention_out: linear(source, "self_attn.o_proj", [width, queries], residual),
                gate: linear(source, "mlp.gate_proj", [mlp_width, width], DEVIATION),
                up: linear(source, "mlp.up_proj", [mlp_width, width], DEVIATION),
                down: linear(source, "mlp.down_proj", [width, mlp_width], residual),
            }
        };
        Self {
            tokens: table(source, "model.embed_tokens.weight"),
            blocks: (0..config.layers).map(|layer| block(source, layer)).collect(),
            norm: norm(source, "model.norm"),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            heads: config.attention_heads(),
            dropout: config.dropout as f32,
            theta: config.rope_theta as f32,
        }
    }
}

impl LanguageModel for Palm {
    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let rotation = Rotation {
            theta: self.theta,
            start: pass.start(),
            scaling: Scaling::None,
        };
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let (heads, rate) = (self.heads, self.dropout);
        let mut x = dropout(x, pass.drop("embedding", 0, rate));
        for (layer, block) in self.blocks.iter().enumerate() {
            x = pass.through(block, [x], move |block, [x], pass| {
                let normal = block.norm.forward(x.clone());
                let packed = Linear::joined(normal.clone(), [&block.query, &block.key, &block.value]);
                let packed = rotary(packed, heads, seq, rotation);
                let drop_probabilities = pass.drop("attention", layer, rate);
                let mixed = match pass {
                    Pass::Whole { .. } => attention(packed, heads, seq, drop_probabilities),
                    Pass::Cached { cache } => cached_attention(packed, heads, cache.layer(layer)),
                };
                let mixed = block.attention_out.forward(mixed);
                let mixed = dropout(mixed, pass.drop("attention_out", layer, rate));
                let inner = swiglu(Linear::joined(normal, [&block.gate, &block.up]));
                let inner = dropout(block.down.forward(inner), pass.drop("mlp_out", layer, rate));
                x.add(mixed).add(inner)
            });
        }
        self.norm.forward(x)
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }

    fn compile(&mut self, config: &ModelConfig) -> Network {
        let (embedding, output) = Embedding::with_output(&mut self.tokens, self.output.as_mut());
        let blocks = self.blocks.iter_mut().map(|block| inference::Block {
            attention_norm: block.norm.compile(),
            attention_in: Linear::compile([&mut block.query, &mut block.key, &mut block.value]),
            attention_out: Linear::compile([&mut block.attention_out]),
            cross: None,
            mlp_norm: None,
            mlp: Mlp {
                inner: Linear::compile([&mut block.gate, &mut block.up]),
                activation: Activation::Silu,
                gated: true,
                out: Linear::compile([&mut block.down]),
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
            heads: self.heads,
            order: Order::Parallel,
            positions: Positions::rotary(rotation, self.heads, config.context),
            scale: self.heads.scale(),
            causal: true,
        };
        Network::decoder_only(embedding, stack, output)
    }
}

/// Reads the `config.json` of a PaLM that fragua wrote.
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    let heads = fields.count("num_attention_heads")?;
    let kv_heads = fields.count("num_key_value_heads")?;
    let head_width = fields.count("head_dim")?;
    if heads % kv_heads != 0 || head_width % 2 != 0 {
        return Err(fields.error("the heads must be a multiple of the key/value heads, and a head even"));
    }
    Ok(ModelConfig {
        layout: Layout::Palm,
        vocab_size: fields.count("vocab_size")?,
        layers: fields.count("num_hidden_layers")?,
        heads,
        kv_heads,
        head_width,
        width: fields.count("hidden_size")?,
        mlp_width: fields.count("intermediate_size")?,
        context: fields.count("max_position_embeddings")?,
        dropout: fields.float_or("dropout", 0.0)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        norm_epsilon: fields.float_or("layer_norm_eps", 1e-5)?,
        rope_theta: fields.float_or("rope_theta", 10_000.0)?,
        special: fields.special()?,
    })
}

/// Writes what is particular to PaLM.
pub(super) fn to_json(config: &ModelConfig) -> Map<String, Value> {
    let Value::Object(object) = json!({
        "model_type": "palm",
        "dropout": config.dropout,
        "head_dim": config.head_width,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "layer_norm_eps": config.norm_epsilon,
        "max_position_embeddings": config.context,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rope_theta": config.rope_theta,
    }) else {
        unreachable!("an object was written")
    };
    object
}
