//! Beam search as transformers 5 does it: outputs followed side by side, the best by the sum of their
//! log-probabilities over a power of their length.

use rand::Rng;

use super::decode::{Output, ended};
use super::probabilities::log_probabilities;
use super::sampling::EarlyStopping;
use super::stopping::Finish;
use super::{Candidates, GenerateError, History, NextToken, Sampling};
use crate::models::inference::logits::largest;
use crate::seed::Seed;

/// An output that is followed.
#[derive(Clone)]
struct Beam<M> {
    model: M,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    /// The sum of its log-probabilities.
    score: f32,
    logits: Vec<f32>,
}

/// A beam and one more token.
struct Candidate {
    beam: usize,
    token: u32,
    /// What the model itself gave the token.
    logprob: f32,
    score: f32,
    ended: Option<(Finish, String)>,
}

/// What is taken off the score of a candidate that has ended and is not followed.
const ENDED: f32 = 1e9;

/// Searches the outputs of one prompt; gives `num_return_sequences` of them, the best first.
///
/// # Errors
/// As [`super::decode()`].
pub(super) fn search<M: NextToken + Clone>(
    mut model: M,
    prompt: &[u32],
    sampling: &Sampling,
    eos: &[u32],
    text: &dyn Fn(&[u32]) -> String,
    seed: Seed,
) -> Result<Vec<Output>, GenerateError> {
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    let width = sampling.num_beams;
    let mut random = seed.rng();
    let mut logits = Vec::new();
    model.extend(prompt, &mut logits)?;
    let mut running = vec![Beam {
        model,
        tokens: Vec::new(),
        logprobs: Vec::new(),
        score: 0.0,
        logits,
    }];
    let mut finished: Vec<Output> = Vec::new();
    loop {
        let length = running[0].tokens.len() + 1;
        let mut candidates = candidates(&running, prompt, sampling, eos, &mut random)?;
        for candidate in &mut candidates {
            let mut tokens = running[candidate.beam].tokens.clone();
            tokens.push(candidate.token);
            candidate.ended = ended(&tokens, sampling, eos, text);
        }
        // those beyond the first `num_beams` are there only to go on with
        let closed = sampling.early_stopping == EarlyStopping::Always && finished.len() == width;
        for candidate in candidates.iter().take(width) {
            if let Some((finish, text)) = &candidate.ended
                && !closed
            {
                let beam = &running[candidate.beam];
                finished.push(Output {
                    text: text.clone(),
                    finish: *finish,
                    tokens: [beam.tokens.as_slice(), &[candidate.token]].concat(),
                    logprobs: match sampling.logprobs {
                        true => [beam.logprobs.as_slice(), &[candidate.logprob]].concat(),
                        false => Vec::new(),
                    },
                    score: Some(penalized(candidate.score, length, sampling)),
                });
            }
        }
        finished.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0))); // of equals the earlier first
        finished.truncate(width);

        let all_ended = candidates.iter().all(|candidate| candidate.ended.is_some());
        for candidate in &mut candidates {
            if candidate.ended.is_some() {
                candidate.score -= ENDED;
            }
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        candidates.truncate(width);
        if all_ended || settled(&candidates, &finished, length, sampling) {
            break;
        }
        running = follow(running, &candidates)?;
    }
    finished.truncate(sampling.num_return_sequences);
    Ok(finished)
}

/// A score by the length penalty.
fn penalized(score: f32, length: usize, sampling: &Sampling) -> f32 {
    score / (length as f64).powf(sampling.length_penalty) as f32
}

/// Whether what is finished is taken as the result.
fn settled(running: &[Candidate], finished: &[Output], length: usize, sampling: &Sampling) -> bool {
    if finished.len() < sampling.num_beams {
        return false;
    }
    if sampling.early_stopping == EarlyStopping::Always {
        return true;
    }
    let length = match sampling.early_stopping {
        EarlyStopping::Never if sampling.length_penalty > 0.0 => sampling.max_new_tokens,
        _ => length,
    };
    let worst = finished
        .last()
        .and_then(|output| output.score)
        .unwrap_or(f32::NEG_INFINITY);
    running
        .first()
        .is_none_or(|best| penalized(best.score, length, sampling) <= worst)
}

