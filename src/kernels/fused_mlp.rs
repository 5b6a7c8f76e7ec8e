//! The second half of a block on the CPU, as one operation: rows go through the norm, the products and
//! what is between them chunk by chunk, while they are in a core's cache. Only what goes into the
//! activation is kept for the way back.

use std::sync::Arc;

use rayon::prelude::*;

use super::activation::{Activation, activate, activate_back};
use super::entry::{CHUNK, Entry, EntryWeights, chunk_product, total};
use super::exit::{Exit, ExitWeights};
use super::flex::{Array, FusedMany, Matrix, Plus, SHARE, Target, buffer, widen};
use super::kept::{Keep, Kept};
use super::summands::Summands;

/// `x + dropout(outer(activation(inner(norm(x)))))`; with two inner products the activation of the first
/// is multiplied by the second.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) entry: Entry,
    pub(super) activation: Activation,
    pub(super) exit: Exit,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    x: Array,
    /// `[rows, inner outputs]`
    inner: Kept,
    statistics: Arc<[[f32; 2]]>,
    weights: EntryWeights,
    outer: ExitWeights,
}

impl FusedMany for Mlp {
    type Saved = Option<Saved>;

    fn forward(&self, inputs: Vec<Array>, tracked: bool) -> (Array, Self::Saved) {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("an input");
        let weights = self.entry.weights(&mut inputs);
        let outer = self.exit.weights(&mut inputs);
        let ([rows, width], outputs) = (x.dims(), weights.outputs());
        let inside = outputs / self.entry.parts;
        let precision = self.entry.precision;
        let (panels, outer_panels) = rayon::join(|| weights.panels(precision), || outer.panels(precision));
        let mut out = buffer(rows * width);
        let mut statistics = self.entry.statistics(rows);
        let mut inner = Keep::new(precision, tracked, rows * outputs);
        let keeping = inner.keeping();
        let chunks = out
            .par_chunks_mut(CHUNK * width)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(chunks_of(&mut statistics, rows))
            .enumerate()
            .with_max_len(SHARE);
        chunks.for_each_init(
            || (buffer(CHUNK * width), Vec::new(), buffer(CHUNK * inside), Vec::new()),
            |(normal, scratch, active, words), (chunk, ((out, x), statistics))| {
                let count = x.len() / width;
                let start = chunk * CHUNK * outputs;
                // SAFETY: each chunk's rows are its own.
                let inner = unsafe { keeping.room(start, count * outputs, scratch) };
                let normal = self.entry.normal(&weights, normal, statistics, x);
                let bias_in = Plus {
                    bias: weights.bias(),
                    rows: None,
                };
                let normal = Matrix::rows(normal, width);
                chunk_product(
                    inner,
                    outputs,
                    [count, outputs, width],
                    normal,
                    panels.right(),
                    bias_in,
                    Target::Replace,
                );
                // SAFETY: as above.
                unsafe { keeping.keep(start, inner, words) };
                let active = &mut active[..count * inside];
                activate(self.activation, active, inner, inside);
                self.exit.chunk(&outer, &outer_panels, chunk * CHUNK, out, active, x);
            },
        );
        let saved = inner.kept().map(|inner| Saved {
            inner,
            x,
            statistics: statistics.into(),
            weights,
            outer,
        });
        (Array::new(out, [rows, width]), saved)
    }

    fn backward(&self, saved: Self::Saved, gradient: Array, wanted: &[bool]) -> Vec<Option<Array>> {
        let Saved {
            x,
            inner,
            statistics,
            weights,
            outer,
        } = saved.expect("a tracked operation saves");
        let ([rows, width], outputs) = (x.dims(), weights.outputs());
        let inside = outputs / self.entry.parts;
        let precision = self.entry.precision;
        let mut dx = buffer(rows * width);
        // what gradients of weights are sums over: the gradients of `inner` take its place
        let summed = self.entry.summed(self.exit.scale);
        let (mut dinner, inner) = inner.into_summands(summed, rows, weights.columns());
        let mut active = Summands::new(summed, rows, vec![inside]);
        let mut normal = self.entry.summands(summed, &x);
        let mut dout = self.exit.summands(summed, &gradient);
        let (entry_each, exit_each) = (self.entry.shares(&weights), self.exit.shares(&outer));
        let mut entry_shares = vec![0.0; rows.div_ceil(CHUNK) * entry_each];
        let mut exit_shares = vec![0.0; rows.div_ceil(CHUNK) * exit_each];
        let (entry, exit) = rayon::join(
            || self.entry.back(&weights, &statistics, &mut normal, &mut entry_shares),
            || self.exit.back(&outer, precision, &mut dout, &mut exit_shares),
        );
        let [dinners, actives] = [&mut dinner, &mut active].map(|summands| summands.making());
        let chunks = dx.par_chunks_mut(CHUNK * width).zip(
            x.values()
                .par_chunks(CHUNK * width)
                .zip(gradient.values().par_chunks(CHUNK * width)),
        );
        chunks.enumerate().with_max_len(SHARE).for_each_init(
            || [const { Vec::new() }; 4],
            |[inner_chunk, active_chunk, normal_chunk, dropped_chunk], (chunk, (dx, (x, gradient)))| {
                let count = x.len() / width;
                let first = chunk * CHUNK;
                // SAFETY: each chunk's rows and shares are its own, here and below.
                let (inside_rows, active) = unsafe {
                    (
                        dinners.room(first, count, inner_chunk),
                        actives.room(first, count, active_chunk),
                    )
                };
                if let Some(words) = &inner {
                    let words = &words[first * outputs / 2..];
                    widen(inside_rows, &words[..(count * outputs).div_ceil(2)]);
                }
                // SAFETY: as above.
                unsafe { exit.chunk(first, active, gradient, dropped_chunk) };
                activate_back(self.activation, inside_rows, active, inside);
                // SAFETY: as above.
                unsafe {
                    entry.chunk(first, dx, inside_rows, [x, gradient], normal_chunk);
                    dinners.keep(first, inside_rows);
                    actives.keep(first, active);
                }
            },
        );
        let (entry_wanted, exit_wanted) = wanted[1..].split_at(self.entry.count());
        let (entry, exit) = rayon::join(
            || {
                let shares = total(&entry_shares, entry_each);
                self.entry
                    .gradients(&weights, &shares, rows, &normal, &dinner, entry_wanted)
            },
            || {
                let shares = total(&exit_shares, exit_each);
                self.exit.gradients(&outer, &shares, rows, &active, &dout, exit_wanted)
            },
        );
        let mut list = vec![Some(Array::new(dx, [rows, width]))];
        list.extend(entry);
        list.extend(exit);
        list
    }
}

/// The statistics of each chunk: of none where there are none.
pub(super) fn chunks_of(statistics: &mut [[f32; 2]], rows: usize) -> rayon::vec::IntoIter<&mut [[f32; 2]]> {
    let chunks = rows.div_ceil(CHUNK);
    let chunks: Vec<&mut [[f32; 2]]> = match statistics.is_empty() {
        true => (0..chunks).map(|_| &mut [][..]).collect(),
        false => statistics.chunks_mut(CHUNK).collect(),
    };
    chunks.into_par_iter()
}
