//! The right factor of a product in the order in which it is read.

use rayon::prelude::*;

use super::array::{Array, buffer, pairs_buffer};
use super::bf16::pack_columns;
use super::precision::Precision;
use super::product::{CROWDED, Matrix, Right};
use super::tile::PANEL;

/// Numbers of a matrix up to which its rows are read where they lie as fast as panels of them.
const AS_IT_LIES: usize = 1 << 17;

/// A matrix `[k, n]`, or several side by side, in panels of [`PANEL`] columns, each row by row. The
/// last panel is filled up with zeros. A small one may be left as it is.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    values: Values,
    k: usize,
}

#[derive(Clone, Debug)]
enum Values {
    F32(Vec<f32>),
    AsItLies(Array),
    /// Two rows in a word.
    Pairs(Vec<u32>),
}

impl Panels {
    /// Of a matrix's rows, copied only where that saves more than it costs.
    pub(crate) fn of_rows(precision: Precision, rows: &Array) -> Self {
        let [k, n] = rows.dims();
        if precision == Precision::F32 && k * n <= AS_IT_LIES && !n.is_multiple_of(CROWDED) {
            let values = Values::AsItLies(rows.clone());
            return Self { values, k };
        }
        Self::of(precision, &[(Matrix::rows(rows.values(), n), n)], k)
    }

