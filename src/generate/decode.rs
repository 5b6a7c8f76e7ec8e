//! One prompt in, one output out, token by token.

use super::probabilities::log_probability;
use super::stopping::{Finish, stop_at};
use super::{Candidates, GenerateError, History, NextToken, Sampling, beams};
use crate::seed::Seed;

/// What decoding one prompt gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The text, without the end token and what follows a stop text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// The tokens that were generated, the end token or those of a stop text included.
    pub tokens: Vec<u32>,
    /// The logarithm of the probability that the model gave each of them, before penalties and
    /// filters; empty unless asked for.
    pub logprobs: Vec<f32>,
    /// Of a beam search: the sum of the log-probabilities after penalties over the length's power.
    pub score: Option<f32>,
}

/// Decodes one prompt, as often as `num_return_sequences` says: by a beam search, the best first, or
/// token by token, each output from a seed of its own.
///
/// # Errors
/// As [`decode`].
pub fn outputs<M: NextToken + Clone>(
    model: M,
    prompt: &[u32],
    sampling: &Sampling,
    eos: &[u32],
    text: &dyn Fn(&[u32]) -> String,
    seed: Seed,
) -> Result<Vec<Output>, GenerateError> {
    if sampling.num_beams > 1 {
        return beams::search(model, prompt, sampling, eos, text, seed);
    }
    let mut outputs = Vec::with_capacity(sampling.num_return_sequences);
    for number in 0..sampling.num_return_sequences {
        let seed = sequence_seed(seed, number);
        outputs.push(decode(&mut model.clone(), prompt, sampling, eos, text, seed)?);
    }
    Ok(outputs)
}

/// The seed of one of several outputs.
pub(super) fn sequence_seed(seed: Seed, number: usize) -> Seed {
    match number {
        0 => seed,
        number => seed.child("sequence").child(number),
    }
}

/// Whether an output of these tokens has ended, why, and its text.
pub(super) fn ended(
    tokens: &[u32],
    sampling: &Sampling,
    eos: &[u32],
    text: &dyn Fn(&[u32]) -> String,
) -> Option<(Finish, String)> {
    let (last, before) = tokens.split_last()?;
    if eos.contains(last) {
        return Some((Finish::Eos, text(before)));
    }
    if !sampling.stop.is_empty() {
        // the text as a whole: a stop text may begin inside an earlier token
        let mut text = text(tokens);
        if let Some(end) = stop_at(&text, &sampling.stop) {
            text.truncate(end);
            return Some((Finish::Stop, text));
        }
    }
    (tokens.len() >= sampling.max_new_tokens).then(|| (Finish::Length, text(tokens)))
}

