//! The only source of randomness.
//!
//! A seed is a value that flows down: `seed.child("shuffle").child(epoch)`. Two children with
//! different labels are independent; the same path gives the same numbers on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A 256-bit seed, derived from its parent by BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

/// What a child seed can be named by: a purpose, an epoch, a row.
pub trait Label {
    /// Feeds the label, with a tag for its type, to the hash.
    fn feed(&self, hasher: &mut blake3::Hasher);
}

impl Label for &str {
    fn feed(&self, hasher: &mut blake3::Hasher) {
        hasher.update(b"s").update(self.as_bytes());
    }
}

impl Label for u64 {
    fn feed(&self, hasher: &mut blake3::Hasher) {
        hasher.update(b"n").update(&self.to_le_bytes());
    }
}

impl Label for usize {
    fn feed(&self, hasher: &mut blake3::Hasher) {
        (*self as u64).feed(hasher);
    }
}

impl Seed {
    /// The root seed of a pipeline or a step: the number that its file names.
    pub fn root(number: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        number.feed(&mut hasher);
        Self(*hasher.finalize().as_bytes())
    }

    /// The seed for one purpose, epoch or row under this one.
    pub fn child(&self, label: impl Label) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        label.feed(&mut hasher);
        Self(*hasher.finalize().as_bytes())
    }

    /// A generator of this seed's numbers (ChaCha with 8 rounds, the same on every platform).
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// 64 bits of the seed, for what takes a number (records, device generators).
    pub fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes)
    }

    /// The seed as hexadecimal digits, for keys and task files.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// Reads what [`Self::to_hex`] wrote; `None` when it is not 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn children_differ_by_label_and_repeat_by_path() {
        let root = Seed::root(42);
        assert_eq!(root.child("shuffle").child(3u64), root.child("shuffle").child(3u64));
        assert_ne!(root.child("shuffle"), root.child("init"));
        assert_ne!(root.child("1"), root.child(1u64));
        assert_ne!(Seed::root(1).rng().random::<u64>(), Seed::root(2).rng().random::<u64>());
    }

    #[test]
    fn hexadecimal_round_trips() {
        let seed = Seed::root(7).child("x");
        assert_eq!(Seed::from_hex(&seed.to_hex()), Some(seed));
        assert_eq!(Seed::from_hex("zz"), None);
    }
}
