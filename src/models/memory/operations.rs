//! What the operations of a training hold: what each keeps going forward for the way back, and what it
//! works in going back (see `kernels/`).

use super::held::{Held, bytes_of};
use crate::kernels::Precision;
use crate::models::falcon::Blocks;
use crate::models::{Layout, ModelConfig};

/// How operations compute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Of products.
    pub precision: Precision,
    /// Whether pairs beside the weights are learned, and the weights held fast.
    pub pairs: bool,
    /// Whether dropout takes part.
    pub dropout: bool,
}

/// An operation of a forward pass, as the backward pass meets it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub name: &'static str,
    /// The block that it is part of, those of an encoder first; none outside of blocks.
    pub block: Option<u64>,
    /// What is kept. What two operations share is the first one's.
    pub kept: Vec<Held>,
    /// Numbers of what goes in from the operation before.
    pub input: u64,
    /// Numbers of its weights, and so of their gradients.
    pub weights: u64,
    /// What it works in going back besides what it keeps and the gradients of its weights.
    pub works: Vec<Held>,
    /// What it holds going forward when nothing is kept, in bytes.
    pub passing: u64,
}

/// One side of a model on its rows: an encoder or a decoder.
#[derive(Clone, Copy)]
struct Side<'a> {
    config: &'a ModelConfig,
    manner: Manner,
    rows: u64,
    /// Tokens of a sequence.
    length: u64,
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

    /// Numbers of the weights of attention, and of the products around an activation.
    fn attention(self) -> u64 {
        (self.packed + self.inside).saturating_mul(self.width)
    }

    fn products(self) -> u64 {
        (self.gates + 1).saturating_mul(self.mlp).saturating_mul(self.width)
    }
}

/// What is gone through: so many sequences, their tokens in the decoder, and in the encoder if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub sequences: u64,
    pub length: u64,
    pub source: u64,
}

impl Batch {
    pub fn rows(self) -> u64 {
        self.sequences.saturating_mul(self.length)
    }
}

/// All operations between the embedding and the output layer, in the order of the forward pass.
pub(super) fn operations(config: &ModelConfig, batch: Batch, manner: Manner) -> Vec<Operation> {
    let layers = config.layers as u64;
    let mut list = Vec::new();
    let side = Side {
        config,
        manner,
        rows: batch.rows(),
        length: batch.length,
        source: 0,
        before: 0,
        blocks: layers,
    };
    if config.architecture().encodes() {
        let source = batch.sequences.saturating_mul(batch.source);
        let encoder = Side {
            rows: source,
            length: batch.source,
            ..side
        };
        encoder.add_to(&mut list);
        let decoder = Side {
            source,
            before: layers,
            blocks: config.decoder_layers() as u64,
            ..side
        };
        decoder.add_to(&mut list);
    } else {
        side.add_to(&mut list);
    }
    list
}

// names of what is held, where several operations hold it
const INPUTS: &str = "inputs";
const NORMAL: &str = "normal forms";
const SUMS: &str = "sums of rows";
const JOINED: &str = "joined weights";
const OF_ROWS: &str = "gradients of rows";
const ROUNDED: &str = "rounded factors";
const PACKED: &str = "weights for products";
const MERGED: &str = "weights with pairs";

