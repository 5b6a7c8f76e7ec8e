//! The second half of a block on the CPU, as one operation: rows go through the norm, the products and
//! what is between them chunk by chunk, while they are in a core's cache. Only what goes into the
//! activation is kept for the way back.

use std::sync::Arc;

use rayon::prelude::*;

use super::activation::{Activation, activate, activate_back};
use super::dropout::multiply_from;
use super::entry::{CHUNK, Entry, EntryWeights, chunk_product, factor, sides, total, turned_panels};
use super::flex::{Array, FusedMany, Matrix, Panels, Plus, Shared, Target, buffer, widen};
use super::kept::{Keep, Kept};
use super::linear::add_columns;
use super::low_rank::Pair;
use super::norm::add;
use super::summands::{Summands, weight_gradient};
use super::{Dropout, Orientation};

/// `x + dropout(outer(activation(inner(norm(x)))))`; with two inner products the activation of the first
/// is multiplied by the second.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) entry: Entry,
    pub(super) activation: Activation,
    pub(super) outer: Orientation,
    /// Whether the outer product has a bias.
    pub(super) biased: bool,
    /// Of the pair that is learned beside the weight out, if there is one.
    pub(super) outer_scale: Option<f32>,
    pub(super) dropout: Option<Dropout>,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    x: Array,
    /// `[rows, inner outputs]`
    inner: Kept,
    statistics: Arc<[[f32; 2]]>,
    weights: EntryWeights,
    outer: Array,
    pair: Option<Pair>,
}

impl FusedMany for Mlp {
    type Saved = Option<Saved>;

