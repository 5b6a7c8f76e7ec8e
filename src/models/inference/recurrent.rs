//! Layers of LSTM or GRU.

use super::Feed;
use super::sequence::Kept;
use super::workspace::{Workspace, room};
use crate::kernels::Cell;
use crate::kernels::inference::{Panels, Target, rows};

/// Recurrent layers, one after the other.
#[derive(Clone, Debug)]
pub(in crate::models) struct Recurrent {
    pub(in crate::models) blocks: Vec<RecurrentBlock>,
    pub(in crate::models) cell: Cell,
}

/// A layer: the products of its gates, with their biases.
#[derive(Clone, Debug)]
pub(in crate::models) struct RecurrentBlock {
    pub(in crate::models) input: Panels,
    pub(in crate::models) recurrent: Panels,
}

impl Recurrent {
    /// Takes the rows in `work.x` through all layers: the products with what is read for all rows at
    /// once, then each sequence a token at a time, all sequences side by side.
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>], work: &mut Workspace, width: usize) {
        let Workspace {
            rows,
            x,
            normal,
            packed,
            inner,
            starts,
            going,
            ..
        } = work;
        let gates = self.cell.gates() * width;
        let count = rows.len();
        let x = room(x, count * width);
        // the rows of a feed follow each other
        starts.clear();
        starts.extend(feeds.iter().scan(0, |next, feed| {
            let start = *next;
            *next += feed.tokens.len();
            Some(start)
        }));
        let longest = feeds.iter().map(|feed| feed.tokens.len()).max().unwrap_or(0);
        for (layer, block) in self.blocks.iter().enumerate() {
            let projected = room(packed, count * gates);
            block.input.multiply(x, projected, Target::Replace);
            for step in 0..longest {
                going.clear();
                going.extend((0..feeds.len()).filter(|&feed| step < feeds[feed].tokens.len()));
                let hidden = room(normal, going.len() * width);
                for (hidden, &feed) in hidden.chunks_exact_mut(width).zip(going.iter()) {
                    hidden.copy_from_slice(state(feeds, feed, layer).0);
                }
                let recurrent = room(inner, going.len() * gates);
                block.recurrent.multiply(hidden, recurrent, Target::Replace);
                for (recurrent, &feed) in recurrent.chunks_exact_mut(gates).zip(going.iter()) {
                    let row = starts[feed] + step;
                    let projected = &mut projected[row * gates..][..gates];
                    let (hidden, memory) = state(feeds, feed, layer);
                    match self.cell {
                        Cell::Lstm => {
                            rows::add(projected, recurrent);
                            rows::lstm(projected, hidden, memory);
                        }
                        Cell::Gru => rows::gru(projected, recurrent, hidden),
                    }
                    x[row * width..][..width].copy_from_slice(hidden);
                }
            }
        }
    }
}

/// The state of a sequence's layer.
fn state<'a>(feeds: &'a mut [Feed<'_>], feed: usize, layer: usize) -> (&'a mut [f32], &'a mut [f32]) {
    match &mut feeds[feed].sequence.layers[layer] {
        Kept::Recurrent { hidden, memory } => (hidden, memory),
        Kept::Attention(_) => unreachable!("a recurrent layer keeps a state"),
    }
}
