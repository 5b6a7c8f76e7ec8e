//! Products in bf16, and operations whose insides are made again.

use burn::tensor::Tensor;

use super::tests::{cpu, floats, leaf};
use super::*;
use crate::seed::Seed;

#[test]
fn bf16_holds_forward_and_backward_wherever_the_backward_pass_is() {
    let device = cpu();
    let (x, weight) = (leaf("x", [20, 33], &device), leaf("weight", [33, 18], &device));
    let gradients = |precision: Precision| {
        let entered = precision.enter();
        let y = linear(x.clone(), weight.clone(), None, Orientation::InputOutput);
        drop(entered);
        let loss = y.clone().mul(y.clone()).sum();
        let mut gradients = loss.backward();
        let values = [
            y.inner(),
            x.grad_remove(&mut gradients).unwrap(),
            weight.grad_remove(&mut gradients).unwrap(),
        ];
        values.map(floats)
    };
    let (exact, rounded) = (gradients(Precision::F32), gradients(Precision::Bf16));
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let largest = exact.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let off = exact
            .iter()
            .zip(rounded)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f32::max);
        assert!(off > 1e-5 * largest && off < 2e-2 * largest, "{off} of {largest}");
    }
}

/// `x + dropout(gelu(norm(x) · in) · out) · y`
#[derive(Clone)]
struct Inner {
    weights: Vec<Tensor<2>>,
    dropout: Option<Dropout>,
}

impl Part for Inner {
    fn weights(&self) -> Vec<Tensor<2>> {
        self.weights.clone()
    }

    fn with_weights(self, weights: Vec<Tensor<2>>) -> Self {
        Self { weights, ..self }
    }

    fn run(&self, inputs: Vec<Tensor<2>>) -> Tensor<2> {
        let [norm, first, second] = [0, 1, 2].map(|index| self.weights[index].clone());
        let (x, y) = (inputs[0].clone(), inputs[1].clone());
        let inner = linear(rms_norm(x.clone(), norm, 1e-5), first, None, Orientation::OutputInput);
        let inner = linear(gelu(inner), second, None, Orientation::OutputInput);
        x.add(dropout(inner, self.dropout).mul(y))
    }
}

#[test]
fn what_is_made_again_has_the_same_bits() {
    let device = cpu();
    let gradients = |again: bool, precision: Precision| {
        let _precision = precision.enter();
        let weights = vec![
            leaf("norm", [1, 9], &device),
            leaf("first", [14, 9], &device),
            leaf("second", [9, 14], &device),
        ];
        let (x, y) = (leaf("x", [21, 9], &device), leaf("y", [21, 9], &device));
        let part = Inner {
            weights: weights.clone(),
            dropout: Dropout::new(0.3, &Seed::root(5)),
        };
        // twice, so that gradients of weights add up
        let run = |part: &Inner, x: Tensor<2>| match again {
            true => recomputed(part.clone(), vec![x, y.clone()]),
            false => part.run(vec![x, y.clone()]),
        };
        let out = run(&part, run(&part, x.clone().mul_scalar(0.5)));
        let mut backward = out.clone().mul(out.clone()).sum().backward();
        let grads = weights
            .iter()
            .chain([&x, &y])
            .map(|leaf| floats(leaf.grad_remove(&mut backward).unwrap()));
        let mut all: Vec<Vec<f32>> = grads.collect();
        all.push(floats(out.without_autodiff()));
        all
    };
    for precision in [Precision::F32, Precision::Bf16] {
        assert_eq!(gradients(false, precision), gradients(true, precision));
    }
    assert_ne!(gradients(true, Precision::F32), gradients(true, Precision::Bf16));
}

#[test]
fn weights_that_are_made_again_learn_where_no_input_does_and_frozen_ones_do_not() {
    let device = cpu();
    let frozen = |name: &str, shape| leaf(name, shape, &device).without_autodiff().autodiff();
    let gradients = |again: bool| {
        let weights = vec![
            frozen("norm", [1, 9]),
            leaf("first", [14, 9], &device),
            leaf("second", [9, 14], &device),
        ];
        let inputs = ["x", "y"].map(|name| frozen(name, [21, 9]));
        let part = Inner {
            weights: weights.clone(),
            dropout: None,
        };
        let out = match again {
            true => recomputed(part, inputs.into()),
            false => part.run(inputs.into()),
        };
        let mut backward = out.clone().mul(out).sum().backward();
        assert!(weights[0].grad_remove(&mut backward).is_none());
        [1, 2].map(|index: usize| floats(weights[index].grad_remove(&mut backward).unwrap()))
    };
    assert_eq!(gradients(false), gradients(true));
}
