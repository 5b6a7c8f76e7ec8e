//! What makes tokens less likely, or forbids or forces them.

use super::History;

/// How often each token was seen: memory that calls share, zeros between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Vec<u32>);

impl Counts {
    /// Calls `act` once with the logit of each token that is among some, and how often it is.
    pub(super) fn each<'t>(
        &mut self,
        logits: &mut [f32],
        tokens: impl Iterator<Item = &'t u32> + Clone,
        act: impl Fn(&mut f32, u32),
    ) {
        self.0.resize(logits.len(), 0);
        for &token in tokens.clone() {
            if let Some(count) = self.0.get_mut(token as usize) {
                *count += 1;
            }
        }
        for &token in tokens {
            if let Some(count) = self.0.get_mut(token as usize)
                && *count > 0
            {
                act(&mut logits[token as usize], std::mem::take(count));
            }
        }
    }
}

/// `RepetitionPenaltyLogitsProcessor`: once a token, however often it was seen.
pub(super) fn penalize(logits: &mut [f32], history: &History<'_>, penalty: f32, counts: &mut Counts) {
    let seen = history.prompt.iter().chain(history.output);
    counts.each(logits, seen, |logit, _| {
        *logit = if *logit < 0.0 {
            *logit * penalty
        } else {
            *logit / penalty
        };
    });
}

/// `NoRepeatNGramLogitsProcessor`: what would repeat a run of `size` tokens goes.
pub(super) fn forbid_repeats(logits: &mut [f32], history: &History<'_>, size: usize) {
    let History { prompt, output, .. } = *history;
    let at = |place: usize| match place.checked_sub(prompt.len()) {
        None => prompt[place],
        Some(place) => output[place],
    };
    let length = prompt.len() + output.len();
    let Some(last) = (length + 1).checked_sub(size) else {
        return;
    };
    for start in 0..(length + 1).saturating_sub(size) {
        if (0..size - 1).all(|step| at(start + step) == at(last + step)) {
            forbid(logits, at(start + size - 1));
        }
    }
}

pub(super) fn forbid(logits: &mut [f32], token: u32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = f32::NEG_INFINITY;
    }
}

/// Leaves one token only.
pub(super) fn force(logits: &mut [f32], token: u32) {
    logits.fill(f32::NEG_INFINITY);
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f32]) -> Vec<usize> {
        (0..logits.len()).filter(|&token| logits[token].is_finite()).collect()
    }

    #[test]
    fn penalty_divides_positive_and_multiplies_negative_once() {
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        let history = History {
            prompt: &[0, 1, 3],
            output: &[1, 99],
            eos: &[],
        };
        let mut counts = Counts::default();
        penalize(&mut logits, &history, 1.5, &mut counts);
        assert_eq!(logits, [2.0 / 1.5, -3.0, 1.0, 0.0]);
        assert!(counts.0.iter().all(|count| *count == 0));
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
}
