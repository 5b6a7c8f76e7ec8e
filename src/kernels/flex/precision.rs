//! The precision in which products with weights are computed.

use std::cell::Cell;

use half::bf16;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::bf16 as native;
use super::product::{Matrix, Target, product};

/// What the factors of a product are rounded to. Sums are in f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To bf16: eight bits of f32's 24, and its range.
    Bf16,
}

thread_local! {
    static NOW: Cell<Precision> = const { Cell::new(Precision::F32) };
}

impl Precision {
    /// Until the value is dropped, operations that begin on this thread multiply in this precision, and
    /// so do their derivatives, whenever and wherever those are computed.
    pub fn enter(self) -> Entered {
        Entered {
            before: NOW.replace(self),
        }
    }

    /// Whether the processor has instructions for it. Without them it is slower than f32.
    pub fn is_native(self) -> bool {
        self == Self::F32 || is_native()
    }

    /// That of operations that begin now, on this thread.
    pub(crate) fn now() -> Self {
        NOW.get()
    }
}

/// A precision that is in force.
#[must_use = "it ends when it is dropped"]
pub struct Entered {
    before: Precision,
}

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
fn is_native() -> bool {
    native::is_available()
}

#[cfg(not(target_arch = "x86_64"))]
fn is_native() -> bool {
    false
}

/// [`product`] in a precision.
///
/// In bf16 without the instructions for it, the factors are rounded alike and multiplied in f32: sums
/// are then in another order, and products of denormal numbers are not zero, so that the last bits
/// differ between such processors, as they do in f32 between instruction sets.
pub(crate) fn product_in(
    precision: Precision,
    out: &mut [f32],
    shape: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    target: Target,
) {
    match precision {
        Precision::F32 => product(out, shape, a, b, target),
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 if is_native() => native::product(out, shape, a, b, target),
        Precision::Bf16 => product_of_rounded(out, shape, a, b, target),
    }
}

fn product_of_rounded(out: &mut [f32], shape: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    let [m, n, k] = shape;
    let (left, right) = (rounded(a, [m, k]), rounded(b, [k, n]));
    let matrix = |values, like: Matrix<'_>, [rows, columns]: [usize; 2]| match like.strides().1 {
        1 => Matrix::rows(values, columns),
        _ => Matrix::rows(values, rows).transposed(),
    };
    product(out, shape, matrix(&left, a, [m, k]), matrix(&right, b, [k, n]), target);
}

/// A matrix's values, each rounded to the nearest bf16, ties to even; row by row, or column by column
/// if it lies so.
fn rounded(matrix: Matrix<'_>, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let (row, step) = matrix.strides();
    let (count, length, apart) = if step == 1 {
        (rows, columns, row)
    } else {
        (columns, rows, step)
    };
    let mut out = vec![0.0; count * length];
    out.par_chunks_mut(length.max(1)).enumerate().for_each(|(index, out)| {
        let values = &matrix.values()[index * apart..];
        for (out, value) in out.iter_mut().zip(values) {
            *out = bf16::from_f32(*value).to_f32();
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn products_of_any_shape_and_layout_are_those_of_rounded_numbers(
            m in 1usize..210, n in 1usize..140, k in 1usize..900, layouts in 0usize..4, adds: bool,
        ) {
            let (left, right) = (numbers(m * k, 1), numbers(k * n, 2));
            let a = if layouts & 1 == 0 { Matrix::rows(&left, k) } else { Matrix::rows(&left, m).transposed() };
            let b = if layouts & 2 == 0 { Matrix::rows(&right, n) } else { Matrix::rows(&right, k).transposed() };
            let target = if adds { Target::Add } else { Target::Replace };
            let mut exact = vec![0.0f64; m * n];
            let r = |value: f32| f64::from(bf16::from_f32(value).to_f32());
            for (index, sum) in exact.iter_mut().enumerate() {
                let at = |matrix: Matrix<'_>, row: usize, column: usize| matrix.from(row, column).values()[0];
                *sum = f64::from(u8::from(adds));
                for term in 0..k {
                    *sum += r(at(a, index / n, term)) * r(at(b, term, index % n));
                }
            }
            for native in [true, false] {
                let mut out = vec![1.0; m * n];
                match native {
                    true => product_in(Precision::Bf16, &mut out, [m, n, k], a, b, target),
                    false => product_of_rounded(&mut out, [m, n, k], a, b, target),
                }
                for (sum, exact) in out.iter().zip(&exact) {
                    prop_assert!((f64::from(*sum) - exact).abs() < 1e-6 * k as f64, "{sum} for {exact}");
                }
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_threads() {
        let (left, right) = (numbers(300 * 500, 3), numbers(500 * 200, 4));
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; 300 * 200];
            let (a, b) = (Matrix::rows(&left, 500), Matrix::rows(&right, 200));
            pool.install(|| product_in(Precision::Bf16, &mut out, [300, 200, 500], a, b, Target::Replace));
            out
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn extreme_numbers_stay_what_they_are() {
        let left = [f32::INFINITY, f32::NAN, 3.0e38, 1.0];
        let right = [1.0, 0.0, 0.0, 1.0];
        let mut out = [0.0; 4];
        let (a, b) = (Matrix::rows(&left, 2), Matrix::rows(&right, 2));
        product_in(Precision::Bf16, &mut out, [2, 2, 2], a, b, Target::Replace);
        assert!(out[0].is_nan() && out[1].is_nan(), "{out:?}"); // ∞ · 1 + NaN · 0
        assert_eq!(out[2], bf16::from_f32(3.0e38).to_f32());
        assert_eq!(out[3], 1.0);
    }

    #[test]
    fn a_precision_ends_with_its_guard() {
        assert_eq!(Precision::now(), Precision::F32);
        {
            let _outer = Precision::Bf16.enter();
            {
                let _inner = Precision::F32.enter();
                assert_eq!(Precision::now(), Precision::F32);
            }
            assert_eq!(Precision::now(), Precision::Bf16);
        }
        assert_eq!(Precision::now(), Precision::F32);
    }
}
