//! The statistics of every sample by one metric, kept small: what a resample is summed from.

use std::sync::Arc;

use super::{Facts, Metric, Shape};

/// Resamples that are summed in one pass over the samples.
pub(super) const LANES: usize = 8;

/// How a score is made of summed statistics and the number of samples.
pub(super) type Of = Arc<dyn Fn(&[f64], usize) -> f64 + Send + Sync>;

/// A metric's statistics and how its score is made of them.
#[derive(Clone)]
pub(super) struct Column {
    pub facts: Facts,
    pub table: Table,
    pub of: Of,
    /// Whether sums over resampled rows make a score. (Of distinct things they do not.)
    pub resamples: bool,
}

impl Column {
    pub(super) fn of_metric(metric: &Arc<dyn Metric>) -> Self {
        let own = Arc::clone(metric);
        Self {
            facts: metric.facts(),
            table: Table::new(metric.shape()),
            of: Arc::new(move |sums, samples| own.corpus(sums, samples)),
            resamples: !metric.counts_keys(),
        }
    }

    /// The same over some of the samples.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        Self {
            table: self.table.select(rows),
            ..self.clone_without_table()
        }
    }

    fn clone_without_table(&self) -> Self {
        Self {
            facts: self.facts,
            table: Table::new(Shape::Counts(0)),
            of: Arc::clone(&self.of),
            resamples: self.resamples,
        }
    }
}

/// Rows of numbers, one a sample.
#[derive(Clone)]
pub(super) enum Table {
    /// Whole numbers.
    Counts { width: usize, data: Vec<u32> },
    /// Any numbers.
    Values { width: usize, data: Vec<f64> },
    /// Rows of which one number is 1 and all others 0: its place.
    Places { width: usize, data: Vec<u32> },
}

impl Table {
    pub(super) fn new(shape: Shape) -> Self {
        match shape {
            Shape::Counts(width) => Self::Counts {
                width,
                data: Vec::new(),
            },
            Shape::Values(width) => Self::Values {
                width,
                data: Vec::new(),
            },
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Counts { width, .. } | Self::Values { width, .. } | Self::Places { width, .. } => *width,
        }
    }

    /// Appends a sample's row.
    pub(super) fn push(&mut self, row: &[f64]) {
        match self {
            // counts of what is in one text: exact below 2^32, and no text is longer
            Self::Counts { data, .. } => data.extend(row.iter().map(|count| *count as u32)),
            Self::Values { data, .. } => data.extend_from_slice(row),
            Self::Places { .. } => unreachable!("places are made at once"),
        }
    }

    pub(super) fn sums(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.width()];
        match self {
            Self::Counts { width, data } => {
                for row in data.chunks_exact(*width) {
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, count)| *sum += f64::from(*count));
                }
            }
            Self::Values { width, data } => {
                for row in data.chunks_exact(*width) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
            }
            Self::Places { data, .. } => data.iter().for_each(|place| sums[*place as usize] += 1.0),
        }
        sums
    }

    pub(super) fn select(&self, rows: &[u32]) -> Self {
        fn pick<T: Copy>(data: &[T], width: usize, rows: &[u32]) -> Vec<T> {
            let row = |row: &u32| data[*row as usize * width..(*row as usize + 1) * width].iter().copied();
            rows.iter().flat_map(row).collect()
        }
        match self {
            Self::Counts { width, data } => Self::Counts {
                width: *width,
                data: pick(data, *width, rows),
            },
            Self::Values { width, data } => Self::Values {
                width: *width,
                data: pick(data, *width, rows),
            },
            Self::Places { width, data } => Self::Places {
                width: *width,
                data: pick(data, 1, rows),
            },
        }
    }

    /// Sums of rows, each as often as its weight, for [`LANES`] sets of weights at once: `weights` has
    /// a set's weights for each row; the result [`LANES`] sums for each number of a row. Rows are
    /// added in order.
    pub(super) fn weighted(&self, weights: &[[f32; LANES]]) -> Vec<[f64; LANES]> {
        fn add<T: Copy + Into<f64>>(data: &[T], width: usize, weights: &[[f32; LANES]], sums: &mut [[f64; LANES]]) {
            for (row, weights) in data.chunks_exact(width).zip(weights) {
                let weights = weights.map(f64::from);
                for (sums, value) in sums.iter_mut().zip(row) {
                    let value: f64 = (*value).into();
                    for lane in 0..LANES {
                        sums[lane] += weights[lane] * value;
                    }
                }
            }
        }
        let mut sums = vec![[0.0; LANES]; self.width()];
        match self {
            Self::Counts { width, data } => add(data, *width, weights, &mut sums),
            Self::Values { width, data } => add(data, *width, weights, &mut sums),
            Self::Places { data, .. } => {
                for (place, weights) in data.iter().zip(weights) {
                    let sums = &mut sums[*place as usize];
                    for lane in 0..LANES {
                        sums[lane] += f64::from(weights[lane]);
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count_rows() {
        let mut counts = Table::new(Shape::Counts(2));
        let mut values = Table::new(Shape::Values(2));
        for row in [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] {
            counts.push(&row);
            values.push(&row);
        }
        let places = Table::Places {
            width: 3,
            data: vec![2, 0, 2],
        };
        assert_eq!(counts.sums(), [9.0, 12.0]);
        assert_eq!(places.sums(), [1.0, 0.0, 2.0]);
        let weights = [[2.0; LANES], [0.0; LANES], [1.0; LANES]];
        for table in [&counts, &values] {
            let sums = table.weighted(&weights);
            assert_eq!((sums[0][0], sums[1][7]), (7.0, 10.0));
            assert_eq!(table.select(&[2, 0]).sums(), [6.0, 8.0]);
        }
        assert_eq!(places.weighted(&weights)[2][3], 3.0);
    }
}
