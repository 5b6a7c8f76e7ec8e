//! Expectation and maximization: how often each piece is used, over all ways to cut the words.

use rayon::prelude::*;

use super::lattice::{Arc, Tree};
use super::{Pieces, Words};

/// Words are summed in so many parts, whatever the number of threads, and the parts in their order: sums of
/// floating-point numbers depend on it.
pub(super) const PARTS: usize = 16;

/// How often each piece is expected in the text.
pub(super) fn expected(pieces: &Pieces, words: &Words) -> Vec<f64> {
    let tree = Tree::of(pieces);
    let parts: Vec<Vec<f64>> = words
        .par_chunks(words.len().div_ceil(PARTS).max(1))
        .map(|words| {
            let mut expected = vec![0.0; pieces.len()];
            let (mut arcs, mut forward, mut backward) = (Vec::new(), Vec::new(), Vec::new());
            for (word, count) in words {
                tree.arcs(word, &mut arcs);
                likelihood(&arcs, word.len(), &mut forward, &mut backward);
                #[expect(clippy::cast_precision_loss, reason = "counts of a text")]
                let count = *count as f64;
                for arc in &arcs {
                    let log = forward[arc.from] + arc.score + backward[arc.to] - backward[0];
                    expected[arc.piece as usize] += count * log.exp();
                }
            }
            expected
        })
        .collect();
    summed(parts, pieces.len())
}

/// Parts, in their order.
pub(super) fn summed(parts: Vec<Vec<f64>>, length: usize) -> Vec<f64> {
    let mut sum = vec![0.0; length];
    for part in parts {
        for (sum, more) in sum.iter_mut().zip(part) {
            *sum += more;
        }
    }
    sum
}

/// The log-likelihood up to each place, and from it to the end. Arcs are sorted by their beginning.
fn likelihood(arcs: &[Arc], length: usize, forward: &mut Vec<f64>, backward: &mut Vec<f64>) {
    for (sums, start) in [(&mut *forward, 0), (&mut *backward, length)] {
        sums.clear();
        sums.resize(length + 1, f64::NEG_INFINITY);
        sums[start] = 0.0;
    }
    for arc in arcs {
        forward[arc.to] = added(forward[arc.to], forward[arc.from] + arc.score);
    }
    for arc in arcs.iter().rev() {
        backward[arc.from] = added(backward[arc.from], backward[arc.to] + arc.score);
    }
}

/// `ln(exp(a) + exp(b))`.
fn added(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

/// The pieces with the probabilities that fit best under a prior for few of them (Liang and Klein 2007, as in
/// SentencePiece); pieces that are hardly used go, but for characters.
pub(super) fn maximized(pieces: Pieces, expected: &[f64]) -> Pieces {
    const HARDLY: f64 = 0.5;
    let used = pieces.into_iter().zip(expected);
    let used: Vec<(Vec<char>, f64)> = used
        .filter(|((piece, _), count)| piece.len() == 1 || **count >= HARDLY)
        .map(|((piece, _), count)| (piece, count.max(HARDLY)))
        .collect();
    let total = digamma(used.iter().map(|(_, count)| count).sum());
    used.into_iter()
        .map(|(piece, count)| (piece, digamma(count) - total))
        .collect()
}

/// The derivative of ln Γ, for positive numbers: recurrence up to 7, then the asymptotic series.
fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 7.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let squared = 1.0 / (x * x);
    sum + x.ln()
        - 0.5 / x
        - squared * (1.0 / 12.0 - squared * (1.0 / 120.0 - squared * (1.0 / 252.0 - squared / 240.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minus Euler's constant at 1; ψ(x + 1) = ψ(x) + 1/x.
    #[test]
    fn digamma_is_the_known_function() {
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-9);
        assert!((digamma(0.5) + 1.963_510_026_021_423_5).abs() < 1e-9);
        assert!((digamma(101.0) - digamma(100.0) - 0.01).abs() < 1e-12);
    }

    /// `ab` as one piece of probability 1/2, or as two of 1/4 each: 8 parts to 1.
    #[test]
    fn expectations_are_shares_of_the_ways_to_cut() {
        let pieces: Pieces = vec![
            (vec!['a'], 0.25f64.ln()),
            (vec!['b'], 0.25f64.ln()),
            (vec!['a', 'b'], 0.5f64.ln()),
        ];
        let words: Words = vec![(vec!['a', 'b'], 9)];
        let found = expected(&pieces, &words);
        for (found, right) in found.iter().zip([1.0, 1.0, 8.0]) {
            assert!((found - right).abs() < 1e-12, "{found}");
        }
    }
}
