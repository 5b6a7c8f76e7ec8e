//! What the operations of a training hold: numbers that each keeps going forward for the way back, and
//! what it works in going back (see `kernels/`).

use crate::models::falcon::Blocks;
use crate::models::{Layout, ModelConfig};

/// An operation of a forward pass, as the backward pass meets it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub name: &'static str,
    /// The block that it is part of, those of an encoder first; none outside of blocks.
    pub block: Option<u64>,
    /// Numbers that are kept, by what they are. What two operations share is the first one's.
    pub kept: Vec<(&'static str, u64)>,
    /// Numbers of what goes in from the operation before.
    pub input: u64,
    /// Numbers of its weights, and so of their gradients.
    pub weights: u64,
    /// Numbers that it works in going back besides these: gradients of what goes in and out, what it
    /// makes again, weights in the order in which products read them.
    pub works: u64,
}

impl Operation {
    pub fn kept(&self) -> u64 {
        self.kept
            .iter()
            .map(|(_, numbers)| *numbers)
            .fold(0, u64::saturating_add)
    }
}

/// One side of a model on its rows: an encoder or a decoder.
struct Side<'a> {
    config: &'a ModelConfig,
    rows: u64,
    /// Rows of what an encoder read, and attention to it: in a decoder after one.
    source: u64,
    /// The number of blocks before this side.
    before: u64,
    blocks: u64,
}

/// The widths that operations come in.
#[derive(Clone, Copy)]
struct Widths {
    width: u64,
    mlp: u64,
    /// Products side by side into the activation: two where one gates.
    gates: u64,
    /// Of queries, keys and values together, of queries, and of keys and values.
    packed: u64,
    inside: u64,
    keys_values: u64,
    heads: u64,
}

impl Widths {
    fn of(config: &ModelConfig) -> Self {
        let heads = config.attention_heads();
        let gated = match config.layout {
            Layout::Llama(_) | Layout::Palm => true,
            Layout::T5(layout) => layout.gated,
            _ => false,
        };
        Self {
            width: config.width as u64,
            mlp: config.mlp_width as u64,
            gates: 1 + u64::from(gated),
            packed: heads.packed() as u64,
            inside: (heads.query * heads.width) as u64,
            keys_values: (2 * heads.key_value * heads.width) as u64,
            heads: heads.query as u64,
        }
    }

    fn attention(self) -> u64 {
        (self.packed + self.inside) * self.width
    }

    fn products(self) -> u64 {
        (self.gates + 1) * self.mlp * self.width
    }
}

/// All operations between the embedding and the output layer, in the order of the forward pass, for
/// `rows` tokens, and `source` tokens that an encoder reads.
pub(super) fn operations(config: &ModelConfig, rows: u64, source: u64) -> Vec<Operation> {
    let layers = config.layers as u64;
    let mut list = Vec::new();
    if config.architecture().encodes() {
        let encoder = Side {
            config,
            rows: source,
            source: 0,
            before: 0,
            blocks: layers,
        };
        encoder.add_to(&mut list);
        let decoder = Side {
            rows,
            source,
            before: layers,
            blocks: config.decoder_layers() as u64,
            ..encoder
        };
        decoder.add_to(&mut list);
    } else {
        let side = Side {
            config,
            rows,
            source: 0,
            before: 0,
            blocks: layers,
        };
        side.add_to(&mut list);
    }
    list
}

