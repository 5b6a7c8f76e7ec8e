//! Counting n-grams.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each n-gram of order `n` (at least 1) occurs. The order of iteration is random; only
/// look-ups and sums of whole numbers may be made from it.
pub(super) fn count<T: Hash + Eq>(items: &[T], n: usize) -> HashMap<&[T], u32> {
    let mut counts = HashMap::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// How many n-grams of the first are in the second, each counted at most as often as it is there.
pub(super) fn overlap<T: Hash + Eq>(one: &HashMap<&[T], u32>, other: &HashMap<&[T], u32>) -> u32 {
    one.iter()
        .map(|(ngram, count)| other.get(ngram).map_or(0, |there| *count.min(there)))
        .sum()
}

/// The number of n-grams of order `n` in a sequence.
pub(super) fn total(length: usize, n: usize) -> usize {
    (length + 1).saturating_sub(n)
}
