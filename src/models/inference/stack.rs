//! Blocks of attention, one after the other: a decoder or an encoder.

use rayon::prelude::*;

use super::sequence::Kept;
use super::workspace::{Row, Workspace, room};
use super::{Block, Feed, Norm};
use crate::kernels::inference::{Attended, Attention, Target, Terms, rows};
use crate::kernels::{Heads, RelativeBuckets, Rotation, alibi_terms};

/// A decoder or an encoder.
#[derive(Clone, Debug)]
pub(in crate::models) struct Stack {
    pub(in crate::models) blocks: Vec<Block>,
    /// After the last block.
    pub(in crate::models) norm: Option<Norm>,
    pub(in crate::models) heads: Heads,
    pub(in crate::models) order: Order,
    pub(in crate::models) positions: Positions,
    /// What scores are multiplied by.
    pub(in crate::models) scale: f32,
    /// Whether a row sees only what is before it.
    pub(in crate::models) causal: bool,
}

/// Where norms are, and how attention and MLP follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum Order {
    /// Norms before each part; the MLP reads what attention added.
    Before,
    /// Norms after each part and what flows around it.
    After,
    /// Attention and MLP read the same, by one norm or by two.
    Parallel,
}

/// How attention knows positions.
#[derive(Clone, Debug)]
pub(in crate::models) enum Positions {
    /// It does not: they are in the rows.
    None,
    /// Queries and keys are turned: cosines and sines of the first positions.
    Rotary {
        rotation: Rotation,
        cosines: Vec<f32>,
        sines: Vec<f32>,
    },
    /// A term for each head and key: `[heads, context]`.
    Absolute { terms: Vec<f32>, context: usize },
    /// A term for each head and distance: see [`RelativeBuckets::by_distance`].
    Relative {
        terms: Vec<f32>,
        reach: usize,
        columns: usize,
    },
}

/// Positions whose cosines and sines are computed beforehand; those of others for each row.
const TURNED: usize = 4096;

impl Positions {
    pub(in crate::models) fn rotary(rotation: Rotation, heads: Heads, context: usize) -> Self {
        let (cosines, sines) = rotation.tables(context.min(TURNED), heads.width);
        Self::Rotary {
            rotation,
            cosines,
            sines,
        }
    }

    pub(in crate::models) fn alibi(heads: Heads, context: usize) -> Self {
        Self::Absolute {
            terms: alibi_terms(heads, context),
            context,
        }
    }

    pub(in crate::models) fn relative(buckets: RelativeBuckets, table: &[f32], heads: Heads, reach: usize) -> Self {
        let terms = buckets.by_distance(table, reach);
        Self::Relative {
            columns: terms.len() / heads.query,
            terms,
            reach,
        }
    }

    /// Turns the queries and keys of a row.
    fn turn(&self, turned: &mut [f32], width: usize, position: usize) {
        let Self::Rotary {
            rotation,
            cosines,
            sines,
        } = self
        else {
            return;
        };
        let half = width / 2;
        let at = position * half..(position + 1) * half;
        if at.end <= cosines.len() {
            rows::turn(turned, &cosines[at.clone()], &sines[at]);
        } else {
            let alone = Rotation {
                start: position,
                ..*rotation
            };
            let (cosines, sines) = alone.tables(1, width);
            rows::turn(turned, &cosines, &sines);
        }
    }

    /// The terms of a row's scores.
    fn terms(&self, position: usize) -> Option<Terms<'_>> {
        match self {
            Self::None | Self::Rotary { .. } => None,
            Self::Absolute { terms, context } => Some(Terms {
                table: terms,
                columns: *context,
                start: 0,
            }),
            Self::Relative { terms, reach, columns } => Some(Terms {
                table: terms,
                columns: *columns,
                start: reach - 1 - position,
            }),
        }
    }
}