impl Side<'_> {
    fn add_to(&self, list: &mut Vec<Operation>) {
        for block in 0..self.blocks {
            let first = list.len();
            self.block(list);
            for operation in &mut list[first..] {
                operation.block = Some(self.before + block);
                // the gradient of what an encoder read is added up meanwhile
                let of_source = self.source.saturating_mul(self.config.width as u64);
                operation.works = operation.works.saturating_add(of_source);
            }
        }
        let normed = match self.config.layout {
            Layout::Transformer(layout) => layout.pre_norm,
            Layout::Rnn(_) => false,
            _ => true,
        };
        if normed {
            list.push(self.norm());
        }
    }

    /// `columns` for each row.
    fn each(&self, columns: u64) -> u64 {
        self.rows.saturating_mul(columns)
    }

    fn operation(&self, name: &'static str, kept: &[(&'static str, u64)], weights: u64, works: u64) -> Operation {
        Operation {
            name,
            block: None,
            kept: kept
                .iter()
                .map(|(what, columns)| (*what, self.each(*columns)))
                .collect(),
            input: self.each(self.config.width as u64),
            weights,
            works,
        }
    }

    fn norm(&self) -> Operation {
        let width = self.config.width as u64;
        self.operation("norm", &[("inputs", width)], 2 * width, self.each(width))
    }

    /// Attention of sequences to themselves in one operation, with its norm and both products.
    fn fused_attention(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths {
            width, packed, inside, ..
        } = widths;
        let kept = [
            ("inputs", width),
            ("queries, keys, values", packed),
            ("attention's result", inside),
            ("sums of rows", 2 * widths.heads + 2),
        ];
        // gradients of input and output, of what is kept, the norm's result, and dropout's
        let works = self.each(3 * width + inside + packed + self.dropped());
        let weights = widths.attention();
        self.operation("attention", &kept, weights, works.saturating_add(weights))
    }

    /// The products and what is between them in one operation, with its norm.
    fn fused_mlp(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths { width, mlp, gates, .. } = widths;
        let kept = [("inputs", width), ("mlp", gates * mlp), ("sums of rows", 2)];
        let works = self.each(3 * width + mlp + self.dropped());
        let weights = widths.products();
        self.operation("mlp", &kept, weights, works.saturating_add(weights))
    }

    /// Columns of gradients that dropout has changed.
    fn dropped(&self) -> u64 {
        if self.config.dropout > 0.0 {
            self.config.width as u64
        } else {
            0
        }
    }

    /// Attention to what an encoder read, each step an operation of its own.
    fn cross(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths {
            width,
            inside,
            keys_values,
            ..
        } = widths;
        let kept = [
            ("inputs", width),
            ("normal forms", width),
            ("queries", inside),
            ("attention's result", inside),
            ("sums of rows", 2 * widths.heads + 2),
        ];
        let of_source = self.source.saturating_mul(keys_values);
        let joined = keys_values * width;
        let works = self.each(2 * width + 2 * inside);
        let works = works
            .saturating_add(of_source)
            .saturating_add(self.source.saturating_mul(width));
        let mut operation = self.operation("cross-attention", &kept, widths.attention(), works + joined);
        operation.kept.push(("keys and values of sources", of_source));
        operation.kept.push(("joined weights", joined));
        operation
    }

    /// Attention and MLP of a norm's result, side by side or one after another, each step an operation of
    /// its own.
    fn steps(&self, list: &mut Vec<Operation>, norms: u64, joins: bool) {
        let widths = Widths::of(self.config);
        let Widths {
            width,
            mlp,
            gates,
            packed,
            inside,
            ..
        } = widths;
        let kept = [
            ("inputs", width),
            ("normal forms", width),
            ("queries, keys, values", packed),
            ("attention's result", inside),
            ("sums of rows", 2 * widths.heads + 2),
        ];
        let works = self.each(3 * width + inside + packed);
        let mut attention = self.operation("attention", &kept, widths.attention(), works);
        let second = if norms == 2 { width } else { 0 };
        let kept = [("inputs", second), ("normal forms", second), ("mlp", (gates + 1) * mlp)];
        let works = self.each(3 * width + (gates + 1) * mlp);
        let mut inner = self.operation("mlp", &kept, widths.products(), works);
        if joins {
            attention.kept.push(("joined weights", packed * width));
            inner.kept.push(("joined weights", gates * mlp * width));
        }
        // a product turns its weight on the way back
        attention.works = attention.works.saturating_add(packed * width);
        inner.works = inner.works.saturating_add(gates * mlp * width);
        list.extend([attention, inner]);
    }

    fn block(&self, list: &mut Vec<Operation>) {
        match self.config.layout {
            Layout::Gpt2 | Layout::Llama(_) => list.extend([self.fused_attention(), self.fused_mlp()]),
            Layout::T5(_) | Layout::Transformer(_) => {
                let after = matches!(self.config.layout, Layout::Transformer(layout) if !layout.pre_norm);
                let attends = (self.source > 0).then(|| self.cross());
                for operation in [Some(self.fused_attention()), attends, Some(self.fused_mlp())] {
                    list.extend(operation.clone());
                    list.extend(operation.filter(|_| after).map(|_| self.norm()));
                }
            }
            Layout::Palm => self.steps(list, 1, true),
            Layout::Falcon(layout) => self.steps(list, if layout.blocks == Blocks::Parallel { 1 } else { 2 }, false),
            Layout::Rnn(cell) => {
                let (width, gates) = (self.config.width as u64, cell.gates() as u64);
                let kept = [("inputs", width), ("gates and states", (gates + 1) * width)];
                let works = self.each(4 * width + 2 * gates * width);
                let weights = 2 * gates * width * width;
                list.push(self.operation("recurrent layer", &kept, weights, works + weights / 2));
            }
        }
    }
}
