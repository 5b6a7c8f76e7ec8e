//! Attention on the CPU that never holds a whole matrix of scores: blocks of queries, with the scores
//! made again going backward (Dao et al. 2022).

use std::sync::Arc;

use rayon::prelude::*;

use super::flex::{
    Block, LANES, Matrix, PANEL, Plus, Right, SHARE, Shared, Target, buffer, copy_panel, exp, largest, multiply, sum,
    sum_pairs, vectorized,
};
use super::{Dropout, Heads};

/// Attention of some queries of each sequence to keys and values.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) heads: Heads,
    /// Queries of a sequence, and keys.
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// Whether query `i` sees the first `i + 1` keys alone.
    pub(super) causal: bool,
    /// What products of queries and keys are multiplied by.
    pub(super) scale: f32,
    /// How many keys each sequence has; what follows is padding.
    pub(super) lengths: Option<Arc<[usize]>>,
    pub(super) dropout: Option<Dropout>,
}

/// Columns of rows that hold heads side by side.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) values: &'a [f32],
    /// Values of a row, and where its first head begins.
    pub(super) stride: usize,
    pub(super) first: usize,
}

/// The same to write to.
#[derive(Clone, Copy)]
pub(super) struct Writable<'a> {
    pub(super) values: Shared<'a>,
    pub(super) stride: usize,
    pub(super) first: usize,
}

/// What is added to the scores.
#[derive(Clone, Copy)]
pub(super) enum Terms<'a> {
    Nothing,
    /// By how far a key is from its query, `[heads, queries + keys − 1]`, from the last query's first
    /// key on.
    Diagonals(&'a [f32]),
    /// By key, `[heads, keys]`.
    Keys(&'a [f32]),
}

/// What attention reads.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) queries: Columns<'a>,
    pub(super) keys: Columns<'a>,
    pub(super) values: Columns<'a>,
    pub(super) terms: Terms<'a>,
}

/// Where the gradients go.
#[derive(Clone, Copy)]
pub(super) struct Gradients<'a> {
    pub(super) queries: Writable<'a>,
    pub(super) keys: Writable<'a>,
    pub(super) values: Writable<'a>,
    /// Of [`Terms::Diagonals`], for each sequence: `[batch, heads, queries + keys − 1]` zeros.
    pub(super) diagonals: Option<Shared<'a>>,
}

impl<'a> Columns<'a> {
    /// A head's columns from a row on.
    fn head(self, row: usize, head: usize, width: usize) -> Matrix<'a> {
        Matrix::rows(
            &self.values[row * self.stride + self.first + head * width..],
            self.stride,
        )
    }
}

impl<'a> Writable<'a> {
    fn head(self, row: usize, head: usize, width: usize) -> Block<'a> {
        Block {
            buffer: self.values,
            start: row * self.stride + self.first + head * width,
            stride: self.stride,
        }
    }
}

/// Queries of one head in a block.
#[derive(Clone, Copy)]
struct Rows {
    start: usize,
    count: usize,
    /// Keys that any of them sees.
    seen: usize,
    /// Where the first query's terms begin, and how far back the next one's.
    terms: usize,
    back: usize,
    causal: bool,
    /// The index of the first query's first probability, as the composed form counts them, and from
    /// one query to the next.
    probability: u64,
    keys: u64,
}

impl Rows {
    /// Keys that a query of the block sees.
    #[inline(always)]
    fn limit(&self, row: usize) -> usize {
        if self.causal {
            self.seen.min(self.start + row + 1)
        } else {
            self.seen
        }
    }

    /// The same in whole vectors: what is computed of hidden keys is thrown away, and no key is left over.
    #[inline(always)]
    fn near(&self, row: usize) -> usize {
        self.limit(row).next_multiple_of(LANES).min(self.seen)
    }

    /// The probability's index.
    #[inline(always)]
    fn index(&self, row: usize) -> u64 {
        self.probability + row as u64 * self.keys
    }
}

/// Room for one thread.
struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    gradients: Vec<f32>,
}

impl Attention {
    /// Queries of a block: its scores stay in a core's cache, and little is computed of what is hidden.
    fn block(&self) -> usize {
        if self.queries <= 64 { 32 } else { 64 }
    }

    fn length(&self, batch: usize) -> usize {
        self.lengths.as_ref().map_or(self.keys, |lengths| lengths[batch])
    }

