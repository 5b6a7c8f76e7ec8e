//! Where the values of new weights come from: GPT-2's scheme, drawn from a seed.

use burn::tensor::Device;
use rand::Rng;

use super::weight::{Role, Weight};
use crate::seed::Seed;

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    /// Normal with this standard deviation around 0.
    Normal(f32),
    One,
    Zero,
}

/// GPT-2's standard deviation for tables and matrices.
pub(super) const DEVIATION: f32 = 0.02;

/// The standard deviation of a projection that adds to the residual stream: each of the `2 · layers`
/// of them adds variance, so each is made smaller.
pub(super) fn residual_deviation(layers: usize) -> f32 {
    DEVIATION / ((2 * layers) as f32).sqrt()
}

/// Gives an architecture its weights as it declares them: new ones, or those of a file.
pub(super) trait Source {
    /// The device that they live on.
    fn device(&self) -> &Device;

    /// The values of one weight in row-major order; always as many as the shape says. What is wrong
    /// with them is kept until all have been asked for.
    fn values(&mut self, name: &str, role: Role, shape: &[usize], start: Start) -> Vec<f32>;

    /// One weight.
    fn weight(&mut self, name: String, role: Role, shape: &[usize], start: Start) -> Weight {
        let values = self.values(&name, role, shape, start);
        Weight::new(name, role, values, shape, self.device())
    }
}

/// New weights; each draws from its own child of the seed, so that another layer more leaves the
/// others as they are.
pub(super) struct Drawn<'a> {
    pub(super) seed: Seed,
    pub(super) device: &'a Device,
}

impl Source for Drawn<'_> {
    fn device(&self) -> &Device {
        self.device
    }

    fn values(&mut self, name: &str, _role: Role, shape: &[usize], start: Start) -> Vec<f32> {
        let count = shape.iter().product();
        match start {
            Start::One => vec![1.0; count],
            Start::Zero => vec![0.0; count],
            Start::Normal(deviation) => normals(&self.seed.child(name), count, deviation),
        }
    }
}

/// Normal numbers by the polar method (Marsaglia and Bray 1964).
fn normals(seed: &Seed, count: usize, deviation: f32) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        let (x, y) = (rng.random_range(-1.0f64..1.0), rng.random_range(-1.0f64..1.0));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            let scale = f64::from(deviation) * (-2.0 * square.ln() / square).sqrt();
            numbers.extend([(x * scale) as f32, (y * scale) as f32]);
        }
    }
    numbers.truncate(count);
    numbers
}

/// Numbers within `±bound`, all alike.
pub(super) fn uniforms(seed: &Seed, count: usize, bound: f32) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_their_moments_and_repeat() {
        let numbers = normals(&Seed::root(1), 100_001, 0.02);
        let n = numbers.len() as f64;
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = numbers.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 3e-4, "{mean}");
        assert!((variance.sqrt() - 0.02).abs() < 2e-4, "{}", variance.sqrt());
        assert_eq!(numbers[..5], normals(&Seed::root(1), 5, 0.02));
    }
}