    fn forward(&self, inputs: Vec<Array>, tracked: bool) -> (Array, Self::Saved) {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("an input");
        let weights = self.entry.weights(&mut inputs);
        let outer = inputs.next().expect("an outer weight");
        let bias = self.biased.then(|| inputs.next().expect("an outer bias"));
        let pair = Pair::next(self.outer_scale, &mut inputs);
        let ([rows, width], outputs) = (x.dims(), weights.outputs());
        let inside = outputs / self.entry.parts;
        let precision = self.entry.precision;
        let panels = weights.panels(precision);
        let merged = Pair::merged(pair.as_ref(), &outer, self.outer);
        let outer_panels = Panels::of(precision, &[(factor(&merged, self.outer), width)], inside);
        let mut out = buffer(rows * width);
        let mut statistics = self.entry.statistics(rows);
        let mut inner = Keep::new(precision, tracked, rows * outputs);
        let keeping = inner.keeping();
        let chunks = out
            .par_chunks_mut(CHUNK * width)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(chunks_of(&mut statistics, rows))
            .enumerate();
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
                let plus = Plus {
                    bias: bias.as_ref().map(Array::values),
                    rows: self.dropout.is_none().then(|| Matrix::rows(x, width)),
                };
                let active = Matrix::rows(active, inside);
                chunk_product(
                    out,
                    width,
                    [count, width, inside],
                    active,
                    outer_panels.right(),
                    plus,
                    Target::Replace,
                );
                if let Some(dropout) = &self.dropout {
                    multiply_from(out, dropout, (chunk * CHUNK * width) as u64);
                    add(out, x);
                }
            },
        );
        let saved = inner.kept().map(|inner| Saved {
            inner,
            x,
            statistics: statistics.into(),
            weights,
            outer,
            pair,
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
            pair,
        } = saved.expect("a tracked operation saves");
        let ([rows, width], outputs) = (x.dims(), weights.outputs());
        let inside = outputs / self.entry.parts;
        let precision = self.entry.precision;
        let panels = weights.turned_panels(precision);
        let merged = Pair::merged(pair.as_ref(), &outer, self.outer);
        let outer_panels = turned_panels(precision, &merged, self.outer);
        let has_norm = self.entry.norm.is_some();
        let mut dx = buffer(rows * width);
        // what gradients of weights are sums over: the gradients of `inner` take its place
        let summed = self.entry.summed(self.outer_scale);
        let (mut dinner, inner) = inner.into_summands(summed, rows, weights.columns());
        let mut active = Summands::new(summed, rows, vec![inside]);
        let mut normal = match has_norm {
            true => Summands::new(summed, rows, vec![width]),
            false => Summands::of(summed, rows, x.values(), vec![width]),
        };
        let mut dout = match &self.dropout {
            Some(_) => Summands::new(summed, rows, vec![width]),
            None => Summands::of(summed, rows, gradient.values(), vec![width]),
        };
        let entry_share = self.entry.shares(&weights);
        let each = entry_share + if self.biased { width } else { 0 };
        let mut shares = vec![0.0; rows.div_ceil(CHUNK) * each];
        let all_shares = Shared::new(&mut shares);
        let [dinners, actives, normals, douts] =
            [&mut dinner, &mut active, &mut normal, &mut dout].map(|summands| summands.making());
        let chunks = dx.par_chunks_mut(CHUNK * width).zip(
            x.values()
                .par_chunks(CHUNK * width)
                .zip(gradient.values().par_chunks(CHUNK * width)),
        );
        chunks.enumerate().for_each_init(
            || [const { Vec::new() }; 4],
            |[inner_chunk, active_chunk, normal_chunk, dropped_chunk], (chunk, (dx, (x, gradient)))| {
                let count = x.len() / width;
                let first = chunk * CHUNK;
                // SAFETY: each chunk's rows and shares are its own, here and below.
                let (inside_rows, active, share) = unsafe {
                    (
                        dinners.room(first, count, inner_chunk),
                        actives.room(first, count, active_chunk),
                        all_shares.part(chunk * each, each),
                    )
                };
                if let Some(words) = &inner {
                    let words = &words[first * outputs / 2..];
                    widen(inside_rows, &words[..(count * outputs).div_ceil(2)]);
                }
                let (entry_share, bias_share) = share.split_at_mut(entry_share);
                let dout = match &self.dropout {
                    Some(dropout) => {
                        // SAFETY: as above.
                        let dropped = unsafe { douts.room(first, count, dropped_chunk) };
                        dropped.copy_from_slice(gradient);
                        multiply_from(dropped, dropout, (first * width) as u64);
                        &*dropped
                    }
                    None => gradient,
                };
                let shape = [count, inside, width];
                let through = outer_panels.right();
                chunk_product(
                    active,
                    inside,
                    shape,
                    Matrix::rows(dout, width),
                    through,
                    Plus::default(),
                    Target::Replace,
                );
                activate_back(self.activation, inside_rows, active, inside);
                if self.biased {
                    add_columns(bias_share, dout, 0, width);
                }
                let mut kept = [[0.0; 2]; CHUNK];
                let statistics = match has_norm {
                    true => {
                        kept[..count].copy_from_slice(&statistics[first..first + count]);
                        &mut kept[..count]
                    }
                    false => &mut [],
                };
                let normal = match has_norm {
                    // SAFETY: as above.
                    true => unsafe { normals.room(first, count, normal_chunk) },
                    false => &mut [],
                };
                self.entry.back(
                    &weights,
                    &panels,
                    dx,
                    normal,
                    entry_share,
                    inside_rows,
                    x,
                    statistics,
                    gradient,
                );
                // SAFETY: as above.
                unsafe {
                    dinners.keep(first, inside_rows);
                    actives.keep(first, active);
                    normals.keep(first, if has_norm { normal } else { x });
                    douts.keep(first, dout);
                }
            },
        );
        let shares = total(&shares, each);
        let (entry_wanted, outer_wanted) = wanted[1..].split_at(self.entry.count());
        let (entry, outer) = rayon::join(
            || {
                let shares = &shares[..entry_share];
                self.entry
                    .gradients(&weights, shares, rows, &normal, &dinner, entry_wanted)
            },
            || {
                outer_wanted[0].then(|| {
                    debug_assert_eq!(sides(&outer, self.outer), [inside, width]);
                    weight_gradient(&outer, self.outer, rows, active.part(0), dout.part(0))
                })
            },
        );
        let mut list = vec![Some(Array::new(dx, [rows, width]))];
        list.extend(entry);
        list.push(outer);
        if self.biased {
            list.push(Some(Array::new(shares[entry_share..].to_vec(), [1, width])));
        }
        if let Some(pair) = pair {
            let wanted = &outer_wanted[1 + usize::from(self.biased)..];
            let (active, dout) = (active.part(0).in_f32(), dout.part(0).in_f32());
            list.extend(pair.gradients(rows, active, dout, [wanted[0], wanted[1]]));
        }
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
