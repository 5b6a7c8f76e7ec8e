//! Products with a weight.

use burn::tensor::Tensor;

/// Which way a weight matrix lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// `[in, out]`: GPT-2's "Conv1D".
    InputOutput,
    /// `[out, in]`: torch's `Linear`, and an embedding used as output layer.
    OutputInput,
}

/// `x · W (+ bias)`: `[rows, in] → [rows, out]`; `bias` is `[1, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<2>>, orientation: Orientation) -> Tensor<2> {
    composed(x, weight, bias, orientation)
}

/// Several products of one input with `[out, in]` weights, side by side: `[rows, in] → [rows, Σ out]`.
///
/// The same numbers as one product with the weights stacked. What is copied together is whatever is
/// smaller: the weights when many rows go through them, the outputs when one token does.
pub fn joined_linear<const N: usize>(x: Tensor<2>, weights: [Tensor<2>; N]) -> Tensor<2> {
    let [rows, width] = x.dims();
    if rows < width {
        let outputs = weights.map(|weight| linear(x.clone(), weight, None, Orientation::OutputInput));
        Tensor::cat(outputs.into(), 1)
    } else {
        linear(x, Tensor::cat(weights.into(), 0), None, Orientation::OutputInput)
    }
}

fn composed(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<2>>, orientation: Orientation) -> Tensor<2> {
    let weight = match orientation {
        Orientation::InputOutput => weight,
        Orientation::OutputInput => weight.transpose(),
    };
    let product = x.matmul(weight);
    match bias {
        Some(bias) => product.add(bias),
        None => product,
    }
}
