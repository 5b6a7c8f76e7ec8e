//! Counting the n-grams that texts share.

/// The number of an n-gram that the output does not have: nor has it a longer one that begins so.
const NONE: u32 = u32::MAX;

/// An n-gram of the output: the one of an order less that it begins with, and its last item.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    /// How often the output has it.
    output: u32,
    /// How often the reference that is being read has it.
    here: u32,
    /// The most that any reference has it.
    most: u32,
}

/// Counts shared n-grams. An n-gram is numbered by the number of its beginning and its last item,
/// so that it takes one look-up whatever its order, and two with one number are the same. Buffers
/// are kept from call to call.
#[derive(Default)]
pub(in crate::metrics) struct Ngrams {
    entries: Vec<Entry>,
    /// A power of two of places; an entry's number plus one, or 0 where free.
    slots: Vec<u32>,
    /// For each position of the output, and of the references one after the other, the number of the
    /// n-gram that begins there.
    output_ids: Vec<u32>,
    reference_ids: Vec<u32>,
}

impl Ngrams {
    /// How many n-grams of each order from 1 are in the output and in a reference, each counted at
    /// most as often as the reference that has it most. `out` has a place for each order.
    pub(in crate::metrics) fn shared<'a>(
        &mut self,
        output: &[u32],
        references: impl Iterator<Item = &'a [u32]> + Clone,
        out: &mut [f64],
    ) {
        out.fill(0.0);
        self.output_ids.clear();
        self.output_ids.resize(output.len(), 0);
        self.reference_ids.clear();
        self.reference_ids.resize(references.clone().map(<[u32]>::len).sum(), 0);
        for (last, shared) in out.iter_mut().enumerate() {
            if last >= output.len() {
                break;
            }
            self.clear(output.len() - last);
            for at in 0..output.len() - last {
                let entry = self.insert(key(self.output_ids[at], output[at + last]));
                self.output_ids[at] = entry;
                self.entries[entry as usize].output += 1;
            }
            let mut start = 0;
            for reference in references.clone() {
                for at in 0..reference.len().saturating_sub(last) {
                    let id = &mut self.reference_ids[start + at];
                    if *id == NONE {
                        continue;
                    }
                    let found = find(&self.slots, &self.entries, key(*id, reference[at + last]));
                    *id = found.unwrap_or(NONE);
                    if let Some(entry) = found {
                        let entry = &mut self.entries[entry as usize];
                        entry.here += 1;
                    }
                }
                start += reference.len();
                for entry in &mut self.entries {
                    entry.most = entry.most.max(entry.here);
                    entry.here = 0;
                }
            }
            let count: u64 = self
                .entries
                .iter()
                .map(|entry| u64::from(entry.output.min(entry.most)))
                .sum();
            if count == 0 {
                break; // nor is there a longer one
            }
            *shared = count as f64;
        }
    }

    /// How many of a text's n-grams of one order are different.
    pub(in crate::metrics) fn distinct(&mut self, text: &[u32], order: usize) -> usize {
        if text.len() < order {
            return 0;
        }
        self.output_ids.clear();
        self.output_ids.resize(text.len(), 0);
        for last in 0..order {
            self.clear(text.len() - last);
            for at in 0..text.len() - last {
                self.output_ids[at] = self.insert(key(self.output_ids[at], text[at + last]));
            }
        }
        self.entries.len()
    }

    fn clear(&mut self, most: usize) {
        self.entries.clear();
        let size = (most * 2).next_power_of_two().max(16);
        self.slots.clear();
        self.slots.resize(size, 0);
    }

    fn insert(&mut self, key: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = place(key) & mask;
        while let Some(index) = self.slots[slot].checked_sub(1) {
            if self.entries[index as usize].key == key {
                return index;
            }
            slot = (slot + 1) & mask;
        }
        let index = u32::try_from(self.entries.len()).expect("a text has fewer than 2^32 words");
        self.entries.push(Entry {
            key,
            output: 0,
            here: 0,
            most: 0,
        });
        self.slots[slot] = index + 1;
        index
    }
}

fn key(beginning: u32, last: u32) -> u64 {
    u64::from(beginning) << 32 | u64::from(last)
}

fn place(key: u64) -> usize {
    let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)) as usize // the low bits: any will do
}

fn find(slots: &[u32], entries: &[Entry], key: u64) -> Option<u32> {
    let mask = slots.len() - 1;
    let mut slot = place(key) & mask;
    while let Some(index) = slots[slot].checked_sub(1) {
        if entries[index as usize].key == key {
            return Some(index);
        }
        slot = (slot + 1) & mask;
    }
    None
}

/// The number of n-grams of order `n` in a sequence.
pub(in crate::metrics) fn total(length: usize, n: usize) -> usize {
    (length + 1).saturating_sub(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn counts(text: &[u32], n: usize) -> HashMap<&[u32], usize> {
        let mut counts = HashMap::new();
        for ngram in text.windows(n) {
            *counts.entry(ngram).or_insert(0) += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn numbering_counts_as_comparing_does(
            output in prop::collection::vec(0u32..4, 0..30),
            references in prop::collection::vec(prop::collection::vec(0u32..4, 0..30), 1..4),
        ) {
            let mut ngrams = Ngrams::default();
            let mut shared = [0.0; 6];
            ngrams.shared(&output, references.iter().map(Vec::as_slice), &mut shared);
            for n in 1..=6 {
                let of_references: Vec<_> = references.iter().map(|reference| counts(reference, n)).collect();
                let expected: usize = counts(&output, n).iter().map(|(ngram, count)| {
                    let most = of_references.iter().map(|counts| counts.get(ngram).copied().unwrap_or(0)).max();
                    *count.min(&most.unwrap_or(0))
                }).sum();
                prop_assert_eq!(shared[n - 1], expected as f64);
                prop_assert_eq!(ngrams.distinct(&output, n), counts(&output, n).len());
            }
        }
    }
}