    /// The blocks of one sequence's query head, the first one first.
    fn rows(&self, batch: usize, head: usize, terms: Terms<'_>) -> impl DoubleEndedIterator<Item = Rows> {
        let (block, length) = (self.block(), self.length(batch));
        let (queries, keys, causal) = (self.queries, self.keys, self.causal);
        let diagonal = matches!(terms, Terms::Diagonals(_));
        let first = ((batch * self.heads.query + head) * queries * keys) as u64;
        (0..queries.div_ceil(block)).map(move |index| {
            let start = index * block;
            let end = (start + block).min(queries);
            Rows {
                start,
                count: end - start,
                seen: if causal { end.min(length) } else { length },
                terms: if diagonal { queries - 1 - start } else { 0 },
                back: usize::from(diagonal),
                causal,
                probability: first + (start * keys) as u64,
                keys: keys as u64,
            }
        })
    }

    /// One head's terms; empty without any.
    fn terms<'a>(&self, terms: Terms<'a>, head: usize) -> &'a [f32] {
        let (all, each) = match terms {
            Terms::Nothing => return &[],
            Terms::Diagonals(all) => (all, self.queries + self.keys - 1),
            Terms::Keys(all) => (all, self.keys),
        };
        &all[head * each..(head + 1) * each]
    }

    fn scratch(&self) -> Scratch {
        let panels = self.keys.next_multiple_of(PANEL) * self.heads.width;
        let scores = self.block().min(self.queries) * self.keys;
        Scratch {
            keys: buffer(panels),
            values: buffer(panels),
            scores: buffer(scores),
            gradients: buffer(scores),
        }
    }

    /// Keys or values of one head as the right factor `[width, length]`.
    fn turned(&self, out: &mut [f32], side: Columns<'_>, batch: usize, head: usize) {
        let (width, length) = (self.heads.width, self.length(batch));
        for (panel, out) in out.chunks_exact_mut(PANEL * width).enumerate() {
            let first = panel * PANEL;
            if first < length {
                let rows = side.head(batch * self.keys + first, head, width);
                copy_panel(out, 0, rows.transposed(), width, PANEL.min(length - first));
            }
        }
    }

    /// The result, `[batch·queries, query·width]`, and of each query its largest score and one over its
    /// sum of exponentials, `[batch, query, queries, 2]`. (One number would do, the logarithm of the sum,
    /// but where scores are large it is too coarse.)
    pub(super) fn forward(&self, operands: Operands<'_>, batch: usize) -> (Vec<f32>, Vec<f32>) {
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        let columns = query * width;
        let mut out = buffer(batch * self.queries * columns);
        let mut sums = buffer(2 * batch * query * self.queries);
        let results = Writable {
            values: Shared::new(&mut out),
            stride: columns,
            first: 0,
        };
        let all_sums = Shared::new(&mut sums);
        let units = (0..batch * key_value).into_par_iter().with_max_len(SHARE);
        units.for_each_init(
            || self.scratch(),
            |scratch, unit| {
                let (batch, key_value) = (unit / key_value, unit % key_value);
                self.turned(&mut scratch.keys, operands.keys, batch, key_value);
                let values = operands.values.head(batch * self.keys, key_value, width);
                for head in key_value * self.heads.group()..(key_value + 1) * self.heads.group() {
                    let terms = self.terms(operands.terms, head);
                    for rows in self.rows(batch, head, operands.terms) {
                        let scores = &mut scratch.scores[..rows.count * rows.seen];
                        let row = batch * self.queries + rows.start;
                        let queries = operands.queries.head(row, head, width);
                        here(
                            scores,
                            [rows.count, rows.seen, width],
                            queries,
                            Right::Panels(turned(&scratch.keys, rows.seen, width), width),
                        );
                        let statistic = (batch * query + head) * self.queries + rows.start;
                        // SAFETY: each query has one statistic, and one unit takes each query.
                        let sums = unsafe { all_sums.part(2 * statistic, 2 * rows.count) };
                        softmax(scores, sums, rows, self.scale, terms);
                        if let Some(dropout) = &self.dropout {
                            for (row, scores) in scores.chunks_exact_mut(rows.seen).enumerate() {
                                super::dropout::multiply_from(scores, dropout, rows.index(row));
                            }
                        }
                        let shape = [rows.count, width, rows.seen];
                        let probabilities = Matrix::rows(scores, rows.seen);
                        let block = results.head(row, head, width);
                        // SAFETY: each query head's columns of a sequence belong to one unit.
                        unsafe {
                            multiply(
                                block,
                                shape,
                                probabilities,
                                Right::Rows(values),
                                Plus::default(),
                                Target::Replace,
                            );
                        };
                    }
                }
            },
        );
        (out, sums)
    }

    /// The gradients of queries, keys and values, from that of the result.
    pub(super) fn backward(
        &self,
        operands: Operands<'_>,
        batch: usize,
        (out, sums): (&[f32], &[f32]),
        gradient: &[f32],
        into: Gradients<'_>,
    ) {
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        let of_result = |values| Columns {
            values,
            stride: query * width,
            first: 0,
        };
        let (out, gradient) = (of_result(out), of_result(gradient));
        let units = (0..batch * key_value).into_par_iter().with_max_len(SHARE);
        units.for_each_init(
            || self.scratch(),
            |scratch, unit| {
                let (batch, key_value) = (unit / key_value, unit % key_value);
                let first_key = batch * self.keys;
                self.turned(&mut scratch.keys, operands.keys, batch, key_value);
                self.turned(&mut scratch.values, operands.values, batch, key_value);
                let keys = operands.keys.head(first_key, key_value, width);
                let to_keys = into.keys.head(first_key, key_value, width);
                let to_values = into.values.head(first_key, key_value, width);
                // the last block sees all keys: it writes their gradients, and the others add
                let mut target = Target::Replace;
                for head in key_value * self.heads.group()..(key_value + 1) * self.heads.group() {
                    let terms = self.terms(operands.terms, head);
                    for rows in self.rows(batch, head, operands.terms).rev() {
                        let Rows { start, count, seen, .. } = rows;
                        let row = batch * self.queries + start;
                        let queries = operands.queries.head(row, head, width);
                        let dout = gradient.head(row, head, width);
                        let scores = &mut scratch.scores[..count * seen];
                        let dscores = &mut scratch.gradients[..count * seen];
                        let shape = [count, seen, width];
                        here(
                            scores,
                            shape,
                            queries,
                            Right::Panels(turned(&scratch.keys, seen, width), width),
                        );
                        here(
                            dscores,
                            shape,
                            dout,
                            Right::Panels(turned(&scratch.values, seen, width), width),
                        );
                        let statistic = (batch * query + head) * self.queries + start;
                        let sums = &sums[2 * statistic..2 * (statistic + count)];
                        let along = Along {
                            kept: sums,
                            gradient: dout.values(),
                            out: out.head(row, head, width).values(),
                            stride: query * width,
                            width,
                        };
                        through(scores, dscores, along, rows, self.scale, terms, self.dropout.as_ref());
                        if let Some(diagonals) = into.diagonals {
                            let each = self.queries + self.keys - 1;
                            // SAFETY: each sequence's head has its diagonals, and one unit takes it.
                            let diagonals = unsafe { diagonals.part((batch * query + head) * each, each) };
                            add_diagonals(diagonals, dscores, rows, 1.0 / self.scale);
                        }
                        let through = Matrix::rows(scores, seen).transposed();
                        let dscores = Matrix::rows(dscores, seen);
                        let (dout, queries) = (Right::Rows(dout), Right::Rows(queries));
                        let none = Plus::default();
                        // SAFETY: the columns of this unit's query heads, key and value are its own.
                        unsafe {
                            let per_key = [seen, width, count];
                            multiply(to_values, per_key, through, dout, none, target);
                            multiply(to_keys, per_key, dscores.transposed(), queries, none, target);
                            let to_queries = into.queries.head(row, head, width);
                            multiply(
                                to_queries,
                                [count, width, seen],
                                dscores,
                                Right::Rows(keys),
                                none,
                                Target::Replace,
                            );
                        }
                        target = Target::Add;
                    }
                }
                // what no query sees has no gradient
                for key in self.length(batch)..self.keys {
                    for block in [to_keys, to_values] {
                        // SAFETY: as above.
                        unsafe { block.buffer.part(block.start + key * block.stride, width) }.fill(0.0);
                    }
                }
            },
        );
    }
}

