//! Percentile bootstrap intervals (Efron, 1979; for BLEU, Koehn, 2004): samples are drawn with
//! replacement, and the score of each such corpus computed from its summed statistics.

use rand::Rng;
use rayon::prelude::*;

use super::table::{Column, LANES};
use crate::seed::Seed;

/// Resampled corpora an interval is taken from.
pub const RESAMPLES: u64 = 1000;

/// The share of resamples that an interval covers.
pub const LEVEL: f64 = 0.95;

/// The interval of each column's score; `None` with fewer than two samples and where resampling
/// makes no sense. The same seed and number of samples give the same draws, so that the intervals of
/// several systems rest on the same samples.
pub(super) fn intervals(columns: &[Column], samples: usize, seed: Seed) -> Vec<Option<(f64, f64)>> {
    let values = resampled(columns, samples, RESAMPLES, seed);
    values.into_iter().map(|values| interval(values, LEVEL)).collect()
}

/// The middle part of some values that covers `level` of them, if there are any.
pub(super) fn interval(mut values: Vec<f64>, level: f64) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    (!values.is_empty()).then(|| (quantile(&values, tail), quantile(&values, 1.0 - tail)))
}

/// Each column's score of each resample, in order; none for a column that cannot be resampled or
/// with fewer than two samples. Independent of threads.
pub(super) fn resampled(columns: &[Column], samples: usize, resamples: u64, seed: Seed) -> Vec<Vec<f64>> {
    if samples < 2 || !columns.iter().any(|column| column.resamples) {
        return vec![Vec::new(); columns.len()];
    }
    // [group][column][lane]
    let groups: Vec<Vec<[f64; LANES]>> = (0..resamples.div_ceil(LANES as u64))
        .into_par_iter()
        .map_init(
            || vec![[0.0; LANES]; samples],
            |weights, group| {
                draw(weights, group, seed);
                let score = |column: &Column| {
                    if column.resamples {
                        scores(column, weights, samples)
                    } else {
                        [0.0; LANES]
                    }
                };
                columns.iter().map(score).collect()
            },
        )
        .collect();
    let values = |(index, column): (usize, &Column)| -> Vec<f64> {
        if !column.resamples {
            return Vec::new();
        }
        let lanes = groups.iter().flat_map(|group| group[index]);
        lanes.take(usize::try_from(resamples).unwrap_or(usize::MAX)).collect()
    };
    columns.iter().enumerate().map(values).collect()
}

/// The scores of one column for [`LANES`] sets of weights.
pub(super) fn scores(column: &Column, weights: &[[f32; LANES]], samples: usize) -> [f64; LANES] {
    let sums = column.table.weighted(weights);
    let mut of_lane = vec![0.0; sums.len()];
    std::array::from_fn(|lane| {
        of_lane.iter_mut().zip(&sums).for_each(|(to, sums)| *to = sums[lane]);
        (column.of)(&of_lane, samples)
    })
}

/// How often each sample is drawn in each resample of a group.
pub(super) fn draw(weights: &mut [[f32; LANES]], group: u64, seed: Seed) {
    weights.fill([0.0; LANES]);
    for lane in 0..LANES {
        let mut rng = seed.child("bootstrap").child(group * LANES as u64 + lane as u64).rng();
        for _ in 0..weights.len() {
            weights[rng.random_range(0..weights.len())][lane] += 1.0;
        }
    }
}

/// The quantile of sorted values, interpolated between its neighbours (NumPy's default).
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let position = at * (sorted.len() - 1) as f64;
    let (low, high) = (position.floor(), position.ceil());
    let (below, above) = (sorted[low as usize], sorted[high as usize]);
    below + (above - below) * (position - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Settings, all};

    fn accuracy(rows: &[f64]) -> Column {
        let all = all(&Settings::default());
        let accuracy = all.iter().find(|metric| metric.facts().name == "accuracy").unwrap();
        let mut column = Column::of_metric(accuracy);
        rows.iter().for_each(|row| column.table.push(&[*row]));
        column
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0], 0.5), 1.5);
        assert_eq!(quantile(&[0.0, 1.0], 1.0), 1.0);
    }

    #[test]
    fn an_interval_holds_the_mean_and_has_the_width_of_theory() {
        // 400 tosses of a fair coin: a standard error of 0.025
        let tosses: Vec<_> = (0..400).map(|i| f64::from(i % 2)).collect();
        let (low, high) = intervals(&[accuracy(&tosses)], 400, Seed::root(1))[0].unwrap();
        assert!(low < 0.5 && 0.5 < high);
        assert!((high - low - 2.0 * 1.96 * 0.025).abs() < 0.012, "{low} {high}");
    }

    #[test]
    fn a_resample_has_as_many_samples_as_there_are() {
        let mut weights = vec![[0.0; LANES]; 50];
        draw(&mut weights, 3, Seed::root(1));
        for lane in 0..LANES {
            assert_eq!(weights.iter().map(|weights| weights[lane]).sum::<f32>(), 50.0);
        }
    }

    #[test]
    fn one_sample_has_no_interval() {
        assert_eq!(intervals(&[accuracy(&[1.0])], 1, Seed::root(1)), [None]);
    }
}
