//! The keys and values of a sequence, and attention of single rows over them.

use std::cell::RefCell;

use super::lanes::{Lanes, Line, by_lanes};
use super::pages::Lines;
use crate::kernels::Heads;
use crate::kernels::flex::{exp, vectorized};

/// Keys and values of one layer for one sequence, in buffers of a fixed capacity.
///
/// Of each key/value head, sixteen keys lie side by side, `[block][width][16]`, so that a query is
/// multiplied with sixteen of them at once; a value is a row of lines.
#[derive(Debug)]
pub struct Attended {
    keys: Lines,
    values: Lines,
    heads: Heads,
    length: usize,
    capacity: usize,
}

/// What the scores of a row are made of besides its queries and the keys.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// What the products of queries and keys are multiplied by.
    pub scale: f32,
    /// Keys that the row sees: the first ones.
    pub seen: usize,
    /// What is added to them.
    pub bias: Option<Terms<'a>>,
}

/// What is added to a row's scores: of each head, a stretch of a table that has a row for each.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The table.
    pub table: &'a [f32],
    /// Columns of the table.
    pub columns: usize,
    /// The column of the first key.
    pub start: usize,
}

thread_local! {
    /// A row's scores, kept from row to row.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Attended {
    /// Empty buffers for `capacity` tokens.
    pub fn new(heads: Heads, capacity: usize) -> Self {
        let mut one = Self::several(heads, capacity, 1);
        one.pop().expect("one was asked for")
    }

    /// The same of several layers, near each other.
    pub fn several(heads: Heads, capacity: usize, layers: usize) -> Vec<Self> {
        let of_layer = Self::lines(heads, capacity);
        let mut lines = Lines::several(&of_layer.repeat(layers)).into_iter();
        let mut next = || lines.next().expect("keys and values of each layer");
        let layer = |_| Self {
            keys: next(),
            values: next(),
            heads,
            length: 0,
            capacity,
        };
        (0..layers).map(layer).collect()
    }

    /// Lines of keys and of values.
    fn lines(heads: Heads, capacity: usize) -> [usize; 2] {
        let blocks = capacity.div_ceil(16);
        [
            heads.key_value * blocks * heads.width,
            heads.key_value * capacity * heads.width.div_ceil(16),
        ]
    }

    /// Tokens so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Lines from one head's keys to the next one's, and from one head's values to the next one's.
    fn strides(&self) -> (usize, usize) {
        let Heads { width, .. } = self.heads;
        (self.capacity.div_ceil(16) * width, self.capacity * width.div_ceil(16))
    }

    /// Adds a token: `[key_value · width]` each.
    pub fn push(&mut self, keys: &[f32], values: &[f32]) {
        assert!(
            self.length < self.capacity,
            "a sequence of {} tokens in a cache of {}",
            self.length + 1,
            self.capacity
        );
        let Heads { key_value, width, .. } = self.heads;
        let (of_keys, of_values) = self.strides();
        let (block, lane, lines) = (self.length / 16, self.length % 16, width.div_ceil(16));
        for head in 0..key_value {
            let of_head = head * width..(head + 1) * width;
            let place = &mut self.keys[head * of_keys + block * width..][..width];
            for (line, key) in place.iter_mut().zip(&keys[of_head.clone()]) {
                line.0[lane] = *key;
            }
            let place = &mut self.values[head * of_values + self.length * lines..][..lines];
            for (line, values) in place.iter_mut().zip(values[of_head].chunks(16)) {
                line.0[..values.len()].copy_from_slice(values);
            }
        }
        self.length += 1;
    }

    /// Attention of one row of `[query · width]` queries into as many outputs.
    pub fn attend(&self, queries: &[f32], attention: &Attention<'_>, out: &mut [f32]) {
        let Heads { query, width, .. } = self.heads;
        let seen = attention.seen;
        assert!(seen > 0 && seen <= self.length, "a row sees keys that are there");
        assert!(queries.len() == query * width && out.len() == query * width);
        let mut memory = SCORES.take();
        memory.resize(memory.len().max(self.capacity.next_multiple_of(16)), 0.0);
        let scores = &mut memory[..seen.next_multiple_of(16)];
        let group = self.heads.group();
        for head in 0..query {
            let of_head = head * width..(head + 1) * width;
            let (of_keys, of_values) = self.strides();
            let keys = &self.keys[head / group * of_keys..][..of_keys];
            let values = &self.values[head / group * of_values..][..of_values];
            score(scores, &queries[of_head.clone()], keys, seen.div_ceil(16));
            let mut scale = attention.scale;
            if let Some(terms) = attention.bias {
                let bias = &terms.table[head * terms.columns + terms.start..][..seen];
                add_bias(scores, scale, bias);
                scale = 1.0;
            }
            scores[seen..].fill(f32::NEG_INFINITY);
            let total = exponentials(scores, scale);
            mix(&mut out[of_head], &scores[..seen], values, 1.0 / total);
        }
        SCORES.set(memory);
    }
}

