//! The Transformer of 2017 (Vaswani et al.): an encoder and a decoder with sinusoidal positions and
//! one embedding for both and for the output layer. With norms after each sub-layer, as published, it
//! is what Hugging Face's `MarianMTModel` computes; with norms before (Baevski and Auli 2019; Wang et
//! al. 2019), what `PegasusForConditionalGeneration` computes.

use burn::tensor::{Int, Tensor, TensorData};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout};
use super::inference::{self, Decoder, Embedding, Mlp, Network, Order, Positions};
use super::init::{DEVIATION, Source, Start};
use super::layers::{LayerNorm, Linear, Projections, parts};
use super::{Cache, Encoded, LanguageModel, Learning, ModelConfig, ModelError, Pass, Role, Sources, Weight};
use crate::kernels::{Activation, Attending, Dropout, Heads, RowNorm, Scoring, dropout, embedding, mlp};

/// What Transformers differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransformerLayout {
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Whether norms come before each sub-layer, and once more at the end, or after it.
    pub pre_norm: bool,
    /// What is between an MLP's products.
    pub activation: Activation,
    /// Whether embeddings are multiplied by `√width`.
    pub scaled_embedding: bool,
    /// The token that a decoder begins with.
    pub start: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Transformer {
    tokens: Weight,
    encoder: Stack,
    decoder: Stack,
    output: Option<Weight>,
    heads: Heads,
    layout: TransformerLayout,
    dropout: f32,
}

/// An encoder or a decoder.
#[derive(Clone, Debug)]
struct Stack {
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
}

#[derive(Clone, Debug)]
struct Block {
    attention: Projections,
    attention_norm: LayerNorm,
    cross: Option<Cross>,
    mlp_in: Linear,
    mlp_out: Linear,
    mlp_norm: LayerNorm,
}

#[derive(Clone, Debug)]
struct Cross {
    attention: Projections,
    norm: LayerNorm,
}

parts!(Transformer {
    tokens,
    encoder,
    decoder,
    output
});
parts!(Stack { blocks, norm });
parts!(Block {
    attention,
    attention_norm,
    cross,
    mlp_in,
    mlp_out,
    mlp_norm
});
parts!(Cross { attention, norm });

/// Xavier's standard deviation, which the first implementations used.
fn xavier([outputs, inputs]: [usize; 2]) -> f32 {
    (2.0 / (outputs + inputs) as f32).sqrt()
}

