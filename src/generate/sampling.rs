//! How the next token is chosen: Hugging Face's logits processors, in their order.

use std::collections::BTreeSet;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GenerateError;
use crate::step::{Key, Problem};

/// How tokens are chosen and when to stop: the names and the meaning of Hugging Face's
/// `GenerationConfig`.
///
/// The order is theirs: repetition penalty, and when sampling temperature, then `top_k`, then
/// `top_p`. Nothing is on that the file does not say (Hugging Face's `generate` samples with
/// `top_k: 50` unless told otherwise).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// The most tokens to generate for a row. Prompt and new tokens together must fit the model's
    /// context.
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Logits are divided by it before sampling: below 1 sharper, above 1 flatter. 0 is greedy: the
    /// likeliest token each time, and `top_k` and `top_p` have no effect.
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Sample only among the k likeliest tokens (and those that tie with the last); 0 is off.
    pub top_k: usize,
    /// Sample only among the fewest likeliest tokens whose probabilities add up to at least this;
    /// 1 is off.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub top_p: f64,
    /// Makes tokens that are in the prompt or the output so far less likely: their logits are divided
    /// by it when positive, multiplied when negative (CTRL, arXiv 1909.05858); 1 is off.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub repetition_penalty: f64,
    /// Texts that end the output. The output stops before the first of them.
    #[schemars(inner(length(min = 1)))]
    pub stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
        }
    }
}

impl Sampling {
    /// Whether the likeliest token is taken, without drawing.
    pub fn greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Values out of range, as places under `sampling`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unless = |fine: bool, field: &str, fact: &str| {
            if !fine {
                problems.push(Problem::at(&format!("sampling.{field}"), fact));
            }
        };
        unless(self.max_new_tokens > 0, "max_new_tokens", "must be at least 1");
        unless(
            self.temperature.is_finite() && self.temperature >= 0.0,
            "temperature",
            "must be 0 (greedy) or above",
        );
        unless(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "top_p",
            "must be above 0 and at most 1",
        );
        unless(
            self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
            "repetition_penalty",
            "must be above 0; 1 is off",
        );
        unless(
            self.stop.iter().all(|text| !text.is_empty()),
            "stop",
            "a stop text is empty and would stop at once",
        );
        problems
    }

    /// Everything that the output depends on.
    pub fn key(&self, key: &mut Key) {
        let Self {
            max_new_tokens,
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            stop,
        } = self;
        key.set("max_new_tokens", max_new_tokens);
        key.set("temperature", temperature);
        key.set("top_k", top_k);
        key.set("top_p", top_p);
        key.set("repetition_penalty", repetition_penalty);
        key.set("stop", stop);
    }

    /// Chooses the next token.
    ///
    /// `logits`: one a token of the vocabulary, changed in place. `seen`: the tokens of prompt and
    /// output so far. One number is drawn from `random` when sampling, none when greedy. Of equal
    /// logits the lowest token id comes first.
    ///
    /// # Errors
    /// When a logit is not a number: the model's weights are broken.
    pub fn choose(
        &self,
        logits: &mut [f32],
        seen: &BTreeSet<u32>,
        random: &mut impl Rng,
    ) -> Result<u32, GenerateError> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(GenerateError::NotANumber);
        }
        // f32 as in PyTorch, where a scalar takes the tensor's type
        if self.repetition_penalty != 1.0 {
            penalize(logits, seen, self.repetition_penalty as f32);
        }
        if self.greedy() {
            return likeliest(logits);
        }
        let temperature = self.temperature as f32;
        for logit in logits.iter_mut() {
            *logit /= temperature;
        }
        if self.top_k > 0 {
            keep_top_k(logits, self.top_k);
        }
        if self.top_p < 1.0 {
            keep_top_p(logits, self.top_p);
        }
        draw(logits, random)
    }
}

/// `RepetitionPenaltyLogitsProcessor`: once a token, however often it was seen.
fn penalize(logits: &mut [f32], seen: &BTreeSet<u32>, penalty: f32) {
    for &token in seen {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = if *logit < 0.0 {
                *logit * penalty
            } else {
                *logit / penalty
            };
        }
    }
}

