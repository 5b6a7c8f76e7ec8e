//! What choosing a token asks of all logits at once.

use crate::kernels::flex::{exp, largest as largest_of, sum, vectorized};

vectorized! {
    /// The largest value, negative infinity of none; NaN when one is not a number.
    pub fn largest(values: &[f32]) -> f32 {
        // a NaN times zero is one, and so is an infinity: those are looked at one by one
        let odd = sum(values, |x| x * 0.0);
        if odd.is_nan() && values.iter().any(|x| x.is_nan()) {
            return f32::NAN;
        }
        largest_of(values)
    }
}

/// Each value's exponential after `from` is taken off it, to about one unit in the last place, and their
/// sum. Of negative infinity it is 0.
pub fn exponentials(out: &mut [f32], values: &[f32], from: f32) -> f64 {
    const PIECE: usize = 1024; // its sum in f32 is exact enough
    let pieces = out.chunks_mut(PIECE).zip(values.chunks(PIECE));
    pieces
        .map(|(out, values)| f64::from(exponentials_of(out, values, from)))
        .sum()
}

vectorized! {
    fn exponentials_of(out: &mut [f32], values: &[f32], from: f32) -> f32 {
        for (out, value) in out.iter_mut().zip(values) {
            let power = exp(*value - from);
            *out = if *value == f32::NEG_INFINITY { 0.0 } else { power };
        }
        sum(out, |x| x)
    }
}

/// The sum of the exponentials of values after `from` is taken off them.
pub fn sum_of_exponentials(values: &[f32], from: f32) -> f64 {
    let mut piece = [0.0; 1024];
    let pieces = values.chunks(piece.len());
    pieces
        .map(|values| f64::from(exponentials_of(&mut piece[..values.len()], values, from)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_f64() {
        for count in [1, 5, 1024, 5000] {
            let values: Vec<f32> = (0..count).map(|i| ((i * 37) % 101) as f32 / 7.0 - 9.0).collect();
            let most = largest(&values);
            assert_eq!(most, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut out = vec![0.0; count];
            let total = exponentials(&mut out, &values, most);
            let exact: f64 = values.iter().map(|x| f64::from(x - most).exp()).sum();
            assert!((total - exact).abs() < 1e-6 * exact, "{total} for {exact}");
            assert_eq!(sum_of_exponentials(&values, most), total);
        }
        let mut out = [1.0; 3];
        assert_eq!(exponentials(&mut out, &[0.0, f32::NEG_INFINITY, 0.0], 0.0), 2.0);
        assert_eq!(out[1], 0.0);
    }

    #[test]
    fn what_is_not_a_number_is_seen() {
        let mut values = vec![1.0f32; 50];
        values[3] = f32::INFINITY;
        values[4] = f32::NEG_INFINITY;
        assert_eq!(largest(&values), f32::INFINITY);
        for at in [0, 20, 49] {
            let mut values = values.clone();
            values[at] = f32::NAN;
            assert!(largest(&values).is_nan());
        }
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
