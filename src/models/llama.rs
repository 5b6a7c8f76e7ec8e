//! Llama (Touvron et al. 2023), as Hugging Face's `LlamaForCausalLM` computes it, and the models that
//! differ from it in their biases alone: Mistral and Qwen2 without a sliding window.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout, rope_theta};
use super::inference::{self, Embedding, Mlp, Network, Order, Positions, Stack};
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::layers::{Half, Linear, RmsNorm, parts};
use super::{LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::{Activation, Attending, Heads, Rotation, Scaling, Scoring, dropout, embedding, mlp};

/// What the models of this family differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LlamaLayout {
    /// Under which name.
    pub family: Family,
    /// Whether queries, keys and values have biases.
    pub attention_bias: bool,
    /// Whether attention's way out has one.
    pub output_bias: bool,
    /// Whether the MLP's products have biases.
    pub mlp_bias: bool,
    /// How rotary frequencies are changed for a longer context.
    pub scaling: Scaling,
}

/// A `model_type` that this file computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `llama`
    Llama,
    /// `mistral`
    Mistral,
    /// `qwen2`
    Qwen2,
}

impl LlamaLayout {
    /// What a new model gets.
    pub(super) fn new(biased: bool) -> Self {
        Self {
            family: Family::Llama,
            attention_bias: biased,
            output_bias: biased,
            mlp_bias: false,
            scaling: Scaling::None,
        }
    }
}