impl Stack {
    /// Takes the rows in `work.x` through all blocks; [`Self::finish`] does the last norm. Of a decoder, the
    /// rows that are wanted are left in `work.rows` and `work.x`: keys and values are kept of all.
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>], work: &mut Workspace, width: usize) {
        let Workspace {
            rows,
            x,
            normal,
            packed,
            mixed,
            inner,
            gated,
            ..
        } = work;
        let (mut count, queries) = (rows.len(), self.heads.query * self.heads.width);
        let mut x = room(x, count * width);
        let mut normal = room(normal, count * width);
        let mut mixed = room(mixed, count * queries);
        let after = self.order == Order::After;
        for (layer, block) in self.blocks.iter().enumerate() {
            let mut packed = room(packed, count * self.heads.packed());
            if after {
                block.attention_in.multiply(x, packed, Target::Replace);
            } else {
                block.attention_norm.apply(x, normal);
                block.attention_in.multiply(normal, packed, Target::Replace);
            }
            self.keep(layer, rows, feeds, packed);
            if self.causal && layer + 1 == self.blocks.len() {
                // what follows is for the rows whose logits are wanted
                let kept = keep_wanted(
                    rows,
                    feeds,
                    &mut [
                        (&mut *x, width),
                        (&mut *normal, width),
                        (&mut *packed, self.heads.packed()),
                    ],
                );
                if kept == 0 {
                    return;
                }
                count = kept;
                (x, normal) = (&mut x[..count * width], &mut normal[..count * width]);
                (packed, mixed) = (
                    &mut packed[..count * self.heads.packed()],
                    &mut mixed[..count * queries],
                );
            }
            self.attend(layer, rows, feeds, packed, mixed);
            if self.order == Order::Parallel
                && let Some(norm) = &block.mlp_norm
            {
                norm.apply(x, normal);
            }
            block.attention_out.multiply(mixed, x, Target::Add);
            if after {
                renormalise(&block.attention_norm, x, normal);
            }
            if let Some(cross) = &block.cross {
                let asking = &mut packed[..count * queries]; // which are fewer than all of attention's
                if after {
                    cross.queries.multiply(x, asking, Target::Replace);
                } else {
                    cross.norm.apply(x, normal);
                    cross.queries.multiply(normal, asking, Target::Replace);
                }
                let scoring = |row: &Row| {
                    let source = &feeds[row.feed].sequence.source[layer];
                    let attention = Attention {
                        scale: self.scale,
                        seen: source.length(),
                        bias: None,
                    };
                    (source, attention)
                };
                attend_rows(rows, asking, mixed, queries, &scoring);
                cross.out.multiply(mixed, x, Target::Add);
                if after {
                    renormalise(&cross.norm, x, normal);
                }
            }
            match (&block.mlp_norm, self.order) {
                (Some(norm), Order::Before) => {
                    norm.apply(x, normal);
                    block.mlp.add_to(x, normal, inner, gated);
                }
                (Some(norm), Order::After) => {
                    normal.copy_from_slice(x);
                    block.mlp.add_to(x, normal, inner, gated);
                    renormalise(norm, x, normal);
                }
                (_, Order::Parallel) | (None, _) => block.mlp.add_to(x, normal, inner, gated),
            }
        }
    }

    /// A layer's keys and values; an encoder is done with them when the next one begins.
    fn place(&self, layer: usize) -> usize {
        if self.causal { layer } else { 0 }
    }

    /// Turns the rows' queries and keys, and keeps keys and values.
    fn keep(&self, layer: usize, rows: &[Row], feeds: &mut [Feed<'_>], packed: &mut [f32]) {
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        let place = self.place(layer);
        if !self.causal {
            for feed in feeds.iter_mut() {
                feed.sequence.layers[place].attended().truncate(0);
            }
        }
        let (keys, values) = (query * width, (query + key_value) * width);
        for (row, packed) in rows.iter().zip(packed.chunks_exact_mut(self.heads.packed())) {
            self.positions.turn(&mut packed[..values], width, row.position);
            let attended = feeds[row.feed].sequence.layers[place].attended();
            attended.push(&packed[keys..values], &packed[values..]);
        }
    }

    /// Attention of the rows to what their sequences have read, themselves included.
    fn attend(&self, layer: usize, rows: &[Row], feeds: &[Feed<'_>], packed: &[f32], mixed: &mut [f32]) {
        let place = self.place(layer);
        let scoring = |row: &Row| {
            let Kept::Attention(attended) = &feeds[row.feed].sequence.layers[place] else {
                unreachable!("a layer of attention keeps keys and values")
            };
            let attention = Attention {
                scale: self.scale,
                seen: if self.causal {
                    row.position + 1
                } else {
                    attended.length()
                },
                bias: self.positions.terms(row.position),
            };
            (attended, attention)
        };
        attend_rows(rows, packed, mixed, self.heads.query * self.heads.width, &scoring);
    }

    /// The last norm.
    pub(super) fn finish(&self, x: &[f32], out: &mut [f32]) {
        match &self.norm {
            Some(norm) => norm.apply(x, out),
            None => out.copy_from_slice(x),
        }
    }
}

/// Moves the rows that are wanted, the last ones of feeds that say so, to the front of values of so many
/// columns; gives their number.
fn keep_wanted(rows: &mut Vec<Row>, feeds: &[Feed<'_>], values: &mut [(&mut [f32], usize)]) -> usize {
    let mut kept = 0;
    for row in 0..rows.len() {
        let place = rows[row];
        let ends = rows.get(row + 1).is_none_or(|next| next.feed != place.feed);
        if ends && feeds[place.feed].wanted {
            rows[kept] = place;
            for (values, columns) in values.iter_mut() {
                values.copy_within(row * *columns..(row + 1) * *columns, kept * *columns);
            }
            kept += 1;
        }
    }
    rows.truncate(kept);
    kept
}

/// What a row attends to, and how.
type Scoring<'a, 'b> = &'b (dyn Fn(&Row) -> (&'a Attended, Attention<'a>) + Sync);

/// Attention of rows that begin with their queries.
fn attend_rows(rows: &[Row], asking: &[f32], mixed: &mut [f32], queries: usize, scoring: Scoring<'_, '_>) {
    const MANY: usize = 8;
    let stride = asking.len() / rows.len();
    let one = |(number, mixed): (usize, &mut [f32])| {
        let (attended, attention) = scoring(&rows[number]);
        attended.attend(&asking[number * stride..][..queries], &attention, mixed);
    };
    if rows.len() < MANY || rayon::current_num_threads() == 1 {
        mixed.chunks_exact_mut(queries).enumerate().for_each(one);
    } else {
        mixed.par_chunks_exact_mut(queries).enumerate().for_each(one);
    }
}

/// A norm in place.
fn renormalise(norm: &Norm, x: &mut [f32], scratch: &mut [f32]) {
    norm.apply(x, scratch);
    x.copy_from_slice(scratch);
}
