//! Pretraining's batches: windows of a packed token file.
//!
//! Documents follow each other in the file, and a window may hold the end of one and the start of
//! the next, as in nanoGPT. An epoch cuts the file into windows side by side, from an offset drawn
//! for that epoch, and takes them in an order drawn for it: every token is seen once an epoch, and
//! never twice at the same place in a window.

use rand::Rng;
use rand::seq::SliceRandom;

use super::batches::{Batch, IGNORED, Source, id};
use super::error::TrainError;
use crate::data::tokens::TokenFile;
use crate::seed::Seed;

/// Windows of one token file, drawn by seed.
pub struct Windows<'a> {
    tokens: &'a TokenFile,
    context: usize,
    sequences: usize,
    accumulate: usize,
    seed: Seed,
    /// The epoch of `order`.
    epoch: Option<u64>,
    /// First tokens of the epoch's windows, in drawn order.
    order: Vec<usize>,
}

impl<'a> Windows<'a> {
    /// Windows of `context` tokens, `sequences` in a micro-batch, `accumulate` micro-batches in an
    /// update. A file that is shorter is one window.
    ///
    /// # Errors
    /// When the file has fewer than two tokens.
    pub fn new(
        tokens: &'a TokenFile,
        place: &str,
        context: usize,
        sequences: usize,
        accumulate: usize,
        seed: Seed,
    ) -> Result<Self, TrainError> {
        if tokens.len() < 2 {
            return Err(TrainError::TooFewTokens {
                place: place.into(),
                tokens: tokens.len(),
            });
        }
        let context = context.min(tokens.len() - 1);
        Ok(Self {
            tokens,
            context,
            sequences,
            accumulate,
            seed,
            epoch: None,
            order: Vec::new(),
        })
    }

    /// Windows in an epoch: one fewer than fit side by side, which leaves room for the offset.
    fn windows(&self) -> u64 {
        let fit = (self.tokens.len() - 1) / self.context;
        fit.saturating_sub(1).max(1) as u64
    }

    /// The first tokens of an update's windows.
    pub(super) fn starts(&mut self, update: u64) -> Vec<usize> {
        let in_update = self.sequences * self.accumulate;
        (0..in_update)
            .map(|sequence| self.start(update * in_update as u64 + sequence as u64))
            .collect()
    }

    /// Tokens of a window.
    pub(super) fn context(&self) -> usize {
        self.context
    }

    /// Sequences in a micro-batch.
    pub(super) fn sequences(&self) -> usize {
        self.sequences
    }

    /// The first token of the window at a place in the endless sequence of all epochs.
    fn start(&mut self, place: u64) -> usize {
        let windows = self.windows();
        let epoch = place / windows;
        if self.epoch != Some(epoch) {
            let mut rng = self.seed.child(epoch).rng();
            let spare = self.tokens.len() - 1 - self.context * windows as usize;
            let offset = rng.random_range(0..=spare.min(self.context) as u64) as usize;
            self.order = (0..windows as usize)
                .map(|window| offset + window * self.context)
                .collect();
            self.order.shuffle(&mut rng);
            self.epoch = Some(epoch);
        }
        self.order[(place % windows) as usize]
    }
}

impl Source for Windows<'_> {
    fn updates_an_epoch(&self) -> f64 {
        self.windows() as f64 / (self.sequences * self.accumulate) as f64
    }

    fn update(&mut self, update: u64) -> Vec<Batch> {
        let drawn: Vec<_> = self
            .starts(update)
            .into_iter()
            .map(|start| window(self.tokens, start, self.context))
            .collect();
        drawn.chunks(self.sequences).map(Batch::of).collect()
    }
}

/// Inputs and targets of the window at `start`, shorter at the file's end.
fn window(tokens: &TokenFile, start: usize, context: usize) -> (Vec<i32>, Vec<i32>) {
    // targets trail inputs by one, so read one token more
    let end = (start + context + 1).min(tokens.len());
    let ids: Vec<i32> = tokens.slice(start..end).into_iter().map(id).collect();
    (ids[..ids.len() - 1].to_vec(), ids[1..].to_vec())
}

/// All windows of a file side by side, for evaluation: every token but the first is a target once,
/// and sees at most `context` tokens before it, those of its window.
pub fn side_by_side(tokens: &TokenFile, context: usize, sequences: usize) -> impl Iterator<Item = Batch> {
    let last = tokens.len().saturating_sub(1);
    let starts: Vec<usize> = (0..last).step_by(context).collect();
    let batches = starts.len().div_ceil(sequences);
    (0..batches).map(move |batch| {
        let range = batch * sequences..((batch + 1) * sequences).min(starts.len());
        let drawn: Vec<_> = starts[range]
            .iter()
            .map(|&start| window(tokens, start, context))
            .collect();
        let batch = Batch::of(&drawn);
        debug_assert!(batch.targets.iter().any(|&target| target != IGNORED));
        batch
    })
}
