//! Recurrent language models: layers of LSTM (Hochreiter and Schmidhuber 1997; as a language model
//! Zaremba et al. 2014) or GRU (Cho et al. 2014) between an embedding and an output layer. Weights
//! have the names, shapes and gate order of PyTorch's `nn.LSTM` and `nn.GRU`; transformers has no
//! class for them.

use burn::tensor::{Int, Tensor};
use serde_json::{Map, Value, json};

use super::config::{Fields, Layout};
use super::inference::{Decoder, Embedding, Network, Recurrent, RecurrentBlock};
use super::init::{Source, Start};
use super::layers::parts;
use super::{LanguageModel, ModelConfig, ModelError, Pass, Role, Weight};
use crate::kernels::inference::Panels;
use crate::kernels::{Cell, Orientation, dropout, embedding, linear, recurrence};

#[derive(Clone, Debug)]
pub(super) struct Rnn {
    tokens: Weight,
    blocks: Vec<Block>,
    output: Option<Weight>,
    cell: Cell,
    dropout: f32,
}

#[derive(Clone, Debug)]
struct Block {
    input: Weight,
    recurrent: Weight,
    input_bias: Weight,
    recurrent_bias: Weight,
}

parts!(Rnn { tokens, blocks, output });
parts!(Block {
    input,
    recurrent,
    input_bias,
    recurrent_bias
});

impl Rnn {
    pub(super) fn new(config: &ModelConfig, cell: Cell, source: &mut dyn Source) -> Self {
        let width = config.width;
        // the variance of PyTorch's uniform numbers within ±1/√width, and of AWD-LSTM's within ±0.1
        let inside = 1.0 / (3.0 * width as f32).sqrt();
        let outside = 0.1 / 3f32.sqrt();
        let table = |source: &mut dyn Source, name: &str| {
            let shape = [config.vocab_size, width];
            source.weight(name.into(), Role::Embedding, &shape, Start::Normal(outside))
        };
        let gates = cell.gates() * width;
        let block = |source: &mut dyn Source, layer: usize| {
            let matrix = |source: &mut dyn Source, name: &str| {
                let role = Role::Matrix(Orientation::OutputInput);
                let name = format!("rnn.weight_{name}_l{layer}");
                source.weight(name, role, &[gates, width], Start::Normal(inside))
            };
            let bias = |source: &mut dyn Source, name: &str| {
                source.weight(format!("rnn.bias_{name}_l{layer}"), Role::Vector, &[gates], Start::Zero)
            };
            Block {
                input: matrix(source, "ih"),
                recurrent: matrix(source, "hh"),
                input_bias: bias(source, "ih"),
                recurrent_bias: bias(source, "hh"),
            }
        };
        Self {
            tokens: table(source, "embedding.weight"),
            blocks: (0..config.layers).map(|layer| block(source, layer)).collect(),
            output: (!config.tied_embeddings).then(|| table(source, "lm_head.weight")),
            cell,
            dropout: config.dropout as f32,
        }
    }
}

impl LanguageModel for Rnn {
    fn hidden(&self, tokens: Tensor<2, Int>, mut pass: Pass<'_>) -> Tensor<2> {
        let [_, seq] = tokens.dims();
        let x = embedding(tokens.flatten(0, 1), self.tokens.value());
        let (cell, rate) = (self.cell, self.dropout);
        let mut x = dropout(x, pass.drop("embedding", 0, rate));
        for (layer, block) in self.blocks.iter().enumerate() {
            x = pass.through(block, [x], move |block, [x], pass| {
                let bias = Some(block.input_bias.value());
                let projected = linear(x, block.input.value(), bias, Orientation::OutputInput);
                let (weight, bias) = (block.recurrent.value(), block.recurrent_bias.value());
                let x = match pass {
                    Pass::Whole { .. } => recurrence(projected, weight, bias, cell, seq),
                    Pass::Cached { cache } => cache.recur(layer, |start| cell.states(projected, &weight, &bias, start)),
                };
                dropout(x, pass.drop("layer_out", layer, rate))
            });
        }
        x
    }

    fn output(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.tokens)
    }

    fn compile(&mut self, _: &ModelConfig) -> Network {
        let (embedding, output) = Embedding::with_output(&mut self.tokens, self.output.as_mut());
        let panels = |weight: &mut Weight, bias: &mut Weight| {
            let dims = weight.dims();
            Panels::of(&weight.take(), dims, Orientation::OutputInput).with_bias(Some(bias.take()))
        };
        let blocks = self.blocks.iter_mut().map(|block| RecurrentBlock {
            input: panels(&mut block.input, &mut block.input_bias),
            recurrent: panels(&mut block.recurrent, &mut block.recurrent_bias),
        });
        let recurrent = Recurrent {
            blocks: blocks.collect(),
            cell: self.cell,
        };
        Network {
            embedding,
            decoder: Decoder::Recurrent(recurrent),
            encoder: None,
            output,
            output_scale: 1.0,
        }
    }
}

/// Reads the `config.json` of a recurrent model that fragua wrote.
pub(super) fn config(fields: &Fields) -> Result<ModelConfig, ModelError> {
    let cell = match fields.text("cell")?.as_str() {
        "lstm" => Cell::Lstm,
        "gru" => Cell::Gru,
        other => return Err(fields.error(format!("`cell` is `{other}`, not lstm or gru"))),
    };
    let width = fields.count("hidden_size")?;
    Ok(ModelConfig {
        layout: Layout::Rnn(cell),
        vocab_size: fields.count("vocab_size")?,
        layers: fields.count("num_hidden_layers")?,
        heads: 1,
        kv_heads: 1,
        head_width: width,
        width,
        mlp_width: cell.gates() * width,
        context: fields.count("max_position_embeddings")?,
        dropout: fields.float_or("dropout", 0.0)?,
        tied_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        special: fields.special()?,
    })
}

/// Writes what is particular to recurrent models.
pub(super) fn to_json(config: &ModelConfig, cell: Cell) -> Map<String, Value> {
    let Value::Object(object) = json!({
        "model_type": "rnn",
        "cell": match cell {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        },
        "dropout": config.dropout,
        "hidden_size": config.width,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
    }) else {
        unreachable!("an object was written")
    };
    object
}
