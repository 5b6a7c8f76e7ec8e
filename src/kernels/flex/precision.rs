//! The precision in which products with weights are computed.

use std::cell::Cell;

use serde_json::json;

use super::bf16;
use super::pairs::{Paired, summed_product};
use super::panels::Panels;
use super::product::{FEW, Matrix, Target, product, product_into, product_with};
use crate::profile;

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
        self == Self::F32 || bf16::is_native()
    }

    /// Of its products on the time line.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "gemm",
            Self::Bf16 => "bf16",
        }
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

/// [`product`] in a precision.
///
/// In bf16 without the instructions for it, the factors are rounded alike; see [`super::bf16`].
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
        Precision::Bf16 => product_of_pairs(out, shape, a, b, target),
    }
}

/// The product of rows with a weight, and one value a column added to it.
pub(crate) fn biased_product_in(
    precision: Precision,
    out: &mut [f32],
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: &[f32],
) {
    if precision == Precision::F32 && m < FEW {
        out.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(bias));
        product(out, [m, n, k], a, b, Target::Add);
        return;
    }
    let _span = profile::span_about("product", precision.name(), || json!({"m": m, "n": n, "k": k}));
    assert!(a.holds(m, k) && b.holds(k, n), "operands hold their shapes");
    if m > 0 {
        let panels = Panels::of(precision, &[(b, n)], k);
        product_into(out, n, [m, n, k], a, panels.right(), Some(bias), Target::Replace);
    }
}

fn product_of_pairs(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    let _span = profile::span_about("product", "bf16", || json!({"m": m, "n": n, "k": k}));
    assert!(a.holds(m, k) && b.holds(k, n), "operands hold their shapes");
    if a.strides().1 == 1 || m == 0 || k == 0 {
        let panels = Panels::of(Precision::Bf16, &[(b, n)], k);
        product_with(out, [m, n, k], a, panels.right(), target);
    } else {
        // both are the columns of rows that are summed over, as in a weight's gradient
        let (a, b) = (Paired::of(a.transposed(), [k, m]), Paired::of(b, [k, n]));
        summed_product(out, a.part(0), b.part(0), target);
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
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
            m in 1usize..210, n in 1usize..140, k in 1usize..1300, layouts in 0usize..4, adds: bool,
        ) {
            let (left, right) = (numbers(m * k, 1), numbers(k * n, 2));
            let a = if layouts & 1 == 0 { Matrix::rows(&left, k) } else { Matrix::rows(&left, m).transposed() };
            let b = if layouts & 2 == 0 { Matrix::rows(&right, n) } else { Matrix::rows(&right, k).transposed() };
            let target = if adds { Target::Add } else { Target::Replace };
            let r = |value: f32| f64::from(bf16::from_f32(value).to_f32());
            let at = |matrix: Matrix<'_>, row: usize, column: usize| matrix.from(row, column).values()[0];
            let mut out = vec![1.0; m * n];
            product_in(Precision::Bf16, &mut out, [m, n, k], a, b, target);
            for (index, sum) in out.iter().enumerate() {
                let terms = (0..k).map(|term| r(at(a, index / n, term)) * r(at(b, term, index % n)));
                let before = f64::from(u8::from(adds));
                let (exact, size) = terms.fold((before, before), |(sum, size), term| (sum + term, size + term.abs()));
                // what sums in f32 are off at most (Higham 2002, 4.2)
                let bound = (k + 2) as f64 * 0.5 * f64::from(f32::EPSILON) * size;
                prop_assert!((f64::from(*sum) - exact).abs() <= bound, "{sum} for {exact}");
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_threads() {
        let (left, right) = (numbers(300 * 501, 3), numbers(501 * 200, 4));
        for turned in [false, true] {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![0.0; 300 * 200];
                let a = match turned {
                    true => Matrix::rows(&left, 300).transposed(),
                    false => Matrix::rows(&left, 501),
                };
                let b = Matrix::rows(&right, 200);
                pool.install(|| product_in(Precision::Bf16, &mut out, [300, 200, 501], a, b, Target::Replace));
                out
            };
            assert_eq!(on(1), on(2));
            assert_eq!(on(1), on(4));
        }
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
