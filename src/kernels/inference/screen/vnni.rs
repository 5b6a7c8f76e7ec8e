//! Bounds by AVX-512's dot products of four bytes.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{GROUP, Row, Screen};
use crate::kernels::flex::Shared;

/// Rows whose sums fit the registers.
const ROWS: usize = 6;

/// The bounds of some groups' panels, for all rows.
///
/// # Safety
/// The processor has AVX512_VNNI, and no other thread uses the bounds of these groups.
pub(super) unsafe fn bounds(screen: &Screen, numbers: &[[i8; 4]], rows: &[Row], out: Shared<'_>, groups: Range<usize>) {
    let fours = screen.inputs.div_ceil(4);
    assert!(numbers.len() >= rows.len() * fours);
    assert!(screen.words.len() >= groups.end * GROUP * fours && screen.about.len() >= groups.end * GROUP);
    for group in groups {
        for (tile, some) in rows.chunks(ROWS).enumerate() {
            let row = tile * ROWS;
            let numbers = numbers[row * fours..].as_ptr();
            // SAFETY: the rows' numbers and the group's words are there, as asserted; the rest is the
            // caller's promise.
            unsafe {
                match some.len() {
                    6 => sums::<6>(screen, numbers, some, out, group, row),
                    5 => sums::<5>(screen, numbers, some, out, group, row),
                    4 => sums::<4>(screen, numbers, some, out, group, row),
                    3 => sums::<3>(screen, numbers, some, out, group, row),
                    2 => sums::<2>(screen, numbers, some, out, group, row),
                    _ => sums::<1>(screen, numbers, some, out, group, row),
                }
            }
        }
    }
}

/// # Safety
/// As for [`bounds`], and `R` rows' numbers can be read.
#[expect(clippy::needless_range_loop, reason = "constant places keep sums in registers")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums<const R: usize>(
    screen: &Screen,
    numbers: *const [i8; 4],
    rows: &[Row],
    out: Shared<'_>,
    group: usize,
    row: usize,
) {
    let (fours, width) = (screen.inputs.div_ceil(4), screen.about.len());
    let mut sums = [[_mm512_setzero_si512(); GROUP]; R];
    for r in 0..R {
        sums[r] = [_mm512_set1_epi32(rows[r].start); GROUP];
    }
    let mut words = screen.words[group * GROUP * fours..].as_ptr();
    // SAFETY: a group has `GROUP` words for each four inputs, and the rows' numbers are there.
    unsafe {
        for four in 0..fours {
            let weights: [__m512i; GROUP] = std::array::from_fn(|panel| _mm512_load_si512(words.add(panel).cast()));
            for r in 0..R {
                let x = _mm512_set1_epi32(numbers.add(r * fours + four).cast::<i32>().read_unaligned());
                for panel in 0..GROUP {
                    sums[r][panel] = _mm512_dpbusd_epi32(sums[r][panel], weights[panel], x);
                }
            }
            words = words.wrapping_add(GROUP);
        }
    }
    let about = &screen.about[group * GROUP..][..GROUP];
    for r in 0..R {
        let Row {
            scale,
            of_lost,
            of_norms,
            ..
        } = rows[r];
        let (scale, of_lost, of_norms) = (_mm512_set1_ps(scale), _mm512_set1_ps(of_lost), _mm512_set1_ps(of_norms));
        let mut bounds = [_mm512_setzero_ps(); GROUP];
        for panel in 0..GROUP {
            // SAFETY: lines are sixteen values.
            let line = |line: &super::Line| unsafe { _mm512_load_ps(line.0.as_ptr()) };
            let about = &about[panel];
            let bound = _mm512_fmadd_ps(of_lost, line(&about.lost), _mm512_mul_ps(of_norms, line(&about.norms)));
            let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][panel]), line(&about.scales));
            bounds[panel] = _mm512_fmadd_ps(value, scale, bound);
        }
        // SAFETY: the bounds of a group and a row lie inside, and are this thread's by the caller's promise.
        unsafe {
            let out = out.part((row + r) * width + group * GROUP, GROUP);
            _mm_storeu_ps(out.as_mut_ptr(), largest_of_each(bounds));
        }
    }
}

/// The largest of each of four vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn largest_of_each([a, b, c, d]: [__m512; 4]) -> __m128 {
    // pairs of vectors in turn, then both pairs: each quarter then holds one of its own values of each
    let ab = _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_max_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    let quarters = _mm512_max_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
    );
    let halves = _mm512_max_ps(quarters, _mm512_shuffle_f32x4::<0b01_00_11_10>(quarters, quarters));
    let whole = _mm512_max_ps(halves, _mm512_shuffle_f32x4::<0b10_11_00_01>(halves, halves));
    _mm512_castps512_ps128(whole)
}
