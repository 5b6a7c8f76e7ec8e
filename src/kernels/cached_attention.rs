//! Attention of new tokens over the keys and values of those before.

use burn::tensor::{Device, Tensor};

use super::attention::{attend, unpack};
use super::{Heads, Scoring};

/// The keys and values of one layer for one sequence, in buffers of a fixed capacity that new tokens
/// are written into.
#[derive(Clone, Debug)]
pub struct KeyValues {
    /// `[1, key_value, capacity, width]`; absent only while it is being written.
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
    length: usize,
    capacity: usize,
}

impl KeyValues {
    /// Empty buffers for `capacity` tokens.
    pub fn new(heads: Heads, capacity: usize, device: &Device) -> Self {
        let empty = || Some(Tensor::zeros([1, heads.key_value, capacity, heads.width], device));
        Self {
            keys: empty(),
            values: empty(),
            length: 0,
            capacity,
        }
    }

    /// The number of tokens so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Forgets all tokens after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Writes new keys and values and returns all so far, `[1, key_value, length, width]`.
    fn extend(&mut self, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let [_, heads, new, width] = keys.dims();
        let (start, end) = (self.length, self.length + new);
        assert!(
            end <= self.capacity,
            "a sequence of {end} tokens in a cache of {}",
            self.capacity
        );
        self.length = end;
        let write = |buffer: &mut Option<Tensor<4>>, rows: Tensor<4>| {
            let whole = buffer.take().expect("a buffer is only taken while it is written");
            let whole = whole.slice_assign([0..1, 0..heads, start..end, 0..width], rows);
            let so_far = whole.clone().narrow(2, 0, end);
            *buffer = Some(whole);
            so_far
        };
        (write(&mut self.keys, keys), write(&mut self.values, values))
    }
}

/// Causal attention of new tokens, which also enter the cache: `[new, (query + 2·key_value)·width]`
/// rows `[queries | keys | values]` → `[new, query·width]`.
pub fn cached_attention(packed: Tensor<2>, heads: Heads, cache: &mut KeyValues) -> Tensor<2> {
    let scoring = Scoring::causal(heads, cache.length());
    scored_cached_attention(packed, heads, cache, &scoring)
}

/// The same with other scores; `scoring` counts keys from the first in the cache.
pub fn scored_cached_attention(
    packed: Tensor<2>,
    heads: Heads,
    cache: &mut KeyValues,
    scoring: &Scoring<'_>,
) -> Tensor<2> {
    let [new, _] = packed.dims();
    let (queries, keys, values) = unpack(packed, heads, 1, new);
    let (keys, values) = cache.extend(keys, values);
    attend(queries, keys, values, heads, scoring, None)
}
