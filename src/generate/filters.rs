//! What sampling leaves of the tokens.
//!
//! Each filter finds what it needs by selection among a few hundred likely tokens and sorts no whole
//! vocabulary, but where a distribution is flat.

use rand::Rng;

use super::GenerateError;
use super::probabilities::chosen;
use crate::models::inference::logits::{exponentials, largest};

/// The tokens that are left, in the order of their numbers, and memory that calls share.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    weights: Vec<f32>,
    /// Places among the candidates, in an order of a filter's own.
    order: Vec<u32>,
    values: Vec<f32>,
}

/// Likely tokens that are looked at first.
const FIRST: usize = 256;

impl Candidates {
    /// All tokens that are possible.
    pub(super) fn all(&mut self, logits: &[f32]) {
        self.above(logits, f32::NEG_INFINITY);
    }

    fn above(&mut self, logits: &[f32], least: f32) {
        self.tokens.clear();
        self.logits.clear();
        for (token, &logit) in (0u32..).zip(logits) {
            if logit >= least && logit > f32::NEG_INFINITY {
                self.tokens.push(token);
                self.logits.push(logit);
            }
        }
    }

    /// `TopKLogitsWarper`: what is below the k-th largest logit goes; ties with it stay.
    pub(super) fn top_k(&mut self, logits: &[f32], k: usize) {
        if k >= logits.len() {
            return self.all(logits);
        }
        // the largest so far, and what is left of them when they have become too many
        let values = &mut self.values;
        values.clear();
        let mut threshold = f32::NEG_INFINITY;
        for &logit in logits {
            if logit > threshold || values.len() < k {
                values.push(logit);
                if values.len() == 4 * k {
                    threshold = *values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1;
                    values.truncate(k);
                }
            }
        }
        let threshold = *values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1;
        self.above(logits, threshold);
    }

    /// `TopPLogitsWarper`: from the least likely up, tokens go while their probabilities add up to at
    /// most 1 - p; the `least` likeliest always stay. Of equal ones the lower number goes first.
    pub(super) fn top_p(&mut self, p: f64, least: usize) {
        let total = self.weigh();
        let count = self.tokens.len();
        let weights = &self.weights;
        let order = |a: &u32, b: &u32| {
            let by_weight = weights[*b as usize].total_cmp(&weights[*a as usize]);
            by_weight.then(b.cmp(a))
        };
        let mass = p * total;
        let kept = fewest(&mut self.order, count, order, |place, sum| {
            *sum += f64::from(weights[place as usize]);
            *sum >= mass
        });
        self.keep_first(kept.max(least));
    }

    /// `MinPLogitsWarper`: what is less than this share as likely as the likeliest goes.
    pub(super) fn min_p(&mut self, share: f64, least: usize) {
        self.weigh(); // the likeliest has weight 1
        let weights = &self.weights;
        let kept = weights.iter().filter(|weight| f64::from(**weight) >= share).count();
        let order = |a: &u32, b: &u32| {
            let by_weight = weights[*b as usize].total_cmp(&weights[*a as usize]);
            by_weight.then(a.cmp(b))
        };
        select(&mut self.order, self.tokens.len(), kept.max(least), order);
        self.keep_first(kept.max(least));
    }

    /// `TypicalLogitsWarper` (Meister et al. 2022): tokens stay in the order of how near their surprise
    /// is to the expected one, until their probabilities add up to `mass`.
    pub(super) fn typical(&mut self, mass: f64, least: usize) {
        let total = self.weigh();
        let largest = largest(&self.logits);
        let log_sum = f64::from(largest) + total.ln();
        let entropy: f64 = self
            .logits
            .iter()
            .zip(&self.weights)
            .map(|(&logit, &weight)| (log_sum - f64::from(logit)) * f64::from(weight) / total)
            .sum();
        self.values.clear();
        let distances = self
            .logits
            .iter()
            .map(|&logit| ((log_sum - f64::from(logit)) - entropy).abs() as f32);
        self.values.extend(distances);
        let (weights, distances) = (&self.weights, &self.values);
        let order = |a: &u32, b: &u32| {
            let by_distance = distances[*a as usize].total_cmp(&distances[*b as usize]);
            by_distance.then(a.cmp(b))
        };
        let kept = fewest(&mut self.order, self.tokens.len(), order, |place, sum| {
            *sum += f64::from(weights[place as usize]) / total;
            *sum >= mass
        });
        // what is as near as the last stays too
        let last = self.order[kept - 1];
        let last = distances[last as usize];
        let near = distances.iter().filter(|distance| **distance <= last).count();
        select(&mut self.order, self.tokens.len(), near.max(least), order);
        self.keep_first(near.max(least));
    }

