//! The second half of a block.

use burn::tensor::Tensor;

use super::{Case, Sizes, case};
use crate::kernels::halves::composed_mlp;
use crate::kernels::tests::{LAYER, RMS, norm_of, products_of};
use crate::kernels::*;

type MlpForm = fn(Tensor<2>, Option<&RowNorm>, &Products, Activation, &Products, Option<Dropout>) -> Tensor<2>;

pub(super) fn second_halves(sizes: &Sizes, list: &mut Vec<Case>) {
    let Sizes { width, mlp, .. } = *sizes;
    let (rows, drop) = (sizes.rows(), sizes.drop());
    let vector = [1, width];
    for activation in [
        Activation::GeluNew,
        Activation::Gelu,
        Activation::Relu,
        Activation::Silu,
    ] {
        let run = move |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 7]| {
            let mut rest = rest.into_iter();
            let norm = norm_of(&mut rest, LAYER);
            let inner = products_of(&mut rest, 1, true, Orientation::InputOutput);
            let outer = products_of(&mut rest, 1, true, Orientation::InputOutput);
            form(x, Some(&norm), &inner, activation, &outer, drop)
        };
        let weights = [[width, mlp], [1, mlp], [mlp, width], vector];
        let [inner, bias, outer, outer_bias] = weights;
        list.push(case(
            "mlp",
            [[rows, width], vector, vector, inner, bias, outer, outer_bias],
            move |inputs| run(crate::kernels::mlp, inputs),
            move |inputs| run(composed_mlp, inputs),
        ));
        let run = move |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 5]| {
            let mut rest = rest.into_iter();
            let norm = norm_of(&mut rest, RMS);
            let inner = products_of(&mut rest, 2, false, Orientation::OutputInput);
            let outer = products_of(&mut rest, 1, false, Orientation::OutputInput);
            form(x, Some(&norm), &inner, activation, &outer, drop)
        };
        list.push(case(
            "gated mlp",
            [[rows, width], vector, [mlp, width], [mlp, width], [width, mlp]],
            move |inputs| run(crate::kernels::mlp, inputs),
            move |inputs| run(composed_mlp, inputs),
        ));
    }
}
