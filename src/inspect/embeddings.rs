//! The vectors of tokens: which are near each other.

use rayon::prelude::*;

/// The table of a vocabulary's vectors.
pub(super) struct Table {
    values: Vec<f32>,
    width: usize,
    /// One over the length of each vector; 0 of one that has none.
    inverse: Vec<f32>,
}

impl Table {
    /// From `[vocabulary, width]` in row-major order.
    pub(super) fn new(values: Vec<f32>, width: usize) -> Self {
        let inverse = values.chunks_exact(width).map(|row| {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            if length > 0.0 { 1.0 / length } else { 0.0 }
        });
        let inverse = inverse.collect();
        Self { values, width, inverse }
    }

    /// A token's vector.
    pub(super) fn row(&self, token: u32) -> &[f32] {
        let start = token as usize * self.width;
        &self.values[start..start + self.width]
    }

    /// The tokens whose vectors point most nearly where this one's does (by the cosine between them),
    /// nearest first; of equally near ones the first of the vocabulary.
    pub(super) fn nearest(&self, token: u32, count: usize) -> Vec<(u32, f32)> {
        let own = self.row(token);
        let scale = self.inverse[token as usize];
        let mut cosines: Vec<(u32, f32)> = (0u32..)
            .zip(&self.inverse)
            .collect::<Vec<_>>()
            .into_par_iter()
            .filter(|(other, _)| *other != token)
            .map(|(other, inverse)| {
                let along: f32 = self.row(other).iter().zip(own).map(|(a, b)| a * b).sum();
                (other, along * inverse * scale)
            })
            .collect();
        cosines.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        cosines.truncate(count);
        cosines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_points_the_same_way() {
        let table = Table::new(vec![1.0, 0.0, 0.0, 5.0, 9.0, 1.0, -1.0, 0.0, 0.0, 0.0], 2);
        let near = table.nearest(0, 4);
        assert_eq!(near.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 1, 4, 3]);
        assert!((near[0].1 - 9.0 / 82f32.sqrt()).abs() < 1e-6 && near[3].1 == -1.0);
        assert_eq!(
            table.nearest(4, 1),
            [(0, 0.0)],
            "a vector without a length is near nothing"
        );
    }
}
