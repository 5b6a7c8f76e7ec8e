//! The first half of a block on the CPU, as one operation: norm, products, rotary positions, attention,
//! the product out and the residual connection.

use std::sync::Arc;

use rayon::prelude::*;

use super::dropout::multiply_from;
use super::entry::{CHUNK, Entry, EntryWeights, chunk_product, factor, total, turned_panels};
use super::flex::{Array, Fused, FusedMany, Matrix, Panels, Plus, Shared, Target, buffer};
use super::fused_attention::{Attention, Columns, Gradients, Operands, Terms, Writable};
use super::fused_mlp::chunks_of;
use super::linear::add_columns;
use super::low_rank::Pair;
use super::norm::add;
use super::rotary::Turn;
use super::summands::{Summands, weight_gradient};
use super::{Dropout, Heads, Orientation};

/// What is added to scores, by its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TermsKind {
    Nothing,
    Diagonals,
    Keys,
}

impl TermsKind {
    fn of(self, input: Option<&Array>) -> Terms<'_> {
        match (self, input) {
            (Self::Diagonals, Some(input)) => Terms::Diagonals(input.values()),
            (Self::Keys, Some(input)) => Terms::Keys(input.values()),
            _ => Terms::Nothing,
        }
    }
}

/// Attention of packed rows `[queries | keys | values]`, without what is around it.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) attention: Attention,
    pub(super) terms: TermsKind,
}

/// The rows, the terms, the result, and what [`Attention::forward`] keeps of each query.
type Kept = (Array, Option<Array>, Array, Arc<[f32]>);

impl Packed {
    fn operands<'a>(&self, packed: &'a [f32], terms: Option<&'a Array>) -> Operands<'a> {
        let Heads {
            query,
            key_value,
            width,
        } = self.attention.heads;
        let columns = |first: usize| Columns {
            values: packed,
            stride: self.attention.heads.packed(),
            first: first * width,
        };
        Operands {
            queries: columns(0),
            keys: columns(query),
            values: columns(query + key_value),
            terms: self.terms.of(terms),
        }
    }

    /// Gradients of packed rows, and of diagonals.
    fn back(
        &self,
        packed: &[f32],
        terms: Option<&Array>,
        kept: (&[f32], &[f32]),
        gradient: &[f32],
    ) -> (Vec<f32>, Option<Array>) {
        let attention = &self.attention;
        let Heads {
            query,
            key_value,
            width,
        } = attention.heads;
        let columns = attention.heads.packed();
        let batch = packed.len() / columns / attention.queries;
        let mut out = buffer(packed.len());
        let values = Shared::new(&mut out);
        let into = |first: usize| Writable {
            values,
            stride: columns,
            first: first * width,
        };
        let each = query * (attention.queries + attention.keys - 1);
        let diagonal = self.terms == TermsKind::Diagonals;
        let mut diagonals = vec![0.0; if diagonal { batch * each } else { 0 }];
        let gradients = Gradients {
            queries: into(0),
            keys: into(query),
            values: into(query + key_value),
            diagonals: diagonal.then(|| Shared::new(&mut diagonals)),
        };
        attention.backward(self.operands(packed, terms), batch, kept, gradient, gradients);
        let diagonals = diagonal.then(|| Array::new(total(&diagonals, each), [query, each / query]));
        (out, diagonals)
    }
}

impl Fused<1> for Packed {
    type Saved = Kept;

    fn forward(&self, [packed]: [Array; 1], _tracked: bool) -> (Array, Kept) {
        self.whole(packed, None)
    }

    fn backward(&self, saved: Kept, gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        let [packed, _] = self.whole_back(saved, &gradient);
        [packed]
    }
}

impl Fused<2> for Packed {
    type Saved = Kept;

    fn forward(&self, [packed, terms]: [Array; 2], _tracked: bool) -> (Array, Kept) {
        self.whole(packed, Some(terms))
    }

    fn backward(&self, saved: Kept, gradient: Array, _wanted: [bool; 2]) -> [Option<Array>; 2] {
        self.whole_back(saved, &gradient)
    }
}

impl Packed {
    fn whole(&self, packed: Array, terms: Option<Array>) -> (Array, Kept) {
        let [rows, _] = packed.dims();
        let heads = self.attention.heads;
        let operands = self.operands(packed.values(), terms.as_ref());
        let (out, sums) = self.attention.forward(operands, rows / self.attention.queries);
        let out = Array::new(out, [rows, heads.query * heads.width]);
        (out.clone(), (packed, terms, out, sums.into()))
    }

