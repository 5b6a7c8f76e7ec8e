//! How the next token is chosen: Hugging Face's logits processors, in their order.

use std::collections::BTreeMap;

use rand::Rng;

use super::{GenerateError, Sampling};

/// What the next token follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct History<'a> {
    /// What the (decoder's) output follows.
    pub prompt: &'a [u32],
    /// The output so far.
    pub output: &'a [u32],
    /// The tokens that end an output.
    pub eos: &'a [u32],
}

impl Sampling {
    /// Chooses the next token.
    ///
    /// `logits`: one a token of the vocabulary, changed in place. One number is drawn from `random`
    /// when sampling, none when greedy. Of equal logits the lowest token id comes first.
    ///
    /// # Errors
    /// When a logit is not a number: the model's weights are broken; when the settings forbid every
    /// token.
    pub fn choose(
        &self,
        logits: &mut [f32],
        history: &History<'_>,
        random: &mut impl Rng,
    ) -> Result<u32, GenerateError> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(GenerateError::NotANumber);
        }
        self.process(logits, history);
        if self.greedy() {
            return likeliest(logits);
        }
        self.filter(logits, 1);
        draw(logits, random)
    }

    /// Penalties, and tokens that are forbidden or forced here.
    pub(super) fn process(&self, logits: &mut [f32], history: &History<'_>) {
        // f32 as in PyTorch, where a scalar takes the tensor's type
        if self.repetition_penalty != 1.0 {
            let all = [history.prompt, history.output].concat();
            penalize(logits, &seen(&all), self.repetition_penalty as f32);
        }
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            for (token, count) in seen(history.output) {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit -= (self.presence_penalty + self.frequency_penalty * count as f64) as f32;
                }
            }
        }
        if self.no_repeat_ngram_size > 0 {
            forbid_repeats(logits, history, self.no_repeat_ngram_size);
        }
        let written = history.output.len();
        if written < self.min_new_tokens {
            history.eos.iter().for_each(|token| forbid(logits, *token));
        }
        if let Some(token) = self.forced_bos_token_id
            && written == 0
        {
            force(logits, token);
        }
        if let Some(token) = self.forced_eos_token_id
            && written + 1 == self.max_new_tokens
        {
            force(logits, token);
        }
        self.suppress_tokens.iter().for_each(|token| forbid(logits, *token));
        if written == 0 {
            self.begin_suppress_tokens
                .iter()
                .for_each(|token| forbid(logits, *token));
        }
    }

    /// What sampling leaves of the tokens, `least` of them at least, with the temperature.
    pub(super) fn filter(&self, logits: &mut [f32], least: usize) {
        let temperature = self.temperature as f32;
        for logit in logits.iter_mut() {
            *logit /= temperature;
        }
        if self.top_k > 0 {
            keep_top_k(logits, self.top_k, least);
        }
        if self.top_p < 1.0 {
            keep_top_p(logits, self.top_p, least);
        }
        if self.min_p > 0.0 {
            keep_min_p(logits, self.min_p, least);
        }
        if self.typical_p < 1.0 {
            keep_typical(logits, self.typical_p, least);
        }
    }
}

