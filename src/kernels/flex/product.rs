//! Matrix products into buffers of our own.

use rayon::prelude::*;
use serde_json::json;

use super::SHARE;
use super::array::{Shared, buffer};
use super::pairs::multiply_pairs;
use super::panels::{Panels, copy};
use super::precision::Precision;
use super::tile::{Machine, PANEL, Tile};
use crate::profile;

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that begin `stride` values apart.
    pub(crate) fn rows(values: &'a [f32], stride: usize) -> Self {
        Self {
            values,
            row: stride,
            column: 1,
        }
    }

    /// The same with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }

    pub(super) fn holds(&self, rows: usize, columns: usize) -> bool {
        rows * columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }

    /// The view from a row and a column on.
    pub(crate) fn from(self, row: usize, column: usize) -> Self {
        Self {
            values: &self.values[row * self.row + column * self.column..],
            ..self
        }
    }

    pub(crate) fn values(&self) -> &'a [f32] {
        self.values
    }

    /// From one row to the next, and from one column to the next.
    pub(super) fn strides(&self) -> (usize, usize) {
        (self.row, self.column)
    }
}

/// A block of a shared buffer with rows `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) buffer: Shared<'a>,
    pub(crate) start: usize,
    pub(crate) stride: usize,
}

/// Whether a product replaces what is in its target or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Replace,
    Add,
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Panels of so many rows, one after another.
    Panels(&'a [f32], usize),
    /// Rows of neighbouring values, read as they lie.
    Rows(Matrix<'a>),
    /// Panels of so many rows of bf16 numbers, two rows in a word; the left factor is rounded to bf16 as
    /// well.
    Pairs(&'a [u32], usize),
}

impl<'a> Right<'a> {
    /// From a column on that begins a panel.
    pub(crate) fn from(self, column: usize) -> Self {
        debug_assert!(column.is_multiple_of(PANEL), "a panel begins");
        match self {
            Right::Panels(values, k) => Right::Panels(&values[column * k..], k),
            Right::Rows(matrix) => Right::Rows(matrix.from(0, column)),
            Right::Pairs(pairs, k) => Right::Pairs(&pairs[column * k.div_ceil(2)..], k),
        }
    }
}

/// What is added to a product.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plus<'a> {
    /// One value a column.
    pub(crate) bias: Option<&'a [f32]>,
    /// A matrix of the product's shape.
    pub(crate) rows: Option<Matrix<'a>>,
}

impl Plus<'_> {
    /// What the first part of a sum is added to: the target itself, or what the caller says.
    pub(super) fn first(&self, out: *const f32, stride: usize, target: Target) -> (*const f32, usize) {
        match (target, self.rows) {
            (Target::Add, None) => (out, stride),
            (Target::Add, Some(_)) => unreachable!("a product is added to one matrix"),
            (Target::Replace, Some(rows)) => (rows.values.as_ptr(), rows.row),
            (Target::Replace, None) => (std::ptr::null(), 0),
        }
    }

    /// Whether it holds what is added to `[m, n]` sums.
    pub(super) fn holds(&self, m: usize, n: usize) -> bool {
        self.bias.is_none_or(|bias| bias.len() >= n)
            && self.rows.is_none_or(|rows| rows.column == 1 && rows.holds(m, n))
    }
}

/// Terms of a sum that are added up in registers before their sum is kept.
const DEPTH: usize = 512;
/// Rows that go over one panel before the next.
pub(super) const ROWS: usize = 126;

/// Rows whose distance is a multiple of this lie in the same places of a core's first cache, of which there are
/// fewer than a tile reads rows.
pub(super) const CROWDED: usize = 1024;
/// Values of a line of a cache.
const LINE: usize = 16;

/// Numbers of a right factor that does not stay in a core's second cache: it is read once for as many rows as
/// there are.
const LARGE: usize = 1 << 18;

/// Rows of a product from which a copy of the right factor saves more than it costs.
pub(super) const FEW: usize = 8;

/// `a [m, k] · b [k, n]` into a contiguous `[m, n]`, on all threads.
pub(crate) fn product(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    assert!(m * n <= out.len(), "the target holds the product");
    let _span = profile::span_about("product", "gemm", || json!({"m": m, "n": n, "k": k}));
    assert!(a.holds(m, k) && b.holds(k, n), "operands hold their shapes");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if target == Target::Replace {
            out[..m * n].fill(0.0);
        }
        return;
    }
    if a.column == 1 && m >= FEW {
        let panels = Panels::of(Precision::F32, &[(b, n)], k);
        product_with(out, [m, n, k], a, panels.right(), target);
    } else if a.row == 1 && b.column == 1 {
        transposed_product(out, [m, n, k], a, b, target);
    } else {
        let whole = Block {
            buffer: Shared::new(out),
            start: 0,
            stride: n,
        };
        // SAFETY: the only use of the buffer.
        unsafe { few_rows(whole, [m, n, k], a, b, target) };
    }
}

