//! What is kept of one text.

use std::sync::Arc;

use crate::kernels::inference::Attended;
use crate::kernels::{Cell, Heads};

/// What a model keeps of one text while it is read and written. A copy goes on by itself, and costs
/// what has been read so far.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub(super) layers: Vec<Kept>,
    /// Of what an encoder read, by layer of the decoder.
    pub(super) source: Arc<[Attended]>,
    pub(super) length: usize,
    pub(super) capacity: usize,
}

/// What a layer keeps.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Attention(Attended),
    /// The state after the last token; the memory of a GRU is empty.
    Recurrent {
        hidden: Vec<f32>,
        memory: Vec<f32>,
    },
}

impl Sequence {
    pub(super) fn attention(layers: usize, heads: Heads, capacity: usize, source: Arc<[Attended]>) -> Self {
        Self {
            layers: Attended::several(heads, capacity, layers)
                .into_iter()
                .map(Kept::Attention)
                .collect(),
            source,
            length: 0,
            capacity,
        }
    }

    pub(super) fn recurrent(layers: usize, cell: Cell, width: usize, capacity: usize) -> Self {
        let kept = |_| Kept::Recurrent {
            hidden: vec![0.0; width],
            memory: match cell {
                Cell::Lstm => vec![0.0; width],
                Cell::Gru => Vec::new(),
            },
        };
        Self {
            layers: (0..layers).map(kept).collect(),
            source: [].into(),
            length: 0,
            capacity,
        }
    }

    /// Forgets what was read; it may then follow another source.
    pub(super) fn restart(&mut self, source: Arc<[Attended]>) {
        for layer in &mut self.layers {
            match layer {
                Kept::Attention(attended) => attended.truncate(0),
                Kept::Recurrent { hidden, memory } => {
                    hidden.fill(0.0);
                    memory.fill(0.0);
                }
            }
        }
        self.source = source;
        self.length = 0;
    }

    /// Tokens read so far (of a decoder: its own).
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Kept {
    pub(super) fn attended(&mut self) -> &mut Attended {
        match self {
            Self::Attention(attended) => attended,
            Self::Recurrent { .. } => unreachable!("a layer of attention keeps keys and values"),
        }
    }
}
