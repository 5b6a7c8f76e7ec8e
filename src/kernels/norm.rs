//! Normalisation of each row.

use std::sync::Arc;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::flex::{self, Array, Fused, buffer, sum, sum_pairs, vectorized};

/// Layer norm (Ba et al. 2016) of each row: `(x − mean) / √(variance + ε) · weight + bias`, with
/// the biased variance; `weight` and `bias` are `[1, width]`.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, epsilon: f32) -> Tensor<2> {
    if flex::applies(&x) {
        flex::run(LayerNorm { epsilon }, [x, weight, bias])
    } else {
        composed_layer_norm(x, weight, bias, epsilon)
    }
}

/// RMS norm (Zhang and Sennrich 2019) of each row: `x / √(mean(x²) + ε) · weight`; `weight` is
/// `[1, width]`.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    if flex::applies(&x) {
        flex::run(RmsNorm { epsilon }, [x, weight])
    } else {
        composed_rms_norm(x, weight, epsilon)
    }
}

pub(super) fn composed_layer_norm(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let mean = x.clone().mean_dim(1);
    let centred = x.sub(mean);
    let variance = centred.clone().square().mean_dim(1);
    let normal = centred.div(variance.add_scalar(epsilon).sqrt());
    normal.mul(weight).add(bias)
}

pub(super) fn composed_rms_norm(x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1);
    x.div(mean_square.add_scalar(epsilon).sqrt()).mul(weight)
}

/// Rows that one thread takes at a time, and whose share of a weight's gradient is summed alone.
const ROWS: usize = 32;

/// What backward needs: the inputs, and of each row its mean and its scale `1 / √(variance + ε)`.
type Saved = (Array, Array, Arc<[[f32; 2]]>);

#[derive(Clone, Debug)]
struct LayerNorm {
    epsilon: f32,
}

#[derive(Clone, Debug)]
struct RmsNorm {
    epsilon: f32,
}

impl Fused<3> for LayerNorm {
    type Saved = Saved;

    fn forward(&self, [x, weight, bias]: [Array; 3], _tracked: bool) -> (Array, Saved) {
        let kind = Kind::Layer {
            epsilon: self.epsilon,
            biased: true,
        };
        normalise(x, weight, |out, statistics, x, weight| {
            norm_rows(kind, out, statistics, x, weight, bias.values());
        })
    }

    fn backward(&self, saved: Saved, gradient: Array, _wanted: [bool; 3]) -> [Option<Array>; 3] {
        let (dx, [dw, db]) = differentiate(saved, gradient, layer_norm_gradients);
        [Some(dx), Some(dw), Some(db)]
    }
}

impl Fused<2> for RmsNorm {
    type Saved = Saved;

    fn forward(&self, [x, weight]: [Array; 2], _tracked: bool) -> (Array, Saved) {
        let kind = Kind::Rms { epsilon: self.epsilon };
        normalise(x, weight, |out, statistics, x, weight| {
            norm_rows(kind, out, statistics, x, weight, &[]);
        })
    }

    fn backward(&self, saved: Saved, gradient: Array, _wanted: [bool; 2]) -> [Option<Array>; 2] {
        let (dx, [dw, _]) = differentiate(saved, gradient, rms_norm_gradients);
        [Some(dx), Some(dw)]
    }
}

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Layer norm, with a bias or without.
    Layer {
        /// Added to the variance.
        epsilon: f32,
        /// Whether it has a bias.
        biased: bool,
    },
    /// RMS norm.
    Rms {
        /// Added to the mean square.
        epsilon: f32,
    },
}

impl Kind {
    /// Whether it has a bias.
    pub(super) fn biased(self) -> bool {
        matches!(self, Self::Layer { biased: true, .. })
    }
}

/// Some rows forward, on this thread. `statistics` become each row's mean and scale.
pub(super) fn norm_rows(
    kind: Kind,
    out: &mut [f32],
    statistics: &mut [[f32; 2]],
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
) {
    match kind {
        Kind::Layer { epsilon, .. } => layer_statistics(statistics, x, weight.len(), epsilon),
        Kind::Rms { epsilon } => rms_statistics(statistics, x, weight.len(), epsilon),
    }
    normal_form(kind, out, statistics, x, weight, bias);
}

/// The same with the statistics that are known.
pub(super) fn normal_form(
    kind: Kind,
    out: &mut [f32],
    statistics: &[[f32; 2]],
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
) {
    match kind {
        Kind::Layer { .. } => layer_normal_form(out, statistics, x, weight, bias),
        Kind::Rms { .. } => rms_normal_form(out, statistics, x, weight),
    }
}

/// Some rows backward, on this thread: their gradient becomes that of their input, to which `direct`
/// is added, and their shares of the weight's and bias's gradients are added to `share`.
pub(super) fn gradient_rows(
    kind: Kind,
    gradient: &mut [f32],
    share: &mut [f32],
    statistics: &[[f32; 2]],
    x: &[f32],
    weight: &[f32],
    direct: &[f32],
) {
    match kind {
        Kind::Layer { .. } => layer_norm_gradients(gradient, share, statistics, x, weight),
        Kind::Rms { .. } => rms_norm_gradients(gradient, share, statistics, x, weight),
    }
    add(gradient, direct);
}

vectorized! {
    /// Adds values to values.
    pub(super) fn add(to: &mut [f32], values: &[f32]) {
        for (to, value) in to.iter_mut().zip(values) {
            *to += value;
        }
    }
}

