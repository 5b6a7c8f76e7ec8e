//! The most memory that training a model on the CPU holds at once.

use super::generation::{FLOAT, bytes, grouped, process, times};
use super::held::{Held, bytes_of, collected};
use super::operations::{Batch, Manner, Operation, operations};
use super::parameters::{Group, parameters};
use crate::kernels::Precision;
use crate::models::ModelConfig;
use crate::step::{Memory, Part, Term};

/// A micro-batch, and what is held for all of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences of a micro-batch.
    pub sequences: u64,
    /// Tokens of each; of a model with an encoder, those of its decoder.
    pub length: u64,
    /// Tokens of each that the encoder reads.
    pub source: u64,
    /// Whether an update adds up several micro-batches.
    pub accumulates: bool,
    /// Tokens of a validation that are computed at once. With one, the best weights are kept besides the
    /// current ones.
    pub validates: Option<u64>,
    /// In which products are computed.
    pub precision: Precision,
    /// Whether each block's activations are made again going backward.
    pub recomputes: bool,
    /// Numbers of the low-rank pairs that are learned, where all else is held fast.
    pub pairs: Option<u64>,
    /// Threads.
    pub threads: u64,
}

/// Logits that the loss has at once, unless a few rows are more.
const LOGITS: u64 = 1 << 20;
/// Rows of logits that the loss has at once at least.
const LEAST: u64 = 256;
/// Pages that the allocator keeps for blocks of each size, at most.
const PAGES: u64 = 30_000_000;
/// Blocks that come and go leave gaps between them, a share of what they are: measured, from 10 million
/// to 600 million bytes of them.
const GAPS: [u64; 2] = [17, 100];

/// What is held at one moment.
struct Moment {
    name: String,
    /// Numbers of gradients.
    gradients: u64,
    /// Kept for the backward pass.
    activations: Vec<Held>,
    workspace: Vec<Held>,
}

impl Moment {
    fn activations(&self) -> u64 {
        bytes_of(&self.activations)
    }

    fn workspace(&self) -> u64 {
        bytes_of(&self.workspace)
    }

    fn total(&self) -> u64 {
        sum([bytes(self.gradients), self.activations(), self.workspace()])
    }
}

fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

/// What training a model takes.
pub fn training(config: &ModelConfig, shape: &Shape) -> Memory {
    let groups = parameters(config);
    let count = sum(groups.iter().map(Group::count));
    let learned = shape.pairs.unwrap_or(count);
    let moments = moments(config, shape, learned);
    let largest = |of: fn(&Moment) -> u64| moments.iter().map(of).max().unwrap_or(0);
    let peak = moments.iter().max_by_key(|moment| moment.total());
    let peak = peak.expect("a training has moments");

    let mut weight_parts: Vec<Part> = groups
        .iter()
        .map(|group| Part {
            name: group.name.into(),
            bytes: bytes(group.count()),
            about: times(group.times, group.each, "parameters"),
        })
        .collect();
    if shape.validates.is_some() {
        weight_parts.push(Part {
            name: "best weights".into(),
            bytes: bytes(learned),
            about: "a copy of those with the lowest validation loss so far".into(),
        });
    }
    if let Some(pairs) = shape.pairs {
        weight_parts.push(Part {
            name: "low-rank pairs".into(),
            bytes: bytes(pairs),
            about: times(1, pairs, "parameters, which alone are learned"),
        });
    }
    let kept = learned.saturating_mul(u64::from(shape.validates.is_some()));
    let weights = bytes(sum([count, shape.pairs.unwrap_or(0), kept]));
    let of_pairs = if shape.pairs.is_some() { " of a pair" } else { "" };
    let twice = if shape.validates.is_some() && shape.pairs.is_none() {
        ", twice: now and at their best"
    } else {
        ""
    };
    let summed = if shape.accumulates {
        ", and the sum over micro-batches"
    } else {
        ""
    };
    let again = if shape.recomputes {
        ", of one block at a time, and what goes into each"
    } else {
        ""
    };
    let (sequences, length) = (grouped(shape.sequences), grouped(shape.length));
    let fixed = |name, bytes, about, parts| Term {
        name,
        bytes,
        largest_bytes: bytes,
        about,
        parts,
    };
    let mut terms = vec![
        fixed(
            "weights",
            weights,
            format!("{} parameters of {FLOAT} bytes{twice}", grouped(count)),
            weight_parts,
        ),
        Term {
            name: "gradients",
            bytes: bytes(peak.gradients),
            largest_bytes: largest(|moment| bytes(moment.gradients)),
            about: format!("one number a parameter{of_pairs} at the end of the backward pass{summed}"),
            parts: Vec::new(),
        },
        fixed(
            "optimizer",
            bytes(learned).saturating_mul(2),
            "AdamW: the mean and the mean square of each gradient".into(),
            Vec::new(),
        ),
        Term {
            name: "activations",
            bytes: peak.activations(),
            largest_bytes: largest(Moment::activations),
            about: format!("{sequences} × {length} tokens: what the backward pass needs{again}"),
            parts: peak.activations.iter().map(Part::from).collect(),
        },
        Term {
            name: "workspace",
            bytes: peak.workspace(),
            largest_bytes: largest(Moment::workspace),
            about: "what an operation works in, besides what it keeps and the gradients of its weights".into(),
            parts: peak.workspace.iter().map(Part::from).collect(),
        },
    ];
    let gaps = peak.total().saturating_mul(GAPS[0]) / GAPS[1];
    terms.push(fixed(
        "allocator",
        // no more is kept than came and went
        PAGES.min(peak.total()).saturating_add(gaps),
        "freed blocks that are kept for the next ones, and gaps between blocks".into(),
        Vec::new(),
    ));
    terms.push(process(shape.threads));
    Memory {
        peak_bytes: sum(terms.iter().map(|term| term.bytes)),
        moment: peak.name.clone(),
        parameters: count,
        terms,
    }
}

