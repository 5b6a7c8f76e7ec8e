//! Buffers that passes share.

use rayon::prelude::*;

use crate::kernels::inference::{Finding, Screening};

/// The most sequences that a worker writes side by side.
pub const SIDE_BY_SIDE: usize = 64;

/// Tokens of prompts that it reads in one pass beside them.
pub const PIECE: usize = 128;

/// What the sequences of all workers may hold, in bytes, beside a model of so many: one sequence each they
/// may hold always.
pub fn room_for_sequences(weights: usize) -> usize {
    const LEAST: usize = 512 << 20;
    LEAST.max(weights / 2)
}

/// Buffers for passes, which grow to the largest and are then reused: a worker has one.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) rows: Vec<Row>,
    /// `[rows, width]`: what flows from block to block, and its norm.
    pub(super) x: Vec<f32>,
    pub(super) normal: Vec<f32>,
    /// `[rows, packed]`
    pub(super) packed: Vec<f32>,
    /// `[rows, query · width]`
    pub(super) mixed: Vec<f32>,
    /// `[rows, mlp]`
    pub(super) inner: Vec<f32>,
    pub(super) gated: Vec<f32>,
    /// Of recurrent layers: the first row of each sequence, and the sequences that go on.
    pub(super) starts: Vec<usize>,
    pub(super) going: Vec<usize>,
    /// `[wanted, width]` and `[wanted, vocabulary]`
    pub(super) last: Vec<f32>,
    pub(super) logits: Vec<f32>,
    /// Of the wanted: their likeliest tokens, and what finding them takes.
    pub(super) tokens: Vec<Option<u32>>,
    pub(super) finding: Finding,
    pub(super) screening: Screening,
}

/// A row of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Whose token it is.
    pub(super) feed: usize,
    /// Its place in the sequence.
    pub(super) position: usize,
    pub(super) token: u32,
}

impl Clone for Workspace {
    /// Empty buffers: what is in them is of no use to another.
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Workspace {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The first `length` values of a buffer, which grows where it must.
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

/// Calls `work` with each row's number and values, on the pool's threads where there are many.
pub(super) fn each_row(values: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    const MANY: usize = 1 << 14;
    if values.len() < MANY || rayon::current_num_threads() == 1 {
        values
            .chunks_exact_mut(width)
            .enumerate()
            .for_each(|(row, values)| work(row, values));
    } else {
        values
            .par_chunks_exact_mut(width)
            .enumerate()
            .for_each(|(row, values)| work(row, values));
    }
}
