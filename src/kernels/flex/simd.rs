//! Loops compiled for each instruction set and chosen at run time, and the functions that they call.
//!
//! The bodies fuse a multiplication with an addition only where they say so (`mul_add`) and sum in sixteen
//! lanes, so that every instruction set gives the same bits. A processor that cannot fuse is slow at it.

/// Defines a function whose body is compiled for AVX-512, AVX2 with FMA, and the baseline, and which calls the
/// best that the processor has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
                fn widest($($argument: $type),*) $(-> $result)? {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) $(-> $result)? {
                    body($($argument),*)
                }
                if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { widest($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { wide($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// Lanes of a sum: values of the widest vectors.
pub(crate) const LANES: usize = 16;

/// The sum of a function of each value, in sixteen lanes that are then added pairwise.
#[inline(always)]
pub(crate) fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += term(*value);
    }
    folded(lanes, |x, y| x + y)
}

/// The sum of a function of each pair of values.
#[inline(always)]
pub(crate) fn sum_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left_chunks, left_rest) = left.as_chunks::<LANES>();
    let (right_chunks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_chunks.iter().zip(right_chunks) {
        for lane in 0..LANES {
            lanes[lane] += term(left[lane], right[lane]);
        }
    }
    for ((lane, left), right) in lanes.iter_mut().zip(left_rest).zip(right_rest) {
        *lane += term(*left, *right);
    }
    folded(lanes, |x, y| x + y)
}

/// All lanes in one, pairwise.
#[inline(always)]
fn folded(lanes: [f32; LANES], pair: impl Fn(f32, f32) -> f32) -> f32 {
    // through memory: a compiler that sees all of it takes the lanes apart, in the loops before as well
    let mut lanes = std::hint::black_box(lanes);
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = pair(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest value; negative infinity of none. A NaN is not passed over silently by those who call
/// this: it reappears in the sum that follows.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] {
                chunk[lane]
            } else {
                lanes[lane]
            };
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = if *value > *lane { *value } else { *lane };
    }
    folded(lanes, |x, y| if y > x { y } else { x })
}

/// `eˣ` to about one unit in the last place, in steps that vectorize: `2ⁿ · eʳ` with `|r| ≤ ln 2 / 2`
/// and Cephes' polynomial for `eʳ`. Below −87.3 it stays at the smallest normal number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4; // 355/512 exactly
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3); // keeps NaN
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    let fraction = p.mul_add(r * r, r) + 1.0;
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    fraction * f32::from_bits(power)
}

/// The logistic function, `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x` to four units in the last place: by `exp`, and near zero, where that would leave few digits,
/// by Cephes' polynomial.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const NEAR: f32 = 0.625;
    let square = x * x;
    let mut p = -5.704_988_7e-3f32;
    p = p.mul_add(square, 2.063_909e-2);
    p = p.mul_add(square, -5.373_971_6e-2);
    p = p.mul_add(square, 1.333_144_2e-1);
    p = p.mul_add(square, -3.333_328_3e-1);
    let near = (p * square).mul_add(x, x);
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < NEAR { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    vectorized! {
        fn exps(values: &mut [f32]) {
            for value in values {
                *value = exp(*value);
            }
        }
    }

    vectorized! {
        fn tanhs(values: &mut [f32]) {
            for value in values {
                *value = tanh(*value);
            }
        }
    }

    #[test]
    fn exp_is_close_and_keeps_what_is_not_a_number() {
        let inputs: Vec<f32> = (-8700..8800).map(|i| i as f32 / 100.0).collect();
        let mut outputs = inputs.clone();
        exps(&mut outputs);
        for (x, y) in inputs.iter().zip(&outputs) {
            let expected = f64::from(*x).exp();
            assert!((f64::from(*y) - expected).abs() <= 2e-7 * expected, "exp {x} = {y}");
            assert_eq!(exp(*x).to_bits(), y.to_bits(), "the same on every instruction set");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1.3e-38);
    }

    #[test]
    fn tanh_is_close_by_its_own_size_and_keeps_what_is_not_a_number() {
        let small = (0..40).map(|power| 0.7f32.powi(power) * 0.63);
        let inputs: Vec<f32> = (-2000..2000).map(|i| i as f32 / 100.0).chain(small).collect();
        let mut outputs = inputs.clone();
        tanhs(&mut outputs);
        for (x, y) in inputs.iter().zip(&outputs) {
            let expected = f64::from(*x).tanh();
            let bound = 4.0 * f64::from(f32::EPSILON) * expected.abs();
            assert!((f64::from(*y) - expected).abs() <= bound, "tanh {x} = {y}");
            assert_eq!(tanh(*x).to_bits(), y.to_bits(), "the same on every instruction set");
        }
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(tanh), [-1.0, 1.0]);
    }

    #[test]
    fn sums_and_largest_agree_with_plain_loops() {
        for count in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..count).map(|i| ((i * 37) % 19) as f32 - 9.0).collect();
            assert_eq!(sum(&values, |x| x), values.iter().sum::<f32>());
            assert_eq!(
                sum_pairs(&values, &values, |x, y| x * y),
                values.iter().map(|x| x * x).sum::<f32>()
            );
            assert_eq!(
                largest(&values),
                values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
            );
        }
    }
}
