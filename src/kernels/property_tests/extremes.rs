//! Numbers at the ends of what f32 holds.

use burn::tensor::{Int, Tensor, TensorData};

use crate::kernels::tests::{cpu, floats};
use crate::kernels::*;

/// What comes out is a number, the one that it should be.
#[test]
fn extreme_numbers() {
    let device = cpu();
    let of = |values: Vec<f32>, shape| Tensor::<2>::from_data(TensorData::new(values, shape), &device).require_grad();
    let backward = |out: Tensor<2>, x: &Tensor<2>| {
        let mut gradients = out.clone().sum().backward();
        (floats(out), floats(x.grad_remove(&mut gradients).unwrap()))
    };
    // scores a thousand apart: one key takes everything, and nothing flows through the scores
    let heads = Heads {
        query: 1,
        key_value: 1,
        width: 2,
    };
    let rows = vec![1e3, 0.0, 1e3, 0.0, 5.0, 7.0, 1e3, 0.0, -1e3, 0.0, 2.0, 3.0];
    let x = of(rows, [2, heads.packed()]);
    let (out, gradient) = backward(attention(x.clone(), heads, 2, None), &x);
    assert_eq!(out, [5.0, 7.0, 5.0, 7.0]);
    for (gradient, expected) in gradient.iter().zip([0., 0., 0., 0., 2., 2., 0., 0., 0., 0., 0., 0.]) {
        assert!((gradient - expected).abs() < 1e-30, "{gradient} for {expected}");
    }
    // a loss of logits so large that their exponentials are infinite, of a target hit and one missed
    let (h, table) = (of(vec![1e4, -1e4], [2, 1]), of(vec![1.0, 0.0, -1.0], [3, 1]));
    let targets = Tensor::<1, Int>::from_data(TensorData::from([0i64, 0]), &device);
    for smoothing in [0.0, 0.3] {
        let loss = linear_cross_entropy(h.clone(), table.clone(), targets.clone(), smoothing);
        let (loss, gradient) = backward(loss.unsqueeze(), &h);
        // what smoothing takes from the target that is missed it adds to the one that is hit
        assert!((loss[0] - 2e4).abs() <= 0.2, "{loss:?}");
        let (hit, missed) = (1.0 - (1.0 - smoothing), -1.0 - (1.0 - smoothing));
        assert!(
            (gradient[0] - hit).abs() < 1e-6 && (gradient[1] - missed).abs() < 1e-6,
            "{gradient:?}"
        );
    }
    // activations far out are a line or nothing, and rows of one number have a normal form
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluNew,
        Activation::Silu,
    ] {
        let x = of(vec![-1e4, 0.0, 1e4], [1, 3]);
        let (out, gradient) = backward(activation.apply(x.clone()), &x);
        assert!(
            out[0].abs() < 1e-6 && out[1] == 0.0 && (out[2] - 1e4).abs() < 1e-2,
            "{activation:?}: {out:?}"
        );
        assert!(
            gradient[0].abs() < 1e-6 && (gradient[2] - 1.0).abs() < 1e-6,
            "{activation:?}: {gradient:?}"
        );
    }
    let ones = || of(vec![1.0; 3], [1, 3]);
    for value in [0.0, 1e-30, 2f32.powi(50)] {
        let x = of(vec![value; 3], [1, 3]);
        let (out, gradient) = backward(layer_norm(x.clone(), ones(), ones(), 1e-5), &x);
        assert_eq!(out, [1.0; 3], "of {value}");
        assert!(
            gradient.iter().all(|gradient| gradient.abs() < 1e-3),
            "of {value}: {gradient:?}"
        );
        let (out, gradient) = backward(rms_norm(x.clone(), ones(), 1e-6), &x);
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        assert!(finite(&out) && finite(&gradient), "of {value}: {out:?} {gradient:?}");
    }
}
