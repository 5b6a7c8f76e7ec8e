//! AdamW (Loshchilov and Hutter 2019), arithmetic as in PyTorch, on the host: all weights of a model in
//! one pass over several threads.

use rayon::prelude::*;

use super::flex::vectorized;

/// What one update multiplies by, the same for all weights.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// What gradients are multiplied by first (clipping).
    pub gradient: f32,
    /// How much of the mean is kept.
    pub beta1: f32,
    /// How much of the mean square is kept.
    pub beta2: f32,
    /// The learning rate over the mean's bias correction.
    pub step: f32,
    /// The root of the mean square's bias correction.
    pub correction: f32,
    /// Keeps the denominator away from zero.
    pub epsilon: f32,
}

/// One weight in an update, row by row.
pub struct Moving<'a> {
    /// The values.
    pub weights: &'a mut [f32],
    /// Their gradient.
    pub gradient: &'a [f32],
    /// The gradient's running mean.
    pub mean: &'a mut [f32],
    /// The gradient's running mean square.
    pub square: &'a mut [f32],
    /// How much of the values is kept: less than 1 with weight decay.
    pub keep: f32,
}

/// Values that one thread takes at a time: the result does not depend on who takes them.
const PIECE: usize = 1 << 14;

/// Updates all weights. Each value is on its own, so that any split over threads gives the same bits.
pub fn updated(weights: Vec<Moving<'_>>, factors: AdamW) {
    let pieces: Vec<Moving<'_>> = weights.into_iter().flat_map(Moving::pieces).collect();
    pieces.into_par_iter().for_each(|piece| {
        let Moving {
            weights,
            gradient,
            mean,
            square,
            keep,
        } = piece;
        update(weights, gradient, mean, square, keep, factors);
    });
}

impl<'a> Moving<'a> {
    fn pieces(self) -> impl Iterator<Item = Moving<'a>> {
        let keep = self.keep;
        let weights = self.weights.chunks_mut(PIECE).zip(self.gradient.chunks(PIECE));
        let moments = self.mean.chunks_mut(PIECE).zip(self.square.chunks_mut(PIECE));
        weights
            .zip(moments)
            .map(move |((weights, gradient), (mean, square))| Moving {
                weights,
                gradient,
                mean,
                square,
                keep,
            })
    }
}

/// The sum of squares of all values, in f64, piece by piece, the pieces in order: the same number for
/// any thread count.
pub fn sum_of_squares(values: &[Vec<f32>]) -> f64 {
    let pieces: Vec<&[f32]> = values.iter().flat_map(|values| values.chunks(PIECE)).collect();
    let sums: Vec<f64> = pieces.into_par_iter().map(squares).collect();
    sums.into_iter().sum()
}

vectorized! {
    fn update(weights: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32], keep: f32, factors: AdamW) {
        let AdamW { gradient: scale, beta1, beta2, step, correction, epsilon } = factors;
        for (((weight, gradient), mean), square) in weights.iter_mut().zip(gradient).zip(mean).zip(square) {
            let gradient = gradient * scale;
            *mean = *mean * beta1 + gradient * (1.0 - beta1);
            *square = *square * beta2 + gradient * gradient * (1.0 - beta2);
            let denominator = square.sqrt() / correction + epsilon;
            *weight = *weight * keep - step * *mean / denominator;
        }
    }
}

vectorized! {
    fn squares(values: &[f32]) -> f64 {
        const LANES: usize = 16;
        let mut lanes = [0.0f64; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(*value) * f64::from(*value);
        }
        lanes.into_iter().sum()
    }
}
