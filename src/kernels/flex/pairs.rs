//! Products of bf16 numbers, two neighbouring terms of each sum in a word (see [`super::bf16`]).
//!
//! How a product is cut, and so the order of every sum, depends on shapes alone.

use std::cell::RefCell;

use rayon::prelude::*;

use super::array::{Shared, pairs_buffer};
use super::bf16::pack_rows;
use super::panels::copy_pairs;
use super::product::{Block, Matrix, Plus, ROWS, Target, tiles};
use super::tile::{Machine, PANEL, Tile};

/// Pairs of terms that are added up in registers before their sum is kept.
const DEPTH: usize = 512;
/// The same of sums over rows: a panel of so many is half of a core's first cache.
const SHORT: usize = 128;

thread_local! {
    /// Rows of the left factor in pairs, kept from product to product.
    static LEFT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// `a [m, k]`, row by row, times panels of pairs into a block, on this thread. The left factor is rounded
/// while it is packed, so many rows at a time that they stay in the second cache.
///
/// # Safety
/// No other thread uses the block.
pub(super) unsafe fn multiply_pairs(
    block: Block<'_>,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: &[u32],
    plus: Plus<'_>,
    target: Target,
) {
    let pairs = k.div_ceil(2);
    assert!(a.holds(m, k), "the left factor holds its shape");
    assert!(plus.holds(m, n), "what is added has the product's shape");
    assert!(b.len() >= n.div_ceil(PANEL) * PANEL * pairs, "panels of this shape");
    let out = block.buffer.block(block.start, [m, n], block.stride);
    let machine = Machine::of_pairs();
    let (mut plus_rows, mut plus_row) = plus.first(out, block.stride, target);
    let mut bias = plus.bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
    let mut left = LEFT.take();
    for part in 0..pairs.div_ceil(DEPTH).max(1) {
        let (from, depth) = tiles(pairs, DEPTH).nth(part).unwrap_or((0, 0));
        // an odd number of cache lines, so that neighbouring rows do not share their places in the cache
        let apart = (depth.div_ceil(16) | 1) * 16;
        for (row, rows) in tiles(m, ROWS) {
            left.resize((rows * apart).max(left.len()), 0);
            let terms = (2 * depth).min(k - 2 * from);
            pack_rows(&mut left, apart, a.from(row, 2 * from), [rows, terms]);
            let each = tiles(rows, machine.rows);
            for column in (0..n).step_by(PANEL) {
                for (inner, count) in each.clone() {
                    let row = row + inner;
                    let place = |start: *const f32, stride: usize| match start.is_null() {
                        true => start,
                        false => start.wrapping_add(row * stride + column),
                    };
                    let tile = Tile {
                        rows: count,
                        columns: PANEL.min(n - column),
                        k: depth,
                        c: out.wrapping_add(row * block.stride + column),
                        c_row: block.stride,
                        a: left[inner * apart..].as_ptr(),
                        a_row: apart,
                        a_column: 1,
                        b: b.as_ptr().wrapping_add(column * pairs + from * PANEL),
                        b_row: PANEL,
                        bias: place(bias, 0),
                        plus: place(plus_rows, plus_row),
                        plus_row,
                    };
                    // SAFETY: the shapes lie inside the slices (checked above), and the caller owns the block.
                    unsafe { machine.compute(&tile) };
                }
            }
        }
        (plus_rows, plus_row, bias) = (out, block.stride, std::ptr::null());
    }
    LEFT.set(left);
}

/// Rows that are summed over, in panels of [`PANEL`] columns of pairs of neighbouring rows: either factor
/// of [`summed_product`]. Each of several matrices side by side begins a panel of its own.
#[derive(Clone, Debug)]
pub(crate) struct Paired {
    pairs: Vec<u32>,
    rows: usize,
    columns: Vec<usize>,
}

/// Where threads write disjoint rows of [`Paired`].
#[derive(Clone, Copy)]
pub(crate) struct Pairing<'a> {
    pairs: Shared<'a, u32>,
    rows: usize,
    columns: &'a [usize],
}

/// One matrix of [`Paired`].
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a> {
    pairs: &'a [u32],
    rows: usize,
    columns: usize,
}

impl Paired {
    /// Room for so many rows of matrices with so many columns each.
    pub(crate) fn new(rows: usize, columns: Vec<usize>) -> Self {
        let panels = columns.iter().map(|columns| columns.div_ceil(PANEL)).sum::<usize>();
        Self {
            pairs: pairs_buffer(panels * PANEL * rows.div_ceil(2)),
            rows,
            columns,
        }
    }

