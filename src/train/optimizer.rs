//! AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), arithmetic as in PyTorch.

use std::borrow::Cow;

use burn::tensor::{Tensor, TensorData};

use super::error::TrainError;
use super::gradients::{Gradients, Place, values};
use super::settings::TrainSettings;
use crate::kernels::{self, Moving};
use crate::models::Model;

/// Keeps the denominator away from zero; PyTorch's default.
const EPSILON: f32 = 1e-8;

/// The running mean and mean square of one weight's gradient.
#[expect(clippy::large_enum_variant, reason = "one a weight, a few dozen in all")]
enum Moments {
    Host { mean: Vec<f32>, square: Vec<f32> },
    Device { mean: Tensor<2>, square: Tensor<2> },
}

impl Moments {
    fn values(&self) -> Result<[Cow<'_, [f32]>; 2], TrainError> {
        let read = |moment: &Tensor<2>| values("a moment", moment.clone()).map(Cow::Owned);
        match self {
            Self::Host { mean, square } => Ok([mean.into(), square.into()]),
            Self::Device { mean, square } => Ok([read(mean)?, read(square)?]),
        }
    }
}

/// The optimizer and its state, one pair of moments a weight in the model's order.
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    /// Updates made, for the bias correction of the moments.
    updates: u64,
    moments: Vec<Moments>,
}

/// What one update multiplies by, the same for all values of a weight.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    beta1: f32,
    beta2: f32,
    keep: f32,
    step: f32,
    correction: f32,
}

impl AdamW {
    /// A fresh optimizer for a model.
    pub fn new(model: &Model, settings: &TrainSettings, place: Place) -> Self {
        let fresh = |weight: &crate::models::Weight| {
            let [rows, columns] = weight.value().dims();
            match place {
                Place::Host => Moments::Host {
                    mean: vec![0.0; rows * columns],
                    square: vec![0.0; rows * columns],
                },
                Place::Device => {
                    let zeros = weight.value().without_autodiff().zeros_like();
                    Moments::Device {
                        mean: zeros.clone(),
                        square: zeros,
                    }
                }
            }
        };
        Self {
            beta1: settings.beta1,
            beta2: settings.beta2,
            weight_decay: settings.weight_decay,
            updates: 0,
            moments: model.learned().into_iter().map(fresh).collect(),
        }
    }

    /// One update of all weights that are learned at a learning rate; gradients are multiplied by `scale` first
    /// (clipping). Weight decay acts on matrices and embeddings only.
    ///
    /// # Errors
    /// When the device does not hand out a value.
    pub fn update(&mut self, model: &mut Model, gradients: Gradients, scale: f64, rate: f64) -> Result<(), TrainError> {
        self.updates += 1;
        let power = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(power);
        let correction2 = 1.0 - self.beta2.powi(power);
        let (beta1, beta2, weight_decay) = (self.beta1 as f32, self.beta2 as f32, self.weight_decay);
        let factors = move |decays: bool| Factors {
            gradient: scale as f32,
            beta1,
            beta2,
            keep: if decays { 1.0 - rate * weight_decay } else { 1.0 } as f32,
            step: (rate / correction1) as f32,
            correction: correction2.sqrt() as f32,
        };
        match gradients {
            Gradients::Host(gradients) => self.update_on_host(model, &gradients, factors),
            Gradients::Device(gradients) => {
                let weights = model.learned_mut().into_iter().zip(&mut self.moments);
                for ((weight, moments), gradient) in weights.zip(gradients) {
                    let Moments::Device { mean, square } = moments else {
                        unreachable!("all of a training is in one place")
                    };
                    let factors = factors(weight.role().decays());
                    weight.update(|tensor| factors.apply_on_device(tensor, gradient, mean, square));
                }
                Ok(())
            }
        }
    }

    /// All weights in one pass.
    fn update_on_host(
        &mut self,
        model: &mut Model,
        gradients: &[Vec<f32>],
        factors: impl Fn(bool) -> Factors,
    ) -> Result<(), TrainError> {
        let mut weights = model.learned_mut();
        let mut lent = Vec::with_capacity(weights.len());
        for weight in &mut weights {
            let tensor = weight.lend();
            let (shape, device) = (tensor.dims(), tensor.device());
            lent.push((values("a weight", tensor)?, shape, device));
        }
        let moving = weights.iter().zip(&mut lent).zip(gradients).zip(&mut self.moments);
        let moving = moving.map(|(((weight, (values, ..)), gradient), moments)| {
            let Moments::Host { mean, square } = moments else {
                unreachable!("all of a training is in one place")
            };
            Moving {
                weights: values,
                gradient,
                mean,
                square,
                keep: factors(weight.role().decays()).keep,
            }
        });
        let Factors {
            gradient,
            beta1,
            beta2,
            step,
            correction,
            ..
        } = factors(false);
        let factors = kernels::AdamW {
            gradient,
            beta1,
            beta2,
            step,
            correction,
            epsilon: EPSILON,
        };
        kernels::updated(moving.collect(), factors);
        for (weight, (values, shape, device)) in weights.into_iter().zip(lent) {
            weight.give_back(Tensor::from_data(TensorData::new(values, shape), &device));
        }
        Ok(())
    }

    /// The moments of each weight by name: mean and mean square, row by row.
    ///
    /// # Errors
    /// When the device does not hand out a value.
    pub fn state(&self) -> Result<Vec<[Cow<'_, [f32]>; 2]>, TrainError> {
        self.moments.iter().map(Moments::values).collect()
    }

    /// Goes on from a [`Self::state`] after `updates` updates.
    pub fn restore(&mut self, updates: u64, state: Vec<[Vec<f32>; 2]>) {
        self.updates = updates;
        for (moments, [new_mean, new_square]) in self.moments.iter_mut().zip(state) {
            match moments {
                Moments::Host { mean, square } => (*mean, *square) = (new_mean, new_square),
                Moments::Device { mean, square } => {
                    let (shape, device) = (mean.dims(), mean.device());
                    let tensor = |values| Tensor::from_data(TensorData::new(values, shape), &device);
                    (*mean, *square) = (tensor(new_mean), tensor(new_square));
                }
            }
        }
    }
}

impl Factors {
    /// One weight's update in tensors; on the host it is [`kernels::updated`].
    fn apply_on_device(
        self,
        weights: Tensor<2>,
        gradient: Tensor<2>,
        mean: &mut Tensor<2>,
        square: &mut Tensor<2>,
    ) -> Tensor<2> {
        let gradient = gradient.mul_scalar(self.gradient);
        *mean = mean.clone().mul_scalar(self.beta1) + gradient.clone().mul_scalar(1.0 - self.beta1);
        *square = square.clone().mul_scalar(self.beta2) + gradient.square().mul_scalar(1.0 - self.beta2);
        let denominator = square.clone().sqrt().div_scalar(self.correction).add_scalar(EPSILON);
        weights.mul_scalar(self.keep) - mean.clone().mul_scalar(self.step) / denominator
    }
}
