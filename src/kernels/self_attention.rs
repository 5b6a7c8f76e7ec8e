//! The first half of a block on the CPU, as one operation: norm, products, rotary positions, attention,
//! the product out and the residual connection.

use std::sync::Arc;

use rayon::prelude::*;

use super::Heads;
use super::entry::{CHUNK, Entry, EntryWeights, chunk_product, total};
use super::exit::{Exit, ExitWeights};
use super::flex::{Array, Fused, FusedMany, Matrix, Plus, SHARE, Shared, Target, buffer};
use super::fused_attention::{Attention, Columns, Gradients, Operands, Terms, Writable};
use super::fused_mlp::chunks_of;
use super::rotary::Turn;
use super::summands::Summands;

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
    pub(super) exit: Exit,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    x: Array,
    packed: Arc<Vec<f32>>,
    mixed: Arc<Vec<f32>>,
    sums: Arc<Vec<f32>>,
    statistics: Arc<[[f32; 2]]>,
    weights: EntryWeights,
    outer: ExitWeights,
    terms: Option<Array>,
}

impl FusedMany for SelfAttention {
    type Saved = Option<Saved>;

    fn forward(&self, inputs: Vec<Array>, tracked: bool) -> (Array, Self::Saved) {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("an input");
        let weights = self.entry.weights(&mut inputs);
        let outer = self.exit.weights(&mut inputs);
        let terms = inputs.next();
        let ([rows, width], columns) = (x.dims(), weights.outputs());
        let precision = self.entry.precision;
        let (panels, outer_panels) = rayon::join(|| weights.panels(precision), || outer.panels(precision));
        let mut statistics = self.entry.statistics(rows);
        let mut packed = buffer(rows * columns);
        let chunks = packed
            .par_chunks_mut(CHUNK * columns)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(chunks_of(&mut statistics, rows))
            .enumerate()
            .with_max_len(SHARE);
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
        let mut out = buffer(rows * width);
        let chunks = out
            .par_chunks_mut(CHUNK * width)
            .zip(x.values().par_chunks(CHUNK * width))
            .zip(mixed.par_chunks(CHUNK * inside))
            .enumerate()
            .with_max_len(SHARE);
        chunks.for_each(|(chunk, ((out, x), mixed))| {
            self.exit.chunk(&outer, &outer_panels, chunk * CHUNK, out, mixed, x);
        });
        let saved = tracked.then(|| Saved {
            x,
            packed: packed.into(),
            mixed: mixed.into(),
            sums: sums.into(),
            statistics: statistics.into(),
            weights,
            outer,
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
            terms,
        } = saved.expect("a tracked operation saves");
        let ([rows, width], columns) = (x.dims(), weights.outputs());
        let heads = self.packed.attention.heads;
        let inside = heads.query * heads.width;

        // through the product out
        let summed = self.entry.summed(self.exit.scale);
        let mut dmixed = buffer(rows * inside);
        // what gradients of weights are sums over
        let mut mixed_rows = Summands::of(summed, rows, &mixed, vec![inside]);
        let mut dout = self.exit.summands(summed, &gradient);
        let exit_each = self.exit.shares(&outer);
        let mut exit_shares = vec![0.0; rows.div_ceil(CHUNK) * exit_each];
        let exit = self
            .exit
            .back(&outer, self.entry.precision, &mut dout, &mut exit_shares);
        let mixeds = mixed_rows.making();
        let chunks = dmixed
            .par_chunks_mut(CHUNK * inside)
            .zip(gradient.values().par_chunks(CHUNK * width))
            .zip(mixed.par_chunks(CHUNK * inside))
            .enumerate()
            .with_max_len(SHARE);
        chunks.for_each_init(Vec::new, |dropped, (chunk, ((dmixed, gradient), mixed))| {
            // SAFETY: each chunk's rows and shares are its own.
            unsafe {
                exit.chunk(chunk * CHUNK, dmixed, gradient, dropped);
                mixeds.keep(chunk * CHUNK, mixed);
            }
        });

        let kept = (mixed.as_slice(), sums.as_slice());
        let (dpacked, diagonals) = self.packed.back(&packed, terms.as_ref(), kept, &dmixed);

        // through the products in and the norm
        let mut dx = buffer(rows * width);
        let mut normal = self.entry.summands(summed, &x);
        let (mut dpacked, unturned) = Summands::changed(summed, rows, dpacked, weights.columns());
        let entry_each = self.entry.shares(&weights);
        let mut entry_shares = vec![0.0; rows.div_ceil(CHUNK) * entry_each];
        let entry = self.entry.back(&weights, &statistics, &mut normal, &mut entry_shares);
        let dpackeds = dpacked.making();
        let chunks = dx
            .par_chunks_mut(CHUNK * width)
            .zip(
                x.values()
                    .par_chunks(CHUNK * width)
                    .zip(gradient.values().par_chunks(CHUNK * width)),
            )
            .enumerate()
            .with_max_len(SHARE);
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
                // SAFETY: as above.
                unsafe {
                    entry.chunk(first, dx, dpacked, [x, gradient], normal_chunk);
                    dpackeds.keep(first, dpacked);
                }
            },
        );
        let (entry_wanted, exit_wanted) = wanted[1..].split_at(self.entry.count());
        let (entry, exit) = rayon::join(
            || {
                let shares = total(&entry_shares, entry_each);
                self.entry
                    .gradients(&weights, &shares, rows, &normal, &dpacked, entry_wanted)
            },
            || {
                let shares = total(&exit_shares, exit_each);
                self.exit
                    .gradients(&outer, &shares, rows, &mixed_rows, &dout, exit_wanted)
            },
        );
        let mut list = vec![Some(Array::new(dx, [rows, width]))];
        list.extend(entry);
        list.extend(exit);
        if terms.is_some() {
            list.push(diagonals);
        }
        list
    }
}
