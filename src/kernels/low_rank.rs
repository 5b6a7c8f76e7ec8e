//! Low-rank adaptation (LoRA: Hu et al. 2021): beside a weight that is held fast, a pair of small matrices
//! is learned whose product is added to it.
//!
//! On the CPU products take the weight with the pair merged into it: what a merge costs is one row of many.
//! The gradients of the pair go through its rank, so that the weight's own, as large as the weight and as
//! dear as the product, is never made.

use burn::backend::Flex;
use burn::tensor::Tensor;

use super::Orientation;
use super::entry::sides;
use super::flex::{self, Array, Block, Fused, Matrix, Shared, Target, buffer, product, transposed_product_into};
use super::linear::{Product, column_sums, linear};

/// A pair beside a weight: with it a product is `x · W + scale · (x · downᵀ) · upᵀ`.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[rank, in]`: the paper's A.
    pub down: Tensor<2>,
    /// `[out, rank]`: the paper's B.
    pub up: Tensor<2>,
    /// α divided by the rank.
    pub scale: f32,
}

/// [`linear`] with a pair beside its weight.
pub fn low_rank_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    orientation: Orientation,
    pair: &LowRank,
) -> Tensor<2> {
    if !flex::applies(&x) {
        return composed(x, weight, bias, orientation, pair);
    }
    let operation = Paired {
        product: Product::new(orientation),
        scale: pair.scale,
    };
    let (down, up) = (pair.down.clone(), pair.up.clone());
    match bias {
        Some(bias) => flex::run(operation, [x, weight, down, up, bias]),
        None => flex::run(operation, [x, weight, down, up]),
    }
}

pub(super) fn composed(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    orientation: Orientation,
    pair: &LowRank,
) -> Tensor<2> {
    let inner = x.clone().matmul(pair.down.clone().transpose());
    let added = inner.matmul(pair.up.clone().transpose()).mul_scalar(pair.scale);
    linear(x, weight, bias, orientation).add(added)
}

/// A weight with what its pair adds to it, without autodiff.
pub fn merged(weight: Tensor<2>, pair: &LowRank, orientation: Orientation) -> Tensor<2> {
    const ON_CPU: &str = "f32 on the CPU";
    let [down, up] = [&pair.down, &pair.up].map(|side| side.clone().without_autodiff());
    if !flex::applies(&weight) {
        let added = up.matmul(down).mul_scalar(pair.scale);
        return weight.add(match orientation {
            Orientation::OutputInput => added,
            Orientation::InputOutput => added.transpose(),
        });
    }
    let [weight, down, up] =
        [weight, down, up].map(|tensor| Array::contiguous(tensor.try_into_primitive::<Flex>().expect(ON_CPU)));
    let scale = pair.scale;
    let merged = Pair::merged(Some(&Pair { down, up, scale }), &weight, orientation);
    Tensor::from_primitive::<Flex>(merged.into_primitive())
}

/// A pair on the CPU.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) down: Array,
    pub(super) up: Array,
    pub(super) scale: f32,
}

impl Pair {
    /// Takes a pair out of an operation's inputs, if it has one there: a scale says so.
    pub(super) fn next(scale: Option<f32>, inputs: &mut impl Iterator<Item = Array>) -> Option<Self> {
        let mut next = || inputs.next().expect("a pair is two inputs");
        scale.map(|scale| Self {
            down: next(),
            up: next(),
            scale,
        })
    }

    /// A weight with what its pair adds to it.
    pub(super) fn merged(pair: Option<&Self>, weight: &Array, orientation: Orientation) -> Array {
        let Some(Self { down, up, scale }) = pair else {
            return weight.clone();
        };
        let ([rank, inputs], [outputs, _]) = (down.dims(), up.dims());
        debug_assert_eq!(sides(weight, orientation), [inputs, outputs]);
        let mut out = weight.values().to_vec();
        let scaled: Vec<f32> = down.values().iter().map(|value| scale * value).collect();
        let up = Matrix::rows(up.values(), rank);
        match orientation {
            Orientation::OutputInput => {
                let down = Matrix::rows(&scaled, inputs);
                product(&mut out, [outputs, inputs, rank], up, down, Target::Add);
            }
            Orientation::InputOutput => {
                let down = turned(&scaled, inputs);
                let down = Matrix::rows(&down, rank);
                product(&mut out, [inputs, outputs, rank], down, up.transposed(), Target::Add);
            }
        }
        Array::new(out, weight.dims())
    }