/// The moments among which the largest is found: the loss, each operation's way back, a validation; so many
/// numbers are learned.
fn moments(config: &ModelConfig, shape: &Shape, learned: u64) -> Vec<Moment> {
    let manner = Manner {
        precision: shape.precision,
        pairs: shape.pairs.is_some(),
        dropout: config.dropout > 0.0,
    };
    let batch = Batch {
        sequences: shape.sequences,
        length: shape.length,
        source: shape.source,
    };
    let list = operations(config, batch, manner);
    let table = (config.vocab_size as u64).saturating_mul(config.width as u64);
    let sums = if shape.accumulates { learned } else { 0 };
    // a table that is held fast gets no gradient
    let of_table = if manner.pairs { 0 } else { table };
    let stream = batch.rows().saturating_mul(config.width as u64);

    let mut gradients = sums.saturating_add(of_table);
    let mut moments = vec![Moment {
        name: "while the loss is computed".into(),
        gradients,
        activations: kept(&list, None, shape.recomputes),
        workspace: loss(config, batch.rows(), manner, true),
    }];
    for (index, operation) in list.iter().enumerate().rev() {
        if !manner.pairs {
            gradients = gradients.saturating_add(operation.weights);
        }
        moments.push(Moment {
            name: match operation.block {
                Some(block) => format!("going back through the {} of block {}", operation.name, block + 1),
                None => format!("going back through the last {}", operation.name),
            },
            gradients: match manner.pairs {
                true => sums.saturating_add(learned),
                false => gradients.min(sums.saturating_add(learned)),
            },
            activations: kept(&list[..=index], operation.block, shape.recomputes),
            workspace: collected(operation.works.iter().copied()),
        });
    }
    // gradients of tables of positions, and of an embedding with a table of its own
    moments.push(Moment {
        name: "at the end of the backward pass".into(),
        gradients: sums.saturating_add(learned),
        activations: Vec::new(),
        workspace: collected([Held::single("gradients of rows", stream)]),
    });
    moments.extend(shape.validates.map(|tokens| validation(config, shape, tokens, manner)));
    moments
}

/// A validation, of so many tokens at once: in f32, and nothing is kept.
fn validation(config: &ModelConfig, shape: &Shape, tokens: u64, manner: Manner) -> Moment {
    let manner = Manner {
        precision: Precision::F32,
        dropout: false,
        ..manner
    };
    let longest = shape.length.max(shape.source).max(1);
    let batch = Batch {
        sequences: (tokens / longest).max(1),
        length: shape.length,
        source: shape.source,
    };
    let widest = operations(config, batch, manner)
        .into_iter()
        .max_by_key(|operation| operation.passing);
    let passing = widest.map_or(0, |operation| operation.passing);
    let loss = loss(config, batch.rows(), manner, false);
    let workspace = if passing > bytes_of(&loss) {
        vec![Held::single("of an operation", passing / FLOAT)]
    } else {
        loss
    };
    Moment {
        name: "while validating".into(),
        gradients: 0,
        activations: Vec::new(),
        workspace,
    }
}

/// What the loss works in. With a way back it makes the gradients of its inputs going forward, from a piece
/// of the logits at a time.
fn loss(config: &ModelConfig, rows: u64, manner: Manner, back: bool) -> Vec<Held> {
    let (width, vocabulary) = (config.width as u64, config.vocab_size as u64);
    let at_once = (LOGITS / vocabulary.max(1)).max(LEAST).min(rows);
    let stream = rows.saturating_mul(width);
    let table = vocabulary.saturating_mul(width);
    let logits = at_once.saturating_mul(vocabulary);
    let (half, learns) = (manner.precision != Precision::F32, !manner.pairs);
    let factor = |name, count, holds: bool| Held::factor(name, if holds { count } else { 0 }, manner.precision);
    collected([
        Held::single("what goes in", stream),
        Held::single("gradients of rows", if back { stream } else { 0 }),
        Held::single("logits", logits),
        // f32 reads the table as it lies going back
        factor("table for products", table, true),
        factor("table for products", table, back && half),
        factor("rounded factors", logits, back && half && learns),
        factor("rounded factors", at_once.saturating_mul(width), back && half && learns),
    ])
}

/// What these operations keep while the way back goes through a block, or through none. Where blocks
/// are made again, of the others their inputs alone.
fn kept(list: &[Operation], here: Option<u64>, recomputes: bool) -> Vec<Held> {
    let mut last = None;
    let kept = list.iter().flat_map(|operation| {
        let again = recomputes && operation.block.is_some() && operation.block != here;
        let first = operation.block != last;
        last = operation.block;
        match again {
            true if first => vec![Held::single("inputs of blocks", operation.input)],
            true => Vec::new(),
            false => operation.kept.clone(),
        }
    });
    collected(kept)
}
