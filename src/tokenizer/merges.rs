//! Byte-pair encoding of a word's bytes.

use serde_json::Value;

use super::bytes;
use super::hash::QuickMap;

/// A byte-level vocabulary with its merges.
pub(super) struct Merges {
    bytes: Box<[u32; 256]>,
    /// Two neighbours: the rank of their merge, and what they become.
    pairs: QuickMap<u64, (u32, u32)>,
    /// Whole words, where those stand before merges.
    whole: Option<QuickMap<Box<[u8]>, u32>>,
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Merges {
    /// That of a model in `tokenizer.json`; `None` if it is not a plain byte-level one.
    pub(super) fn of(model: &Value) -> Option<Self> {
        let plain = [
            "dropout",
            "unk_token",
            "continuing_subword_prefix",
            "end_of_word_suffix",
        ];
        let nothing = |name: &&str| model[*name].is_null() || model[*name] == "";
        if model["type"] != "BPE" || !plain.iter().all(nothing) {
            return None;
        }
        let vocabulary = model["vocab"].as_object()?;
        let id = |token: &str| vocabulary.get(token)?.as_u64().and_then(|id| u32::try_from(id).ok());
        let mut bytes = Box::new([0; 256]);
        for byte in 0..=255u8 {
            bytes[usize::from(byte)] = id(&bytes::spell(&[byte]))?;
        }
        let mut pairs = QuickMap::default();
        for (rank, merge) in (0..).zip(model["merges"].as_array()?) {
            let (left, right) = match merge {
                Value::String(both) => both.split_once(' ')?,
                _ => (merge[0].as_str()?, merge[1].as_str()?),
            };
            let key = pair(id(left)?, id(right)?);
            // of a merge that is there twice the library keeps the last
            pairs.insert(key, (rank, id(&format!("{left}{right}"))?));
        }
        let whole = model["ignore_merges"] == true;
        let whole = whole.then(|| {
            let words = vocabulary.keys().filter_map(|token| {
                let word = bytes::unspell(token)?;
                (word.len() > 1).then_some((word.into_boxed_slice(), id(token)?))
            });
            words.collect()
        });
        Some(Self { bytes, pairs, whole })
    }

    /// Appends the tokens of a word: neighbours are merged, those of the lowest rank first, and of equal ones the
    /// left. (In quadratic time: for long words the library is faster.)
    pub(super) fn encode(&self, word: &[u8], tokens: &mut Vec<u32>) {
        if let Some(id) = self.whole.as_ref().and_then(|whole| whole.get(word)) {
            tokens.push(*id);
            return;
        }
        const NONE: (u32, u32) = (u32::MAX, 0);
        let start = tokens.len();
        tokens.extend(word.iter().map(|&byte| self.bytes[usize::from(byte)]));
        let merge = |left: u32, right: u32| self.pairs.get(&pair(left, right)).copied().unwrap_or(NONE);
        let mut merges: Vec<(u32, u32)> = tokens[start..].windows(2).map(|two| merge(two[0], two[1])).collect();
        while let Some((at, &(rank, id))) = merges.iter().enumerate().min_by_key(|(_, (rank, _))| *rank)
            && rank != NONE.0
        {
            let parts = &mut tokens[start..];
            parts[at] = id;
            if at > 0 {
                merges[at - 1] = merge(parts[at - 1], id);
            }
            if let Some(&next) = parts.get(at + 2) {
                merges[at + 1] = merge(id, next);
            }
            tokens.remove(start + at + 1);
            merges.remove(at);
        }
    }
}
