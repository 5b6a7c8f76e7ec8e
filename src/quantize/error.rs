//! What a format costs: the difference between weights before and after, in f64.

use serde::{Deserialize, Serialize};

/// The error of stored weights against exact ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightError {
    /// The largest absolute difference.
    pub max_error: f64,
    /// The mean absolute difference.
    pub mean_error: f64,
    /// Signal to noise in decibels: 10·log10(Σ exact² / Σ difference²). `None` without any
    /// difference, or where every exact weight is zero.
    pub snr_db: Option<f64>,
}

/// Sums over weights, from which their error follows; sums of several tensors add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorSums {
    count: f64,
    max: f64,
    absolute: f64,
    noise: f64,
    signal: f64,
}

impl ErrorSums {
    /// The sums over one tensor, in its order.
    pub fn of(exact: &[f32], stored: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&exact, &stored) in exact.iter().zip(stored) {
            let difference = (f64::from(exact) - f64::from(stored)).abs();
            sums.count += 1.0;
            sums.max = sums.max.max(difference);
            sums.absolute += difference;
            sums.noise += difference * difference;
            sums.signal += f64::from(exact) * f64::from(exact);
        }
        sums
    }

    /// The sums over both.
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            max: self.max.max(other.max),
            absolute: self.absolute + other.absolute,
            noise: self.noise + other.noise,
            signal: self.signal + other.signal,
        }
    }

    /// The error.
    pub fn error(&self) -> WeightError {
        WeightError {
            max_error: self.max,
            mean_error: if self.count > 0.0 {
                self.absolute / self.count
            } else {
                0.0
            },
            snr_db: (self.noise > 0.0 && self.signal > 0.0).then(|| 10.0 * (self.signal / self.noise).log10()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_by_hand() {
        // differences 1, 0, 2; signal 9 + 16 + 100, noise 1 + 4
        let sums = ErrorSums::of(&[3.0, -4.0, 10.0], &[4.0, -4.0, 8.0]);
        let error = sums.error();
        assert_eq!((error.max_error, error.mean_error), (2.0, 1.0));
        assert!((error.snr_db.unwrap() - 10.0 * 25f64.log10()).abs() < 1e-12);
        let both = ErrorSums::of(&[3.0], &[4.0]).and(ErrorSums::of(&[-4.0, 10.0], &[-4.0, 8.0]));
        assert_eq!(both, sums);
    }

    #[test]
    fn no_difference_has_no_noise() {
        let error = ErrorSums::of(&[1.0, 2.0], &[1.0, 2.0]).error();
        assert_eq!((error.max_error, error.mean_error, error.snr_db), (0.0, 0.0, None));
        assert_eq!(ErrorSums::default().error().mean_error, 0.0);
    }
}
