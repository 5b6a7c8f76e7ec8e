//! Rows of a table by token.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

use super::flex::{self, Array, AutodiffTensor, Graph, buffer};
use super::norm::add;

/// The table's row of each token: `[rows]` tokens, `[vocab, width]` table → `[rows, width]`.
pub fn embedding(tokens: Tensor<1, Int>, table: Tensor<2>) -> Tensor<2> {
    if flex::applies(&table) {
        flex::run_in_graph(Lookup::of(tokens, 1), [table])
    } else {
        table.select(0, tokens)
    }
}

/// The same plus each token's position: row `start + i` of a table of positions for the `i`th of `seq`
/// tokens of a sequence.
pub fn embedding_at(
    tokens: Tensor<1, Int>,
    table: Tensor<2>,
    positions: Tensor<2>,
    start: usize,
    seq: usize,
) -> Tensor<2> {
    let positions = match (start, positions.dims()) {
        (0, [all, _]) if all == seq => positions,
        _ => positions.narrow(0, start, seq),
    };
    if flex::applies(&table) {
        return flex::run_in_graph(Lookup::of(tokens, seq), [table, positions]);
    }
    composed_at(tokens, table, positions)
}

pub(super) fn composed_at(tokens: Tensor<1, Int>, table: Tensor<2>, positions: Tensor<2>) -> Tensor<2> {
    let x = table.select(0, tokens);
    let ([rows, width], [seq, _]) = (x.dims(), positions.dims());
    // positions are the same for every sequence of the batch
    x.reshape([rows / seq, seq, width])
        .add(positions.unsqueeze_dim::<3>(0))
        .reshape([rows, width])
}

/// The tokens on the host; what is negative becomes larger than any table.
pub(super) fn indices(tokens: Tensor<1, Int>) -> Arc<[usize]> {
    let data = tokens.into_data();
    data.iter::<i64>()
        .map(|token| usize::try_from(token).unwrap_or(usize::MAX))
        .collect()
}

#[derive(Clone, Debug)]
struct Lookup {
    tokens: Arc<[usize]>,
    /// Tokens of a sequence.
    seq: usize,
}

/// Rows that one thread takes at a time.
const ROWS: usize = 64;

impl Lookup {
    fn of(tokens: Tensor<1, Int>, seq: usize) -> Self {
        Self {
            tokens: indices(tokens),
            seq,
        }
    }

    fn rows(&self, table: &Array, positions: Option<&Array>) -> Array {
        let [vocab, width] = table.dims();
        let mut out = buffer(self.tokens.len() * width);
        let pieces = out.par_chunks_mut(ROWS * width).zip(self.tokens.par_chunks(ROWS));
        pieces.enumerate().for_each(|(piece, (out, tokens))| {
            for (row, (out, token)) in out.chunks_exact_mut(width).zip(tokens).enumerate() {
                assert!(*token < vocab, "token {token} is not in a vocabulary of {vocab}");
                out.copy_from_slice(&table.values()[token * width..(token + 1) * width]);
                if let Some(positions) = positions {
                    let position = (piece * ROWS + row) % self.seq;
                    add(out, &positions.values()[position * width..(position + 1) * width]);
                }
            }
        });
        Array::new(out, [self.tokens.len(), width])
    }

    /// Adds the rows' gradients to those of their tokens: few rows of a table that may be large. One
    /// thread, in the order of the tokens, so that a token that comes twice is summed in that order.
    fn scatter(&self, table: &mut [f32], gradient: &Array) {
        let [_, width] = gradient.dims();
        for (row, token) in gradient.values().chunks_exact(width).zip(self.tokens.iter()) {
            add(&mut table[token * width..(token + 1) * width], row);
        }
    }

    fn sum_positions(&self, gradient: &Array) -> Array {
        let [_, width] = gradient.dims();
        let mut sums = vec![0.0; self.seq * width];
        for sequence in gradient.values().chunks_exact(self.seq * width) {
            add(&mut sums, sequence);
        }
        Array::new(sums, [self.seq, width])
    }
}

impl Graph<1> for Lookup {
    type Step = Scatter;

    fn compute(&self, inputs: &[Array; 1]) -> Array {
        self.rows(&inputs[0], None)
    }

    fn step(self, [table]: [AutodiffTensor; 1]) -> Scatter {
        Scatter { lookup: self, table }
    }
}

impl Graph<2> for Lookup {
    type Step = Scatter;

    fn compute(&self, inputs: &[Array; 2]) -> Array {
        self.rows(&inputs[0], Some(&inputs[1]))
    }

    fn step(self, [table, _]: [AutodiffTensor; 2]) -> Scatter {
        Scatter { lookup: self, table }
    }
}

/// The way back. It holds the table to find what its gradient is so far: a tied output layer has
/// reached it before, and what the tokens add goes in place, without another table of zeros.
#[derive(Clone, Debug)]
struct Scatter {
    lookup: Lookup,
    table: AutodiffTensor,
}

impl<const N: usize> Backward<Flex, N> for Scatter {
    type State = ();

    fn backward(self, ops: Ops<(), N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Array::contiguous(gradients.consume::<Flex>(&ops.node));
        for (place, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let result = if place == 0 {
                let so_far = match gradients.remove::<Flex>(&self.table) {
                    Some(so_far) => Array::contiguous(so_far),
                    None => {
                        let [vocab, width] = Array::contiguous(self.table.primitive().clone()).dims();
                        Array::new(vec![0.0; vocab * width], [vocab, width])
                    }
                };
                so_far.map_values(|table| self.lookup.scatter(table, &gradient))
            } else {
                self.lookup.sum_positions(&gradient)
            };
            gradients.register::<Flex>(parent.id, result.into_primitive());
        }
    }
}
