//! The gradients of all weights: taken from the backward pass, summed over micro-batches, measured.

use burn::tensor::{Device, Gradients as Backward, Tensor};
use rayon::prelude::*;

use super::error::TrainError;
use crate::kernels::sum_of_squares;
use crate::models::Model;

/// Where optimizer state lives and elementwise arithmetic is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In main memory, in loops of our own over several threads: for models on the CPU.
    Host,
    /// In tensors on the model's device.
    Device,
}

impl Place {
    /// The place for a model on a device.
    pub fn of(device: &Device) -> Self {
        if crate::device::is_cpu(device) {
            Self::Host
        } else {
            Self::Device
        }
    }
}

/// One gradient for each weight, in the model's order.
pub enum Gradients {
    /// Row-major values.
    Host(Vec<Vec<f32>>),
    /// Tensors of the weights' shapes.
    Device(Vec<Tensor<2>>),
}

/// Values that one task of a parallel loop takes: the result does not depend on who takes them.
pub(super) const CHUNK: usize = 1 << 14;

impl Gradients {
    /// Takes the gradients of a model's weights out of a backward pass. A weight that took no part
    /// has a zero gradient.
    ///
    /// # Errors
    /// When the device does not hand out the values.
    pub fn take(model: &Model, mut backward: Backward, place: Place) -> Result<Self, TrainError> {
        let gradients = model.gradients(&mut backward).into_iter();
        Ok(match place {
            Place::Device => Self::Device(gradients.collect()),
            Place::Host => Self::Host(
                gradients
                    .map(|tensor| values("a gradient", tensor))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// The sum with those of another micro-batch.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Host(mut sums), Self::Host(others)) => {
                for (sum, other) in sums.iter_mut().zip(&others) {
                    sum.par_chunks_mut(CHUNK)
                        .zip(other.par_chunks(CHUNK))
                        .for_each(|(sum, other)| {
                            for (sum, other) in sum.iter_mut().zip(other) {
                                *sum += other;
                            }
                        });
                }
                Self::Host(sums)
            }
            (Self::Device(sums), Self::Device(others)) => {
                Self::Device(sums.into_iter().zip(others).map(|(sum, other)| sum + other).collect())
            }
            _ => unreachable!("all gradients of a training are in one place"),
        }
    }

    /// The Euclidean norm over all weights.
    ///
    /// # Errors
    /// When the device does not hand out the value.
    pub fn norm(&self) -> Result<f64, TrainError> {
        let squares = match self {
            Self::Host(gradients) => sum_of_squares(gradients),
            Self::Device(gradients) => {
                let squares = gradients
                    .iter()
                    .map(|gradient| gradient.clone().square().sum())
                    .collect();
                let squares = Tensor::cat(squares, 0).try_to_vec_as::<f32>();
                let squares = squares.map_err(|error| TrainError::Device {
                    what: "the gradient's norm",
                    why: error.to_string(),
                })?;
                squares.into_iter().map(f64::from).sum()
            }
        };
        Ok(squares.sqrt())
    }
}

/// A tensor's values, row by row; without a copy where nothing else holds the tensor.
pub(super) fn values(what: &'static str, tensor: Tensor<2>) -> Result<Vec<f32>, TrainError> {
    tensor.try_into_vec_as::<f32>().map_err(|error| TrainError::Device {
        what,
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_euclidean_over_all_weights_and_sums_add_up() {
        let gradients = || Gradients::Host(vec![vec![3.0; 20_000], vec![-4.0; 20_000]]);
        let norm = gradients().norm().unwrap();
        assert!((norm - (25.0f64 * 20_000.0).sqrt()).abs() < 1e-9);
        assert!((gradients().plus(gradients()).norm().unwrap() - 2.0 * norm).abs() < 1e-9);
    }

    #[test]
    fn the_norm_does_not_depend_on_threads() {
        let values: Vec<f32> = (0..200_000).map(|i| (i as f32 * 0.37).sin()).collect();
        let norm = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of_squares(std::slice::from_ref(&values))).to_bits()
        };
        assert_eq!(norm(1), norm(3));
    }
}