    fn whole_back(&self, (packed, terms, out, sums): Kept, gradient: &Array) -> [Option<Array>; 2] {
        let kept = (out.values(), &*sums);
        let (dpacked, diagonals) = self.back(packed.values(), terms.as_ref(), kept, gradient.values());
        [Some(Array::new(dpacked, packed.dims())), diagonals]
    }
}

/// Attention of queries `[batch·queries, query·width]` to `[batch·keys, 2·key_value·width]` rows
/// `[keys | values]`.
#[derive(Clone, Debug)]
pub(super) struct Cross {
    pub(super) attention: Attention,
}

impl Cross {
    fn operands<'a>(&self, queries: &'a Array, keys_values: &'a Array) -> Operands<'a> {
        let heads = self.attention.heads;
        let side = |first: usize| Columns {
            values: keys_values.values(),
            stride: 2 * heads.key_value * heads.width,
            first,
        };
        Operands {
            queries: Columns {
                values: queries.values(),
                stride: heads.query * heads.width,
                first: 0,
            },
            keys: side(0),
            values: side(heads.key_value * heads.width),
            terms: Terms::Nothing,
        }
    }
}

impl Fused<2> for Cross {
    type Saved = (Array, Array, Array, Arc<[f32]>);

    fn forward(&self, [queries, keys_values]: [Array; 2], _tracked: bool) -> (Array, Self::Saved) {
        let batch = queries.dims()[0] / self.attention.queries;
        let (out, sums) = self.attention.forward(self.operands(&queries, &keys_values), batch);
        let out = Array::new(out, queries.dims());
        (out.clone(), (queries, keys_values, out, sums.into()))
    }

    fn backward(&self, saved: Self::Saved, gradient: Array, _wanted: [bool; 2]) -> [Option<Array>; 2] {
        let (queries, keys_values, out, sums) = saved;
        let heads = self.attention.heads;
        let batch = queries.dims()[0] / self.attention.queries;
        let mut dqueries = buffer(queries.values().len());
        let mut dkeys_values = buffer(keys_values.values().len());
        let values = Shared::new(&mut dkeys_values);
        let side = |first: usize| Writable {
            values,
            stride: 2 * heads.key_value * heads.width,
            first,
        };
        let into = Gradients {
            queries: Writable {
                values: Shared::new(&mut dqueries),
                stride: heads.query * heads.width,
                first: 0,
            },
            keys: side(0),
            values: side(heads.key_value * heads.width),
            diagonals: None,
        };
        let kept = (out.values(), &*sums);
        let operands = self.operands(&queries, &keys_values);
        self.attention.backward(operands, batch, kept, gradient.values(), into);
        [
            Some(Array::new(dqueries, queries.dims())),
            Some(Array::new(dkeys_values, keys_values.dims())),
        ]
    }
}

/// `x + dropout(outer(attention(turn(inner(norm(x))))))`
#[derive(Clone, Debug)]
pub(super) struct SelfAttention {
    pub(super) entry: Entry,
    pub(super) turn: Option<Turn>,
    pub(super) packed: Packed,
    pub(super) outer: Orientation,
    /// Whether the product out has a bias.
    pub(super) biased: bool,
    /// Of the pair that is learned beside the weight out, if there is one.
    pub(super) outer_scale: Option<f32>,
    pub(super) dropout: Option<Dropout>,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    x: Array,
    packed: Arc<Vec<f32>>,
    mixed: Arc<Vec<f32>>,
    sums: Arc<Vec<f32>>,
    statistics: Arc<[[f32; 2]]>,
    weights: EntryWeights,
    outer: Array,
    pair: Option<Pair>,
    terms: Option<Array>,
}

impl FusedMany for SelfAttention {
    type Saved = Option<Saved>;