/// The likeliest continuations of all beams, best first, or as many drawn without replacement: enough
/// that `num_beams` are left when the others end.
fn candidates<M>(
    running: &[Beam<M>],
    prompt: &[u32],
    sampling: &Sampling,
    eos: &[u32],
    random: &mut impl Rng,
) -> Result<Vec<Candidate>, GenerateError> {
    let kept = (1 + eos.len()).max(2) * sampling.num_beams;
    let mut all: Vec<(f64, Candidate)> = Vec::with_capacity(4 * kept);
    let order = |a: &(f64, Candidate), b: &(f64, Candidate)| {
        let place = |candidate: &Candidate| (candidate.beam, candidate.token);
        b.0.total_cmp(&a.0).then(place(&a.1).cmp(&place(&b.1)))
    };
    let mut threshold = f64::NEG_INFINITY;
    let (mut own, mut scores, mut left) = (Vec::new(), Vec::new(), Candidates::default());
    for (index, beam) in running.iter().enumerate() {
        if largest(&beam.logits).is_nan() {
            return Err(GenerateError::NotANumber);
        }
        log_probabilities(&beam.logits, &mut own);
        scores.clone_from(&own);
        let history = History {
            prompt,
            output: &beam.tokens,
            eos,
        };
        sampling.process(&mut scores, &history);
        if sampling.greedy() {
            left.all(&scores);
        } else {
            sampling.filter(&mut scores, eos.len() + 1, &mut left);
        }
        for (token, score) in left.iter() {
            let score = score + beam.score;
            // the largest of scores with Gumbel noise are a draw without replacement (Vieira 2014)
            let noise = match sampling.greedy() {
                true => 0.0,
                false => -(-random.random::<f64>().max(f64::MIN_POSITIVE).ln()).ln(),
            };
            let by = f64::from(score) + noise;
            // of equals the earlier are before this one
            if by <= threshold {
                continue;
            }
            let candidate = Candidate {
                beam: index,
                token,
                logprob: own[token as usize],
                score,
                ended: None,
            };
            all.push((by, candidate));
            if all.len() == 4 * kept {
                threshold = all.select_nth_unstable_by(kept - 1, order).1.0;
                all.truncate(kept);
            }
        }
    }
    if all.is_empty() {
        return Err(GenerateError::NoToken);
    }
    if all.len() > kept {
        all.select_nth_unstable_by(kept - 1, order);
        all.truncate(kept);
    }
    all.sort_by(order);
    Ok(all.into_iter().map(|(_, candidate)| candidate).collect())
}

/// The beams of these candidates, each with the logits after its token.
fn follow<M: NextToken + Clone>(
    running: Vec<Beam<M>>,
    candidates: &[Candidate],
) -> Result<Vec<Beam<M>>, GenerateError> {
    let mut left: Vec<usize> = vec![0; running.len()];
    candidates.iter().for_each(|candidate| left[candidate.beam] += 1);
    let mut running: Vec<Option<Beam<M>>> = running.into_iter().map(Some).collect();
    let mut beams = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = &mut running[candidate.beam];
        left[candidate.beam] -= 1;
        // the last that needs a beam takes it, and its cache need not be copied
        let beam = match left[candidate.beam] {
            0 => place.take(),
            _ => place.clone(),
        };
        let mut beam = beam.expect("a beam is there until the last takes it");
        beam.tokens.push(candidate.token);
        beam.logprobs.push(candidate.logprob);
        beam.score = candidate.score;
        beams.push(beam);
    }
    let last = |beam: &Beam<M>| beam.tokens.last().copied().expect("a token was just added");
    let mut all: Vec<_> = beams
        .iter_mut()
        .map(|beam| {
            let token = last(beam);
            (&mut beam.model, token, &mut beam.logits)
        })
        .collect();
    M::extend_all(&mut all)?;
    Ok(beams)
}