impl Clone for Attended {
    /// Copies the tokens so far alone.
    fn clone(&self) -> Self {
        // copies come and go, token by token, and are best made of memory that the allocator has at hand
        let [keys, values] = Self::lines(self.heads, self.capacity).map(Lines::alone);
        let mut copy = Self {
            keys,
            values,
            heads: self.heads,
            length: 0,
            capacity: self.capacity,
        };
        let Heads { key_value, width, .. } = self.heads;
        let (of_keys, of_values) = self.strides();
        let (keys, values) = (self.length.div_ceil(16) * width, self.length * width.div_ceil(16));
        for head in 0..key_value {
            let at = head * of_keys..head * of_keys + keys;
            copy.keys[at.clone()].copy_from_slice(&self.keys[at]);
            let at = head * of_values..head * of_values + values;
            copy.values[at.clone()].copy_from_slice(&self.values[at]);
        }
        copy.length = self.length;
        copy
    }
}

by_lanes! {
    /// The products of a query with keys, sixteen a block; those of places without a key are there too
    /// and not read.
    fn score(scores: &mut [f32], query: &[f32], keys: &[Line], blocks: usize) by score_blocks
}

#[inline(always)]
fn score_blocks<L: Lanes>(scores: &mut [f32], query: &[f32], keys: &[Line], blocks: usize) {
    let mut block = 0;
    while block < blocks {
        if blocks - block >= 4 {
            score_some::<L, 4>(scores, query, keys, block);
            block += 4;
        } else {
            score_some::<L, 1>(scores, query, keys, block);
            block += 1;
        }
    }
}

#[inline(always)]
fn score_some<L: Lanes, const B: usize>(scores: &mut [f32], query: &[f32], keys: &[Line], block: usize) {
    let width = query.len();
    let keys = &keys[block * width..][..B * width];
    let scores = &mut scores[block * 16..][..B * 16];
    let mut sums = [L::splat(0.0); B];
    for (at, value) in query.iter().enumerate() {
        let value = L::splat(*value);
        for (block, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the slice holds `B` blocks of `width` lines.
            let keys = unsafe { L::load(keys.as_ptr().add(block * width + at).cast()) };
            *sum = sum.add_product(value, keys);
        }
    }
    for (block, sum) in sums.into_iter().enumerate() {
        // SAFETY: the slice holds `B` blocks of sixteen.
        unsafe { sum.store(scores.as_mut_ptr().add(block * 16)) };
    }
}

vectorized! {
    fn add_bias(scores: &mut [f32], scale: f32, bias: &[f32]) {
        for (score, bias) in scores.iter_mut().zip(bias) {
            *score = *score * scale + bias;
        }
    }
}

vectorized! {
    /// Scores, sixteen a block, to the exponentials of their distances from the largest; gives their sum. The
    /// scale is above 0, so that the largest product has the largest score.
    fn exponentials(scores: &mut [f32], scale: f32) -> f32 {
        let (blocks, _) = scores.as_chunks_mut::<16>();
        let mut most = [f32::NEG_INFINITY; 16];
        for block in blocks.iter() {
            for lane in 0..16 {
                most[lane] = if block[lane] > most[lane] { block[lane] } else { most[lane] };
            }
        }
        let most = across(most, f32::max);
        let mut sums = [0.0f32; 16];
        for block in blocks {
            for lane in 0..16 {
                block[lane] = exp((block[lane] - most) * scale);
                sums[lane] += block[lane];
            }
        }
        across(sums, |a, b| a + b)
    }
}

