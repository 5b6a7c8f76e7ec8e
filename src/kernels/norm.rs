//! Normalisation of each row.

use burn::tensor::Tensor;

/// Layer norm (Ba et al. 2016) of each row: `(x − mean) / √(variance + ε) · weight + bias`, with
/// the biased variance; `weight` and `bias` are `[1, width]`.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, epsilon: f32) -> Tensor<2> {
    composed_layer_norm(x, weight, bias, epsilon)
}

/// RMS norm (Zhang and Sennrich 2019) of each row: `x / √(mean(x²) + ε) · weight`; `weight` is
/// `[1, width]`.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    composed_rms_norm(x, weight, epsilon)
}

fn composed_layer_norm(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let mean = x.clone().mean_dim(1);
    let centred = x.sub(mean);
    let variance = centred.clone().square().mean_dim(1);
    let normal = centred.div(variance.add_scalar(epsilon).sqrt());
    normal.mul(weight).add(bias)
}

fn composed_rms_norm(x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1);
    x.div(mean_square.add_scalar(epsilon).sqrt()).mul(weight)
}