    /// A whole matrix, on all threads.
    pub(crate) fn of(matrix: Matrix<'_>, [rows, columns]: [usize; 2]) -> Self {
        const AT_ONCE: usize = 64;
        let mut paired = Self::new(rows, vec![columns]);
        let pairing = paired.pairing();
        (0..rows.div_ceil(AT_ONCE)).into_par_iter().for_each(|part| {
            let first = part * AT_ONCE;
            // SAFETY: parts are disjoint rows.
            unsafe { pairing.write(first, AT_ONCE.min(rows - first), matrix.from(first, 0)) };
        });
        paired
    }

    pub(crate) fn pairing(&mut self) -> Pairing<'_> {
        Pairing {
            pairs: Shared::new(&mut self.pairs),
            rows: self.rows,
            columns: &self.columns,
        }
    }

    /// Of all matrices together.
    pub(crate) fn columns(&self) -> usize {
        self.columns.iter().sum()
    }

    /// The matrix of an index.
    pub(crate) fn part(&self, index: usize) -> Pairs<'_> {
        let panels = self.columns[..index].iter().map(|columns| columns.div_ceil(PANEL));
        let start = panels.sum::<usize>() * PANEL * self.rows.div_ceil(2);
        Pairs {
            pairs: &self.pairs[start..],
            rows: self.rows,
            columns: self.columns[index],
        }
    }
}

impl Pairing<'_> {
    /// Writes `count` rows from an even one on; an odd number only at the end.
    ///
    /// # Safety
    /// No other thread writes these rows.
    pub(crate) unsafe fn write(self, first: usize, count: usize, values: Matrix<'_>) {
        assert!(first.is_multiple_of(2) && (count.is_multiple_of(2) || first + count == self.rows));
        let (all, pairs) = (self.rows.div_ceil(2), count.div_ceil(2));
        let (mut panel, mut start) = (0, 0);
        for part in self.columns {
            for column in (0..*part).step_by(PANEL) {
                let columns = PANEL.min(part - column);
                // SAFETY: each panel has its own place for these rows, and the caller has them alone.
                let out = unsafe { self.pairs.part((panel * all + first / 2) * PANEL, pairs * PANEL) };
                if columns < PANEL {
                    out.fill(0);
                }
                copy_pairs(out, 0, values.from(0, start + column), count, columns);
                panel += 1;
            }
            start += part;
        }
    }
}

/// `aᵀ · b` of two matrices with the same rows into a contiguous `[columns of a, columns of b]`, on all
/// threads.
pub(crate) fn summed_product(out: &mut [f32], a: Pairs<'_>, b: Pairs<'_>, target: Target) {
    let (m, n, pairs) = (a.columns, b.columns, a.rows.div_ceil(2));
    assert!(a.rows == b.rows && m * n <= out.len(), "factors of the same rows");
    if pairs == 0 && target == Target::Replace {
        out[..m * n].fill(0.0);
    }
    let machine = Machine::of_pairs();
    let (down, across) = (m.div_ceil(PANEL), n.div_ceil(PANEL));
    // panels of both that stay in the second cache together, but pieces for any number of threads
    let mut group = 4;
    while group > 1 && down.div_ceil(group) * across.div_ceil(group) < 16 {
        group /= 2;
    }
    let buffer = Shared::new(out);
    let units = (0..down.div_ceil(group) * across.div_ceil(group)).into_par_iter();
    units.for_each(|unit| {
        let (row, column) = (unit / across.div_ceil(group), unit % across.div_ceil(group));
        let (rows, columns) = (row * group * PANEL, column * group * PANEL);
        let (end, last) = (m.min(rows + group * PANEL), n.min(columns + group * PANEL));
        let mut target = target;
        for (from, depth) in tiles(pairs, SHORT) {
            for column in (columns..last).step_by(PANEL) {
                for panel in (rows..end).step_by(PANEL) {
                    for (inner, count) in tiles(PANEL.min(end - panel), machine.rows) {
                        let row = panel + inner;
                        let columns = PANEL.min(last - column);
                        let c = buffer.block(row * n + column, [count, columns], n);
                        let tile = Tile {
                            rows: count,
                            columns,
                            k: depth,
                            c,
                            c_row: n,
                            a: a.pairs[panel * pairs + from * PANEL + inner..].as_ptr(),
                            a_row: 1,
                            a_column: PANEL,
                            b: b.pairs[column * pairs + from * PANEL..].as_ptr(),
                            b_row: PANEL,
                            bias: std::ptr::null(),
                            plus: match target {
                                Target::Add => c,
                                Target::Replace => std::ptr::null(),
                            },
                            plus_row: n,
                        };
                        // SAFETY: both factors hold whole panels of so many pairs, and units are disjoint
                        // blocks of the target, which `block` has checked.
                        unsafe { machine.compute(&tile) };
                    }
                }
            }
            target = Target::Add;
        }
    });
}
