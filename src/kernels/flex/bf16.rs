//! bf16 numbers for matrix products: two neighbouring terms of a sum lie in one 32-bit word, the earlier
//! one in its low half, as AVX-512's dot products of pairs read them.
//!
//! f32 numbers are rounded to the nearest bf16, ties to even, and denormal ones to zero; sums are in f32.
//! Without AVX512_BF16 the same words are made and multiplied by portable code, which is slower than
//! products of f32. What differs is what `vdpbf16ps` does with sums that are denormal: it takes them for
//! zero.

use std::sync::LazyLock;

use super::product::Matrix;
use super::tile::{Machine, Tile};

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// Whether the processor has instructions for it.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_native() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn is_native() -> bool {
    false
}

impl Machine<u32> {
    /// The best for this processor.
    pub(super) fn of_pairs() -> Self {
        static MACHINE: LazyLock<Machine<u32>> = LazyLock::new(Machine::find_of_pairs);
        *MACHINE
    }

    fn find_of_pairs() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_native() {
            return Self {
                rows: 14,
                run: avx512::multiply,
            };
        }
        Self::portable()
    }

    fn portable() -> Self {
        Self {
            rows: portable::ROWS,
            run: portable::multiply,
        }
    }
}

/// Rows of `terms` neighbouring numbers into rows of pairs, `apart` words from one to the next.
pub(super) fn pack_rows(out: &mut [u32], apart: usize, a: Matrix<'_>, [rows, terms]: [usize; 2]) {
    let (stride, step) = a.strides();
    let pairs = terms.div_ceil(2);
    assert!(
        (step == 1 || terms < 2) && a.holds(rows, terms),
        "rows of neighbouring numbers"
    );
    assert!(
        rows == 0 || pairs <= apart && (rows - 1) * apart + pairs <= out.len(),
        "room for so many pairs"
    );
    #[cfg(target_arch = "x86_64")]
    if is_native() {
        // SAFETY: both hold their shapes, and the instructions are there.
        unsafe { avx512::pack_rows(out.as_mut_ptr(), apart, a.values().as_ptr(), stride, [rows, terms]) };
        return;
    }
    portable::pack_rows(out, apart, a.values(), stride, [rows, terms]);
}

/// A block `[terms, columns]` into words of one column each, with rows of pairs `apart` words from one to
/// the next.
pub(super) fn pack_columns(out: &mut [u32], apart: usize, b: Matrix<'_>, [terms, columns]: [usize; 2]) {
    let (row, step) = b.strides();
    if terms == 0 || columns == 0 {
        return;
    }
    assert!(b.holds(terms, columns), "a block of this shape");
    assert!(
        columns <= apart && (terms.div_ceil(2) - 1) * apart + columns <= out.len(),
        "room for so many pairs"
    );
    let plain = step == 1 || columns == 1;
    assert!(
        plain || row == 1 || terms == 1,
        "rows or columns of neighbouring numbers"
    );
    #[cfg(target_arch = "x86_64")]
    if is_native() {
        let (out, values) = (out.as_mut_ptr(), b.values().as_ptr());
        // SAFETY: both hold their shapes, and the instructions are there.
        unsafe {
            match plain {
                true => avx512::pack_columns(out, apart, values, row, [terms, columns]),
                false => avx512::pack_transposed(out, apart, values, step, [terms, columns]),
            }
        }
        return;
    }
    match plain {
        true => portable::pack_columns(out, apart, b.values(), row, [terms, columns]),
        false => portable::pack_transposed(out, apart, b.values(), step, [terms, columns]),
    }
}

/// Neighbouring numbers into pairs.
pub(crate) fn round_into(pairs: &mut [u32], values: &[f32]) {
    assert_eq!(values.len().div_ceil(2), pairs.len(), "two numbers a word");
    let count = pairs.len();
    pack_rows(pairs, count, Matrix::rows(values, values.len()), [1, values.len()]);
}

/// The f32 numbers of pairs, one after another.
pub(crate) fn widen(out: &mut [f32], pairs: &[u32]) {
    assert_eq!(out.len().div_ceil(2), pairs.len(), "two numbers a word");
    portable::widen(out, pairs);
}

#[cfg(test)]
mod tests;