/// Sixteen values into one, by halves.
#[inline(always)]
fn across(mut lanes: [f32; 16], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

by_lanes! {
    /// The sum of values by their weights, times a scale.
    fn mix(out: &mut [f32], weights: &[f32], values: &[Line], scale: f32) by mix_lines
}

#[inline(always)]
fn mix_lines<L: Lanes>(out: &mut [f32], weights: &[f32], values: &[Line], scale: f32) {
    let lines = out.len().div_ceil(16);
    let mut line = 0;
    while line < lines {
        // several sums at once, or those of one line in four parts: the processor adds four at a time
        match lines - line {
            1 => mix_some::<L, 1, 4>(out, weights, values, scale, line, lines),
            2 | 3 => mix_some::<L, 2, 2>(out, weights, values, scale, line, lines),
            _ => mix_some::<L, 4, 1>(out, weights, values, scale, line, lines),
        }
        line += match lines - line {
            1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
    }
}

#[inline(always)]
fn mix_some<L: Lanes, const N: usize, const PARTS: usize>(
    out: &mut [f32],
    weights: &[f32],
    values: &[Line],
    scale: f32,
    line: usize,
    lines: usize,
) {
    assert!((weights.len() - 1) * lines + line + N <= values.len());
    let mut sums = [[L::splat(0.0); N]; PARTS];
    let add = |sums: &mut [L; N], key: usize, weight: f32| {
        let weight = L::splat(weight);
        for (n, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the values hold a row of lines for each weight, as asserted.
            let values = unsafe { L::load(values.as_ptr().add(key * lines + line + n).cast()) };
            *sum = sum.add_product(weight, values);
        }
    };
    let (whole, rest) = weights.as_chunks::<PARTS>();
    for (chunk, weights) in whole.iter().enumerate() {
        for (part, sums) in sums.iter_mut().enumerate() {
            add(sums, chunk * PARTS + part, weights[part]);
        }
    }
    for (part, weight) in rest.iter().enumerate() {
        add(&mut sums[part], whole.len() * PARTS + part, *weight);
    }
    let (first, others) = sums.split_at_mut(1);
    for other in others {
        for (sum, other) in first[0].iter_mut().zip(other) {
            *sum = sum.add(*other);
        }
    }
    for (n, sum) in first[0].iter().enumerate() {
        let out = &mut out[(line + n) * 16..];
        let array = sum.mul(L::splat(scale)).array();
        let width = out.len().min(16);
        out[..width].copy_from_slice(&array[..width]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 252.25 - 2.0)
            .collect()
    }

    proptest! {
        #[test]
        fn attention_is_the_mean_of_values_by_the_softmax_of_scores(
            key_value in 1usize..4, group in 1usize..4, width in 1usize..40, length in 1usize..90, seen in 1usize..90,
            biased: bool,
        ) {
            let seen = seen.min(length);
            let heads = Heads { query: key_value * group, key_value, width };
            let each = key_value * width;
            let (keys, values) = (numbers(length * each, 1), numbers(length * each, 2));
            let mut attended = Attended::new(heads, length + 3);
            for (keys, values) in keys.chunks_exact(each).zip(values.chunks_exact(each)) {
                attended.push(keys, values);
            }
            let queries = numbers(heads.query * width, 3);
            let table = numbers(heads.query * (length + 1), 4);
            let terms = Terms { table: &table, columns: length + 1, start: 1 };
            let attention = Attention { scale: 0.3, seen, bias: biased.then_some(terms) };
            let mut out = vec![0.0; queries.len()];
            attended.clone().attend(&queries, &attention, &mut out);
            for head in 0..heads.query {
                let query = &queries[head * width..][..width];
                let place = head / group * width;
                let mut weights: Vec<f64> = (0..seen)
                    .map(|key| {
                        let key_of = &keys[key * each + place..][..width];
                        let product: f64 = query.iter().zip(key_of).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                        let term = if biased { table[head * (length + 1) + 1 + key] } else { 0.0 };
                        product * 0.3f64 + f64::from(term)
                    })
                    .collect();
                let most = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                weights.iter_mut().for_each(|weight| *weight = (*weight - most).exp());
                let total: f64 = weights.iter().sum();
                for at in 0..width {
                    let value = |key: usize| f64::from(values[key * each + place + at]);
                    let expected: f64 = weights.iter().enumerate().map(|(key, w)| w / total * value(key)).sum();
                    prop_assert!((f64::from(out[head * width + at]) - expected).abs() < 2e-4);
                }
            }
        }
    }
}
