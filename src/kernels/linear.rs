//! Products with a weight.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::entry::{factor, sides};
use super::flex::{self, Array, Fused, Matrix, Precision, Target, biased_product_in, buffer, product_in, vectorized};

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
    match bias {
        _ if !flex::applies(&x) => composed(x, weight, bias, orientation),
        Some(bias) => flex::run(Product::new(orientation), [x, weight, bias]),
        None => flex::run(Product::new(orientation), [x, weight]),
    }
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

pub(super) fn composed(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    orientation: Orientation,
) -> Tensor<2> {
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

/// `x · W` with or without a bias, and its derivative.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub(super) orientation: Orientation,
    precision: Precision,
}

impl Product {
    pub(super) fn new(orientation: Orientation) -> Self {
        Self {
            orientation,
            precision: Precision::now(),
        }
    }

    fn factor<'a>(&self, weight: &'a Array) -> Matrix<'a> {
        factor(weight, self.orientation)
    }

    fn outputs(&self, weight: &Array) -> usize {
        sides(weight, self.orientation)[1]
    }

    pub(super) fn multiply(&self, x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
        let ([rows, inputs], outputs) = (x.dims(), self.outputs(weight));
        let mut out = buffer(rows * outputs);
        let (left, right) = (Matrix::rows(x.values(), inputs), self.factor(weight));
        let shape = [rows, outputs, inputs];
        match bias {
            Some(bias) => biased_product_in(self.precision, &mut out, shape, left, right, bias.values()),
            None => product_in(self.precision, &mut out, shape, left, right, Target::Replace),
        }
        Array::new(out, [rows, outputs])
    }

    pub(super) fn input_gradient(&self, x: &Array, weight: &Array, gradient: &Array) -> Array {
        let ([rows, inputs], outputs) = (x.dims(), self.outputs(weight));
        let mut out = buffer(rows * inputs);
        let left = Matrix::rows(gradient.values(), outputs);
        let right = self.factor(weight).transposed();
        product_in(
            self.precision,
            &mut out,
            [rows, inputs, outputs],
            left,
            right,
            Target::Replace,
        );
        Array::new(out, [rows, inputs])
    }

    pub(super) fn weight_gradient(&self, x: &Array, weight: &Array, gradient: &Array) -> Array {
        let ([rows, inputs], outputs) = (x.dims(), self.outputs(weight));
        let mut out = buffer(inputs * outputs);
        let x = Matrix::rows(x.values(), inputs);
        let gradient = Matrix::rows(gradient.values(), outputs);
        match self.orientation {
            Orientation::InputOutput => {
                product_in(
                    self.precision,
                    &mut out,
                    [inputs, outputs, rows],
                    x.transposed(),
                    gradient,
                    Target::Replace,
                );
            }
            Orientation::OutputInput => {
                product_in(
                    self.precision,
                    &mut out,
                    [outputs, inputs, rows],
                    gradient.transposed(),
                    x,
                    Target::Replace,
                );
            }
        }
        Array::new(out, weight.dims())
    }
}

impl Fused<2> for Product {
    type Saved = [Array; 2];

    fn forward(&self, [x, weight]: [Array; 2], _tracked: bool) -> (Array, Self::Saved) {
        (self.multiply(&x, &weight, None), [x, weight])
    }

    fn backward(&self, [x, weight]: Self::Saved, gradient: Array, wanted: [bool; 2]) -> [Option<Array>; 2] {
        [
            wanted[0].then(|| self.input_gradient(&x, &weight, &gradient)),
            wanted[1].then(|| self.weight_gradient(&x, &weight, &gradient)),
        ]
    }
}

impl Fused<3> for Product {
    type Saved = [Array; 2];

    fn forward(&self, [x, weight, bias]: [Array; 3], _tracked: bool) -> (Array, Self::Saved) {
        (self.multiply(&x, &weight, Some(&bias)), [x, weight])
    }

    fn backward(&self, [x, weight]: Self::Saved, gradient: Array, wanted: [bool; 3]) -> [Option<Array>; 3] {
        [
            wanted[0].then(|| self.input_gradient(&x, &weight, &gradient)),
            wanted[1].then(|| self.weight_gradient(&x, &weight, &gradient)),
            wanted[2].then(|| column_sums(&gradient)),
        ]
    }
}

/// `[rows, columns] → [1, columns]`, each column summed from the first row to the last.
pub(super) fn column_sums(array: &Array) -> Array {
    const WIDTH: usize = 64; // a few cache lines of each row at a time
    let [_, columns] = array.dims();
    let mut sums = vec![0.0; columns];
    sums.par_chunks_mut(WIDTH).enumerate().for_each(|(part, sums)| {
        add_columns(sums, array.values(), part * WIDTH, columns);
    });
    Array::new(sums, [1, columns])
}

vectorized! {
    /// Adds the columns of rows to their sums.
    pub(super) fn add_columns(sums: &mut [f32], values: &[f32], start: usize, columns: usize) {
        for row in values.chunks_exact(columns) {
            for (sum, value) in sums.iter_mut().zip(&row[start..]) {
                *sum += value;
            }
        }
    }
}