impl Side<'_> {
    fn add_to(&self, list: &mut Vec<Operation>) {
        for block in 0..self.blocks {
            let first = list.len();
            self.block(list);
            for operation in &mut list[first..] {
                operation.block = Some(self.before + block);
                // the gradient of what an encoder read is added up meanwhile
                let of_source = self.source.saturating_mul(self.config.width as u64);
                operation.works.push(Held::single("gradients of sources", of_source));
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

    fn single(&self, name: &'static str, columns: u64) -> Held {
        Held::single(name, self.each(columns))
    }

    /// In the precision of products.
    fn factor(&self, name: &'static str, columns: u64) -> Held {
        Held::factor(name, self.each(columns), self.manner.precision)
    }

    /// Weights in the order and the precision in which products read them.
    fn packed(&self, weights: u64) -> Held {
        Held::factor(PACKED, weights, self.manner.precision)
    }

    /// A copy of weights with what pairs add to them, if there are any.
    fn merged(&self, weights: u64) -> Held {
        Held::single(MERGED, if self.manner.pairs { weights } else { 0 })
    }

    /// Rows that gradients of weights are sums over, in a copy that is rounded. Those of pairs are summed
    /// in f32.
    fn rounded(&self, columns: u64) -> Held {
        let rounds = self.manner.precision != Precision::F32 && !self.manner.pairs;
        self.factor(ROUNDED, if rounds { columns } else { 0 })
    }

    /// The same where f32 needs room of its own as well.
    fn summed(&self, name: &'static str, columns: u64) -> Held {
        match self.manner.pairs {
            true => self.single(name, columns),
            false => self.factor(name, columns),
        }
    }

    /// What of a half's input its first product reads: written again, unless that is the input itself.
    fn normal(&self) -> Held {
        let before = !matches!(self.config.layout, Layout::Transformer(layout) if !layout.pre_norm);
        let rounds = self.manner.precision != Precision::F32 && !self.manner.pairs;
        self.summed(NORMAL, if before || rounds { self.config.width as u64 } else { 0 })
    }

    /// Columns of gradients that dropout has changed: in bf16 those that are rounded anyway.
    fn dropped(&self) -> Held {
        let own = self.manner.dropout && (self.manner.precision == Precision::F32 || self.manner.pairs);
        self.single(OF_ROWS, if own { self.config.width as u64 } else { 0 })
    }

    fn operation(&self, name: &'static str, kept: Vec<Held>, weights: u64, works: Vec<Held>) -> Operation {
        let input = self.each(self.config.width as u64);
        // without a way back: what would be kept, the result, the weights as products read them
        let ahead = Held::single(INPUTS, input.saturating_add(weights));
        let copied = if self.manner.pairs { weights } else { 0 };
        Operation {
            name,
            block: None,
            input,
            weights,
            passing: bytes_of(&kept)
                .saturating_add(ahead.bytes())
                .saturating_add(Held::single(MERGED, copied).bytes()),
            kept,
            works,
        }
    }

    fn norm(&self) -> Operation {
        let width = self.config.width as u64;
        self.operation(
            "norm",
            vec![self.single(INPUTS, width), self.single(SUMS, 2)],
            2 * width,
            vec![self.single(OF_ROWS, width)],
        )
    }

    /// What attention to all positions keeps, after a norm.
    fn attended(&self) -> Vec<Held> {
        let Widths {
            width,
            packed,
            inside,
            heads,
            ..
        } = Widths::of(self.config);
        vec![
            self.single(INPUTS, width),
            self.single("queries, keys, values", packed),
            self.single("attention's result", inside),
            self.single(SUMS, 2 * heads + 2),
        ]
    }

    /// Attention of sequences to themselves in one operation, with its norm and both products.
    fn fused_attention(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths {
            width,
            packed,
            inside,
            heads,
            ..
        } = widths;
        // each sequence adds up the gradients of its own relative positions
        let relative = match self.config.layout {
            Layout::T5(_) => heads * (2 * self.length).saturating_sub(1) / self.length.max(1),
            _ => 0,
        };
        let (of_inner, of_outer) = (packed * width, inside * width);
        // the merged inner weights are gone before the gradients of the input and normal forms are there
        let passing = of_inner.saturating_sub(self.each(2 * width));
        let works = vec![
            // of the result and the input, of attention's result, of queries, keys and values
            self.single(OF_ROWS, 2 * width + inside + packed),
            self.dropped(),
            self.single("gradients of positions", relative),
            self.normal(),
            self.rounded(inside + width + packed),
            self.packed(of_inner + of_outer),
            self.merged(of_outer + passing),
        ];
        self.operation("attention", self.attended(), widths.attention(), works)
    }

    /// The products and what is between them in one operation, with its norm.
    fn fused_mlp(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths { width, mlp, gates, .. } = widths;
        let kept = vec![
            self.single(INPUTS, width),
            self.factor("mlp", gates * mlp),
            self.single(SUMS, 2),
        ];
        // gradients of what goes into the activation take its place, unless they have another size
        let inside = match (self.manner.precision, self.manner.pairs) {
            (Precision::F32, _) => self.single(OF_ROWS, 0),
            (Precision::Bf16, true) => self.single(OF_ROWS, gates * mlp),
            (Precision::Bf16, false) => self.rounded(gates * mlp),
        };
        let works = vec![
            self.single(OF_ROWS, 2 * width),
            inside,
            self.dropped(),
            self.summed("activations made again", mlp),
            self.normal(),
            self.rounded(width),
            self.packed(widths.products()),
            self.merged(mlp * width),
        ];
        let mut operation = self.operation("mlp", kept, widths.products(), works);
        // chunk by chunk where nothing is kept
        operation.passing = Held::single(INPUTS, 2 * operation.input + widths.products()).bytes()
            + self.merged(widths.products()).bytes();
        operation
    }

    /// Attention to what an encoder read, each step an operation of its own.
    fn cross(&self) -> Operation {
        let widths = Widths::of(self.config);
        let Widths {
            width,
            inside,
            keys_values,
            heads,
            ..
        } = widths;
        let of_source = self.source.saturating_mul(keys_values);
        // with pairs each is a product of its own
        let joined = if self.manner.pairs { 0 } else { keys_values * width };
        let kept = vec![
            self.single(INPUTS, width),
            self.single(NORMAL, width),
            self.single("queries", inside),
            self.single("attention's result", inside),
            self.single(SUMS, 2 * heads + 2),
            Held::single("keys and values of sources", of_source),
            Held::single(JOINED, joined),
        ];
        let works = vec![
            self.single(OF_ROWS, 2 * width + 2 * inside),
            Held::single(
                "gradients of sources",
                of_source.saturating_add(self.source.saturating_mul(width)),
            ),
            self.rounded(inside + width),
            self.packed(keys_values * width),
            self.merged(keys_values * width),
        ];
        self.operation("cross-attention", kept, widths.attention(), works)
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
        let joins = joins && !self.manner.pairs;
        let joined = |weights: u64| Held::single(JOINED, if joins { weights } else { 0 });
        let mut kept = self.attended();
        kept.extend([self.single(NORMAL, width), joined(packed * width)]);
        // a product turns its weight on the way back
        let works = vec![
            self.single(OF_ROWS, 3 * width + inside + packed),
            self.rounded(packed + width),
            self.packed(packed * width),
            self.merged(packed * width),
        ];
        list.push(self.operation("attention", kept, widths.attention(), works));
        let second = if norms == 2 { width } else { 0 };
        let kept = vec![
            self.single(INPUTS, second),
            self.single(NORMAL, second),
            self.single("mlp", (gates + 1) * mlp),
            joined(gates * mlp * width),
        ];
        let works = vec![
            self.single(OF_ROWS, 3 * width + (gates + 1) * mlp),
            self.rounded(gates * mlp + width),
            self.packed(gates * mlp * width),
            self.merged(gates * mlp * width),
        ];
        list.push(self.operation("mlp", kept, widths.products(), works));
    }

    /// A recurrent layer: the product of its input, and the steps in one operation. Gates take the place of
    /// the product, and their gradients theirs.
    fn recurrent(&self, gates: u64) -> Operation {
        let width = self.config.width as u64;
        let kept = vec![
            self.single(INPUTS, width),
            self.single("gates", gates * width),
            self.single("states", width),
        ];
        let each = gates * width * width;
        let works = vec![
            // of the result, then the states before each token; the layer's own output
            self.single(OF_ROWS, width),
            self.single("outputs", width),
            self.rounded((gates + 1) * width),
            self.packed(each),
        ];
        self.operation("recurrent layer", kept, 2 * each, works)
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
            Layout::Rnn(cell) => list.push(self.recurrent(cell.gates() as u64)),
        }
    }
}
