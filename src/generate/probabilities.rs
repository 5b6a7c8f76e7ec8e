//! Logits as probabilities.

use super::GenerateError;
use crate::models::inference::logits::{largest, sum_of_exponentials};

/// The logarithm of the sum of the logits' exponentials.
fn log_sum(logits: &[f32]) -> f64 {
    let largest = largest(logits);
    f64::from(largest) + sum_of_exponentials(logits, largest).ln()
}

/// The logarithm of one token's probability.
pub(super) fn log_probability(logits: &[f32], token: u32) -> f32 {
    (f64::from(logits[token as usize]) - log_sum(logits)) as f32
}

/// The logarithm of each token's probability.
pub(super) fn log_probabilities(logits: &[f32], out: &mut Vec<f32>) {
    let log_sum = log_sum(logits);
    out.clear();
    out.extend(logits.iter().map(|&logit| (f64::from(logit) - log_sum) as f32));
}

/// The token of the largest logit; of equal ones the first.
pub(super) fn likeliest(logits: &[f32]) -> Result<u32, GenerateError> {
    let largest = largest(logits);
    let token = logits.iter().position(|logit| *logit == largest);
    chosen(token, largest)
}

/// A token that was chosen, if its logit is one that can be.
pub(super) fn chosen(token: Option<usize>, logit: f32) -> Result<u32, GenerateError> {
    match token {
        // the settings left nothing; an infinite logit or an empty vocabulary is as broken as NaN
        Some(_) if logit == f32::NEG_INFINITY => Err(GenerateError::NoToken),
        Some(token) if logit.is_finite() => u32::try_from(token).map_err(|_| GenerateError::NotANumber),
        _ => Err(GenerateError::NotANumber),
    }
}