/// All rows forward.
fn normalise(
    x: Array,
    weight: Array,
    rows: impl Fn(&mut [f32], &mut [[f32; 2]], &[f32], &[f32]) + Sync,
) -> (Array, Saved) {
    let [count, width] = x.dims();
    let mut out = buffer(count * width);
    let mut statistics = vec![[0.0; 2]; count];
    let outputs = out.par_chunks_mut(ROWS * width).zip(statistics.par_chunks_mut(ROWS));
    let pieces = outputs.zip(x.values().par_chunks(ROWS * width));
    pieces.for_each(|((out, statistics), x)| rows(out, statistics, x, weight.values()));
    (Array::new(out, [count, width]), (x, weight, statistics.into()))
}

/// How some rows go backward: their gradient becomes that of their input, and their shares of the
/// weight's and the bias's gradients are added to `[weight | bias]`.
type Rows = fn(&mut [f32], &mut [f32], &[[f32; 2]], &[f32], &[f32]);

/// All rows backward: the gradients of the input, and of weight and bias.
fn differentiate((x, weight, statistics): Saved, gradient: Array, rows: Rows) -> (Array, [Array; 2]) {
    let [count, width] = x.dims();
    let mut shares = vec![0.0; count.div_ceil(ROWS) * 2 * width];
    let dx = gradient.map_values(|gradient| {
        let outputs = gradient
            .par_chunks_mut(ROWS * width)
            .zip(shares.par_chunks_mut(2 * width));
        let inputs = x.values().par_chunks(ROWS * width).zip(statistics.par_chunks(ROWS));
        let pieces = outputs.zip(inputs);
        pieces.for_each(|((gradient, share), (x, statistics))| {
            rows(gradient, share, statistics, x, weight.values());
        });
    });
    let mut total = vec![0.0; 2 * width];
    for share in shares.chunks_exact(2 * width) {
        total.iter_mut().zip(share).for_each(|(total, share)| *total += share);
    }
    let bias = total.split_off(width);
    (dx, [total, bias].map(|values| Array::new(values, [1, width])))
}

vectorized! {
    fn layer_statistics(statistics: &mut [[f32; 2]], x: &[f32], width: usize, epsilon: f32) {
        // one quantity of all rows after another: sums of different rows do not wait for each other
        for (x, [mean, _]) in x.chunks_exact(width).zip(&mut *statistics) {
            *mean = sum(x, |x| x) / width as f32;
        }
        for (x, [mean, scale]) in x.chunks_exact(width).zip(statistics) {
            let mean = *mean;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
            *scale = 1.0 / (variance + epsilon).sqrt();
        }
    }
}

vectorized! {
    fn layer_normal_form(out: &mut [f32], statistics: &[[f32; 2]], x: &[f32], weight: &[f32], bias: &[f32]) {
        let width = weight.len();
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), [mean, scale]) in rows.zip(statistics) {
            let (out, x, bias) = (&mut out[..width], &x[..width], &bias[..width]);
            for i in 0..width {
                out[i] = ((x[i] - mean) * scale).mul_add(weight[i], bias[i]);
            }
        }
    }
}

vectorized! {
    fn rms_statistics(statistics: &mut [[f32; 2]], x: &[f32], width: usize, epsilon: f32) {
        for (x, statistics) in x.chunks_exact(width).zip(statistics) {
            *statistics = [0.0, 1.0 / (sum(x, |x| x * x) / width as f32 + epsilon).sqrt()];
        }
    }
}

vectorized! {
    fn rms_normal_form(out: &mut [f32], statistics: &[[f32; 2]], x: &[f32], weight: &[f32]) {
        let width = weight.len();
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), [_, scale]) in rows.zip(statistics) {
            let (out, x) = (&mut out[..width], &x[..width]);
            for i in 0..width {
                out[i] = x[i] * scale * weight[i];
            }
        }
    }
}

vectorized! {
    fn layer_norm_gradients(
        gradient: &mut [f32], share: &mut [f32], statistics: &[[f32; 2]], x: &[f32], weight: &[f32],
    ) {
        let width = weight.len();
        let (weight_share, bias_share) = share.split_at_mut(width);
        let bias_share = &mut bias_share[..width];
        let rows = gradient.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((gradient, x), [mean, scale]) in rows.zip(statistics) {
            let (gradient, x) = (&mut gradient[..width], &x[..width]);
            for i in 0..width {
                weight_share[i] += gradient[i] * (x[i] - mean) * scale;
                bias_share[i] += gradient[i];
                gradient[i] *= weight[i];
            }
            // with n = normalised x: dx = scale · (g − mean(g) − n · mean(g · n))
            let mean_gradient = sum(gradient, |g| g) / width as f32;
            let along = sum_pairs(gradient, x, |g, x| g * (x - mean) * scale) / width as f32;
            for i in 0..width {
                gradient[i] = scale * (gradient[i] - mean_gradient - (x[i] - mean) * scale * along);
            }
        }
    }
}

vectorized! {
    fn rms_norm_gradients(
        gradient: &mut [f32], share: &mut [f32], statistics: &[[f32; 2]], x: &[f32], weight: &[f32],
    ) {
        let width = weight.len();
        let share = &mut share[..width];
        let rows = gradient.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((gradient, x), [_, scale]) in rows.zip(statistics) {
            let (gradient, x) = (&mut gradient[..width], &x[..width]);
            for i in 0..width {
                share[i] += gradient[i] * x[i] * scale;
                gradient[i] *= weight[i];
            }
            // dx = scale · (g − n · mean(g · n))
            let along = sum_pairs(gradient, x, |g, x| g * x * scale) / width as f32;
            for i in 0..width {
                gradient[i] = scale * (gradient[i] - x[i] * scale * along);
            }
        }
    }
}