impl Transformer {
    pub(super) fn new(config: &ModelConfig, layout: TransformerLayout, source: &mut dyn Source) -> Self {
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, config.width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(DEVIATION))
        };
        Self {
            tokens: table(source, "model.shared.weight"),
            encoder: Stack::new(config, layout, "encoder", config.layers, source),
            decoder: Stack::new(config, layout, "decoder", layout.decoder_layers, source),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            heads: config.attention_heads(),
            layout,
            dropout: config.dropout as f32,
        }
    }

    /// Embedded tokens with their positions, the first being `start`.
    fn embed(&self, tokens: Tensor<2, Int>, start: usize) -> Tensor<2> {
        let [batch, seq] = tokens.dims();
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let width = x.dims()[1];
        let x = match self.layout.scaled_embedding {
            true => x.mul_scalar((width as f32).sqrt()),
            false => x,
        };
        let positions = TensorData::new(sinusoids(start, seq, width), [1, seq, width]);
        let positions = Tensor::<3>::from_data(positions, &x.device());
        x.reshape([batch, seq, width])
            .add(positions)
            .reshape([batch * seq, width])
    }

    /// What the blocks of a side have in common.
    fn common(&self, side: &'static str, seq: usize, pass: &Pass<'_>) -> Common {
        Common {
            side,
            heads: self.heads,
            seq,
            start: pass.start(),
            lengths: None,
            layout: self.layout,
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
    /// The position of the first token.
    start: usize,
    /// Of what an encoder reads, padding not counted.
    lengths: Option<Vec<usize>>,
    layout: TransformerLayout,
    dropout: f32,
}

impl Common {
    fn drop(&self, place: &str, layer: usize, pass: &Pass<'_>) -> Option<Dropout> {
        pass.drop(&format!("{}{place}", self.side), layer, self.dropout)
    }

    /// A sub-layer and the residual connection around it, with its norm before or after; the sub-layer
    /// is given what is before.
    fn around(
        &self,
        x: Tensor<2>,
        norm: &LayerNorm,
        sublayer: impl FnOnce(Tensor<2>, Option<RowNorm>) -> Tensor<2>,
    ) -> Tensor<2> {
        if self.layout.pre_norm {
            sublayer(x, Some(norm.row_norm()))
        } else {
            norm.forward(sublayer(x, None))
        }
    }
}

impl Block {
    fn forward(&self, layer: usize, x: Tensor<2>, common: &Common, pass: &mut Pass<'_>) -> Tensor<2> {
        let causal = Scoring::causal(common.heads, common.start);
        let scoring = match &common.lengths {
            Some(lengths) => Scoring {
                causal: None,
                lengths: Some(lengths),
                ..causal
            },
            None => causal,
        };
        let attending = Attending {
            heads: common.heads,
            seq: common.seq,
            rotation: None,
            scoring: &scoring,
            dropout: common.drop("attention", layer, pass),
        };
        let dropped = common.drop("attention_out", layer, pass);
        let mut x = common.around(x, &self.attention_norm, |x, norm| {
            let half = self.attention.half(norm);
            half.attend(x, &attending, dropped, layer, pass)
        });
        if let Some(cross) = &self.cross {
            x = common.around(x, &cross.norm, |x, norm| {
                let drop = common.drop("cross_attention", layer, pass);
                let normal = norm.map_or_else(|| x.clone(), |norm| norm.apply(x.clone()));
                let queries = cross.attention.queries(normal);
                let mixed = pass.attend_to_source(queries, layer, &cross.attention, common.heads, scoring.scale, drop);
                let mixed = cross.attention.out(mixed);
                x.add(dropout(mixed, common.drop("cross_attention_out", layer, pass)))
            });
        }
        let (inner, outer) = (Linear::products([&self.mlp_in]), Linear::products([&self.mlp_out]));
        let dropped = common.drop("mlp_out", layer, pass);
        common.around(x, &self.mlp_norm, |x, norm| {
            mlp(x, norm.as_ref(), &inner, common.layout.activation, &outer, dropped)
        })
    }
}

/// Sines in the first half of a vector and cosines in the second, `[seq, width]`: the paper's
/// numbers in the order in which Hugging Face has them.
fn sinusoids(start: usize, seq: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |position: usize, i: usize| position as f64 / 10_000f64.powf(2.0 * i as f64 / width as f64);
    (start..start + seq)
        .flat_map(|position| {
            let sines = (0..half).map(move |i| angle(position, i).sin() as f32);
            let cosines = (0..half).map(move |i| angle(position, i).cos() as f32);
            sines.chain(cosines)
        })
        .collect()
}

impl Stack {
    fn new(
        config: &ModelConfig,
        layout: TransformerLayout,
        side: &str,
        layers: usize,
        source: &mut dyn Source,
    ) -> Self {
        let ModelConfig { width, mlp_width, .. } = *config;
        let heads = config.attention_heads();
        let norm = |source: &mut dyn Source, name: &str| LayerNorm::new(source, name, width, config.norm_epsilon);
        let attention = |source: &mut dyn Source, name: &str| {
            let names = ["q_proj", "k_proj", "v_proj", "out_proj"].map(|part| format!("{name}.{part}"));
            let deviation = xavier([width, heads.query * heads.width]);
            Projections::new(source, names, width, heads, [deviation; 2], true)
        };
        let block = |source: &mut dyn Source, layer: usize| {
            let name = |part: &str| format!("model.{side}.layers.{layer}.{part}");
            let linear = |source: &mut dyn Source, part: &str, shape: [usize; 2]| {
                Linear::new(source, &name(part), shape, xavier(shape), true)
            };
            Block {
                attention: attention(source, &name("self_attn")),
                attention_norm: norm(source, &name("self_attn_layer_norm")),
                cross: (side == "decoder").then(|| Cross {
                    attention: attention(source, &name("encoder_attn")),
                    norm: norm(source, &name("encoder_attn_layer_norm")),
                }),
                mlp_in: linear(source, "fc1", [mlp_width, width]),
                mlp_out: linear(source, "fc2", [width, mlp_width]),
                mlp_norm: norm(source, &name("final_layer_norm")),
            }
        };
        Self {
            blocks: (0..layers).map(|layer| block(source, layer)).collect(),
            norm: layout
                .pre_norm
                .then(|| norm(source, &format!("model.{side}.layer_norm"))),
        }
    }

    fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

impl Stack {
    fn compile(&mut self, config: &ModelConfig, layout: TransformerLayout, causal: bool) -> inference::Stack {
        let heads = config.attention_heads();
        let blocks = self.blocks.iter_mut().map(|block| {
            let [attention_in, attention_out] = block.attention.compile();
            inference::Block {
                attention_norm: block.attention_norm.compile(),
                attention_in,
                attention_out,
                cross: block
                    .cross
                    .as_mut()
                    .map(|cross| cross.attention.compile_cross(cross.norm.compile())),
                mlp_norm: Some(block.mlp_norm.compile()),
                mlp: Mlp {
                    inner: Linear::compile([&mut block.mlp_in]),
                    activation: layout.activation,
                    gated: false,
                    out: Linear::compile([&mut block.mlp_out]),
                },
            }
        });
        inference::Stack {
            blocks: blocks.collect(),
            norm: self.norm.as_mut().map(LayerNorm::compile),
            heads,
            order: if layout.pre_norm { Order::Before } else { Order::After },
            positions: Positions::None,
            scale: heads.scale(),
            causal,
        }
    }
}

impl LanguageModel for Transformer {
    fn encode(&self, source: &Sources, learning: Learning) -> Encoded {
        let [batch, seq] = source.tokens.dims();
        let mut pass = Pass::whole(learning);
        let common = Common {
            lengths: Some(source.lengths.clone()),
            ..self.common("encoder_", seq, &pass)
        };
        let x = self.embed(source.tokens.clone(), 0);
        let mut x = dropout(x, common.drop("embedding", 0, &pass));
        for (layer, block) in self.encoder.blocks.iter().enumerate() {
            let common = common.clone();
            x = pass.through(block, [x], move |block, [x], pass| {
                block.forward(layer, x, &common, pass)
            });
        }
        Encoded {
            hidden: self.encoder.finish(x),
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
        let x = self.embed(tokens, common.start);
        let mut x = dropout(x, common.drop("embedding", 0, &pass));
        for (layer, block) in self.decoder.blocks.iter().enumerate() {
            let common = common.clone();
            x = pass.through(block, [x], move |block, [x], pass| {
                block.forward(layer, x, &common, pass)
            });
        }
        self.decoder.finish(x)
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }

    fn compile(&mut self, config: &ModelConfig) -> Network {
        let (embedding, output) = Embedding::with_output(&mut self.tokens, self.output.as_mut());
        Network {
            embedding: Embedding {
                scale: match self.layout.scaled_embedding {
                    true => (config.width as f32).sqrt(),
                    false => 1.0,
                },
                positions: Some(sinusoids(0, config.context, config.width)),
                ..embedding
            },
            encoder: Some(self.encoder.compile(config, self.layout, false)),
            decoder: Decoder::Attention(self.decoder.compile(config, self.layout, true)),
            output,
            output_scale: 1.0,
        }
    }
}

/// Reads the `config.json` of a Marian (norms after) or a Pegasus (norms before).
pub(super) fn config(fields: &Fields, pre_norm: bool) -> Result<ModelConfig, ModelError> {
    let function = match fields.get("activation_function") {
        Some(_) => fields.text("activation_function")?,
        None => "gelu".into(),
    };
    let Some(activation) = Activation::named(&function) else {
        return Err(fields.error(format!(
            "`activation_function` is `{function}`, which fragua does not have"
        )));
    };
    fields.only("share_encoder_decoder_embeddings", &json!(true))?;
    let same = |encoder: &str, decoder: &str| {
        let count = fields.count(encoder)?;
        match fields.count_or(decoder, Some(count))? {
            other if other == count => Ok(count),
            other => Err(fields.error(format!(
                "`{encoder}` is {count} and `{decoder}` {other}; fragua computes both sides with the same"
            ))),
        }
    };
    let (width, heads) = (
        fields.count("d_model")?,
        same("encoder_attention_heads", "decoder_attention_heads")?,
    );
    if width % heads != 0 || width % 2 != 0 {
        return Err(fields.error(format!("{heads} heads do not divide a width of {width}, or it is odd")));
    }
    let layers = fields.count("encoder_layers")?;
    let special = fields.special()?;
    let start = fields
        .id("decoder_start_token_id")?
        .or(special.pad)
        .ok_or_else(|| fields.error("`decoder_start_token_id` is missing"))?;
    Ok(ModelConfig {
        layout: Layout::Transformer(TransformerLayout {
            decoder_layers: fields.count_or("decoder_layers", Some(layers))?,
            pre_norm,
            activation,
            scaled_embedding: fields.flag_or("scale_embedding", false)?,
            start,
        }),
        vocab_size: fields.count("vocab_size")?,
        layers,
        heads,
        kv_heads: heads,
        head_width: width / heads,
        width,
        mlp_width: same("encoder_ffn_dim", "decoder_ffn_dim")?,
        context: fields.count_or("max_position_embeddings", Some(1024))?,
        dropout: fields.float_or("dropout", 0.1)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        special,
    })
}

/// Writes what is particular to Marian or Pegasus.
pub(super) fn to_json(config: &ModelConfig, layout: TransformerLayout) -> Map<String, Value> {
    let (class, name) = match layout.pre_norm {
        true => ("PegasusForConditionalGeneration", "pegasus"),
        false => ("MarianMTModel", "marian"),
    };
    let Value::Object(object) = json!({
        "architectures": [class],
        "model_type": name,
        "activation_dropout": 0.0,
        "activation_function": layout.activation.name(),
        "attention_dropout": config.dropout,
        "d_model": config.width,
        "decoder_attention_heads": config.heads,
        "decoder_ffn_dim": config.mlp_width,
        "decoder_layers": layout.decoder_layers,
        "decoder_start_token_id": layout.start,
        "dropout": config.dropout,
        "encoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.mlp_width,
        "encoder_layers": config.layers,
        "forced_eos_token_id": Value::Null,
        "init_std": 0.02,
        "is_encoder_decoder": true,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
        "scale_embedding": layout.scaled_embedding,
    }) else {
        unreachable!("an object was written")
    };
    object
}