/// The weights of a Llama.
#[derive(Clone, Debug)]
pub(super) struct Llama {
    tokens: Weight,
    blocks: Vec<Block>,
    norm: RmsNorm,
    output: Option<Weight>,
    heads: Heads,
    dropout: f32,
    theta: f32,
    scaling: Scaling,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

parts!(Llama {
    tokens,
    blocks,
    norm,
    output
});
parts!(Block {
    attention_norm,
    query,
    key,
    value,
    attention_out,
    mlp_norm,
    gate,
    up,
    down
});

impl Llama {
    pub(super) fn new(config: &ModelConfig, layout: LlamaLayout, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        let residual = residual_deviation(config.layers);
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        let norm = |source: &mut dyn Source, name: &str| RmsNorm::new(source, name, width, config.norm_epsilon);
        let block = |source: &mut dyn Source, layer: usize| {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let inside = |source: &mut dyn Source, part: &str, outputs: usize| {
                let name = name(&format!("self_attn.{part}"));
                Linear::new(source, &name, [outputs, width], DEVIATION, layout.attention_bias)
            };
            let mlp = |source: &mut dyn Source, part: &str, shape: [usize; 2], deviation: f32| {
                Linear::new(source, &name(&format!("mlp.{part}")), shape, deviation, layout.mlp_bias)
            };
            let out = name("self_attn.o_proj");
            Block {
                attention_norm: norm(source, &name("input_layernorm")),
                query: inside(source, "q_proj", queries),
                key: inside(source, "k_proj", keys),
                value: inside(source, "v_proj", keys),
                attention_out: Linear::new(source, &out, [width, queries], residual, layout.output_bias),
                mlp_norm: norm(source, &name("post_attention_layernorm")),
                gate: mlp(source, "gate_proj", [mlp_width, width], DEVIATION),
                up: mlp(source, "up_proj", [mlp_width, width], DEVIATION),
                down: mlp(source, "down_proj", [width, mlp_width], residual),
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
            scaling: layout.scaling,
        }
    }
}

impl LanguageModel for Llama {
    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let rotation = Rotation {
            theta: self.theta,
            start: pass.start(),
            scaling: self.scaling,
        };
        let (heads, rate) = (self.heads, self.dropout);
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let mut x = dropout(x, pass.drop("embedding", 0, rate));
        for (layer, block) in self.blocks.iter().enumerate() {
            x = pass.through(block, [x], move |block, [x], pass| {
                let half = Half {
                    norm: Some(block.attention_norm.row_norm()),
                    inner: Linear::products([&block.query, &block.key, &block.value]),
                    outer: Linear::products([&block.attention_out]),
                };
                let attending = Attending {
                    heads,
                    seq,
                    rotation: Some(rotation),
                    scoring: &Scoring::causal(heads, rotation.start),
                    dropout: pass.drop("attention", layer, rate),
                };
                let dropped = pass.drop("attention_out", layer, rate);
                let x = half.attend(x, &attending, dropped, layer, pass);
                let norm = block.mlp_norm.row_norm();
                let inner = Linear::products([&block.gate, &block.up]);
                let outer = Linear::products([&block.down]);
                let dropped = pass.drop("mlp_out", layer, rate);
                mlp(x, Some(&norm), &inner, Activation::Silu, &outer, dropped)
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
            attention_in: Linear::compile([&mut block.query, &mut block.key, &mut block.value]),
            attention_out: Linear::compile([&mut block.attention_out]),
            cross: None,
            mlp_norm: Some(block.mlp_norm.compile()),
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
            scaling: self.scaling,
        };
        let stack = Stack {
            blocks: blocks.collect(),
            norm: Some(self.norm.compile()),
            heads: self.heads,
            order: Order::Before,
            positions: Positions::rotary(rotation, self.heads, config.context),
            scale: self.heads.scale(),
            causal: true,
        };
        Network::decoder_only(embedding, stack, output)
    }
}

/// Reads the `config.json` of a Llama, a Mistral or a Qwen2.
pub(super) fn config(fields: &Fields, family: Family) -> Result<ModelConfig, ModelError> {
    fields.only("hidden_act", &json!("silu"))?;
    let width = fields.count("hidden_size")?;
    let heads = fields.count("num_attention_heads")?;
    let kv_heads = fields.count_or("num_key_value_heads", Some(heads))?;
    let head_width = fields.count_or("head_dim", Some((width / heads).max(1)))?;
    if heads % kv_heads != 0 || head_width % 2 != 0 {
        return Err(fields.error(format!(
            "{heads} heads of {head_width} over {kv_heads} key/value heads: the heads must be a multiple of the \
             key/value heads, and a head even"
        )));
    }
    let (attention_bias, output_bias, mlp_bias) = match family {
        Family::Llama => {
            let attention = fields.flag_or("attention_bias", false)?;
            (attention, attention, fields.flag_or("mlp_bias", false)?)
        }
        Family::Mistral => (false, false, false),
        Family::Qwen2 => (true, false, false),
    };
    let layers = fields.count("num_hidden_layers")?;
    let context = fields.count_or("max_position_embeddings", Some(2048))?;
    sliding_window(fields, family, layers, context)?;
    Ok(ModelConfig {
        layout: Layout::Llama(LlamaLayout {
            family,
            attention_bias,
            output_bias,
            mlp_bias,
            scaling: scaling(fields)?,
        }),
        vocab_size: fields.count("vocab_size")?,
        layers,
        heads,
        kv_heads,
        head_width,
        width,
        mlp_width: fields.count("intermediate_size")?,
        context,
        dropout: fields.float_or("attention_dropout", 0.0)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", false)?,
        norm_epsilon: fields.float_or("rms_norm_eps", 1e-6)?,
        rope_theta: rope_theta(fields)?,
        special: fields.special()?,
    })
}

/// An error when a layer would see less than the context through a sliding window.
fn sliding_window(fields: &Fields, family: Family, layers: usize, context: usize) -> Result<(), ModelError> {
    const DEFAULT: usize = 4096; // that of MistralConfig and Qwen2Config
    let named = |kind: &Value| kind == "sliding_attention";
    let by_layer = fields.get("layer_types").and_then(Value::as_array);
    let slides = match (by_layer, family) {
        (Some(kinds), _) => kinds.iter().any(named),
        (None, Family::Llama) => false,
        (None, Family::Mistral) => !fields.is_null("sliding_window"),
        (None, Family::Qwen2) => {
            fields.flag_or("use_sliding_window", false)?
                && fields.count_or("max_window_layers", Some(28)).unwrap_or(0) < layers
        }
    };
    if !slides {
        return Ok(());
    }
    let window = fields.count_or("sliding_window", Some(DEFAULT))?;
    if window < context {
        return Err(fields.error(format!(
            "`sliding_window` is {window} and the context {context}: fragua computes attention over the whole \
             context; set `max_position_embeddings` to {window}, within which the window changes nothing"
        )));
    }
    Ok(())
}

/// How a `config.json` changes rotary frequencies: `rope_parameters`, or `rope_scaling` before
/// transformers 5.
pub(super) fn scaling(fields: &Fields) -> Result<Scaling, ModelError> {
    let Some(rope) = fields.get("rope_scaling").or_else(|| fields.get("rope_parameters")) else {
        return Ok(Scaling::None);
    };
    let kind = rope
        .get("rope_type")
        .or_else(|| rope.get("type"))
        .and_then(Value::as_str);
    let number = |name: &str| match rope.get(name).and_then(Value::as_f64) {
        Some(number) if number.is_finite() && number > 0.0 => Ok(number as f32),
        _ => Err(fields.error(format!("the rotary scaling {rope} needs a number above 0 for `{name}`"))),
    };
    match kind.unwrap_or("default") {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear {
            factor: number("factor")?,
        }),
        "llama3" => Ok(Scaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            context: number("original_max_position_embeddings")?,
        }),
        other => Err(fields.error(format!(
            "the rotary scaling `{other}` is not one that fragua computes; it has default, linear and llama3"
        ))),
    }
}

/// Writes what is particular to this family.
pub(super) fn to_json(config: &ModelConfig, layout: LlamaLayout) -> Map<String, Value> {
    let Value::Object(mut object) = json!({
        "attention_dropout": config.dropout,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.context,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
    }) else {
        unreachable!("an object was written")
    };
    let (class, name) = match layout.family {
        Family::Llama => ("LlamaForCausalLM", "llama"),
        Family::Mistral => ("MistralForCausalLM", "mistral"),
        Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
    };
    object.insert("architectures".into(), json!([class]));
    object.insert("model_type".into(), json!(name));
    match layout.family {
        Family::Llama => {
            object.insert("attention_bias".into(), json!(layout.attention_bias));
            object.insert("mlp_bias".into(), json!(layout.mlp_bias));
        }
        Family::Mistral => {
            object.insert("sliding_window".into(), Value::Null);
        }
        Family::Qwen2 => {
            object.insert("use_sliding_window".into(), json!(false));
        }
    }
    let scaling = match layout.scaling {
        Scaling::None => return object,
        Scaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        Scaling::Llama3 {
            factor,
            low,
            high,
            context,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": context as u64, // was read as a whole number
        }),
    };
    object.insert("rope_scaling".into(), scaling);
    object
}
