//! Causal attention on the CPU that never holds a whole matrix of scores: blocks of queries, with the
//! scores made again going backward (Dao et al. 2022).

use std::sync::Arc;

use rayon::prelude::*;

use super::dropout::multiply_from;
use super::flex::{
    Array, Block, Fused, Matrix, Shared, Target, buffer, exp, largest, product_here, sum, sum_pairs, vectorized,
};
use super::{Dropout, Heads};

/// Queries of a block: its scores stay in a core's cache.
const BLOCK: usize = 64;

/// Attention over packed rows `[queries | keys | values]`.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) heads: Heads,
    pub(super) seq: usize,
    pub(super) dropout: Option<Dropout>,
}

/// The rows, the result, and of each query the logarithm of its sum of exponentials.
type Saved = (Array, Array, Arc<[f32]>);

/// One sequence's columns for one key/value head, and where its queries and results lie.
#[derive(Clone, Copy)]
struct Place<'a> {
    packed: &'a [f32],
    heads: Heads,
    seq: usize,
    batch: usize,
    key_value: usize,
}

impl Place<'_> {
    /// The query head that is the `member`th of this group.
    fn query_head(&self, member: usize) -> usize {
        self.key_value * self.heads.group() + member
    }

    /// Where a row's column begins in the packed rows.
    fn at(&self, row: usize, head: usize) -> usize {
        (self.batch * self.seq + row) * self.heads.packed() + head * self.heads.width
    }

    /// Where a row's column begins in the result.
    fn result_at(&self, row: usize, member: usize) -> usize {
        ((self.batch * self.seq + row) * self.heads.query + self.query_head(member)) * self.heads.width
    }

    fn matrix(&self, row: usize, head: usize) -> Matrix<'_> {
        Matrix::rows(&self.packed[self.at(row, head)..], self.heads.packed())
    }

    fn keys(&self) -> Matrix<'_> {
        self.matrix(0, self.key_head())
    }

    fn values(&self) -> Matrix<'_> {
        self.matrix(0, self.value_head())
    }

    fn key_head(&self) -> usize {
        self.heads.query + self.key_value
    }

    fn value_head(&self) -> usize {
        self.heads.query + self.heads.key_value + self.key_value
    }

    /// The index of a query's first probability, as the composed form counts them.
    fn probability(&self, member: usize, row: usize) -> u64 {
        let head = self.batch * self.heads.query + self.query_head(member);
        ((head * self.seq + row) * self.seq) as u64
    }

    /// The index of a query among all.
    fn statistic(&self, member: usize, row: usize) -> usize {
        (self.batch * self.heads.query + self.query_head(member)) * self.seq + row
    }
}

impl Attention {
    /// Every sequence and key/value head, on all threads.
    fn places(&self, packed: &Array, work: impl Fn(Place<'_>) + Sync) {
        let batches = packed.dims()[0] / self.seq;
        (0..batches * self.heads.key_value).into_par_iter().for_each(|index| {
            work(Place {
                packed: packed.values(),
                heads: self.heads,
                seq: self.seq,
                batch: index / self.heads.key_value,
                key_value: index % self.heads.key_value,
            });
        });
    }

    /// `queries · keysᵀ` of a block into `scores`, `[rows, end]`.
    fn scores(&self, scores: &mut [f32], place: Place<'_>, member: usize, start: usize, end: usize) {
        let shape = [end - start, end, self.heads.width];
        let queries = place.matrix(start, place.query_head(member));
        here(scores, end, shape, queries, place.keys().transposed(), Target::Replace);
    }

    fn drop(&self, values: &mut [f32], place: Place<'_>, member: usize, start: usize, end: usize) {
        if let Some(dropout) = &self.dropout {
            for (row, values) in values.chunks_exact_mut(end).enumerate() {
                multiply_from(values, dropout, place.probability(member, start + row));
            }
        }
    }
}

/// A product into the first rows of a scratch buffer of this thread.
fn here(out: &mut [f32], stride: usize, shape: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    let block = Block {
        buffer: Shared::new(out),
        start: 0,
        stride,
    };
    // SAFETY: this thread has the buffer alone.
    unsafe { product_here(block, shape, a, b, target) };
}

impl Fused<1> for Attention {
    type Saved = Saved;

    fn forward(&self, [packed]: [Array; 1], _tracked: bool) -> (Array, Saved) {
        let (heads, seq) = (self.heads, self.seq);
        let [rows, _] = packed.dims();
        let columns = heads.query * heads.width;
        let mut out = buffer(rows * columns);
        let mut statistics = buffer(rows * heads.query);
        let (results, sums) = (Shared::new(&mut out), Shared::new(&mut statistics));
        self.places(&packed, |place| {
            let mut scores = buffer(BLOCK.min(seq) * seq);
            for member in 0..heads.group() {
                for start in (0..seq).step_by(BLOCK) {
                    let end = (start + BLOCK).min(seq);
                    let scores = &mut scores[..(end - start) * end];
                    self.scores(scores, place, member, start, end);
                    // SAFETY: each query has one statistic, and one place takes each query.
                    let sums = unsafe { sums.part(place.statistic(member, start), end - start) };
                    softmax(scores, sums, start, heads.scale());
                    self.drop(scores, place, member, start, end);
                    let block = Block {
                        buffer: results,
                        start: place.result_at(start, member),
                        stride: columns,
                    };
                    let shape = [end - start, heads.width, end];
                    let probabilities = Matrix::rows(scores, end);
                    // SAFETY: each query head's columns of a sequence belong to one place.
                    unsafe { product_here(block, shape, probabilities, place.values(), Target::Replace) };
                }
            }
        });
        let out = Array::new(out, [rows, columns]);
        (out.clone(), (packed, out, statistics.into()))
    }

