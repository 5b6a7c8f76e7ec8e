//! Matrix products by the `gemm` crate, into buffers of our own.

use gemm::Parallelism;
use rayon::prelude::*;
use serde_json::json;

use super::array::Shared;
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

    pub(super) fn values(&self) -> &'a [f32] {
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

/// `a [m, k] · b [k, n]` into a contiguous `[m, n]`, on all threads.
pub(crate) fn product(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    assert!(m * n <= out.len(), "the target holds the product");
    let _span = profile::span_about("product", "gemm", || json!({"m": m, "n": n, "k": k}));
    let buffer = Shared::new(out);
    let whole = Block {
        buffer,
        start: 0,
        stride: n,
    };
    let threads = rayon::current_num_threads();
    if a.column == 1 {
        // SAFETY: the only use of the buffer.
        unsafe { multiply(whole, [m, n, k], a, b, target, Parallelism::Rayon(threads)) };
        return;
    }
    // A weight's gradient: a small target and a long sum, which gemm splits badly. The pieces depend
    // on the shape alone.
    let pieces = (m * n * k / 4_000_000).clamp(1, 16);
    let (longer, by_rows) = if m >= n { (m, true) } else { (n, false) };
    let length = longer.div_ceil(pieces).next_multiple_of(16);
    (0..longer.div_ceil(length)).into_par_iter().for_each(|piece| {
        let from = piece * length;
        let length = length.min(longer - from);
        // SAFETY: pieces are disjoint rows or columns of the target.
        unsafe {
            if by_rows {
                let start = from * n;
                let block = Block { start, ..whole };
                multiply(block, [length, n, k], a.from(from, 0), b, target, Parallelism::None);
            } else {
                let block = Block { start: from, ..whole };
                multiply(block, [m, length, k], a, b.from(0, from), target, Parallelism::None);
            }
        }
    });
}

/// `a [m, k] · b [k, n]` into a block, on this thread.
///
/// # Safety
/// No other thread uses the block.
pub(crate) unsafe fn product_here(block: Block<'_>, shape: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    // SAFETY: by the caller's promise.
    unsafe { multiply(block, shape, a, b, target, Parallelism::None) };
}

unsafe fn multiply(
    block: Block<'_>,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    target: Target,
    parallelism: Parallelism,
) {
    assert!(a.holds(m, k) && b.holds(k, n), "operands hold their shapes");
    let out = block.buffer.block(block.start, [m, n], block.stride);
    let stride = |stride: usize| isize::try_from(stride).expect("strides of arrays in memory");
    // SAFETY: the shapes lie inside the slices (checked above), and the caller owns the target block.
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
            parallelism,
        );
    }
}
