//! GPT-2 (Radford et al. 2019), as Hugging Face's `GPT2LMHeadModel` computes it.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout};
use super::inference::{self, Embedding, Mlp, Network, Order, Positions, Stack};
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::layers::{Half, LayerNorm, parts};
use super::{LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::inference::Panels;
use crate::kernels::{Activation, Attending, Heads, Orientation, Products, Scoring, dropout, embedding_at, mlp};

/// The weights of a GPT-2.
#[derive(Clone, Debug)]
pub(super) struct Gpt2 {
    tokens: Weight,
    positions: Weight,
    blocks: Vec<Block>,
    norm: LayerNorm,
    output: Option<Weight>,
    heads: Heads,
    dropout: f32,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: LayerNorm,
    attention_in: Product,
    attention_out: Product,
    mlp_norm: LayerNorm,
    mlp_in: Product,
    mlp_out: Product,
}

/// `x · W + b` with `[in, out]` weights.
#[derive(Clone, Debug)]
struct Product {
    weight: Weight,
    bias: Weight,
}

parts!(Gpt2 {
    tokens,
    positions,
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
parts!(Product { weight, bias });

impl Product {
    fn new(source: &mut dyn Source, name: &str, shape: [usize; 2], deviation: f32) -> Self {
        let role = Role::Matrix(Orientation::InputOutput);
        Self {
            weight: source.weight(format!("{name}.weight"), role, &shape, Start::Normal(deviation)),
            bias: source.weight(format!("{name}.bias"), Role::Vector, &shape[1..], Start::Zero),
        }
    }

    fn products(&self) -> Products {
        Products {
            weights: vec![self.weight.value()],
            biases: vec![self.bias.value()],
            orientation: Orientation::InputOutput,
            pairs: vec![self.weight.low_rank()],
        }
    }

    fn compile(&mut self) -> Panels {
        let dims = self.weight.dims();
        Panels::of(&self.weight.take(), dims, Orientation::InputOutput).with_bias(Some(self.bias.take()))
    }
}

impl Gpt2 {
    pub(super) fn new(config: &ModelConfig, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let inside = config.heads * config.head_width;
        let residual = residual_deviation(config.layers);
        let table = |source: &mut dyn Source, name: &str, rows: usize| {
            source.weight(name.into(), Role::Embedding, &[rows, width], Start::Normal(DEVIATION))
        };
        let norm = |source: &mut dyn Source, name: &str| LayerNorm::new(source, name, width, config.norm_epsilon);
        Self {
            tokens: table(source, "transformer.wte.weight", config.vocab_size),
            positions: table(source, "transformer.wpe.weight", config.context),
            blocks: (0..config.layers)
                .map(|layer| {
                    let name = |part: &str| format!("transformer.h.{layer}.{part}");
                    let packed = config.attention_heads().packed();
                    Block {
                        attention_norm: norm(source, &name("ln_1")),
                        attention_in: Product::new(source, &name("attn.c_attn"), [width, packed], DEVIATION),
                        attention_out: Product::new(source, &name("attn.c_proj"), [inside, width], residual),
                        mlp_norm: norm(source, &name("ln_2")),
                        mlp_in: Product::new(source, &name("mlp.c_fc"), [width, mlp_width], DEVIATION),
                        mlp_out: Product::new(source, &name("mlp.c_proj"), [mlp_width, width], residual),
                    }
                })
                .collect(),
            norm: norm(source, "transformer.ln_f"),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight", config.vocab_size)),
            heads: config.attention_heads(),
            dropout: config.dropout as f32,
        }
    }
}

impl LanguageModel for Gpt2 {
    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let (start, heads, rate) = (pass.start(), self.heads, self.dropout);
        let (table, positions) = (self.tokens.value(), self.positions.value());
        let x = embedding_at(tokens.flatten(0, 1), table, positions, start, seq);
        let mut x = dropout(x, pass.drop("embedding", 0, rate));
        for (layer, block) in self.blocks.iter().enumerate() {
            x = pass.through(block, [x], move |block, [x], pass| {
                let half = Half {
                    norm: Some(block.attention_norm.row_norm()),
                    inner: block.attention_in.products(),
                    outer: block.attention_out.products(),
                };
                let attending = Attending {
                    heads,
                    seq,
                    rotation: None,
                    scoring: &Scoring::causal(heads, start),
                    dropout: pass.drop("attention", layer, rate),
                };
                let dropped = pass.drop("attention_out", layer, rate);
                let x = half.attend(x, &attending, dropped, layer, pass);
                let norm = block.mlp_norm.row_norm();
                let (inner, outer) = (block.mlp_in.products(), block.mlp_out.products());
                let dropped = pass.drop("mlp_out", layer, rate);
                mlp(x, Some(&norm), &inner, Activation::GeluNew, &outer, dropped)
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
            attention_norm: block.attention_norm.compile(),
            attention_in: block.attention_in.compile(),
            attention_out: block.attention_out.compile(),
            cross: None,
            mlp_norm: Some(block.mlp_norm.compile()),
            mlp: Mlp {
                inner: block.mlp_in.compile(),
                activation: Activation::GeluNew,
                gated: false,
                out: block.mlp_out.compile(),
            },
        });
        let stack = Stack {
            blocks: blocks.collect(),
            norm: Some(self.norm.compile()),
            heads: self.heads,
            order: Order::Before,
            positions: Positions::None,
            scale: config.attention_heads().scale(),
            causal: true,
        };
        let embedding = Embedding {
            positions: Some(self.positions.take()),
            ..embedding
        };
        Network::decoder_only(embedding, stack, output)
    }
}

/// Reads a GPT-2 `config.json`.
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    fields.only("activation_function", &json!("gelu_new"))?;
    fields.only("scale_attn_weights", &json!(true))?;
    fields.only("scale_attn_by_inverse_layer_idx", &json!(false))?;
    fields.only("add_cross_attention", &json!(false))?;
    let width = fields.count("n_embd")?;
    let heads = fields.count("n_head")?;
    if width % heads != 0 {
        return Err(fields.error(format!("n_head {heads} does not divide n_embd {width}")));
    }
    Ok(ModelConfig {
        layout: Layout::Gpt2,
        vocab_size: fields.count("vocab_size")?,
        layers: fields.count("n_layer")?,
        heads,
        kv_heads: heads,
        head_width: width / heads,
        width,
        mlp_width: fields.count_or("n_inner", Some(4 * width))?,
        context: fields.count_or("n_positions", Some(1024))?,
        dropout: fields.float_or("resid_pdrop", 0.1)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        norm_epsilon: fields.float_or("layer_norm_epsilon", 1e-5)?,
        rope_theta: 10_000.0,
        special: fields.special()?,
    })
}

/// Writes what is particular to GPT-2.
pub(super) fn to_json(config: &ModelConfig) -> Map<String, Value> {
    let Value::Object(object) = json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "attn_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "layer_norm_epsilon": config.norm_epsilon,
        "n_ctx": config.context,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_inner": config.mlp_width,
        "n_layer": config.layers,
        "n_positions": config.context,
    }) else {
        unreachable!("an object was written")
    };
    object
}
