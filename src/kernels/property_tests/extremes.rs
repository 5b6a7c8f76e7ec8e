//! Numbers at the ends of what f32 holds.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};

use super::{Sizes, cases, computed, hold_to};
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

/// Where exponentials make much of small errors, fused operations are about as near to what they should compute
/// as composed ones are: scores of thousands, and of a million, of which f32 keeps hardly a digit. The halves of
/// blocks differ by nothing, for the errors of queries and keys are the same; the backward pass of attention
/// alone is up to 1.9 times as far off, where probabilities are near to 1 and the sum along a row that is
/// taken from each gradient is that of the result, not that of the probabilities; recurrent layers are up to
/// 2.4 times, by tanh, which is right to 1e-7 however small it is.
#[test]
fn fused_operations_are_no_further_off_than_composed_ones() {
    const DRAWS: u64 = 6;
    let device = cpu();
    for scale in [6.0, 30.0] {
        // the logarithm of how much larger the errors of fused operations are, for each result and gradient
        let mut ratios: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
        for seed in 0..DRAWS {
            let sizes = Sizes {
                heads: Heads {
                    query: 2,
                    key_value: 1 + seed as usize % 2,
                    width: 8,
                },
                seq: 24 + seed as usize,
                lengths: vec![24, 7],
                source: vec![19, 30],
                width: 21,
                mlp: 5,
                vocabulary: 67,
                scale,
                dropout: seed % 2 == 1,
                seed,
            };
            for case in cases(&sizes) {
                let Some(exact) = &case.exact else { continue };
                let [fused, composed] =
                    [&case.fused, &case.composed].map(|form| computed(&case, form, &sizes, &device));
                let errors = hold_to(exact, &case, &sizes, [&fused, &composed], &device);
                for (place, [fused, composed]) in errors.into_iter().enumerate() {
                    ratios
                        .entry((case.what, place))
                        .or_default()
                        .push((fused / composed).ln());
                }
            }
        }
        for ((what, place), logs) in ratios {
            let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
            assert!(
                mean < 3.0,
                "{what} of {scale}, {place}: errors {mean} times those of the composed form"
            );
        }
    }
}