/// `a [m, k]`, row by row, times a right factor as it lies, into a contiguous `[m, n]`, on all threads.
pub(crate) fn product_with(out: &mut [f32], shape: [usize; 3], a: Matrix<'_>, b: Right<'_>, target: Target) {
    product_into(out, shape[1], shape, a, b, None, target);
}

/// The same into rows `stride` values apart, and one value a column that is added, if any are given.
pub(crate) fn product_into(
    out: &mut [f32],
    stride: usize,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Right<'_>,
    bias: Option<&[f32]>,
    target: Target,
) {
    assert!(Matrix::rows(out, stride).holds(m, n), "the target holds the product");
    let threads = rayon::current_num_threads();
    let buffer = Shared::new(out);
    let (units, most) = if n * k > LARGE {
        (threads, 2 * ROWS)
    } else {
        (2 * threads, ROWS)
    };
    let rows = m.div_ceil(m.div_ceil(most).max(1).next_multiple_of(units)).max(14);
    let panels = n.div_ceil(PANEL);
    let groups = units.div_ceil(m.div_ceil(rows).max(1)).min(panels);
    let columns = panels.div_ceil(groups) * PANEL;
    let groups = n.div_ceil(columns);
    let all = (0..m.div_ceil(rows) * groups).into_par_iter().with_max_len(SHARE);
    all.for_each(|unit| {
        let (row, column) = (unit / groups * rows, unit % groups * columns);
        let block = Block {
            buffer,
            start: row * stride + column,
            stride,
        };
        let shape = [rows.min(m - row), columns.min(n - column), k];
        let plus = Plus {
            bias: bias.map(|bias| &bias[column..]),
            rows: None,
        };
        // SAFETY: units are disjoint blocks of the target.
        unsafe { multiply(block, shape, a.from(row, 0), b.from(column), plus, target) };
    });
}

/// `a [m, k] · b [k, n]` into a block, on this thread.
///
/// # Safety
/// No other thread uses the block.
pub(crate) unsafe fn multiply(
    block: Block<'_>,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Right<'_>,
    plus: Plus<'_>,
    target: Target,
) {
    assert!(a.holds(m, k), "the left factor holds its shape");
    assert!(plus.holds(m, n), "what is added has the product's shape");
    let (start, panel, b_row) = match b {
        Right::Panels(values, rows) => {
            assert!(
                rows == k && values.len() >= n.div_ceil(PANEL) * PANEL * k,
                "panels of this shape"
            );
            (values.as_ptr(), PANEL * k, PANEL)
        }
        Right::Rows(matrix) => {
            assert!(matrix.column == 1 && matrix.holds(k, n), "rows of this shape");
            (matrix.values.as_ptr(), PANEL, matrix.row)
        }
        Right::Pairs(pairs, rows) => {
            assert_eq!(rows, k, "panels of this shape");
            // SAFETY: by the caller's promise.
            return unsafe { multiply_pairs(block, [m, n, k], a, pairs, plus, target) };
        }
    };
    let out = block.buffer.block(block.start, [m, n], block.stride);
    let machine = Machine::here();
    // a copy of a part of the left factor pays from a few panels on
    let copies = a.column == 1 && a.row.is_multiple_of(CROWDED) && n > 2 * PANEL;
    let apart = DEPTH.min(k) + LINE;
    let mut left = buffer(if copies { ROWS.min(m) * apart } else { 0 });
    let (mut plus_rows, mut plus_row) = plus.first(out, block.stride, target);
    let mut bias = plus.bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
    let mut from = 0;
    loop {
        let depth = DEPTH.min(k - from);
        for (row, rows) in tiles(m, ROWS) {
            let mut part = a.from(row, from);
            if copies {
                for (line, out) in left.chunks_exact_mut(apart).take(rows).enumerate() {
                    out[..depth].copy_from_slice(&part.values[line * a.row..][..depth]);
                }
                part = Matrix::rows(&left, apart);
            }
            let each = tiles(rows, machine.rows);
            for column in (0..n).step_by(PANEL) {
                for (inner, count) in each.clone() {
                    let left = part.values.as_ptr().wrapping_add(inner * part.row);
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
                        a: left,
                        a_row: part.row,
                        a_column: part.column,
                        b: start.wrapping_add(column / PANEL * panel + from * b_row),
                        b_row,
                        bias: place(bias, 0),
                        plus: place(plus_rows, plus_row),
                        plus_row,
                    };
                    // SAFETY: the shapes lie inside the slices (checked above), and the caller owns the block.
                    unsafe { machine.compute(&tile) };
                }
            }
        }
        from += depth;
        if from >= k {
            return;
        }
        (plus_rows, plus_row, bias) = (out, block.stride, std::ptr::null());
    }
}

