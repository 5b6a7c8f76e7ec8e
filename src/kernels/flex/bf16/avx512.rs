//! Packing and the inner loop, for processors with AVX512_BF16.

use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_or_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{LANES, TILE};

/// The first `count` lanes.
fn first(count: usize) -> u16 {
    if count >= LANES { u16::MAX } else { (1 << count) - 1 }
}

/// Up to 32 neighbouring numbers as 16 pairs; what is missing is zero.
///
/// # Safety
/// `count` numbers from `values` on can be read, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn neighbours(values: *const f32, count: usize) -> __m512i {
    // SAFETY: masked lanes are not read.
    unsafe {
        let low = _mm512_maskz_loadu_ps(first(count), values);
        let high = _mm512_maskz_loadu_ps(first(count.saturating_sub(LANES)), values.wrapping_add(LANES));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Rows of `terms` neighbouring numbers, `stride` apart, into rows of pairs.
///
/// # Safety
/// The rows can be read, `out` has `rows · ⌈terms/2⌉` places, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_rows(out: *mut u32, values: *const f32, stride: usize, rows: usize, terms: usize) {
    let pairs = terms.div_ceil(2);
    for row in 0..rows {
        for pair in (0..pairs).step_by(LANES) {
            // SAFETY: inside both, by the caller's promise.
            unsafe {
                let vector = neighbours(values.add(row * stride + 2 * pair), terms - 2 * pair);
                let place = out.add(row * pairs + pair).cast();
                _mm512_mask_storeu_epi32(place, first(pairs - pair), vector);
            }
        }
    }
}

/// `terms` rows of `columns` numbers, `stride` apart, into rows of `width` pairs of one column each;
/// what is missing up to the next multiple of 16 is zero.
///
/// # Safety
/// The rows can be read, `out` has `⌈terms/2⌉ · width` places, `width` is at least `columns` rounded
/// up to a multiple of 16, and the processor has these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_columns(
    out: *mut u32,
    width: usize,
    values: *const f32,
    stride: usize,
    terms: usize,
    columns: usize,
) {
    for term in (0..terms).step_by(2) {
        for column in (0..columns).step_by(LANES) {
            let mask = first(columns - column);
            // SAFETY: masked lanes are not read; the rest is inside, by the caller's promise.
            unsafe {
                let half = |term: usize| {
                    let row = values.wrapping_add(term * stride + column);
                    let mask = if term < terms { mask } else { 0 };
                    let narrow = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, row));
                    _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(narrow))
                };
                let vector = _mm512_or_si512(half(term), _mm512_slli_epi32::<16>(half(term + 1)));
                _mm512_storeu_si512(out.add(term / 2 * width + column).cast(), vector);
            }
        }
    }
}

/// `columns` columns of `terms` neighbouring numbers, `stride` apart, into rows of `width` pairs of one
/// column each; what is missing up to the next multiple of 16 is zero.
///
/// # Safety
/// As for [`pack_columns`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_transposed(
    out: *mut u32,
    width: usize,
    values: *const f32,
    stride: usize,
    terms: usize,
    columns: usize,
) {
    let pairs = terms.div_ceil(2);
    for column in (0..columns).step_by(LANES) {
        for pair in (0..pairs).step_by(LANES) {
            let mut rows = [_mm512_setzero_si512(); LANES];
            // SAFETY: inside both, by the caller's promise.
            unsafe {
                for (lane, row) in rows.iter_mut().enumerate().take(columns - column) {
                    *row = neighbours(values.add((column + lane) * stride + 2 * pair), terms - 2 * pair);
                }
                for (row, vector) in transposed(rows).into_iter().enumerate().take(pairs - pair) {
                    _mm512_storeu_si512(out.add((pair + row) * width + column).cast(), vector);
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

/// One tile's work: pairs of the left factor `row` and `step` words apart, a panel of the right one, and
/// where the sums go.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub pairs: usize,
    pub left: *const u32,
    pub row: usize,
    pub step: usize,
    pub right: *const u32,
    pub target: *mut f32,
    /// Between rows of the target.
    pub stride: usize,
    pub rows: usize,
    pub columns: usize,
    /// Whether sums are added to what is there.
    pub adds: bool,
}

/// Multiplies a tile of up to 6 rows and 64 columns.
///
/// # Safety
/// Everything that the tile names can be read, or written by this thread alone, and the processor has
/// these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn multiply(tile: Tile) {
    macro_rules! by_rows {
        ($vectors:literal) => {
            // SAFETY: by the caller's promise.
            unsafe {
                match tile.rows {
                    TILE => sums::<6, $vectors>(tile),
                    5 => sums::<5, $vectors>(tile),
                    4 => sums::<4, $vectors>(tile),
                    3 => sums::<3, $vectors>(tile),
                    2 => sums::<2, $vectors>(tile),
                    _ => sums::<1, $vectors>(tile),
                }
            }
        };
    }
    match tile.columns.div_ceil(LANES) {
        4 => by_rows!(4),
        3 => by_rows!(3),
        2 => by_rows!(2),
        _ => by_rows!(1),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn sums<const ROWS: usize, const VECTORS: usize>(tile: Tile) {
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    let (mut left, mut right) = (tile.left, tile.right);
    // SAFETY: by the caller's promise; any bits are bf16 numbers.
    unsafe {
        for _ in 0..tile.pairs {
            let mut columns = [std::mem::transmute::<__m512i, __m512bh>(_mm512_setzero_si512()); VECTORS];
            for (vector, columns) in columns.iter_mut().enumerate() {
                *columns =
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.add(LANES * vector).cast()));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let pair = left.add(row * tile.row).cast::<i32>().read();
                let pair = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair));
                for (sum, columns) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbf16_ps(*sum, pair, columns);
                }
            }
            left = left.add(tile.step);
            right = right.add(LANES * VECTORS);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let place = tile.target.add(row * tile.stride + LANES * vector);
                let mask = first(tile.columns - LANES * vector);
                let sum = match tile.adds {
                    true => _mm512_add_ps(_mm512_maskz_loadu_ps(mask, place), *sum),
                    false => *sum,
                };
                _mm512_mask_storeu_ps(place, mask, sum);
            }
        }
    }
}
