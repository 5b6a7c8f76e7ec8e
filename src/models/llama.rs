//! Llama (Touvron et al. 2023), as Hugging Face's `LlamaForCausalLM` computes it.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::Fields;
use super::init::{DEVIATION, Source, Start, residual_deviation};
use super::{Architecture, LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::{
    Dropout, Heads, Orientation, Rotation, attention, cached_attention, dropout, embedding, joined_linear, linear,
    rms_norm, rotary, swiglu,
};

/// The weights of a Llama.
#[derive(Clone, Debug)]
pub(super) struct Llama {
    tokens: Weight,
    blocks: Vec<Block>,
    norm: Weight,
    output: Option<Weight>,
    heads: Heads,
    dropout: f32,
    epsilon: f32,
    theta: f32,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: Weight,
    query: Weight,
    key: Weight,
    value: Weight,
    attention_out: Weight,
    mlp_norm: Weight,
    gate: Weight,
    up: Weight,
    down: Weight,
}

impl Llama {
    pub(super) fn new(config: &ModelConfig, source: &mut dyn Source) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        let residual = residual_deviation(config.layers);
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        let norm = |source: &mut dyn Source, name: String| source.weight(name, Role::Vector, &[width], Start::One);
        Self {
            tokens: table(source, "model.embed_tokens.weight"),
            blocks: (0..config.layers)
                .map(|layer| {
                    let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
                    let matrix =
                        |source: &mut dyn Source, part: &str, outputs: usize, inputs: usize, deviation: f32| {
                            let role = Role::Matrix(Orientation::OutputInput);
                            source.weight(name(part), role, &[outputs, inputs], Start::Normal(deviation))
                        };
                    Block {
                        attention_norm: norm(source, name("input_layernorm")),
                        query: matrix(source, "self_attn.q_proj", queries, width, DEVIATION),
                        key: matrix(source, "self_attn.k_proj", keys, width, DEVIATION),
                        value: matrix(source, "self_attn.v_proj", keys, width, DEVIATION),
                        attention_out: matrix(source, "self_attn.o_proj", width, queries, residual),
                        mlp_norm: norm(source, name("post_attention_layernorm")),
                        gate: matrix(source, "mlp.gate_proj", mlp_width, width, DEVIATION),
                        up: matrix(source, "mlp.up_proj", mlp_width, width, DEVIATION),
                        down: matrix(source, "mlp.down_proj", width, mlp_width, residual),
                    }
                })
                .collect(),
            norm: norm(source, "model.norm.weight".into()),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            heads: config.attention_heads(),
            dropout: config.dropout as f32,
            epsilon: config.norm_epsilon as f32,
            theta: config.rope_theta as f32,
        }
    }
}

impl LanguageModel for Llama {
    fn weights(&self) -> Vec<&Weight> {
        let mut list = vec![&self.tokens];
        for block in &self.blocks {
            list.extend([&block.attention_norm, &block.query, &block.key, &block.value]);
            list.extend([&block.attention_out, &block.mlp_norm]);
            list.extend([&block.gate, &block.up, &block.down]);
        }
        list.push(&self.norm);
        list.extend(&self.output);
        list
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut list = vec![&mut self.tokens];
        for block in &mut self.blocks {
            list.extend([
                &mut block.attention_norm,
                &mut block.query,
                &mut block.key,
                &mut block.value,
            ]);
            list.extend([&mut block.attention_out, &mut block.mlp_norm]);
            list.extend([&mut block.gate, &mut block.up, &mut block.down]);
        }
        list.push(&mut self.norm);
        list.extend(&mut self.output);
        list
    }

    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let rotation = Rotation {
            theta: self.theta,
            start: pass.start(),
        };
        let drop = |site: &str, layer: usize, pass: &Pass<'_>| {
            let seed = pass.dropout()?;
            Dropout::new(self.dropout, &seed.child(site).child(layer))
        };
        let product = |x: Tensor<2>, weight: &Weight| linear(x, weight.value(), None, Orientation::OutputInput);
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let mut x = dropout(x, drop("embedding", 0, &pass));
        for (layer, block) in self.blocks.iter().enumerate() {
            let normal = rms_norm(x.clone(), block.attention_norm.value(), self.epsilon);
            let packed = joined_linear(normal, [block.query.value(), block.key.value(), block.value.value()]);
            let packed = rotary(packed, self.heads, seq, rotation);
            let drop_probabilities = drop("attention", layer, &pass);
            let mixed = match &mut pass {
                Pass::Whole { .. } => attention(packed, self.heads, seq, drop_probabilities),
                Pass::Cached { cache } => cached_attention(packed, self.heads, cache.layer(layer)),
            };
            let mixed = product(mixed, &block.attention_out);
            x = x.add(dropout(mixed, drop("attention_out", layer, &pass)));
            let normal = rms_norm(x.clone(), block.mlp_norm.value(), self.epsilon);
            let inner = swiglu(joined_linear(normal, [block.gate.value(), block.up.value()]));
            let inner = product(inner, &block.down);
            x = x.add(dropout(inner, drop("mlp_out", layer, &pass)));
        }
        rms_norm(x, self.norm.value(), self.epsilon)
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }
}

/// Reads a Llama `config.json`.
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    fields.only("hidden_act", &json!("silu"))?;
    fields.only("attention_bias", &json!(false))?;
    fields.only("mlp_bias", &json!(false))?;
    if let Some(scaling) = fields.get("rope_scaling") {
        return Err(fields.error(format!(
            "`rope_scaling` is {scaling}; fragua turns positions without scaling"
        )));
    }
    // transformers 5 nests what version 4 wrote flat
    let nested = fields.get("rope_parameters");
    if let Some(kind) = nested.and_then(|rope| rope.get("rope_type")).and_then(Value::as_str)
        && kind != "default"
    {
        return Err(fields.error(format!(
            "`rope_type` is `{kind}`; fragua turns positions without scaling"
        )));
    }
    let rope_theta = match nested.and_then(|rope| rope.get("rope_theta")).and_then(Value::as_f64) {
        Some(theta) => theta,
        None => fields.float_or("rope_theta", 10_000.0)?,
    };
    let width = fields.count("hidden_size")?;
    let heads = fields.count("num_attention_heads")?;
    let kv_heads = fields.count_or("num_key_value_heads", Some(heads))?;
    let head_width = fields.count_or("head_dim", Some(width / heads))?;
    if heads % kv_heads != 0 || head_width % 2 != 0 {
        return Err(fields.error(format!(
            "{heads} heads of {head_width} over {kv_heads} key/value heads: the heads must be a multiple of the \
             key/value heads, and a head even"
        )));
    }
    Ok(ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: fields.count("vocab_size")?,
        layers: fields.count("num_hidden_layers")?,
        heads,
        kv_heads,
        head_width,
        width,
        mlp_width: fields.count("intermediate_size")?,
        context: fields.count_or("max_position_embeddings", Some(2048))?,
        dropout: fields.float_or("attention_dropout", 0.0)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", false)?,
        norm_epsilon: fields.float_or("rms_norm_eps", 1e-6)?,
        rope_theta,
        special: fields.special()?,
    })
}

/// Writes what is particular to Llama.
pub(super) fn to_json(config: &ModelConfig) -> Map<String, Value> {
    let Value::Object(object) = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": false,
        "attention_dropout": config.dropout,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.context,
        "mlp_bias": false,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
    }) else {
        unreachable!("an object was written")
    };
    object
}