    /// The gradients of both, those that are wanted, from the product's inputs `[rows, in]` and the gradients
    /// of its outputs `[rows, out]`.
    pub(super) fn gradients(
        &self,
        rows: usize,
        x: Matrix<'_>,
        dy: Matrix<'_>,
        [down, up]: [bool; 2],
    ) -> [Option<Array>; 2] {
        let ([rank, inputs], [outputs, _]) = (self.down.dims(), self.up.dims());
        let inner = |factor: Matrix<'_>, width: usize, through: Matrix<'_>| {
            let mut inner = buffer(rows * rank);
            product(&mut inner, [rows, rank, width], factor, through, Target::Replace);
            inner.iter_mut().for_each(|value| *value *= self.scale);
            inner
        };
        let (down, up) = rayon::join(
            || {
                down.then(|| {
                    let inner = inner(dy, outputs, Matrix::rows(self.up.values(), rank));
                    Array::new(summed(&inner, [rank, inputs, rows], x), [rank, inputs])
                })
            },
            || {
                up.then(|| {
                    let inner = inner(x, inputs, Matrix::rows(self.down.values(), inputs).transposed());
                    let values = summed(&inner, [rank, outputs, rows], dy);
                    Array::new(turned(&values, outputs), [outputs, rank])
                })
            },
        );
        [down, up]
    }
}

/// `innerᵀ · b`, `[rows, rank]` and `[rows, columns]`: sums over rows.
fn summed(inner: &[f32], [rank, columns, rows]: [usize; 3], b: Matrix<'_>) -> Vec<f32> {
    let mut out = buffer(rank * columns);
    let whole = Block {
        buffer: Shared::new(&mut out),
        start: 0,
        stride: columns,
    };
    let a = Matrix::rows(inner, rank).transposed();
    // SAFETY: the only use of the buffer.
    unsafe { transposed_product_into(whole, [rank, columns, rows], a, b, Target::Replace) };
    out
}

/// Rows of `columns` values, exchanged with their columns.
fn turned(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| values.iter().skip(column).step_by(columns))
        .copied()
        .collect()
}

/// A product with a pair beside its weight, and its derivative.
#[derive(Clone, Debug)]
struct Paired {
    product: Product,
    scale: f32,
}

impl Paired {
    fn multiply(&self, x: Array, weight: Array, [down, up]: [Array; 2], bias: Option<&Array>) -> (Array, Saved) {
        let scale = self.scale;
        let pair = Pair { down, up, scale };
        let merged = Pair::merged(Some(&pair), &weight, self.product.orientation);
        let out = self.product.multiply(&x, &merged, bias);
        (out, Saved { x, weight, pair })
    }

    fn gradients(&self, saved: &Saved, gradient: &Array, wanted: [bool; 4]) -> [Option<Array>; 4] {
        let Saved { x, weight, pair } = saved;
        let [input, whole, down, up] = wanted;
        let input = input.then(|| {
            let merged = Pair::merged(Some(pair), weight, self.product.orientation);
            self.product.input_gradient(x, &merged, gradient)
        });
        let whole = whole.then(|| self.product.weight_gradient(x, weight, gradient));
        let ([rows, inputs], [_, outputs]) = (x.dims(), gradient.dims());
        let (x, dy) = (
            Matrix::rows(x.values(), inputs),
            Matrix::rows(gradient.values(), outputs),
        );
        let [down, up] = pair.gradients(rows, x, dy, [down, up]);
        [input, whole, down, up]
    }
}

#[derive(Clone, Debug)]
struct Saved {
    x: Array,
    weight: Array,
    pair: Pair,
}

impl Fused<4> for Paired {
    type Saved = Saved;

    fn forward(&self, [x, weight, down, up]: [Array; 4], _tracked: bool) -> (Array, Saved) {
        self.multiply(x, weight, [down, up], None)
    }

    fn backward(&self, saved: Saved, gradient: Array, wanted: [bool; 4]) -> [Option<Array>; 4] {
        self.gradients(&saved, &gradient, wanted)
    }
}

impl Fused<5> for Paired {
    type Saved = Saved;

    fn forward(&self, [x, weight, down, up, bias]: [Array; 5], _tracked: bool) -> (Array, Saved) {
        self.multiply(x, weight, [down, up], Some(&bias))
    }

    fn backward(&self, saved: Saved, gradient: Array, wanted: [bool; 5]) -> [Option<Array>; 5] {
        let [input, whole, first, second, bias] = wanted;
        let [dx, dweight, down, up] = self.gradients(&saved, &gradient, [input, whole, first, second]);
        [dx, dweight, down, up, bias.then(|| column_sums(&gradient))]
    }
}