/// The panels of the first keys.
fn turned(panels: &[f32], seen: usize, width: usize) -> &[f32] {
    &panels[..seen.next_multiple_of(PANEL) * width]
}

/// A product into a scratch buffer of this thread.
fn here(out: &mut [f32], shape: [usize; 3], a: Matrix<'_>, b: Right<'_>) {
    let block = Block {
        buffer: Shared::new(out),
        start: 0,
        stride: shape[1],
    };
    // SAFETY: this thread has the buffer alone.
    unsafe { multiply(block, shape, a, b, Plus::default(), Target::Replace) };
}

/// A query's scores as the logarithms of what its probabilities are in proportion to.
#[inline(always)]
fn scale_scores(scores: &mut [f32], row: usize, rows: Rows, scale: f32, terms: &[f32]) {
    if terms.is_empty() {
        for score in scores {
            *score *= scale;
        }
    } else {
        let terms = &terms[rows.terms - row * rows.back..][..scores.len()];
        for (score, term) in scores.iter_mut().zip(terms) {
            *score = *score * scale + term;
        }
    }
}

/// Rows that go through each step of a softmax together: while one waits for its sum, others are worked on.
const TOGETHER: usize = 8;

vectorized! {
    /// Scores into probabilities. Keeps each row's largest score and one over its sum.
    fn softmax(scores: &mut [f32], sums: &mut [f32], rows: Rows, scale: f32, terms: &[f32]) {
        let parts = scores.chunks_mut(TOGETHER * rows.seen).zip(sums.chunks_mut(2 * TOGETHER));
        for (part, (scores, sums)) in parts.enumerate() {
            let first = part * TOGETHER;
            for (row, (scores, sums)) in scores.chunks_exact_mut(rows.seen).zip(sums.chunks_exact_mut(2)).enumerate() {
                let row = first + row;
                scale_scores(&mut scores[..rows.near(row)], row, rows, scale, terms);
                sums[0] = largest(&scores[..rows.limit(row)]);
            }
            for (row, (scores, sums)) in scores.chunks_exact_mut(rows.seen).zip(sums.chunks_exact_mut(2)).enumerate() {
                let row = first + row;
                let maximum = sums[0];
                for score in &mut scores[..rows.near(row)] {
                    *score = exp(*score - maximum);
                }
                scores[rows.limit(row)..].fill(0.0);
                let total = sum(&scores[..rows.near(row)], |x| x);
                sums[1] = 1.0 / total;
            }
            for (row, (scores, sums)) in scores.chunks_exact_mut(rows.seen).zip(sums.chunks_exact(2)).enumerate() {
                let share = sums[1];
                for score in &mut scores[..rows.near(first + row)] {
                    *score *= share;
                }
            }
        }
    }
}

