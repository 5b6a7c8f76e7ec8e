//! The most memory that training a model, or writing with it, holds at once.

use super::activations::{Saved, saved};
use super::parameters::parameters;
use crate::models::ModelConfig;
use crate::models::inference;
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
    /// Threads.
    pub threads: u64,
}

/// What a number takes.
const FLOAT: u64 = 4;
/// A process of fragua that has done nothing yet: its code, burn's tables, the allocator's first pages.
const PROCESS: u64 = 45_000_000;
/// A thread: its stack, its part of the allocator, what it packs matrices into.
const THREAD: u64 = 2_000_000;
/// Logits that the loss has at once, unless a few rows are more.
const LOGITS: u64 = 1 << 20;
/// Tokens that an evaluation computes at once.
const EVALUATED: usize = 4096;

fn bytes(numbers: u64) -> u64 {
    numbers.saturating_mul(FLOAT)
}

/// `10,795,776`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is held at one moment, by term: weights, gradients, optimizer, activations, workspace.
struct Moment {
    name: &'static str,
    held: [u64; 5],
}

const TERMS: [&str; 5] = ["weights", "gradients", "optimizer", "activations", "workspace"];

/// What training a model takes.
pub fn training(config: &ModelConfig, shape: &Shape) -> Memory {
    let groups = parameters(config);
    let count: u64 = groups.iter().map(super::Group::count).sum();
    let (width, vocabulary) = (config.width as u64, config.vocab_size as u64);
    let rows = shape.sequences.saturating_mul(shape.length);
    let stream = rows.saturating_mul(width);

    let weights = bytes(count).saturating_mul(1 + u64::from(shape.keeps_best));
    let sums = if shape.accumulates { bytes(count) } else { 0 };
    let optimizer = bytes(count).saturating_mul(2);
    let kept = activations(config, shape);
    let activation_bytes = bytes(kept.iter().map(Saved::count).fold(0, u64::saturating_add));
    // the loss makes the gradients of its inputs going forward, from a piece of the logits at a time
    let table = bytes(vocabulary.saturating_mul(width));
    let logits = bytes(
        LOGITS
            .max(vocabulary.saturating_mul(8))
            .min(rows.saturating_mul(vocabulary)),
    );
    let moments = [
        Moment {
            name: "at the end of the forward pass",
            held: [
                weights,
                sums.saturating_add(table),
                optimizer,
                activation_bytes,
                logits.saturating_add(bytes(stream)),
            ],
        },
        Moment {
            name: "at the end of the backward pass",
            held: [
                weights,
                bytes(count).saturating_add(sums),
                optimizer,
                bytes(stream),
                table,
            ],
        },
        Moment {
            name: "while validating",
            held: [weights, 0, optimizer, 0, validating(config)],
        },
    ];
    let total = |moment: &Moment| moment.held.iter().copied().fold(0, u64::saturating_add);
    let counted = if shape.keeps_best {
        moments.as_slice()
    } else {
        &moments[..2]
    };
    let peak = counted
        .iter()
        .max_by_key(|moment| total(moment))
        .expect("there are moments");
    let weight_parts = groups.iter().map(|group| Part {
        name: group.name.into(),
        bytes: bytes(group.count()),
        about: times(group.times, group.each, "parameters"),
    });
    let best = shape.keeps_best.then(|| Part {
        name: "best weights".into(),
        bytes: bytes(count),
        about: "a copy of those with the lowest validation loss so far".into(),
    });
    let tokens = format!("{} × {} tokens", grouped(shape.sequences), grouped(shape.length));
    let abouts = [
        format!(
            "{} parameters of {FLOAT} bytes{}",
            grouped(count),
            if shape.keeps_best {
                ", twice: now and at their best"
            } else {
                ""
            }
        ),
        format!(
            "one number a parameter{}",
            if shape.accumulates {
                ", and the sum over micro-batches"
            } else {
                ""
            }
        ),
        "AdamW: the mean and the mean square of each gradient".into(),
        format!(
            "{tokens}: what the backward pass needs{}",
            if shape.recomputes {
                ", a block at a time made again"
            } else {
                ""
            }
        ),
        "what an operation works in".into(),
    ];
    let parts = [
        weight_parts.chain(best).collect(),
        Vec::new(),
        Vec::new(),
        kept.iter().map(part).collect(),
        Vec::new(),
    ];
    let mut terms: Vec<Term> = Vec::new();
    for (index, (about, parts)) in abouts.into_iter().zip(parts).enumerate() {
        terms.push(Term {
            name: TERMS[index],
            bytes: peak.held[index],
            largest_bytes: counted.iter().map(|moment| moment.held[index]).max().unwrap_or(0),
            about,
            parts,
        });
    }
    terms.push(process(shape.threads));
    Memory {
        peak_bytes: terms.iter().map(|term| term.bytes).fold(0, u64::saturating_add),
        moment: peak.name,
        parameters: count,
        terms,
    }
}

