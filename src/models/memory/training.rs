//! The most memory that training a model on the CPU holds at once.

use super::generation::{FLOAT, bytes, grouped, process, times};
use super::operations::{Operation, operations};
use super::parameters::{Group, parameters};
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
    /// Whether the best weights are kept besides the current ones.
    pub keeps_best: bool,
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
/// Tokens that an evaluation computes at once.
const EVALUATED: u64 = 4096;

/// Pages that the allocator keeps for blocks of each size, whatever the model.
const PAGES: u64 = 30_000_000;
/// Blocks that come and go leave gaps between them, a share of what they are: measured, from 10 million
/// to 600 million bytes of them.
const GAPS: [u64; 2] = [17, 100];

/// What is held at one moment, in numbers.
struct Moment {
    name: String,
    gradients: u64,
    /// Kept for the backward pass, by what it is.
    activations: Vec<Kept>,
    workspace: u64,
}

/// Numbers that several operations keep alike.
struct Kept {
    name: &'static str,
    times: u64,
    each: u64,
}

impl Moment {
    fn activations(&self) -> u64 {
        sum(self.activations.iter().map(|kept| kept.times.saturating_mul(kept.each)))
    }

    fn total(&self) -> u64 {
        sum([self.gradients, self.activations(), self.workspace])
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
    if shape.keeps_best {
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
    let kept = learned.saturating_mul(u64::from(shape.keeps_best));
    let weights = bytes(sum([count, shape.pairs.unwrap_or(0), kept]));
    let of_pairs = if shape.pairs.is_some() { " of a pair" } else { "" };
    let twice = if shape.keeps_best && shape.pairs.is_none() {
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
            largest_bytes: bytes(largest(|moment| moment.gradients)),
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
            bytes: bytes(peak.activations()),
            largest_bytes: bytes(largest(Moment::activations)),
            about: format!("{sequences} × {length} tokens: what the backward pass needs{again}"),
            parts: peak.activations.iter().map(part).collect(),
        },
        Term {
            name: "workspace",
            bytes: bytes(peak.workspace),
            largest_bytes: bytes(largest(|moment| moment.workspace)),
            about: "what operations work in: results, weights as products read them, logits".into(),
            parts: Vec::new(),
        },
    ];
    let gaps = bytes(peak.total()).saturating_mul(GAPS[0]) / GAPS[1];
    terms.push(fixed(
        "allocator",
        PAGES.saturating_add(gaps),
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

fn part(kept: &Kept) -> Part {
    Part {
        name: kept.name.into(),
        bytes: bytes(kept.times.saturating_mul(kept.each)),
        about: times(kept.times, kept.each, "numbers"),
    }
}

/// The moments among which the largest is found: the loss, each operation's way back, a validation; so many
/// numbers are learned.
fn moments(config: &ModelConfig, shape: &Shape, count: u64) -> Vec<Moment> {
    let (width, vocabulary) = (config.width as u64, config.vocab_size as u64);
    let rows = shape.sequences.saturating_mul(shape.length);
    let source = shape.sequences.saturating_mul(shape.source);
    let list = operations(config, rows, source);
    let stream = rows.saturating_mul(width);
    let table = vocabulary.saturating_mul(width);
    let sums = if shape.accumulates { count } else { 0 };

    // a table that is held fast gets no gradient
    let of_table = if shape.pairs.is_some() { 0 } else { table };
    // the loss makes the gradients of its inputs going forward, from a piece of the logits at a time
    let mut moments = vec![Moment {
        name: "while the loss is computed".into(),
        gradients: sums.saturating_add(of_table),
        activations: kept(&list, None, shape.recomputes),
        workspace: sum([stream, stream, table, logits(rows, vocabulary)]),
    }];
    let mut gradients = sums.saturating_add(of_table);
    for (index, operation) in list.iter().enumerate().rev() {
        gradients = gradients.saturating_add(operation.weights);
        moments.push(Moment {
            name: match operation.block {
                Some(block) => format!("going back through the {} of block {}", operation.name, block + 1),
                None => format!("going back through the last {}", operation.name),
            },
            gradients: gradients.min(sums.saturating_add(count)),
            activations: kept(&list[..=index], operation.block, shape.recomputes),
            // weights and their pairs are merged for products
            workspace: sum([
                operation.works,
                if shape.pairs.is_some() { operation.weights } else { 0 },
            ]),
        });
    }
    // gradients of tables of positions, and of an embedding with a table of its own
    moments.push(Moment {
        name: "at the end of the backward pass".into(),
        gradients: sums.saturating_add(count),
        activations: Vec::new(),
        workspace: stream,
    });
    if shape.keeps_best {
        let rows = EVALUATED.max(shape.length).max(shape.source);
        let widest = operations(config, rows, rows).iter().map(forward).max().unwrap_or(0);
        let last = sum([rows.saturating_mul(width), table, logits(rows, vocabulary)]);
        moments.push(Moment {
            name: "while validating".into(),
            gradients: 0,
            activations: Vec::new(),
            workspace: widest.max(last),
        });
    }
    moments
}

fn logits(rows: u64, vocabulary: u64) -> u64 {
    let at_once = (LOGITS / vocabulary.max(1)).max(LEAST).min(rows);
    at_once.saturating_mul(vocabulary)
}

/// What an operation has going forward when nothing is kept: what would be, its result, its weights in
/// the order in which products read them.
fn forward(operation: &Operation) -> u64 {
    sum([operation.kept(), operation.input, operation.weights])
}

/// What these operations keep while the way back goes through a block, or through none. Where blocks
/// are made again, of the others their inputs alone.
fn kept(list: &[Operation], here: Option<u64>, recomputes: bool) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    let mut add =
        |name: &'static str, each: u64| match all.iter_mut().find(|kept| (kept.name, kept.each) == (name, each)) {
            Some(kept) => kept.times += 1,
            None if each > 0 => all.push(Kept { name, times: 1, each }),
            None => (),
        };
    let mut last = None;
    for operation in list {
        let again = recomputes && operation.block.is_some() && operation.block != here;
        if !again {
            operation.kept.iter().for_each(|(name, numbers)| add(name, *numbers));
        } else if operation.block != last {
            add("inputs of blocks", operation.input);
        }
        last = operation.block;
    }
    all
}