/// `RepetitionPenaltyLogitsProcessor`: once a token, however often it was seen.
fn penalize(logits: &mut [f32], seen: &BTreeMap<u32, usize>, penalty: f32) {
    for &token in seen.keys() {
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
fn keep_top_k(logits: &mut [f32], k: usize, least: usize) {
    let k = k.max(least);
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
/// most 1 - p; the `least` likeliest always stay.
fn keep_top_p(logits: &mut [f32], p: f64, least: usize) {
    let mut ascending: Vec<usize> = (0..logits.len()).collect();
    ascending.sort_by(|&a, &b| logits[a].total_cmp(&logits[b])); // stable: of equals the lower id goes first
    let weights = weights(logits);
    let total: f64 = ascending.iter().map(|&token| weights[token]).sum();
    let mut cumulative = 0.0;
    for &token in &ascending[..ascending.len().saturating_sub(least)] {
        cumulative += weights[token] / total;
        if cumulative > 1.0 - p {
            break;
        }
        logits[token] = f32::NEG_INFINITY;
    }
}

/// `MinPLogitsWarper`: what is less than this share as likely as the likeliest goes.
fn keep_min_p(logits: &mut [f32], share: f64, least: usize) {
    let weights = weights(logits); // the likeliest has weight 1
    let mut descending: Vec<usize> = (0..logits.len()).collect();
    descending.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    for &token in descending.iter().skip(least) {
        if weights[token] < share {
            logits[token] = f32::NEG_INFINITY;
        }
    }
}

/// `TypicalLogitsWarper` (Meister et al. 2022): tokens stay in the order of how near their surprise
/// is to the expected one, until their probabilities add up to `mass`.
fn keep_typical(logits: &mut [f32], mass: f64, least: usize) {
    let logarithms = log_probabilities(logits);
    let entropy: f64 = logarithms
        .iter()
        .filter(|logarithm| logarithm.is_finite())
        .map(|&logarithm| -f64::from(logarithm) * f64::from(logarithm).exp())
        .sum();
    let distance = |token: usize| (-f64::from(logarithms[token]) - entropy).abs();
    let mut nearest: Vec<usize> = (0..logits.len()).collect();
    nearest.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
    let mut sum = 0.0;
    let mut last = f64::INFINITY;
    for &token in &nearest {
        sum += f64::from(logarithms[token]).exp();
        if sum >= mass {
            last = distance(token);
            break;
        }
    }
    for &token in nearest.iter().skip(least) {
        if distance(token) > last {
            logits[token] = f32::NEG_INFINITY;
        }
    }
}

/// `NoRepeatNGramLogitsProcessor`: what would repeat a run of `size` tokens goes.
fn forbid_repeats(logits: &mut [f32], history: &History<'_>, size: usize) {
    let all = [history.prompt, history.output].concat();
    let Some(start) = (all.len() + 1).checked_sub(size) else {
        return;
    };
    for run in all.windows(size) {
        if run[..size - 1] == all[start..] {
            forbid(logits, run[size - 1]);
        }
    }
}

fn forbid(logits: &mut [f32], token: u32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = f32::NEG_INFINITY;
    }
}

/// Leaves one token only.
fn force(logits: &mut [f32], token: u32) {
    logits.fill(f32::NEG_INFINITY);
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = 0.0;
    }
}

/// How often each token is there.
fn seen(tokens: &[u32]) -> BTreeMap<u32, usize> {
    let mut seen = BTreeMap::new();
    for token in tokens {
        *seen.entry(*token).or_default() += 1;
    }
    seen
}

/// The logarithm of each token's probability.
pub(super) fn log_probabilities(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let log_sum = f64::from(largest) + total.ln();
    logits
        .iter()
        .map(|&logit| (f64::from(logit) - log_sum) as f32)
        .collect()
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
    match logits.get(token) {
        // the settings left nothing; an infinite logit or an empty vocabulary is as broken as NaN
        Some(&f32::NEG_INFINITY) => Err(GenerateError::NoToken),
        Some(logit) if logit.is_finite() => u32::try_from(token).map_err(|_| GenerateError::NotANumber),
        _ => Err(GenerateError::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::{prop_assert, proptest};

    fn kept(logits: &[f32]) -> Vec<usize> {
        (0..logits.len()).filter(|&token| logits[token].is_finite()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_draws_nothing() {
        let mut random = Seed::root(1).rng();
        let token = Sampling::default().choose(&mut [0.5, 2.0, -1.0, 2.0], &History::default(), &mut random);
        assert_eq!(token.unwrap(), 1);
        assert_eq!(random.random::<u64>(), Seed::root(1).rng().random::<u64>());
    }

    #[test]
    fn penalty_divides_positive_and_multiplies_negative_once() {
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        penalize(&mut logits, &seen(&[0, 1, 3, 1, 99]), 1.5);
        assert_eq!(logits, [2.0 / 1.5, -3.0, 1.0, 0.0]);
    }

    #[test]
    fn top_k_keeps_ties_with_the_last() {
        let mut logits = [1.0, 3.0, 2.0, 2.0, 0.0];
        keep_top_k(&mut logits, 2, 1);
        assert_eq!(kept(&logits), [1, 2, 3]);
        keep_top_k(&mut logits, 50, 1);
        assert_eq!(kept(&logits), [1, 2, 3]);
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_p() {
        let of = |p: f64, probabilities: &[f32]| {
            let mut logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
            keep_top_p(&mut logits, p, 1);
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
            let token = settings.choose(&mut logits, &History::default(), &mut random).unwrap();
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
                    .choose(&mut [0.1, 0.4, 0.3], &History::default(), &mut random)
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
                    .choose(&mut logits, &History::default(), &mut random)
                    .is_err()
            );
        }
    }

    #[test]
    fn min_p_is_a_share_of_the_likeliest() {
        let mut logits = [0.6f32, 0.07, 0.05, 0.28].map(f32::ln);
        keep_min_p(&mut logits, 0.1, 1);
        assert_eq!(kept(&logits), [0, 1, 3]);
        keep_min_p(&mut logits, 1.0, 1);
        assert_eq!(kept(&logits), [0]);
        let mut logits = [0.6f32, 0.07, 0.05, 0.28].map(f32::ln);
        keep_min_p(&mut logits, 1.0, 2);
        assert_eq!(kept(&logits), [0, 3]);
    }

    #[test]
    fn typical_tokens_are_neither_too_likely_nor_too_rare() {
        // as transformers' TypicalLogitsWarper has it
        let of = |mass: f64| {
            let mut logits = [0.55f32, 0.2, 0.1, 0.05, 0.1].map(f32::ln);
            keep_typical(&mut logits, mass, 1);
            kept(&logits)
        };
        assert_eq!(of(0.3), [0, 1]);
        assert_eq!(of(0.6), [0, 1]);
        assert_eq!(of(0.85), [0, 1, 2, 4]);
        assert_eq!(of(0.999), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn no_run_of_tokens_comes_twice() {
        let mut logits = [0.0f32; 6];
        let history = History {
            prompt: &[1, 2, 3],
            output: &[4, 1, 2],
            eos: &[],
        };
        forbid_repeats(&mut logits, &history, 3);
        assert_eq!(kept(&logits), [0, 1, 2, 4, 5]); // 1 2 was followed by 3
        forbid_repeats(&mut logits, &history, 1);
        assert_eq!(kept(&logits), [0, 5]);
        forbid_repeats(&mut logits, &History::default(), 4);
        assert_eq!(kept(&logits), [0, 5]);
    }

    #[test]
    fn counted_penalties_are_of_the_output_alone() {
        let settings = Sampling {
            presence_penalty: 1.0,
            frequency_penalty: 0.5,
            ..Sampling::default()
        };
        let mut logits = [0.0f32; 4];
        let history = History {
            prompt: &[3, 3],
            output: &[1, 2, 1],
            eos: &[],
        };
        settings.process(&mut logits, &history);
        assert_eq!(logits, [0.0, -2.0, -1.5, 0.0]);
    }

    #[test]
    fn forced_and_suppressed_tokens() {
        let settings = Sampling {
            max_new_tokens: 3,
            min_new_tokens: 2,
            forced_bos_token_id: Some(2),
            forced_eos_token_id: Some(0),
            suppress_tokens: vec![3, 77],
            ..Sampling::default()
        };
        let of = |settings: &Sampling, output: &[u32]| {
            let mut logits = [0.5f32, 0.4, 0.3, 0.2, 0.1];
            let history = History {
                prompt: &[1],
                output,
                eos: &[0],
            };
            settings.process(&mut logits, &history);
            kept(&logits)
        };
        assert_eq!(of(&settings, &[]), [2]);
        assert_eq!(of(&settings, &[2]), [1, 2, 4]); // too early to end
        assert_eq!(of(&settings, &[2, 1]), [0]);
        let settings = Sampling {
            begin_suppress_tokens: vec![0, 1],
            ..Sampling::default()
        };
        assert_eq!(of(&settings, &[]), [2, 3, 4]);
        assert_eq!(of(&settings, &[2]), [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn filters_always_leave_the_likeliest(
            logits in proptest::collection::vec(-20f32..20.0, 1..60),
            k in 1usize..70,
            p in 0.001f64..1.0,
        ) {
            let best = likeliest(&logits).unwrap();
            let largest = logits[best as usize];
            let mut filtered = logits.clone();
            keep_top_k(&mut filtered, k, 1);
            prop_assert!(kept(&filtered).len() >= k.min(logits.len()));
            keep_top_p(&mut filtered, p, 1);
            prop_assert!(kept(&filtered).iter().any(|&token| logits[token] == largest));
            let drawn = draw(&filtered, &mut Seed::root(1).rng()).unwrap();
            prop_assert!(kept(&filtered).contains(&(drawn as usize)));
        }
    }
}