/// What is kept for the backward pass.
fn activations(config: &ModelConfig, shape: &Shape) -> Vec<Saved> {
    let rows = shape.sequences.saturating_mul(shape.length);
    let source = shape.sequences.saturating_mul(shape.source);
    let each = rows.saturating_mul(config.width as u64);
    let mut kept = saved(config, rows, source);
    if shape.recomputes {
        // one block's, and the input of each
        let blocks = kept.iter().map(|saved| saved.times).max().unwrap_or(0);
        kept.iter_mut().for_each(|saved| saved.times = saved.times.min(1));
        kept.push(Saved {
            name: "inputs of blocks",
            times: blocks,
            each,
        });
    }
    kept.push(Saved {
        name: "after the last block",
        times: 2,
        each,
    });
    kept
}

/// The widest moment of a forward pass that keeps nothing, over the tokens that an evaluation takes at
/// once.
fn validating(config: &ModelConfig) -> u64 {
    let rows = (EVALUATED.max(config.context)) as u64;
    let inner = 2 * config.mlp_width + config.mlp_width.max(config.attention_heads().packed());
    bytes(rows.saturating_mul((inner + 2 * config.width) as u64))
}

fn part(saved: &Saved) -> Part {
    Part {
        name: saved.name.into(),
        bytes: bytes(saved.count()),
        about: times(saved.times, saved.each, "numbers"),
    }
}

fn times(times: u64, each: u64, what: &str) -> String {
    match times {
        1 => format!("{} {what}", grouped(each)),
        times => format!("{} × {} {what}", grouped(times), grouped(each)),
    }
}

fn process(threads: u64) -> Term {
    let bytes = PROCESS.saturating_add(threads.saturating_mul(THREAD));
    Term {
        name: "process",
        bytes,
        largest_bytes: bytes,
        about: "the program itself, its threads and its allocator".into(),
        parts: Vec::new(),
    }
}

/// What writing with a model in its form for inference takes: `workers`, each with as many sequences of
/// up to `length` tokens as there is room for.
pub fn generation(config: &ModelConfig, workers: u64, length: u64, threads: u64) -> Memory {
    let groups = parameters(config);
    let count: u64 = groups.iter().map(super::Group::count).sum();
    let each = match config.layout {
        // the state after the last token
        crate::models::Layout::Rnn(cell) => config.width as u64 * (1 + u64::from(cell.gates() == 4)),
        _ => 2 * (config.kv_heads * config.head_width) as u64,
    };
    let layers = config.decoder_layers() as u64;
    let encodes = config.architecture().encodes();
    let kept = if encodes { 2 } else { 1 }; // of what was read as well
    let sequence = [layers, length, kept].into_iter().fold(each, u64::saturating_mul);
    let weights = usize::try_from(bytes(count)).unwrap_or(usize::MAX);
    let room = inference::room_for_sequences(weights) as u64 / bytes(sequence).max(1);
    let sequences = room.clamp(workers, workers.saturating_mul(inference::SIDE_BY_SIDE as u64));
    let cache = sequence.saturating_mul(sequences);
    // an encoder reads its source at once, a prompt is read in pieces
    let pass = (inference::SIDE_BY_SIDE + inference::PIECE) as u64;
    let rows = if encodes { pass.max(length) } else { pass };
    let inner = (config.mlp_width * 3 + config.width * 6) as u64;
    let logits = (config.vocab_size as u64).saturating_mul(inference::SIDE_BY_SIDE as u64);
    let workspace = rows.saturating_mul(inner).saturating_add(logits);
    let term = |name, bytes, about, parts| Term {
        name,
        bytes,
        largest_bytes: bytes,
        about,
        parts,
    };
    let weight_parts = groups.iter().map(|group| Part {
        name: group.name.into(),
        bytes: bytes(group.count()),
        about: times(group.times, group.each, "parameters"),
    });
    let terms = vec![
        term(
            "weights",
            bytes(count),
            format!("{} parameters of {FLOAT} bytes", grouped(count)),
            weight_parts.collect(),
        ),
        term(
            "cache",
            bytes(cache),
            format!(
                "keys and values: {} × {} tokens, {} layers of {} numbers",
                grouped(sequences),
                grouped(length),
                grouped(layers),
                grouped(each)
            ),
            Vec::new(),
        ),
        term(
            "workspace",
            bytes(workspace.saturating_mul(workers)),
            "what a pass works in, logits included".into(),
            Vec::new(),
        ),
        process(threads),
    ];
    Memory {
        peak_bytes: terms.iter().map(|term| term.bytes).fold(0, u64::saturating_add),
        moment: "when the longest prompt is read",
        parameters: count,
        terms,
    }
}