/// Cuts `count` into as few parts of at most `most` as there can be, all of nearly the same size: where each
/// begins, and how much it is.
pub(super) fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let parts = count.div_ceil(most);
    let (size, rest) = match parts {
        0 => (0, 0),
        parts => (count / parts, count % parts),
    };
    // part `i` begins at i · count / parts, without a division for each of a product's many tiles
    let (mut next, mut over) = (0, 0);
    (0..parts).map(move |_| {
        over += rest;
        let one_more = usize::from(over >= parts);
        over -= one_more * parts;
        let start = next;
        next += size + one_more;
        (start, size + one_more)
    })
}

/// Rows of a target of long sums that are worth a unit of work.
const LEAST: usize = 28;
/// Rows of a long sum that are taken at a time.
const AT_ONCE: usize = 256;

/// `a [m, k] · b [k, n]` where both are the columns of rows that are summed over, as in a weight's
/// gradient: a small target and a long sum.
fn transposed_product(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    let whole = Block {
        buffer: Shared::new(out),
        start: 0,
        stride: n,
    };
    // SAFETY: the only use of the buffer.
    unsafe { transposed_product_into(whole, [m, n, k], a, b, target) };
}

/// The same into a block.
///
/// # Safety
/// No other thread uses the block.
pub(crate) unsafe fn transposed_product_into(
    whole: Block<'_>,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    target: Target,
) {
    assert!(
        a.holds(m, k) && b.holds(k, n) && b.column == 1,
        "operands hold their shapes"
    );
    if m * n == 0 {
        return;
    }
    // rows that crowd a cache's places are copied, others are read as they lie; a row gives a tile one line or two
    let (copies_a, copies_b) = (a.column.is_multiple_of(CROWDED / 2), b.row.is_multiple_of(CROWDED / 2));
    // both factors of a unit stay in a core's second cache, and where `b` alone is copied, it is copied once
    let (most_rows, most_columns) = match (copies_a, copies_b) {
        (false, false) => (192, 24 * PANEL),
        (true, _) => (128, 12 * PANEL),
        (false, true) => (m, PANEL),
    };
    let units = 2 * rayon::current_num_threads();
    let groups = n.div_ceil(most_columns);
    let parts = m.div_ceil(most_rows).max(units.div_ceil(groups).min(m / LEAST)).max(1);
    let groups = groups.max(units.div_ceil(parts)).min(n.div_ceil(PANEL));
    let width = n.div_ceil(groups).next_multiple_of(PANEL);
    let (groups, part) = (n.div_ceil(width), m.div_ceil(parts));
    let parts = m.div_ceil(part);
    let all = (0..groups * parts).into_par_iter().with_max_len(SHARE);
    all.for_each(|unit| {
        let (column, row) = (unit / parts * width, unit % parts * part);
        let (columns, rows) = (width.min(n - column), part.min(m - row));
        let depth = AT_ONCE.min(k);
        let mut left = buffer(if copies_a { rows * depth } else { 0 });
        let mut right = buffer(if copies_b {
            columns.next_multiple_of(PANEL) * depth
        } else {
            0
        });
        let mut target = target;
        for from in (0..k).step_by(AT_ONCE) {
            let depth = AT_ONCE.min(k - from);
            let mut a = a.from(row, from);
            if copies_a {
                for (k, out) in left.chunks_exact_mut(rows).take(depth).enumerate() {
                    out.copy_from_slice(&a.values[k * a.column..k * a.column + rows]);
                }
                a = Matrix::rows(&left, rows).transposed();
            }
            let b = b.from(from, column);
            let b = if copies_b {
                for (panel, out) in right.chunks_mut(PANEL * depth).enumerate() {
                    let first = panel * PANEL;
                    if first < columns {
                        copy(out, 0, b.from(0, first), depth, PANEL.min(columns - first));
                    }
                }
                Right::Panels(&right, depth)
            } else {
                Right::Rows(b)
            };
            let block = Block {
                start: whole.start + row * whole.stride + column,
                ..whole
            };
            // SAFETY: units are disjoint blocks of the target.
            unsafe { multiply(block, [rows, columns, depth], a, b, Plus::default(), target) };
            target = Target::Add;
        }
    });
}

/// A product of few rows, where copying the right factor would cost more than it saves.
unsafe fn few_rows(block: Block<'_>, [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    let out = block.buffer.block(block.start, [m, n], block.stride);
    let stride = |stride: usize| isize::try_from(stride).expect("strides of arrays in memory");
    // SAFETY: the shapes lie inside the slices (checked by the caller), and the caller owns the target block.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride(block.stride),
            target == Target::Add,
            a.values.as_ptr(),
            stride(a.column),
            stride(a.row),
            b.values.as_ptr(),
            stride(b.column),
            stride(b.row),
            1.0f32, // of what is in the target, when it is read
            1.0f32,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}