/// Decodes one prompt.
///
/// `eos`: the tokens that end an output. `text`: the text of some tokens. The numbers are drawn from
/// `seed`, one a token, so that an output depends on nothing but its own prompt and seed.
///
/// # Errors
/// When the prompt is empty, or the model computes no usable logits.
pub fn decode(
    model: &mut dyn NextToken,
    prompt: &[u32],
    sampling: &Sampling,
    eos: &[u32],
    text: &dyn Fn(&[u32]) -> String,
    seed: Seed,
) -> Result<Output, GenerateError> {
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    let mut random = seed.rng();
    let mut tokens = Vec::with_capacity(sampling.max_new_tokens.min(4096));
    let mut logprobs = Vec::new();
    let (mut logits, mut raw) = (Vec::new(), Vec::new());
    let mut candidates = Candidates::default();
    let plain = sampling.takes_likeliest();
    let mut extend = |tokens: &[u32], more: usize, logits: &mut Vec<f32>| match plain {
        true => model.extend_to_likeliest(tokens, more, logits),
        false => model.extend(tokens, logits).map(|()| None),
    };
    let mut likeliest = extend(prompt, sampling.max_new_tokens, &mut logits)?;
    loop {
        if sampling.logprobs {
            raw.clone_from(&logits);
        }
        let history = History {
            prompt,
            output: &tokens,
            eos,
        };
        let token = match likeliest {
            Some(token) => token,
            None => sampling.choose(&mut logits, &history, &mut random, &mut candidates)?,
        };
        tokens.push(token);
        if sampling.logprobs {
            logprobs.push(log_probability(&raw, token));
        }
        if let Some((finish, text)) = ended(&tokens, sampling, eos, text) {
            return Ok(Output {
                text,
                finish,
                tokens,
                logprobs,
                score: None,
            });
        }
        likeliest = extend(&[token], sampling.max_new_tokens - tokens.len(), &mut logits)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up: after token n comes n + 1, by a clear margin; keeps what it was given.
    #[derive(Clone)]
    struct Counter {
        vocabulary: usize,
        given: Vec<u32>,
    }

    impl NextToken for Counter {
        fn extend(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), GenerateError> {
            self.given.extend(tokens);
            let next = (*tokens.last().unwrap() as usize + 1) % self.vocabulary;
            *logits = (0..self.vocabulary)
                .map(|token| if token == next { 4.0 } else { 1.0 })
                .collect();
            Ok(())
        }
    }

    fn letters(tokens: &[u32]) -> String {
        tokens
            .iter()
            .map(|&token| char::from(b'a' + u8::try_from(token).unwrap()))
            .collect()
    }

    fn count(prompt: &[u32], sampling: &Sampling, seed: u64) -> (Output, Vec<u32>) {
        let mut model = Counter {
            vocabulary: 20,
            given: Vec::new(),
        };
        let output = decode(&mut model, prompt, sampling, &[19], &letters, Seed::root(seed)).unwrap();
        (output, model.given)
    }

    #[test]
    fn ends_by_length_and_feeds_each_token_once() {
        let sampling = Sampling {
            max_new_tokens: 4,
            ..Sampling::default()
        };
        let (output, given) = count(&[2, 3], &sampling, 0);
        assert_eq!(output.text, "efgh");
        assert_eq!(output.finish, Finish::Length);
        assert_eq!(output.tokens, [4, 5, 6, 7]);
        assert_eq!(given, [2, 3, 4, 5, 6]); // the last one is never fed
    }

    #[test]
    fn ends_at_the_end_token_without_its_text() {
        let (output, _) = count(&[15], &Sampling::default(), 0);
        assert_eq!((output.text.as_str(), output.finish), ("qrs", Finish::Eos));
        assert_eq!(output.tokens, [16, 17, 18, 19]);
    }

    #[test]
    fn ends_before_a_stop_text_across_tokens() {
        let sampling = Sampling {
            stop: vec!["gh".into()],
            ..Sampling::default()
        };
        let (output, _) = count(&[2], &sampling, 0);
        assert_eq!((output.text.as_str(), output.finish), ("def", Finish::Stop));
        assert_eq!(output.tokens.len(), 5);
    }

    #[test]
    fn the_prompt_counts_for_the_repetition_penalty() {
        let sampling = Sampling {
            max_new_tokens: 1,
            repetition_penalty: 1e9,
            ..Sampling::default()
        };
        let (output, _) = count(&[5, 4], &sampling, 0); // 5 would come, but it is in the prompt
        assert_eq!(output.tokens, [0]);
    }

    #[test]
    fn sampling_repeats_by_seed() {
        let sampling = Sampling {
            max_new_tokens: 30,
            temperature: 3.0,
            ..Sampling::default()
        };
        assert_eq!(count(&[1], &sampling, 7), count(&[1], &sampling, 7));
        assert_ne!(count(&[1], &sampling, 7), count(&[1], &sampling, 8));
    }

    #[test]
    fn several_outputs_have_seeds_of_their_own_and_log_probabilities() {
        let model = Counter {
            vocabulary: 20,
            given: Vec::new(),
        };
        let sampling = Sampling {
            max_new_tokens: 12,
            temperature: 4.0,
            num_return_sequences: 3,
            logprobs: true,
            ..Sampling::default()
        };
        let several = outputs(model.clone(), &[1], &sampling, &[19], &letters, Seed::root(7)).unwrap();
        let alone = decode(&mut model.clone(), &[1], &sampling, &[19], &letters, Seed::root(7)).unwrap();
        assert_eq!((several.len(), &several[0]), (3, &alone));
        assert!(several[1] != several[0] && several[1] != several[2]);
        // of the model itself, whatever the temperature: 4 for the next token and 1 for the others
        let total = 4f64.exp() + 19.0 * 1f64.exp();
        let mut last = 1;
        for (token, logprob) in alone.tokens.iter().zip(&alone.logprobs) {
            let logit = if *token == (last + 1) % 20 { 4.0 } else { 1.0 };
            assert!((f64::from(*logprob) - (logit - total.ln())).abs() < 1e-6);
            last = *token;
        }
        assert_eq!(alone.logprobs.len(), alone.tokens.len());
    }

    #[test]
    fn an_empty_prompt_is_an_error() {
        let mut model = Counter {
            vocabulary: 20,
            given: Vec::new(),
        };
        let result = decode(&mut model, &[], &Sampling::default(), &[], &letters, Seed::root(0));
        assert!(matches!(result, Err(GenerateError::EmptyPrompt)));
    }
}
