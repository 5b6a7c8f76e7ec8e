//! Packing and the inner loop, for processors with AVX512_BF16.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_ps,
    _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::tile::PANEL;
use super::Tile;

/// Numbers of a vector.
const LANES: usize = 16;

/// The first `count` lanes.
fn first(count: usize) -> u16 {
    if count >= LANES { u16::MAX } else { (1 << count) - 1 }
}

/// Two vectors in bf16, one after the other.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn rounded(low: std::arch::x86_64::__m512, high: std::arch::x86_64::__m512) -> __m512i {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Up to 32 neighbouring numbers as 16 pairs; what is missing is zero.
///
/// # Safety
/// `count` numbers from `values` on can be read, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn neighbours(values: *const f32, count: usize) -> __m512i {
    // SAFETY: masked lanes are not read.
    unsafe {
        if count >= 2 * LANES {
            return rounded(_mm512_loadu_ps(values), _mm512_loadu_ps(values.add(LANES)));
        }
        let low = _mm512_maskz_loadu_ps(first(count), values);
        let high = _mm512_maskz_loadu_ps(first(count.saturating_sub(LANES)), values.wrapping_add(LANES));
        rounded(low, high)
    }
}

/// Writes the first words of a vector.
///
/// # Safety
/// There is room for so many, up to 16, and the processor has these instructions.
#[target_feature(enable = "avx512f")]
unsafe fn store(out: *mut u32, words: __m512i, count: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        if count >= LANES {
            _mm512_storeu_si512(out.cast(), words);
        } else {
            _mm512_mask_storeu_epi32(out.cast(), first(count), words);
        }
    }
}

/// Rows of neighbouring numbers, `stride` apart, into rows of pairs, `apart` words from one to the next.
///
/// # Safety
/// The rows can be read and written, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_rows(
    out: *mut u32,
    apart: usize,
    values: *const f32,
    stride: usize,
    [rows, terms]: [usize; 2],
) {
    let pairs = terms.div_ceil(2);
    for row in 0..rows {
        for pair in (0..pairs).step_by(LANES) {
            // SAFETY: inside both, by the caller's promise.
            unsafe {
                let words = neighbours(values.add(row * stride + 2 * pair), terms - 2 * pair);
                store(out.add(row * apart + pair), words, pairs - pair);
            }
        }
    }
}

/// `terms` rows of `columns` numbers, `stride` apart, into rows of pairs of one column each, `apart` words
/// from one to the next.
///
/// # Safety
/// The rows can be read and written, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_columns(
    out: *mut u32,
    apart: usize,
    values: *const f32,
    stride: usize,
    [terms, columns]: [usize; 2],
) {
    // from one row after the other to their numbers in turn
    const TURNS: [u16; 2 * LANES] = {
        let mut turns = [0; 2 * LANES];
        let mut i = 0;
        while i < LANES {
            (turns[2 * i], turns[2 * i + 1]) = (i as u16, (LANES + i) as u16);
            i += 1;
        }
        turns
    };
    // SAFETY: 512 bits are read of 512; the rest is inside, by the caller's promise, and masked lanes are
    // not read.
    unsafe {
        let turns = _mm512_loadu_si512(TURNS.as_ptr().cast());
        for term in (0..terms).step_by(2) {
            for column in (0..columns).step_by(LANES) {
                let row = values.add(term * stride + column);
                let mask = first(columns - column);
                let low = _mm512_maskz_loadu_ps(mask, row);
                let high = match term + 1 < terms {
                    true => _mm512_maskz_loadu_ps(mask, row.wrapping_add(stride)),
                    false => _mm512_setzero_ps(),
                };
                let words = _mm512_permutexvar_epi16(turns, rounded(low, high));
                store(out.add(term / 2 * apart + column), words, columns - column);
            }
        }
    }
}

/// `columns` columns of `terms` neighbouring numbers, `step` apart, into rows of pairs of one column each,
/// `apart` words from one to the next.
///
/// # Safety
/// As for [`pack_columns`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_transposed(
    out: *mut u32,
    apart: usize,
    values: *const f32,
    step: usize,
    [terms, columns]: [usize; 2],
) {
    let pairs = terms.div_ceil(2);
    for column in (0..columns).step_by(LANES) {
        for pair in (0..pairs).step_by(LANES) {
            let mut rows = [_mm512_setzero_si512(); LANES];
            // SAFETY: inside both, by the caller's promise.
            unsafe {
                for (lane, row) in rows.iter_mut().enumerate().take(columns - column) {
                    *row = neighbours(values.add((column + lane) * step + 2 * pair), terms - 2 * pair);
                }
                for (row, words) in transposed(rows).into_iter().enumerate().take(pairs - pair) {
                    store(out.add((pair + row) * apart + column), words, columns - column);
                }
            }
        }
    }
}

