//! Words as numbers, so that comparing and counting them costs nothing.

/// Where a word is kept.
struct Entry {
    start: usize,
    end: usize,
    hash: u64,
}

/// Numbers for words, from 0 in order of appearance. Nothing is allocated for a word that is known.
#[derive(Default)]
pub(in crate::metrics) struct Vocabulary {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// A power of two of places; a word's number plus one, or 0 where free.
    slots: Vec<u32>,
}

impl Vocabulary {
    pub(in crate::metrics) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all words and keeps the memory.
    pub(in crate::metrics) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.slots.fill(0);
    }

    /// The word's number, and whether it is new.
    pub(in crate::metrics) fn id(&mut self, word: &[u8]) -> (u32, bool) {
        if self.entries.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = hash(word);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask; // the low bits: any will do
        while let Some(index) = self.slots[slot].checked_sub(1) {
            let entry = &self.entries[index as usize];
            if entry.hash == hash && self.bytes[entry.start..entry.end] == *word {
                return (index, false);
            }
            slot = (slot + 1) & mask;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(word);
        let end = self.bytes.len();
        let id = u32::try_from(self.entries.len()).expect("a sample has fewer than 2^32 different words");
        self.entries.push(Entry { start, end, hash });
        self.slots[slot] = id + 1;
        (id, true)
    }

    /// A word's 64-bit hash: the same for the same word in every vocabulary.
    pub(in crate::metrics) fn hash(&self, id: u32) -> u64 {
        self.entries[id as usize].hash
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots.clear();
        self.slots.resize(size, 0);
        for (index, entry) in self.entries.iter().enumerate() {
            let mut slot = entry.hash as usize & (size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = index as u32 + 1; // as in `id`: below 2^32
        }
    }
}

/// Mixes 64 bits so that each depends on all (the finalizer of MurmurHash3).
pub(in crate::metrics) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// A 64-bit hash of a text, the same on every machine.
pub(in crate::metrics) fn hash(text: &[u8]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ text.len() as u64;
    for chunk in text.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(0x2545_f491_4f6c_dd1d);
        state ^= state >> 29;
    }
    mix(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_word_has_the_same_number_however_many_there_are() {
        let mut words = Vocabulary::default();
        let ids: Vec<u32> = (0..1000).map(|word| words.id(word.to_string().as_bytes()).0).collect();
        assert_eq!(ids, (0..1000).collect::<Vec<u32>>());
        assert!((0..1000).all(|word| words.id(word.to_string().as_bytes()) == (word, false)));
        let before = words.hash(7);
        words.clear();
        assert_eq!(words.id(b"7"), (0, true));
        assert_eq!(words.hash(0), before);
    }
}