/// `TopKLogitsWarper`: what is below the k-th largest logit goes; ties with it stay.
fn keep_top_k(logits: &mut [f32], k: usize) {
    if k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, &mut threshold, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    for logit in logits {
        if *logit < threshold {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// `TopPLogitsWarper`: from the least likely up, tokens go while their probabilities add up to at
/// most 1 - p; the likeliest always stays.
fn keep_top_p(logits: &mut [f32], p: f64) {
    let mut ascending: Vec<usize> = (0..logits.len()).collect();
    ascending.sort_by(|&a, &b| logits[a].total_cmp(&logits[b])); // stable: of equals the lower id goes first
    let weights = weights(logits);
    let total: f64 = ascending.iter().map(|&token| weights[token]).sum();
    let mut cumulative = 0.0;
    for &token in &ascending[..ascending.len().saturating_sub(1)] {
        cumulative += weights[token] / total;
        if cumulative > 1.0 - p {
            break;
        }
        logits[token] = f32::NEG_INFINITY;
    }
}

/// Probabilities before division by their sum: exp(logit - largest), in f64.
fn weights(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits
        .iter()
        .map(|&logit| (f64::from(logit) - f64::from(largest)).exp())
        .collect()
}

/// The token of the largest logit.
fn likeliest(logits: &[f32]) -> Result<u32, GenerateError> {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    id(best, logits)
}

/// A token with its probability under the softmax of the logits, by one number.
fn draw(logits: &[f32], random: &mut impl Rng) -> Result<u32, GenerateError> {
    let weights = weights(logits);
    let total: f64 = weights.iter().sum();
    let mut left = random.random::<f64>() * total;
    let mut last = 0;
    for (token, weight) in weights.iter().enumerate() {
        if *weight > 0.0 {
            last = token; // what rounding leaves over goes to the last possible token
            if left < *weight {
                break;
            }
            left -= weight;
        }
    }
    id(last, logits)
}

fn id(token: usize, logits: &[f32]) -> Result<u32, GenerateError> {
    // nothing finite to choose (an infinite logit, an empty vocabulary) is as broken as NaN
    match logits.get(token) {
        Some(logit) if logit.is_finite() => u32::try_from(token).map_err(|_| GenerateError::NotANumber),
        _ => Err(GenerateError::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::Rng;

    use super::{Sampling, draw, keep_top_k, keep_top_p, likeliest, penalize};
    use crate::seed::Seed;

    fn kept(logits: &[f32]) -> Vec<usize> {
        (0..logits.len()).filter(|&token| logits[token].is_finite()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_draws_nothing() {
        let mut random = Seed::root(1).rng();
        let token = Sampling::default().choose(&mut [0.5, 2.0, -1.0, 2.0], &BTreeSet::new(), &mut random);
        assert_eq!(token.unwrap(), 1);
        assert_eq!(random.random::<u64>(), Seed::root(1).rng().random::<u64>());
    }

    #[test]
    fn penalty_divides_positive_and_multiplies_negative_once() {
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        penalize(&mut logits, &BTreeSet::from([0, 1, 3, 99]), 1.5);
        assert_eq!(logits, [2.0 / 1.5, -3.0, 1.0, 0.0]);
    }

    #[test]
    fn top_k_keeps_ties_with_the_last() {
        let mut logits = [1.0, 3.0, 2.0, 2.0, 0.0];
        keep_top_k(&mut logits, 2);
        assert_eq!(kept(&logits), [1, 2, 3]);
        keep_top_k(&mut logits, 50);
        assert_eq!(kept(&logits), [1, 2, 3]);
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_p() {
        let of = |p: f64, probabilities: &[f32]| {
            let mut logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
            keep_top_p(&mut logits, p);
            kept(&logits)
        };
        assert_eq!(of(0.7, &[0.5, 0.3, 0.15, 0.05]), [0, 1]);
        assert_eq!(of(0.85, &[0.05, 0.3, 0.5, 0.15]), [1, 2, 3]);
        assert_eq!(of(0.01, &[0.1, 0.6, 0.3]), [1]);
        assert_eq!(of(0.999, &[0.1, 0.6, 0.3]), [0, 1, 2]);
    }

    #[test]
    fn sampling_follows_the_probabilities() {
        let settings = Sampling {
            temperature: 2.0,
            ..Sampling::default()
        };
        let mut random = Seed::root(3).rng();
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            // at temperature 2, logits 2·ln(p) have probabilities p
            let mut logits = [0.2f32, 0.5, 0.3].map(|p| 2.0 * p.ln());
            let token = settings.choose(&mut logits, &BTreeSet::new(), &mut random).unwrap();
            counts[token as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([6_000.0, 15_000.0, 9_000.0]) {
            assert!((f64::from(count) - expected).abs() < 300.0, "{counts:?}"); // over 3 standard deviations
        }
    }

    #[test]
    fn top_k_1_samples_what_greedy_takes() {
        let settings = Sampling {
            temperature: 1.3,
            top_k: 1,
            ..Sampling::default()
        };
        let mut random = Seed::root(3).rng();
        for _ in 0..100 {
            assert_eq!(
                settings
                    .choose(&mut [0.1, 0.4, 0.3], &BTreeSet::new(), &mut random)
                    .unwrap(),
                1
            );
        }
    }

    #[test]
    fn broken_logits_are_an_error() {
        let mut random = Seed::root(1).rng();
        for mut logits in [
            vec![1.0, f32::NAN],
            vec![f32::INFINITY, 1.0],
            vec![f32::NEG_INFINITY; 2],
            vec![],
        ] {
            assert!(
                Sampling::default()
                    .choose(&mut logits, &BTreeSet::new(), &mut random)
                    .is_err()
            );
        }
    }

    #[test]
    fn out_of_range_values_are_named() {
        let settings = Sampling {
            max_new_tokens: 0,
            temperature: -1.0,
            top_p: 0.0,
            repetition_penalty: 0.0,
            stop: vec![String::new()],
            ..Sampling::default()
        };
        let fields: Vec<_> = settings
            .problems()
            .into_iter()
            .map(|problem| problem.path[1].clone())
            .collect();
        assert_eq!(
            fields,
            ["max_new_tokens", "temperature", "top_p", "repetition_penalty", "stop"]
        );
        assert!(Sampling::default().problems().is_empty());
    }

    proptest! {
        #[test]
        fn filters_always_leave_the_likeliest(
            logits in prop::collection::vec(-20f32..20.0, 1..60),
            k in 1usize..70,
            p in 0.001f64..1.0,
        ) {
            let best = likeliest(&logits).unwrap();
            let largest = logits[best as usize];
            let mut filtered = logits.clone();
            keep_top_k(&mut filtered, k);
            prop_assert!(kept(&filtered).len() >= k.min(logits.len()));
            keep_top_p(&mut filtered, p);
            prop_assert!(kept(&filtered).iter().any(|&token| logits[token] == largest));
            let drawn = draw(&filtered, &mut Seed::root(1).rng()).unwrap();
            prop_assert!(kept(&filtered).contains(&(drawn as usize)));
        }
    }
}