/// What a row of the result and its gradient have in common.
#[derive(Clone, Copy)]
struct Along<'a> {
    /// What [`Attention::forward`] kept of each row.
    kept: &'a [f32],
    gradient: &'a [f32],
    out: &'a [f32],
    stride: usize,
    width: usize,
}

vectorized! {
    /// Scores into the same probabilities again (after dropout), and the gradients of those into the
    /// gradients of the scores: `p · (dp − Σ p dp) · scale`, where the sum is that of the result times
    /// its gradient.
    fn through(
        scores: &mut [f32], dscores: &mut [f32], along: Along<'_>, rows: Rows, scale: f32, terms: &[f32],
        dropout: Option<&Dropout>,
    ) {
        let both = scores.chunks_exact_mut(rows.seen).zip(dscores.chunks_exact_mut(rows.seen));
        for (row, ((scores, dscores), sums)) in both.zip(along.kept.chunks_exact(2)).enumerate() {
            let (maximum, share) = (sums[0], sums[1]);
            let at = row * along.stride..row * along.stride + along.width;
            let along = sum_pairs(&along.gradient[at.clone()], &along.out[at], |x, y| x * y);
            let (limit, near) = (rows.limit(row), rows.near(row));
            let (seen, dseen) = (&mut scores[..near], &mut dscores[..near]);
            scale_scores(seen, row, rows, scale, terms);
            match dropout {
                None => {
                    for (score, gradient) in seen.iter_mut().zip(dseen) {
                        *score = exp(*score - maximum) * share;
                        *gradient = *score * (*gradient - along) * scale;
                    }
                }
                Some(dropout) => {
                    let first = rows.index(row);
                    for (key, (score, gradient)) in seen.iter_mut().zip(dseen).enumerate() {
                        let factor = dropout.factor(first + key as u64);
                        let probability = exp(*score - maximum) * share;
                        *score = probability * factor;
                        *gradient = probability * (*gradient * factor - along) * scale;
                    }
                }
            }
            scores[limit..].fill(0.0);
            dscores[limit..].fill(0.0);
        }
    }
}

vectorized! {
    /// Adds the gradients of a block's scores to those of their diagonals.
    fn add_diagonals(diagonals: &mut [f32], dscores: &[f32], rows: Rows, factor: f32) {
        for (row, dscores) in dscores.chunks_exact(rows.seen).enumerate() {
            let diagonals = &mut diagonals[rows.terms - row..];
            for (sum, gradient) in diagonals.iter_mut().zip(dscores) {
                *sum += gradient * factor;
            }
        }
    }
}