    /// A token with its probability under the softmax of the logits, by one number.
    pub(super) fn draw(&mut self, random: &mut impl Rng) -> Result<u32, GenerateError> {
        let total = self.weigh();
        let mut left = random.random::<f64>() * total;
        let mut last = None;
        for (place, &weight) in self.weights.iter().enumerate() {
            if weight > 0.0 {
                last = Some(place); // what rounding leaves over goes to the last possible token
                if left < f64::from(weight) {
                    break;
                }
                left -= f64::from(weight);
            }
        }
        let Some(place) = last else {
            // no token is left, or a logit is infinite
            return Err(match self.tokens.is_empty() {
                true => GenerateError::NoToken,
                false => GenerateError::NotANumber,
            });
        };
        chosen(Some(self.tokens[place] as usize), self.logits[place])
    }

    /// The tokens that are left with their logits.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.tokens.iter().copied().zip(self.logits.iter().copied())
    }

    /// The candidates' probabilities before division by their sum, which is given: exp(logit - largest).
    fn weigh(&mut self) -> f64 {
        self.weights.resize(self.logits.len(), 0.0);
        let from = largest(&self.logits);
        exponentials(&mut self.weights, &self.logits, from)
    }

    /// Keeps the candidates of the first places in the order, in the order of their numbers.
    fn keep_first(&mut self, count: usize) {
        self.order.truncate(count);
        self.order.sort_unstable();
        for (to, &from) in self.order.iter().enumerate() {
            self.tokens[to] = self.tokens[from as usize];
            self.logits[to] = self.logits[from as usize];
        }
        self.tokens.truncate(self.order.len());
        self.logits.truncate(self.order.len());
    }
}

/// The first `wanted` of `count` places by an order, themselves in no order.
fn select(order: &mut Vec<u32>, count: usize, wanted: usize, by: impl Fn(&u32, &u32) -> std::cmp::Ordering) {
    order.clear();
    order.extend((0u32..).take(count));
    if wanted > 0 && wanted < count {
        order.select_nth_unstable_by(wanted - 1, by);
    }
}

