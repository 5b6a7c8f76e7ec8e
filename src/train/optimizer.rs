//! AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), arithmetic as in PyTorch.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::error::TrainError;
use super::gradients::{CHUNK, Gradients, Place, values};
use super::settings::TrainSettings;
use crate::models::Model;

/// Keeps the denominator away from zero; PyTorch's default.
const EPSILON: f32 = 1e-8;

/// The running mean and mean square of one weight's gradient.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one a weight, a few dozen in all")]
enum Moments {
    Host { mean: Vec<f32>, square: Vec<f32> },
    Device { mean: Tensor<2>, square: Tensor<2> },
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
            moments: model.weights().into_iter().map(fresh).collect(),
        }
    }

    /// One update of all weights at a learning rate; gradients are multiplied by `scale` first
    /// (clipping). Weight decay acts on matrices and embeddings only.
    ///
    /// # Errors
    /// When the device does not hand out a value.
    pub fn update(&mut self, model: &mut Model, gradients: Gradients, scale: f64, rate: f64) -> Result<(), TrainError> {
        self.updates += 1;
        let power = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(power);
        let correction2 = 1.0 - self.beta2.powi(power);
        let factors = |decays: bool| Factors {
            gradient: scale as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            keep: if decays { 1.0 - rate * self.weight_decay } else { 1.0 } as f32,
            step: (rate / correction1) as f32,
            correction: correction2.sqrt() as f32,
        };
        let (on_host, on_device) = match gradients {
            Gradients::Host(values) => (values, Vec::new()),
            Gradients::Device(tensors) => (Vec::new(), tensors),
        };
        let (mut on_host, mut on_device) = (on_host.into_iter(), on_device.into_iter());
        let mut failed = None;
        for (weight, moments) in model.weights_mut().into_iter().zip(&mut self.moments) {
            let factors = factors(weight.role().decays());
            let gradients = "a gradient for each weight";
            match moments {
                Moments::Host { mean, square } => {
                    let gradient = on_host.next().expect(gradients);
                    weight.update(|tensor| {
                        let (shape, device) = (tensor.dims(), tensor.device());
                        let mut weights = match values("a weight", tensor) {
                            Ok(weights) => weights,
                            Err(error) => {
                                failed = Some(error);
                                return Tensor::zeros(shape, &device);
                            }
                        };
                        factors.apply(&mut weights, &gradient, mean, square);
                        Tensor::from_data(TensorData::new(weights, shape), &device)
                    });
                }
                Moments::Device { mean, square } => {
                    let gradient = on_device.next().expect(gradients);
                    weight.update(|tensor| factors.apply_on_device(tensor, gradient, mean, square));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The moments of each weight by name: mean and mean square, row by row.
    ///
    /// # Errors
    /// When the device does not hand out a value.
    pub fn state(&self) -> Result<Vec<[Vec<f32>; 2]>, TrainError> {
        let read = |moments: &Moments| match moments.clone() {
            Moments::Host { mean, square } => Ok([mean, square]),
            Moments::Device { mean, square } => Ok([values("a moment", mean)?, values("a moment", square)?]),
        };
        self.moments.iter().map(read).collect()
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
    /// One pass over weights, gradient and moments: each value is on its own, so any split over
    /// threads gives the same bits.
    fn apply(self, weights: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let chunks = weights
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK)));
        chunks.for_each(|((weights, gradient), (mean, square))| {
            for (((weight, gradient), mean), square) in weights.iter_mut().zip(gradient).zip(mean).zip(square) {
                let gradient = gradient * self.gradient;
                *mean = *mean * self.beta1 + gradient * (1.0 - self.beta1);
                *square = *square * self.beta2 + gradient * gradient * (1.0 - self.beta2);
                let denominator = square.sqrt() / self.correction + EPSILON;
                *weight = *weight * self.keep - self.step * *mean / denominator;
            }
        });
    }

    /// The same in tensors.
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
