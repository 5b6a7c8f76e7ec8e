//! The same words and products without instructions for bf16.

use super::super::simd::vectorized;
use super::Tile;

/// Rows of a tile.
pub(super) const ROWS: usize = 4;
const LANES: usize = 16;

/// The bits of the nearest bf16, ties to even; of zero where the number is denormal. NaN stays NaN.
#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let magnitude = bits & 0x7fff_ffff;
    let finite = if magnitude < 0x0080_0000 {
        bits >> 31 << 15
    } else {
        rounded
    };
    if magnitude > 0x7f80_0000 {
        bits >> 16 | 0x40
    } else {
        finite
    }
}

/// A pair, from the earlier number to the later.
#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    round(first) | round(second) << 16
}

#[inline(always)]
fn low(word: u32) -> f32 {
    f32::from_bits(word << 16)
}

#[inline(always)]
fn high(word: u32) -> f32 {
    f32::from_bits(word & 0xffff_0000)
}

vectorized! {
    pub(super) fn pack_rows(out: &mut [u32], apart: usize, values: &[f32], stride: usize, shape: [usize; 2]) {
        let [rows, terms] = shape;
        for row in 0..rows {
            let out = &mut out[row * apart..][..terms.div_ceil(2)];
            let (pairs, rest) = values[row * stride..][..terms].as_chunks::<2>();
            for (out, [first, second]) in out.iter_mut().zip(pairs) {
                *out = pair(*first, *second);
            }
            if let ([last], Some(out)) = (rest, out.last_mut()) {
                *out = pair(*last, 0.0);
            }
        }
    }
}

vectorized! {
    pub(super) fn pack_columns(out: &mut [u32], apart: usize, values: &[f32], stride: usize, shape: [usize; 2]) {
        let [terms, columns] = shape;
        for (index, out) in out.chunks_mut(apart).take(terms.div_ceil(2)).enumerate() {
            let out = &mut out[..columns];
            let first = &values[2 * index * stride..][..columns];
            if 2 * index + 1 < terms {
                let second = &values[(2 * index + 1) * stride..][..columns];
                for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
                    *out = pair(*first, *second);
                }
            } else {
                for (out, first) in out.iter_mut().zip(first) {
                    *out = pair(*first, 0.0);
                }
            }
        }
    }
}

/// Columns of neighbouring numbers.
pub(super) fn pack_transposed(out: &mut [u32], apart: usize, values: &[f32], step: usize, shape: [usize; 2]) {
    let [terms, columns] = shape;
    for column in 0..columns {
        let (pairs, rest) = values[column * step..][..terms].as_chunks::<2>();
        for (index, [first, second]) in pairs.iter().enumerate() {
            out[index * apart + column] = pair(*first, *second);
        }
        if let [last] = rest {
            out[pairs.len() * apart + column] = pair(*last, 0.0);
        }
    }
}

vectorized! {
    pub(super) fn widen(out: &mut [f32], pairs: &[u32]) {
        let (whole, rest) = out.as_chunks_mut::<2>();
        for (out, word) in whole.iter_mut().zip(pairs) {
            *out = [low(*word), high(*word)];
        }
        if let ([last], Some(word)) = (rest, pairs.last()) {
            *last = low(*word);
        }
    }
}

/// Computes a tile of up to [`ROWS`] rows.
///
/// # Safety
/// The pointers and strides lead to memory that is there; no other thread uses the result.
pub(super) unsafe fn multiply(tile: &Tile<u32>) {
    run(tile);
}

vectorized! {
    fn run(tile: &Tile<u32>) {
        for from in (0..tile.columns).step_by(LANES) {
            let mut sums = [[0.0f32; LANES]; ROWS];
            for k in 0..tile.k {
                // SAFETY: rows of panels are whole, and the rest is inside the operands: [`multiply`]'s
                // caller promised it.
                let words = unsafe { tile.b.add(k * tile.b_row + from).cast::<[u32; LANES]>().read_unaligned() };
                let (lows, highs) = (words.map(low), words.map(high));
                for (row, sums) in sums.iter_mut().enumerate().take(tile.rows) {
                    // SAFETY: as above.
                    let word = unsafe { *tile.a.add(row * tile.a_row + k * tile.a_column) };
                    let (first, second) = (low(word), high(word));
                    for lane in 0..LANES {
                        sums[lane] += second * highs[lane]; // products of bf16 numbers are exact in f32
                        sums[lane] += first * lows[lane];
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate().take(tile.rows) {
                for (column, sum) in (from..tile.columns).zip(sums) {
                    // SAFETY: as above.
                    unsafe {
                        let mut value = *sum;
                        if !tile.bias.is_null() {
                            value += *tile.bias.add(column);
                        }
                        if !tile.plus.is_null() {
                            value += *tile.plus.add(row * tile.plus_row + column);
                        }
                        *tile.c.add(row * tile.c_row + column) = value;
                    }
                }
            }
        }
    }
}