/// How many of the first of `count` places by an order it takes until `enough` says so; the order is
/// left in `order` as far as it was needed.
fn fewest(
    order: &mut Vec<u32>,
    count: usize,
    by: impl Fn(&u32, &u32) -> std::cmp::Ordering,
    enough: impl Fn(u32, &mut f64) -> bool,
) -> usize {
    let mut looked = FIRST;
    loop {
        select(order, count, looked, &by);
        let looked_at = looked.min(count);
        order[..looked_at].sort_unstable_by(&by);
        let mut sum = 0.0;
        for (at, &place) in order[..looked_at].iter().enumerate() {
            if enough(place, &mut sum) {
                return at + 1;
            }
        }
        if looked >= count {
            return count;
        }
        looked *= 8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::seed::Seed;

    fn of(logits: &[f32], filter: impl FnOnce(&mut Candidates)) -> Vec<u32> {
        let mut candidates = Candidates::default();
        candidates.all(logits);
        filter(&mut candidates);
        candidates.tokens
    }

    #[test]
    fn top_k_keeps_ties_with_the_last() {
        let mut candidates = Candidates::default();
        let mut kept = |logits: &[f32], k: usize| {
            candidates.top_k(logits, k);
            candidates.tokens.clone()
        };
        assert_eq!(kept(&[1.0, 3.0, 2.0, 2.0, 0.0], 2), [1, 2, 3]);
        assert_eq!(kept(&[1.0, 3.0, 2.0, f32::NEG_INFINITY], 50), [0, 1, 2]);
        let many: Vec<f32> = (0..1000).map(|i| ((i * 617) % 1000) as f32).collect();
        let expected: Vec<u32> = (0..1000).filter(|&i| many[i as usize] >= 993.0).collect();
        assert_eq!(kept(&many, 7), expected);
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_p() {
        let kept = |p: f64, probabilities: &[f32]| {
            let logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
            of(&logits, |candidates| candidates.top_p(p, 1))
        };
        assert_eq!(kept(0.7, &[0.5, 0.3, 0.15, 0.05]), [0, 1]);
        assert_eq!(kept(0.85, &[0.05, 0.3, 0.5, 0.15]), [1, 2, 3]);
        assert_eq!(kept(0.01, &[0.1, 0.6, 0.3]), [1]);
        assert_eq!(kept(0.999, &[0.1, 0.6, 0.3]), [0, 1, 2]);
    }

    #[test]
    fn min_p_is_a_share_of_the_likeliest() {
        let logits = [0.6f32, 0.07, 0.05, 0.28].map(f32::ln);
        assert_eq!(of(&logits, |candidates| candidates.min_p(0.1, 1)), [0, 1, 3]);
        assert_eq!(of(&logits, |candidates| candidates.min_p(1.0, 1)), [0]);
        assert_eq!(of(&logits, |candidates| candidates.min_p(1.0, 2)), [0, 3]);
    }

    #[test]
    fn typical_tokens_are_neither_too_likely_nor_too_rare() {
        // as transformers' TypicalLogitsWarper has it
        let kept = |mass: f64| {
            let logits = [0.55f32, 0.2, 0.1, 0.05, 0.1].map(f32::ln);
            of(&logits, |candidates| candidates.typical(mass, 1))
        };
        assert_eq!(kept(0.3), [0, 1]);
        assert_eq!(kept(0.6), [0, 1]);
        assert_eq!(kept(0.85), [0, 1, 2, 4]);
        assert_eq!(kept(0.999), [0, 1, 2, 3, 4]);
    }

    /// `TopPLogitsWarper` as it is written down: a sort of everything, in f64.
    fn sorted_top_p(logits: &[f32], p: f64) -> Vec<u32> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut ascending: Vec<usize> = (0..logits.len()).collect();
        ascending.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let mut sum = 0.0;
        let gone = ascending[..logits.len() - 1].iter().take_while(|&&token| {
            sum += weights[token] / total;
            sum <= 1.0 - p
        });
        let gone: Vec<usize> = gone.copied().collect();
        (0..logits.len())
            .filter(|token| !gone.contains(token))
            .map(|token| token as u32)
            .collect()
    }

    proptest! {
        #[test]
        fn filters_always_leave_the_likeliest(
            logits in proptest::collection::vec(-20f32..20.0, 1..60),
            k in 1usize..70,
            p in 0.001f64..1.0,
        ) {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut candidates = Candidates::default();
            candidates.top_k(&logits, k);
            prop_assert!(candidates.tokens.len() >= k.min(logits.len()));
            candidates.top_p(p, 1);
            prop_assert!(candidates.logits.contains(&largest));
            let drawn = candidates.draw(&mut Seed::root(1).rng()).unwrap();
            prop_assert!(candidates.tokens.contains(&drawn));
        }

        #[test]
        fn top_p_by_selection_is_top_p_by_sorting(
            logits in proptest::collection::vec(-3f32..3.0, 300..3000),
            p in 0.01f64..0.999,
        ) {
            let found = of(&logits, |candidates| candidates.top_p(p, 1));
            let expected = sorted_top_p(&logits, p);
            // rounding may move the border by one
            prop_assert!(found.len().abs_diff(expected.len()) <= 1, "{} for {}", found.len(), expected.len());
            let (fewer, more) = if found.len() < expected.len() { (found, expected) } else { (expected, found) };
            let inside = fewer.iter().filter(|token| more.contains(token)).count();
            prop_assert_eq!(inside, fewer.len());
        }
    }
}