    /// Copies matrices of `k` rows, each with its number of columns, on all threads, and rounds them to a
    /// precision.
    pub(crate) fn of(precision: Precision, parts: &[(Matrix<'_>, usize)], k: usize) -> Self {
        let n = parts.iter().map(|(_, columns)| columns).sum::<usize>();
        let columns = n.div_ceil(PANEL) * PANEL;
        let values = match precision {
            Precision::F32 => {
                let mut values = buffer(columns * k);
                fill_all(&mut values, k, |out, first| fill(out, parts, [first, k], copy));
                Values::F32(values)
            }
            Precision::Bf16 => {
                let mut pairs = pairs_buffer(columns * k.div_ceil(2));
                fill_all(&mut pairs, k.div_ceil(2), |out, first| {
                    fill(out, parts, [first, k], copy_pairs);
                });
                Values::Pairs(pairs)
            }
        };
        Self { values, k }
    }

    /// Rows: terms of each sum.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// As the right factor of a product.
    pub(crate) fn right(&self) -> Right<'_> {
        match &self.values {
            Values::F32(values) => Right::Panels(values, self.k),
            Values::AsItLies(rows) => Right::Rows(Matrix::rows(rows.values(), rows.dims()[1])),
            Values::Pairs(pairs) => Right::Pairs(pairs, self.k),
        }
    }
}

/// Panels of so many rows on all threads; `fill` gets each and its first column.
fn fill_all<T: Send>(values: &mut [T], rows: usize, fill: impl Fn(&mut [T], usize) + Sync) {
    if rows > 0 {
        let panels = values.par_chunks_mut(PANEL * rows).enumerate();
        panels
            .with_min_len((1 << 14) / (PANEL * rows) + 1)
            .for_each(|(panel, out)| fill(out, panel * PANEL));
    }
}

/// One panel, from column `first` on, of `k` rows.
fn fill<T: Copy + Default>(
    out: &mut [T],
    parts: &[(Matrix<'_>, usize)],
    [first, k]: [usize; 2],
    copy: fn(&mut [T], usize, Matrix<'_>, usize, usize),
) {
    let (mut start, mut filled) = (0, 0);
    for (matrix, columns) in parts {
        let from = first.max(start);
        let to = (first + PANEL).min(start + columns);
        if from < to {
            copy(out, from - first, matrix.from(0, from - start), k, to - from);
            filled = to - first;
        }
        start += columns;
    }
    if filled < PANEL {
        out.chunks_exact_mut(PANEL)
            .for_each(|row| row[filled..].fill(T::default()));
    }
}

/// A block `[k, columns]` into a panel of pairs, from one of its columns on.
pub(super) fn copy_pairs(out: &mut [u32], column: usize, matrix: Matrix<'_>, k: usize, columns: usize) {
    pack_columns(&mut out[column..], PANEL, matrix, [k, columns]);
}

/// A block `[k, columns]` into a panel, from one of its columns on.
pub(crate) fn copy(out: &mut [f32], column: usize, matrix: Matrix<'_>, k: usize, columns: usize) {
    let (row, step) = matrix.strides();
    let values = matrix.values();
    if step == 1 {
        for (k, out) in out.chunks_exact_mut(PANEL).take(k).enumerate() {
            out[column..column + columns].copy_from_slice(&values[k * row..k * row + columns]);
        }
        return;
    }
    let mut lanes = 0;
    #[cfg(target_arch = "x86_64")]
    if row == 1 && k >= 16 && is_x86_feature_detected!("avx512f") {
        lanes = columns / 16 * 16;
        let turned = k / 16 * 16;
        for lane in (0..lanes).step_by(16) {
            for from in (0..turned).step_by(16) {
                let source = &values[lane * step + from..];
                let target = &mut out[from * PANEL + column + lane..];
                assert!(source.len() >= 15 * step + 16 && target.len() >= 15 * PANEL + 16);
                // SAFETY: sixteen rows of sixteen values lie inside both, and AVX-512 is there.
                unsafe { turn::sixteen(target.as_mut_ptr(), PANEL, source.as_ptr(), step) };
            }
        }
        for k in turned..k {
            for lane in 0..lanes {
                out[k * PANEL + column + lane] = values[lane * step + k];
            }
        }
    }
    for (k, out) in out.chunks_exact_mut(PANEL).take(k).enumerate() {
        for (lane, out) in out[column..column + columns].iter_mut().enumerate().skip(lanes) {
            *out = values[k * row + lane * step];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod turn {
    use std::arch::x86_64::*;

    /// Sixteen rows of sixteen values, exchanged with their columns.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn sixteen(out: *mut f32, out_row: usize, from: *const f32, from_row: usize) {
        // SAFETY: by the caller's promise.
        let r: [__m512; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(from.add(i * from_row)) });
        // pairs of rows, then of pairs, then quarters of 128 bits
        let pairs: [__m512; 16] = std::array::from_fn(|i| {
            let (x, y) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 {
                _mm512_unpacklo_ps(x, y)
            } else {
                _mm512_unpackhi_ps(x, y)
            }
        });
        let fours: [__m512; 16] = std::array::from_fn(|i| {
            let (group, part) = (i / 4 * 4, i % 4);
            let (x, y) = (pairs[group + part / 2], pairs[group + 2 + part / 2]);
            let (x, y) = (_mm512_castps_pd(x), _mm512_castps_pd(y));
            _mm512_castpd_ps(if part % 2 == 0 {
                _mm512_unpacklo_pd(x, y)
            } else {
                _mm512_unpackhi_pd(x, y)
            })
        });
        // fours[4·g + c] holds, in its quarter q, rows 4g..4g+4 of column 4q + c
        for c in 0..4 {
            let [w, x, y, z] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
            let low = [_mm512_shuffle_f32x4::<0x44>(w, x), _mm512_shuffle_f32x4::<0x44>(y, z)];
            let high = [_mm512_shuffle_f32x4::<0xee>(w, x), _mm512_shuffle_f32x4::<0xee>(y, z)];
            let columns = [
                _mm512_shuffle_f32x4::<0x88>(low[0], low[1]),
                _mm512_shuffle_f32x4::<0xdd>(low[0], low[1]),
                _mm512_shuffle_f32x4::<0x88>(high[0], high[1]),
                _mm512_shuffle_f32x4::<0xdd>(high[0], high[1]),
            ];
            for (q, column) in columns.into_iter().enumerate() {
                // SAFETY: by the caller's promise.
                unsafe { _mm512_storeu_ps(out.add((4 * q + c) * out_row), column) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn parts_lie_side_by_side_whichever_way_they_lay() {
        for (k, widths) in [(5, [3, 40]), (33, [32, 17]), (64, [16, 48])] {
            let [first, second] = widths.map(|width| (0..k * width).map(|i| (i + width) as f32).collect::<Vec<_>>());
            let parts = [
                (Matrix::rows(&first, widths[0]), widths[0]),
                (Matrix::rows(&second, k).transposed(), widths[1]),
            ];
            let Values::F32(panels) = Panels::of(Precision::F32, &parts, k).values else {
                unreachable!("asked for f32")
            };
            let Values::Pairs(pairs) = Panels::of(Precision::Bf16, &parts, k).values else {
                unreachable!("asked for bf16")
            };
            for row in 0..k {
                for column in 0..(widths[0] + widths[1]).next_multiple_of(PANEL) {
                    let expected = if column < widths[0] {
                        first[row * widths[0] + column]
                    } else if column < widths[0] + widths[1] {
                        second[(column - widths[0]) * k + row]
                    } else {
                        0.0
                    };
                    let value = panels[column / PANEL * PANEL * k + row * PANEL + column % PANEL];
                    assert_eq!(value, expected, "{k} {widths:?} at {row},{column}");
                    let at = column / PANEL * PANEL * k.div_ceil(2) + row / 2 * PANEL + column % PANEL;
                    let half = pairs[at].to_le_bytes()[row % 2 * 2..][..2].try_into().unwrap();
                    assert_eq!(
                        bf16::from_le_bytes(half),
                        bf16::from_f32(expected),
                        "{k} {widths:?} at {row},{column}"
                    );
                    if row + 1 == k && k % 2 == 1 {
                        assert_eq!(pairs[at] >> 16, 0, "the last row has no other");
                    }
                }
            }
        }
    }
}
