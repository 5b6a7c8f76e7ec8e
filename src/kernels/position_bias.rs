//! Positions as terms that are added to attention's scores.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Heads, embedding};

/// T5's relative positions (Raffel et al. 2020): distances in buckets, small ones exact and larger
/// ones by their logarithm, each with a learned term for each head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeBuckets {
    /// How many there are.
    pub buckets: usize,
    /// From this distance on, all are in the last bucket.
    pub max_distance: usize,
    /// Whether keys after a query have half of the buckets (an encoder) or are never seen.
    pub bidirectional: bool,
}

impl RelativeBuckets {
    /// The bucket of a key seen from a query, by their positions.
    fn bucket(&self, query: usize, key: usize) -> usize {
        let (buckets, base) = match self.bidirectional {
            true if key > query => (self.buckets / 2, self.buckets / 2),
            true => (self.buckets / 2, 0),
            false => (self.buckets, 0),
        };
        let distance = match self.bidirectional {
            true => key.abs_diff(query),
            false => query.saturating_sub(key),
        };
        let exact = buckets / 2;
        if distance < exact {
            return base + distance;
        }
        // f32 arithmetic as PyTorch does it: a boundary lies where rounding puts it
        let by_logarithm = (distance as f32 / exact as f32).ln()
            / ((self.max_distance as f64 / exact as f64).ln() as f32)
            * (buckets - exact) as f32;
        base + (exact + by_logarithm as usize).min(buckets - 1)
    }

    /// The terms of queries and keys from position 0 on, by how far they are from each other: `[buckets,
    /// heads]` table → `[heads, queries + keys − 1]`, as [`Bias::Diagonals`](super::Bias) has them.
    pub fn diagonals(&self, table: Tensor<2>, queries: usize, keys: usize) -> Tensor<2> {
        let last = queries - 1;
        let buckets: Vec<i32> = (0..queries + keys - 1)
            .map(|diagonal| match diagonal.checked_sub(last) {
                Some(ahead) => self.bucket(0, ahead),
                None => self.bucket(last - diagonal, 0),
            })
            .map(|bucket| i32::try_from(bucket).expect("a few dozen buckets"))
            .collect();
        let count = buckets.len();
        let buckets = TensorData::new(buckets, [count]);
        embedding(Tensor::<1, Int>::from_data(buckets, &table.device()), table).transpose()
    }

    /// A head's term for each distance, of `[buckets, heads]` values: `[heads, 2·reach − 1]` (or `reach`, when
    /// keys after a query are never seen), the key of the query's own position at column `reach − 1`.
    pub fn by_distance(&self, table: &[f32], reach: usize) -> Vec<f32> {
        let heads = table.len() / self.buckets;
        let after = if self.bidirectional { reach - 1 } else { 0 };
        let terms = |head: usize| (0..reach + after).map(move |key| table[self.bucket(reach - 1, key) * heads + head]);
        (0..heads).flat_map(terms).collect()
    }

    /// The terms of queries from position `start` on over keys from position 0 on:
    /// `[buckets, heads]` table → `[1, heads, queries, keys]`.
    pub fn bias(&self, table: Tensor<2>, start: usize, queries: usize, keys: usize) -> Tensor<4> {
        let [_, heads] = table.dims();
        let buckets: Vec<i32> = (start..start + queries)
            .flat_map(|query| (0..keys).map(move |key| self.bucket(query, key)))
            .map(|bucket| i32::try_from(bucket).expect("a few dozen buckets"))
            .collect();
        let buckets = TensorData::new(buckets, [queries * keys]);
        let rows = embedding(Tensor::<1, Int>::from_data(buckets, &table.device()), table);
        rows.reshape([1, queries, keys, heads]).permute([0, 3, 1, 2])
    }
}

/// ALiBi (Press et al. 2022) as Falcon has it: each head adds its slope times a key's position, in
/// bfloat16, divided by `√width` as the scores are: `[query, keys]`.
pub fn alibi(heads: Heads, keys: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(alibi_terms(heads, keys), [heads.query, keys]), device)
}

/// The same for each head and key, which are those of every query: `[query, keys]`.
pub fn alibi_terms(heads: Heads, keys: usize) -> Vec<f32> {
    let bfloat = |value: f32| half::bf16::from_f32(value).to_f32();
    slopes(heads.query)
        .into_iter()
        .map(bfloat)
        .flat_map(|slope| (0..keys).map(move |key| bfloat(slope * key as f32) * heads.scale()))
        .collect()
}

/// A geometric sequence for a power of two of heads; others take every second one of the next power.
fn slopes(heads: usize) -> Vec<f32> {
    let power = 1 << heads.ilog2();
    let sequence = |count: usize, step: usize| {
        let base = 2.0f64.powf(-(2.0f64.powf(-((count as f64).log2() - 3.0)))) as f32;
        (1..).step_by(step).map(move |exponent: i32| base.powi(exponent))
    };
    sequence(power, 1)
        .take(power)
        .chain(sequence(2 * power, 2).take(heads - power))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_t5() {
        // by T5Attention._relative_position_bucket of transformers, 32 buckets, distance 128
        let both = RelativeBuckets {
            buckets: 32,
            max_distance: 128,
            bidirectional: true,
        };
        let causal = RelativeBuckets {
            bidirectional: false,
            ..both
        };
        // after the exact ones, the distances at which the next bucket begins
        let larger = [8, 12, 16, 23, 32, 46, 64, 91];
        for distance in 0..300 {
            let expected = if distance < 8 {
                distance
            } else {
                7 + larger.iter().filter(|from| **from <= distance).count()
            };
            assert_eq!(both.bucket(300, 300 - distance), expected, "{distance} back");
            let ahead = if distance == 0 { 0 } else { expected + 16 };
            assert_eq!(both.bucket(300, 300 + distance), ahead, "{distance} ahead");
        }
        let larger = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113];
        for distance in 0..300 {
            let expected = if distance < 16 {
                distance
            } else {
                15 + larger.iter().filter(|from| **from <= distance).count()
            };
            assert_eq!(causal.bucket(300, 300 - distance), expected, "{distance} back");
        }
    }

    #[test]
    fn slopes_are_those_of_alibi() {
        assert_eq!(
            slopes(8),
            [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]
        );
        let twelve = slopes(12);
        assert_eq!(twelve[..8], slopes(8));
        for (slope, expected) in twelve[8..]
            .iter()
            .zip([0.5f32.sqrt(), 0.353_553_4, 0.176_776_7, 0.088_388_35])
        {
            assert!((slope - expected).abs() < 1e-7, "{slope} for {expected}");
        }
    }
}
