//! The most memory that writing with a model holds at once.

use super::parameters::parameters;
use crate::models::ModelConfig;
use crate::models::inference;
use crate::step::{Memory, Part, Term};

/// What a number takes.
pub(super) const FLOAT: u64 = 4;
/// A process of fragua before its work: its code as far as it runs, tables that the loader fills in, what
/// its step has read. Measured on Linux with a release build.
const PROCESS: u64 = 60_000_000;
/// A thread: its stack, its part of the allocator, what it packs matrices into.
const THREAD: u64 = 2_000_000;
pub(super) fn bytes(numbers: u64) -> u64 {
    numbers.saturating_mul(FLOAT)
}

/// `10,795,776`
pub(super) fn grouped(number: u64) -> String {
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

pub(super) fn times(times: u64, each: u64, what: &str) -> String {
    match times {
        1 => format!("{} {what}", grouped(each)),
        times => format!("{} × {} {what}", grouped(times), grouped(each)),
    }
}

pub(super) fn process(threads: u64) -> Term {
    let bytes = PROCESS.saturating_add(threads.saturating_mul(THREAD));
    Term {
        name: "process",
        bytes,
        largest_bytes: bytes,
        about: "the program itself, its threads and its allocator".into(),
        parts: Vec::new(),
    }
}

/// What is asked of a model's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeliest {
    /// The token of the largest alone, each time.
    Taken,
    /// More than that.
    NotAlone,
}

/// What writing with a model in its form for inference takes: `workers`, each with as many sequences of
/// up to `length` tokens as there is room for. Who takes the likeliest tokens (`likeliest`) has the output layer
/// once more, where the processor has instructions for that.
pub fn generation(config: &ModelConfig, workers: u64, length: u64, threads: u64, likeliest: Likeliest) -> Memory {
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
    let screen = match likeliest {
        Likeliest::Taken => inference::screen_bytes(config) as u64,
        Likeliest::NotAlone => 0,
    };
    let mut terms = vec![
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
    if screen > 0 {
        let about = "the output layer in whole numbers of one byte, for finding the likeliest token".into();
        terms.insert(1, term("screen", screen, about, Vec::new()));
    }
    Memory {
        peak_bytes: terms.iter().map(|term| term.bytes).fold(0, u64::saturating_add),
        moment: "when the longest prompt is read".into(),
        parameters: count,
        terms,
    }
}
