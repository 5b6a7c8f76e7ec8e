//! How the next token is chosen: Hugging Face's logits processors, in their order.

use rand::Rng;

use super::filters::Candidates;
use super::penalties::{Counts, forbid, forbid_repeats, force, penalize};
use super::probabilities::likeliest;
use super::{GenerateError, Sampling};
use crate::models::inference::logits::largest;

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
    /// when sampling, none when greedy. Of equal logits the lowest token id comes first. `candidates` is
    /// memory that calls share.
    ///
    /// # Errors
    /// When a logit is not a number: the model's weights are broken; when the settings forbid every
    /// token.
    pub fn choose(
        &self,
        logits: &mut [f32],
        history: &History<'_>,
        random: &mut impl Rng,
        candidates: &mut Candidates,
    ) -> Result<u32, GenerateError> {
        let largest = largest(logits);
        if largest.is_nan() || largest == f32::INFINITY {
            return Err(GenerateError::NotANumber);
        }
        self.process(logits, history, &mut candidates.counts);
        if self.greedy() {
            return likeliest(logits);
        }
        self.filter(logits, 1, candidates);
        candidates.draw(random)
    }

    /// Whether every token is the one of the largest logit, as the model gives them, and nothing else is
    /// asked of the logits: then [`Self::choose`] is not needed, nor are all logits.
    pub fn takes_likeliest(&self) -> bool {
        let Self {
            temperature: _,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            no_repeat_ngram_size,
            min_new_tokens,
            forced_bos_token_id,
            forced_eos_token_id,
            suppress_tokens,
            begin_suppress_tokens,
            num_beams,
            logprobs,
            // filters are for sampling, the rest is for what ends an output and for searches
            top_k: _,
            top_p: _,
            min_p: _,
            typical_p: _,
            max_new_tokens: _,
            stop: _,
            length_penalty: _,
            early_stopping: _,
            num_return_sequences: _,
        } = self;
        let plain = *repetition_penalty == 1.0
            && *presence_penalty == 0.0
            && *frequency_penalty == 0.0
            && *no_repeat_ngram_size == 0
            && *min_new_tokens == 0
            && forced_bos_token_id.is_none()
            && forced_eos_token_id.is_none()
            && suppress_tokens.is_empty()
            && begin_suppress_tokens.is_empty();
        plain && self.greedy() && *num_beams == 1 && !logprobs
    }

    /// Penalties, and tokens that are forbidden or forced here.
    pub(super) fn process(&self, logits: &mut [f32], history: &History<'_>, counts: &mut Counts) {
        // f32 as in PyTorch, where a scalar takes the tensor's type
        if self.repetition_penalty != 1.0 {
            penalize(logits, history, self.repetition_penalty as f32, counts);
        }
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            counts.each(logits, history.output.iter(), |logit, count| {
                *logit -= (self.presence_penalty + self.frequency_penalty * f64::from(count)) as f32;
            });
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
    pub(super) fn filter(&self, logits: &mut [f32], least: usize, candidates: &mut Candidates) {
        let temperature = self.temperature as f32;
        for logit in logits.iter_mut() {
            *logit /= temperature;
        }
        match self.top_k {
            0 => candidates.all(logits),
            k => candidates.top_k(logits, k.max(least)),
        }
        if self.top_p < 1.0 {
            candidates.top_p(self.top_p, least);
        }
        if self.min_p > 0.0 {
            candidates.min_p(self.min_p, least);
        }
        if self.typical_p < 1.0 {
            candidates.typical(self.typical_p, least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn kept(logits: &[f32]) -> Vec<usize> {
        (0..logits.len()).filter(|&token| logits[token].is_finite()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_draws_nothing() {
        let mut random = Seed::root(1).rng();
        let token = Sampling::default().choose(
            &mut [0.5, 2.0, -1.0, 2.0],
            &History::default(),
            &mut random,
            &mut Candidates::default(),
        );
        assert_eq!(token.unwrap(), 1);
        assert_eq!(random.random::<u64>(), Seed::root(1).rng().random::<u64>());
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
            let token = settings
                .choose(
                    &mut logits,
                    &History::default(),
                    &mut random,
                    &mut Candidates::default(),
                )
                .unwrap();
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
                    .choose(
                        &mut [0.1, 0.4, 0.3],
                        &History::default(),
                        &mut random,
                        &mut Candidates::default()
                    )
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
                    .choose(
                        &mut logits,
                        &History::default(),
                        &mut random,
                        &mut Candidates::default()
                    )
                    .is_err()
            );
        }
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
        settings.process(&mut logits, &history, &mut Counts::default());
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
            settings.process(&mut logits, &history, &mut Counts::default());
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
}