    fn backward(&self, (packed, out, sums): Saved, gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        let (heads, seq) = (self.heads, self.seq);
        let [rows, columns] = packed.dims();
        let mut result = buffer(rows * columns);
        let target = Shared::new(&mut result);
        self.places(&packed, |place| {
            let mut scratch = [(); 3].map(|()| buffer(BLOCK.min(seq) * seq));
            let [probabilities, dropped, dscores] = &mut scratch;
            let block = |row: usize, head: usize| Block {
                buffer: target,
                start: place.at(row, head),
                stride: columns,
            };
            // the last block sees all keys: it writes their gradients, and the others add
            let mut keys = Target::Replace;
            for member in 0..heads.group() {
                for start in (0..seq).step_by(BLOCK).rev() {
                    let end = (start + BLOCK).min(seq);
                    let count = end - start;
                    let probabilities = &mut probabilities[..count * end];
                    let dscores = &mut dscores[..count * end];
                    let stride = heads.query * heads.width;
                    let at = place.result_at(start, member);
                    let dout = Matrix::rows(&gradient.values()[at..], stride);
                    self.scores(probabilities, place, member, start, end);
                    let statistic = place.statistic(member, start);
                    again(probabilities, &sums[statistic..statistic + count], start, heads.scale());
                    let dropped = match self.dropout {
                        Some(_) => {
                            let dropped = &mut dropped[..count * end];
                            dropped.copy_from_slice(probabilities);
                            self.drop(dropped, place, member, start, end);
                            &*dropped
                        }
                        None => &*probabilities,
                    };
                    let through = Matrix::rows(dropped, end).transposed();
                    here(
                        dscores,
                        end,
                        [count, end, heads.width],
                        dout,
                        place.values().transposed(),
                        Target::Replace,
                    );
                    self.drop(dscores, place, member, start, end);
                    for row in 0..count {
                        let at = place.result_at(start + row, member);
                        let along = dot(
                            &gradient.values()[at..at + heads.width],
                            &out.values()[at..at + heads.width],
                        );
                        let row = row * end..(row + 1) * end;
                        through_softmax(&mut dscores[row.clone()], &probabilities[row], along, heads.scale());
                    }
                    let dscores = Matrix::rows(dscores, end);
                    let query = place.query_head(member);
                    // SAFETY: the columns of this place's query heads, key and value are its own.
                    unsafe {
                        let per_key = [end, heads.width, count];
                        product_here(block(0, place.value_head()), per_key, through, dout, keys);
                        let queries = place.matrix(start, query);
                        product_here(block(0, place.key_head()), per_key, dscores.transposed(), queries, keys);
                        let per_query = [count, heads.width, end];
                        product_here(block(start, query), per_query, dscores, place.keys(), Target::Replace);
                    }
                    keys = Target::Add;
                }
            }
        });
        [Some(Array::new(result, [rows, columns]))]
    }
}

vectorized! {
    /// Scores into probabilities, row by row: row `i` sees the first `start + i + 1` keys. Keeps the
    /// logarithm of each row's sum.
    fn softmax(scores: &mut [f32], sums: &mut [f32], start: usize, scale: f32) {
        let keys = scores.len() / sums.len();
        for (row, (scores, log_sum)) in scores.chunks_exact_mut(keys).zip(sums).enumerate() {
            let (seen, hidden) = scores.split_at_mut(start + row + 1);
            let maximum = largest(seen);
            for score in seen.iter_mut() {
                *score = exp((*score - maximum) * scale);
            }
            let total = sum(seen, |x| x);
            let share = 1.0 / total;
            for score in seen.iter_mut() {
                *score *= share;
            }
            hidden.fill(0.0);
            *log_sum = maximum * scale + total.ln();
        }
    }
}

vectorized! {
    /// Scores into the same probabilities again, from the logarithms of the sums.
    fn again(scores: &mut [f32], sums: &[f32], start: usize, scale: f32) {
        let keys = scores.len() / sums.len();
        for (row, (scores, log_sum)) in scores.chunks_exact_mut(keys).zip(sums).enumerate() {
            let (seen, hidden) = scores.split_at_mut(start + row + 1);
            for score in seen {
                *score = exp(*score * scale - log_sum);
            }
            hidden.fill(0.0);
        }
    }
}

vectorized! {
    fn dot(left: &[f32], right: &[f32]) -> f32 {
        sum_pairs(left, right, |x, y| x * y)
    }
}

vectorized! {
    /// The gradient of a row's probabilities into that of its scores: `p · (dp − Σ p dp) · scale`,
    /// where the sum is `along`.
    fn through_softmax(gradient: &mut [f32], probabilities: &[f32], along: f32, scale: f32) {
        for (gradient, probability) in gradient.iter_mut().zip(probabilities) {
            *gradient = probability * (*gradient - along) * scale;
        }
    }
}