    fn forward(&self, inputs: Vec<Array>, tracked: bool) -> (Array, Self::Saved) {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("an input");
        let weights = self.entry.weights(&mut inputs);
        let outer = inputs.next().expect("an outer weight");
        let bias = self.biased.then(|| inputs.next().expect("an outer bias"));
        let pair = Pair::next(self.outer_scale, &mut inputs);
        let terms = inputs.next();
        let ([rows, width], columns) = (x.dims(), weights.outputs());
        let panels = weights.panels(self.entry.precision);
        let mut statistics = self.entry.statistics(rows);
        let mut packed = buffer(rows * columns);
        let chunks = packed
            .par_chunks_mut(CHUNK * columns)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(chunks_of(&mut statistics, rows))
            .enumerate();
        chunks.for_each_init(
            || buffer(CHUNK * width),
            |normal, (chunk, ((packed, x), statistics))| {
                let count = x.len() / width;
                let normal = Matrix::rows(self.entry.normal(&weights, normal, statistics, x), width);
                let plus = Plus {
                    bias: weights.bias(),
                    rows: None,
                };
                chunk_product(
                    packed,
                    columns,
                    [count, columns, width],
                    normal,
                    panels.right(),
                    plus,
                    Target::Replace,
                );
                if let Some(turn) = &self.turn {
                    turn.rows(packed, columns, chunk * CHUNK, 1.0);
                }
            },
        );
        let attention = &self.packed.attention;
        let operands = self.packed.operands(&packed, terms.as_ref());
        let (mixed, sums) = attention.forward(operands, rows / attention.queries);
        let inside = attention.heads.query * attention.heads.width;
        let merged = Pair::merged(pair.as_ref(), &outer, self.outer);
        let outer_panels = Panels::of(self.entry.precision, &[(factor(&merged, self.outer), width)], inside);
        let mut out = buffer(rows * width);
        let chunks = out
            .par_chunks_mut(CHUNK * width)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(mixed.par_chunks(CHUNK * inside))
            .enumerate();
        chunks.for_each(|(chunk, ((out, x), mixed))| {
            let plus = Plus {
                bias: bias.as_ref().map(Array::values),
                rows: self.dropout.is_none().then(|| Matrix::rows(x, width)),
            };
            let shape = [x.len() / width, width, inside];
            chunk_product(
                out,
                width,
                shape,
                Matrix::rows(mixed, inside),
                outer_panels.right(),
                plus,
                Target::Replace,
            );
            if let Some(dropout) = &self.dropout {
                multiply_from(out, dropout, (chunk * CHUNK * width) as u64);
                add(out, x);
            }
        });
        let saved = tracked.then(|| Saved {
            x,
            packed: packed.into(),
            mixed: mixed.into(),
            sums: sums.into(),
            statistics: statistics.into(),
            weights,
            outer,
            pair,
            terms,
        });
        (Array::new(out, [rows, width]), saved)
    }

