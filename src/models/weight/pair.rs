//! Low-rank pairs beside weights: see `lora.rs`.

use burn::tensor::Tensor;

use super::{Role, Weight};
use crate::kernels::{LowRank, Orientation, merged};
use crate::models::init::uniforms;
use crate::models::lora;
use crate::seed::Seed;

/// Two small matrices whose product is added to a weight.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// `[rank, in]`
    down: Weight,
    /// `[out, rank]`
    up: Weight,
    scale: f32,
}

impl Pair {
    pub(super) fn stand_in(&mut self, values: &mut impl Iterator<Item = Tensor<2>>) {
        self.down.stand_in(values);
        self.up.stand_in(values);
    }
}

impl Weight {
    /// Collects no gradient any more.
    pub(in crate::models) fn hold_fast(&mut self) {
        self.held_fast = true;
        self.set(self.value());
    }

    /// Puts a pair beside a matrix, to be learned in its place.
    pub(in crate::models) fn adapt(&mut self, rank: usize, scale: f32, seed: &Seed) {
        let Role::Matrix(orientation) = self.role else {
            unreachable!("pairs stand beside matrices")
        };
        let [rows, columns] = self.dims();
        let [inputs, outputs] = match orientation {
            Orientation::InputOutput => [rows, columns],
            Orientation::OutputInput => [columns, rows],
        };
        // √(6 / ((1 + 5) · inputs)): Kaiming's bound for a leaky ReLU of slope √5, PyTorch's for a `Linear`
        let bound = 1.0 / (inputs as f32).sqrt();
        let (device, [first, second]) = (self.value.device(), lora::names(&self.name));
        let values = uniforms(&seed.child(first.as_str()), rank * inputs, bound);
        let role = Role::Matrix(Orientation::OutputInput);
        self.pair = Some(Box::new(Pair {
            down: Self::new(first, role, values, &[rank, inputs], &device),
            up: Self::new(second, role, vec![0.0; outputs * rank], &[outputs, rank], &device),
            scale,
        }));
    }

    /// The pair beside it, as products take it.
    pub(in crate::models) fn low_rank(&self) -> Option<LowRank> {
        self.pair.as_ref().map(|pair| LowRank {
            down: pair.down.value(),
            up: pair.up.value(),
            scale: pair.scale,
        })
    }

    /// Itself and the matrices of its pair.
    pub(in crate::models) fn with_pair(&self) -> Vec<&Self> {
        let pair = self.pair.iter().flat_map(|pair| [&pair.down, &pair.up]);
        std::iter::once(self).chain(pair).collect()
    }

    /// What is learned of it: itself, its pair, or nothing.
    pub(in crate::models) fn learned(&self) -> Vec<&Self> {
        let mut all = self.with_pair();
        all.retain(|weight| !weight.held_fast);
        all
    }

    /// The same, to be changed in place.
    pub(in crate::models) fn learned_mut(&mut self) -> Vec<&mut Self> {
        if !self.held_fast {
            return vec![self];
        }
        let pair = self.pair.iter_mut();
        pair.flat_map(|pair| [&mut pair.down, &mut pair.up]).collect()
    }

    /// Lets it and its pair collect gradients, or compute without remembering how.
    pub fn track(&mut self, gradients: bool) {
        let value = self.value().without_autodiff();
        self.set(if gradients { value.autodiff() } else { value });
        if let Some(pair) = &mut self.pair {
            pair.down.track(gradients);
            pair.up.track(gradients);
        }
    }

    /// Its value with what its pair adds to it, without autodiff.
    pub(super) fn whole(&self) -> Tensor<2> {
        let value = self.value().without_autodiff();
        match (self.low_rank(), self.role) {
            (Some(pair), Role::Matrix(orientation)) => merged(value, &pair, orientation),
            _ => value,
        }
    }
}