/// A matrix of 16 × 16 words with rows and columns exchanged.
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let zero = _mm512_setzero_si512();
    let (mut a, mut b) = ([zero; LANES], [zero; LANES]);
    // pairs of words, then of double words, inside each quarter of a vector
    for i in (0..LANES).step_by(2) {
        a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for i in (0..LANES).step_by(4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    // then quarters
    for i in 0..4 {
        for half in [0, 8] {
            a[half + i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[half + i], b[half + 4 + i]);
            a[half + 4 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[half + i], b[half + 4 + i]);
        }
    }
    for i in 0..4 {
        b[i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(a[i], a[8 + i]);
        b[8 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(a[i], a[8 + i]);
        b[4 + i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(a[4 + i], a[12 + i]);
        b[12 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(a[4 + i], a[12 + i]);
    }
    b
}

/// Computes a tile of up to 14 rows.
///
/// # Safety
/// The pointers and strides lead to memory that is there, no other thread uses the result, and the
/// processor has these instructions.
pub(super) unsafe fn multiply(tile: &Tile<u32>) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match (tile.rows, tile.columns == PANEL) {
                // SAFETY: by the caller's promise.
                $(($rows, true) => unsafe { sums::<$rows, true>(tile) },
                // SAFETY: by the caller's promise.
                ($rows, false) => unsafe { sums::<$rows, false>(tile) },)*
                (rows, _) => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

#[expect(clippy::needless_range_loop, reason = "constant places keep sums in registers")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn sums<const ROWS: usize, const WHOLE: bool>(tile: &Tile<u32>) {
    let masks = [first(tile.columns), first(tile.columns.saturating_sub(LANES))];
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let (mut a, mut b) = (tile.a, tile.b);
    // SAFETY: rows of panels are whole, and the rest lies inside the operands, by the caller's promise;
    // masked lanes are neither read nor written. Any bits are bf16 numbers.
    unsafe {
        let pairs = |words: __m512i| std::mem::transmute::<__m512i, __m512bh>(words);
        let load = |from: *const f32, half: usize| match WHOLE {
            true => _mm512_loadu_ps(from.add(half * LANES)),
            false => _mm512_maskz_loadu_ps(masks[half], from.wrapping_add(half * LANES)),
        };
        for _ in 0..tile.k {
            let left = pairs(_mm512_loadu_si512(b.cast()));
            let right = pairs(_mm512_loadu_si512(b.add(LANES).cast()));
            for i in 0..ROWS {
                let x = pairs(_mm512_set1_epi32(a.add(i * tile.a_row).cast::<i32>().read()));
                sums[i][0] = _mm512_dpbf16_ps(sums[i][0], x, left);
                sums[i][1] = _mm512_dpbf16_ps(sums[i][1], x, right);
            }
            a = a.wrapping_add(tile.a_column);
            b = b.wrapping_add(tile.b_row);
        }
        // loops that are unrolled whole: a sum whose place is not a constant would live in memory
        if !tile.bias.is_null() {
            let (left, right) = (load(tile.bias, 0), load(tile.bias, 1));
            for i in 0..ROWS {
                sums[i][0] = _mm512_add_ps(sums[i][0], left);
                sums[i][1] = _mm512_add_ps(sums[i][1], right);
            }
        }
        if !tile.plus.is_null() {
            for i in 0..ROWS {
                let plus = tile.plus.wrapping_add(i * tile.plus_row);
                sums[i][0] = _mm512_add_ps(sums[i][0], load(plus, 0));
                sums[i][1] = _mm512_add_ps(sums[i][1], load(plus, 1));
            }
        }
        for i in 0..ROWS {
            let c = tile.c.wrapping_add(i * tile.c_row);
            if WHOLE {
                _mm512_storeu_ps(c, sums[i][0]);
                _mm512_storeu_ps(c.add(LANES), sums[i][1]);
            } else {
                _mm512_mask_storeu_ps(c, masks[0], sums[i][0]);
                _mm512_mask_storeu_ps(c.wrapping_add(LANES), masks[1], sums[i][1]);
            }
        }
    }
}