    fn backward(&self, saved: Self::Saved, gradient: Array, wanted: &[bool]) -> Vec<Option<Array>> {
        let Saved {
            x,
            packed,
            mixed,
            sums,
            statistics,
            weights,
            outer,
            pair,
            terms,
        } = saved.expect("a tracked operation saves");
        let ([rows, width], columns) = (x.dims(), weights.outputs());
        let heads = self.packed.attention.heads;
        let inside = heads.query * heads.width;

        // through the product out
        let precision = self.entry.precision;
        let summed = self.entry.summed(self.outer_scale);
        let merged = Pair::merged(pair.as_ref(), &outer, self.outer);
        let outer_panels = turned_panels(precision, &merged, self.outer);
        let mut dmixed = buffer(rows * inside);
        // what gradients of weights are sums over
        let mut mixed_rows = Summands::of(summed, rows, &mixed, vec![inside]);
        let mut dout = match &self.dropout {
            Some(_) => Summands::new(summed, rows, vec![width]),
            None => Summands::of(summed, rows, gradient.values(), vec![width]),
        };
        let each = if self.biased { width } else { 0 };
        let mut shares = vec![0.0; rows.div_ceil(CHUNK) * each];
        let all_shares = Shared::new(&mut shares);
        let [mixeds, douts] = [&mut mixed_rows, &mut dout].map(|summands| summands.making());
        let chunks = dmixed
            .par_chunks_mut(CHUNK * inside)
            .zip(gradient.values().par_chunks(CHUNK * width))
            .zip(mixed.par_chunks(CHUNK * inside))
            .enumerate();
        chunks.for_each_init(Vec::new, |dropped, (chunk, ((dmixed, gradient), mixed))| {
            let (first, count) = (chunk * CHUNK, gradient.len() / width);
            let dout = match &self.dropout {
                Some(dropout) => {
                    // SAFETY: each chunk's rows and shares are its own, here and below.
                    let dropped = unsafe { douts.room(first, count, dropped) };
                    dropped.copy_from_slice(gradient);
                    multiply_from(dropped, dropout, (first * width) as u64);
                    &*dropped
                }
                None => gradient,
            };
            if self.biased {
                // SAFETY: as above.
                add_columns(unsafe { all_shares.part(chunk * each, each) }, dout, 0, width);
            }
            let shape = [count, inside, width];
            let through = outer_panels.right();
            chunk_product(
                dmixed,
                inside,
                shape,
                Matrix::rows(dout, width),
                through,
                Plus::default(),
                Target::Replace,
            );
            // SAFETY: as above.
            unsafe {
                mixeds.keep(first, mixed);
                douts.keep(first, dout);
            }
        });
        let bias = total(&shares, each);

        let kept = (mixed.as_slice(), sums.as_slice());
        let (dpacked, diagonals) = self.packed.back(&packed, terms.as_ref(), kept, &dmixed);

        // through the products in and the norm
        let panels = weights.turned_panels(precision);
        let has_norm = self.entry.norm.is_some();
        let mut dx = buffer(rows * width);
        let mut normal = match has_norm {
            true => Summands::new(summed, rows, vec![width]),
            false => Summands::of(summed, rows, x.values(), vec![width]),
        };
        let (mut dpacked, unturned) = Summands::changed(summed, rows, dpacked, weights.columns());
        let each = self.entry.shares(&weights);
        let mut shares = vec![0.0; rows.div_ceil(CHUNK) * each];
        let all_shares = Shared::new(&mut shares);
        let [normals, dpackeds] = [&mut normal, &mut dpacked].map(|summands| summands.making());
        let chunks = dx
            .par_chunks_mut(CHUNK * width)
            .zip(
                x.values()
                    .par_chunks(CHUNK * width)
                    .zip(gradient.values().par_chunks(CHUNK * width)),
            )
            .enumerate();
        chunks.for_each_init(
            || [const { Vec::new() }; 2],
            |[packed_chunk, normal_chunk], (chunk, (dx, (x, gradient)))| {
                let (first, count) = (chunk * CHUNK, x.len() / width);
                // SAFETY: each chunk's rows and shares are its own, here and below.
                let dpacked = unsafe { dpackeds.room(first, count, packed_chunk) };
                if let Some(unturned) = &unturned {
                    dpacked.copy_from_slice(&unturned[first * columns..(first + count) * columns]);
                }
                if let Some(turn) = &self.turn {
                    turn.rows(dpacked, columns, first, -1.0); // the derivative of a turn is the turn back
                }
                let mut kept = [[0.0; 2]; CHUNK];
                let statistics = match has_norm {
                    true => {
                        kept[..count].copy_from_slice(&statistics[first..first + count]);
                        &mut kept[..count]
                    }
                    false => &mut [],
                };
                // SAFETY: as above.
                let share = unsafe { all_shares.part(chunk * each, each) };
                let normal = match has_norm {
                    // SAFETY: as above.
                    true => unsafe { normals.room(first, count, normal_chunk) },
                    false => &mut [],
                };
                self.entry
                    .back(&weights, &panels, dx, normal, share, dpacked, x, statistics, gradient);
                // SAFETY: as above.
                unsafe {
                    dpackeds.keep(first, dpacked);
                    normals.keep(first, if has_norm { normal } else { x });
                }
            },
        );
        let shares = total(&shares, each);
        let (entry_wanted, outer_wanted) = wanted[1..].split_at(self.entry.count());
        let (entry, outer) = rayon::join(
            || {
                self.entry
                    .gradients(&weights, &shares, rows, &normal, &dpacked, entry_wanted)
            },
            || outer_wanted[0].then(|| weight_gradient(&outer, self.outer, rows, mixed_rows.part(0), dout.part(0))),
        );
        let mut list = vec![Some(Array::new(dx, [rows, width]))];
        list.extend(entry);
        list.push(outer);
        if self.biased {
            list.push(Some(Array::new(bias, [1, width])));
        }
        if let Some(pair) = pair {
            let wanted = &outer_wanted[1 + usize::from(self.biased)..];
            let (mixed, dout) = (mixed_rows.part(0).in_f32(), dout.part(0).in_f32());
            list.extend(pair.gradients(rows, mixed, dout, [wanted[0], wanted[1]]));
        }
        if terms.is_some() {
            list.push(diagonals);
        }
        list
    }
}
