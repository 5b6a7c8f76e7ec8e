//! What the forward pass of a training keeps for the backward pass: the inputs of each fused operation
//! that its derivative needs (see `kernels/`), each once however many operations share it.

use crate::models::falcon::Blocks;
use crate::models::{Layout, ModelConfig};

/// Numbers that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub name: &'static str,
    /// How often: once a block.
    pub times: u64,
    /// Numbers each time.
    pub each: u64,
}

impl Saved {
    pub fn count(&self) -> u64 {
        self.times.saturating_mul(self.each)
    }
}

/// What one side of a model reads: an encoder or a decoder.
struct Side<'a> {
    config: &'a ModelConfig,
    blocks: u64,
    /// Tokens of all sequences together.
    rows: u64,
    saved: Vec<Saved>,
}

impl Side<'_> {
    /// `columns` for each row, in each block.
    fn keep(&mut self, name: &'static str, columns: usize) {
        let each = self.rows.saturating_mul(columns as u64);
        self.numbers(name, each);
    }

    fn numbers(&mut self, name: &'static str, each: u64) {
        match self.saved.iter_mut().find(|saved| saved.name == name) {
            Some(saved) => saved.each = saved.each.saturating_add(each),
            None => self.saved.push(Saved {
                name,
                times: self.blocks,
                each,
            }),
        }
    }

    /// Self-attention whose scores are never there all at once.
    fn attention(&mut self) {
        let heads = self.config.attention_heads();
        self.keep("queries, keys, values", heads.packed());
        self.keep("attention's result", heads.query * heads.width);
    }

    /// The inputs of a norm and of the products after it.
    fn norm(&mut self) {
        self.keep("inputs of norms", self.config.width);
        self.keep("inputs of products", self.config.width);
    }

    /// Weights that are put side by side for one product.
    fn joined(&mut self, columns: usize) {
        self.numbers("joined weights", (columns * self.config.width) as u64);
    }
}

/// All that is kept of sequences of `rows` tokens together, and of `source` tokens that an encoder reads,
/// by purpose.
pub(super) fn saved(config: &ModelConfig, rows: u64, source: u64) -> Vec<Saved> {
    let new = |blocks: usize, rows: u64| Side {
        config,
        blocks: blocks as u64,
        rows,
        saved: Vec::new(),
    };
    let mut side = new(config.layers, rows);
    let (mlp, heads) = (config.mlp_width, config.attention_heads());
    match config.layout {
        Layout::Gpt2 => {
            side.norm();
            side.attention();
            side.norm();
            side.keep("mlp", 2 * mlp);
        }
        Layout::Llama(_) => {
            side.norm();
            side.joined(heads.packed());
            side.attention();
            side.norm();
            side.joined(2 * mlp);
            side.keep("mlp", 3 * mlp);
        }
        Layout::Palm => {
            side.norm();
            side.joined(heads.packed());
            side.attention();
            side.joined(2 * mlp);
            side.keep("mlp", 3 * mlp);
        }
        Layout::Falcon(layout) => {
            side.norm();
            side.attention();
            if layout.blocks != Blocks::Parallel {
                side.norm();
            }
            side.keep("mlp", 2 * mlp);
        }
        Layout::T5(_) | Layout::Transformer(_) => {
            let gated = matches!(config.layout, Layout::T5(layout) if layout.gated);
            let inner = if gated { 4 * mlp } else { 2 * mlp };
            let mut encoder = new(config.layers, source);
            side = new(config.decoder_layers(), rows);
            for side in [&mut encoder, &mut side] {
                side.norm();
                side.joined(heads.packed());
                side.attention();
                side.norm();
                side.keep("mlp", inner);
            }
            side.norm();
            side.keep("cross-attention", 2 * heads.query * heads.width);
            let keys = source.saturating_mul(2 * (heads.key_value * heads.width) as u64);
            side.numbers("keys and values of sources", keys);
            return [encoder, side].into_iter().flat_map(|side| side.saved).collect();
        }
        Layout::Rnn(cell) => {
            side.keep("inputs of layers", config.width);
            side.keep("gates and states", (cell.gates() + 1) * config.width);
        }
    }
    side.saved
}
