//! What makes tokens less likely, or forbids or forces them.

use std::collections::BTreeMap;

use super::History;

/// `RepetitionPenaltyLogitsProcessor`: once a token, however often it was seen.
pub(super) fn penalize(logits: &mut [f32], seen: &BTreeMap<u32, usize>, penalty: f32) {
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

/// `NoRepeatNGramLogitsProcessor`: what would repeat a run of `size` tokens goes.
pub(super) fn forbid_repeats(logits: &mut [f32], history: &History<'_>, size: usize) {
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

/// How often each token is there.
pub(super) fn seen<'a>(tokens: impl IntoIterator<Item = &'a u32>) -> BTreeMap<u32, usize> {
    let mut seen = BTreeMap::new();
    for token in tokens {
        *seen.entry(*token).or_default() += 1;
    }
    seen
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
        penalize(&mut logits, &seen(&[0, 1, 3, 1, 99]), 1.5);
        assert_eq!(logits, [2.0 / 1.5, -3.0, 1.0, 0.0]);
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
