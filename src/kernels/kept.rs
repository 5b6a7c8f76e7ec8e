//! Activations that are kept for the way back: in f32, or in bf16 where products are, at half the memory.
//! What goes on forward is rounded with them, so that the way back is that of the same numbers.

use std::sync::Arc;

use super::flex::{Precision, Shared, buffer, pairs_buffer, round_into, widen};
use super::summands::Summands;

/// Activations of all rows.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    F32(Arc<Vec<f32>>),
    /// Two neighbours in a word.
    Bf16(Arc<Vec<u32>>),
}

/// Their making, chunk by chunk.
pub(super) enum Keep {
    F32(Vec<f32>),
    Bf16(Vec<u32>),
    /// None are wanted.
    Nothing(Precision),
}

/// Where threads write their chunks.
#[derive(Clone, Copy)]
pub(super) enum Keeping<'a> {
    F32(Shared<'a>),
    Bf16(Shared<'a, u32>),
    Nothing(Precision),
}

impl Keep {
    /// Room for so many values if they are `wanted`.
    pub(super) fn new(precision: Precision, wanted: bool, count: usize) -> Self {
        match precision {
            _ if !wanted => Self::Nothing(precision),
            Precision::F32 => Self::F32(buffer(count)),
            Precision::Bf16 => Self::Bf16(pairs_buffer(count.div_ceil(2))),
        }
    }

    /// For the threads that make them.
    pub(super) fn keeping(&mut self) -> Keeping<'_> {
        match self {
            Self::F32(values) => Keeping::F32(Shared::new(values)),
            Self::Bf16(words) => Keeping::Bf16(Shared::new(words)),
            Self::Nothing(precision) => Keeping::Nothing(*precision),
        }
    }

    pub(super) fn kept(self) -> Option<Kept> {
        match self {
            Self::F32(values) => Some(Kept::F32(Arc::new(values))),
            Self::Bf16(words) => Some(Kept::Bf16(Arc::new(words))),
            Self::Nothing(_) => None,
        }
    }
}

impl Keeping<'_> {
    /// Where `count` values from `start` on are to be made: in their place, or in a chunk that is then
    /// [kept](Self::keep).
    ///
    /// # Safety
    /// No other thread makes these values.
    pub(super) unsafe fn room<'b>(&'b self, start: usize, count: usize, chunk: &'b mut Vec<f32>) -> &'b mut [f32] {
        if let Self::F32(values) = self {
            // SAFETY: by the caller's promise.
            return unsafe { values.part(start, count) };
        }
        if chunk.len() < count {
            *chunk = buffer(count);
        }
        &mut chunk[..count]
    }

    /// Keeps values from `start` on, an even one, that are made now, and rounds them to what is kept.
    ///
    /// # Safety
    /// No other thread makes these values.
    pub(super) unsafe fn keep(&self, start: usize, values: &mut [f32], words: &mut Vec<u32>) {
        let count = values.len().div_ceil(2);
        let words = match self {
            Self::F32(_) | Self::Nothing(Precision::F32) => return,
            // SAFETY: by the caller's promise.
            Self::Bf16(words) => unsafe { words.part(start / 2, count) },
            Self::Nothing(Precision::Bf16) => {
                words.resize(count.max(words.len()), 0);
                &mut words[..count]
            }
        };
        round_into(words, values);
        widen(values, words);
    }
}

impl Kept {
    /// Rows that are [changed](Summands::changed) into gradients, in a precision that is not lower than that
    /// of what is kept, and the words of those that were rounded.
    pub(super) fn into_summands(
        self,
        precision: Precision,
        rows: usize,
        columns: Vec<usize>,
    ) -> (Summands<'static>, Option<Arc<Vec<u32>>>) {
        match self {
            Self::F32(values) => {
                debug_assert_eq!(precision, Precision::F32, "what is kept in f32 is summed in f32");
                let (summands, _) = Summands::changed(precision, rows, Arc::unwrap_or_clone(values), columns);
                (summands, None)
            }
            Self::Bf16(words) => (Summands::new(precision, rows, columns), Some(words)),
        }
    }
}
