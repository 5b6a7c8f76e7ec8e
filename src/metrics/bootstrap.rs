//! Percentile bootstrap intervals (Efron, 1979; for BLEU, Koehn, 2004): samples are drawn with
//! replacement, and the score of each such corpus computed from its summed statistics.

use rand::Rng;
use rayon::prelude::*;

use super::Metric;
use crate::seed::Seed;

/// Resampled corpora an interval is taken from.
pub const RESAMPLES: u64 = 1000;

/// The share of resamples that an interval covers.
pub const LEVEL: f64 = 0.95;

/// The interval of each metric's corpus score; `None` with fewer than two samples. `statistics` has
/// one list a metric, with one entry a sample. The same seed and number of samples give the same
/// draws, so that the intervals of several systems rest on the same samples.
pub(super) fn intervals(
    metrics: &[&dyn Metric],
    statistics: &[Vec<Vec<f64>>],
    samples: usize,
    seed: Seed,
) -> Vec<Option<(f64, f64)>> {
    if samples < 2 {
        return vec![None; metrics.len()];
    }
    // [resample][metric], in order of the resample whatever thread computed it
    let values: Vec<Vec<f64>> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| {
            let mut rng = seed.child("bootstrap").child(resample).rng();
            let drawn: Vec<usize> = (0..samples).map(|_| rng.random_range(0..samples)).collect();
            let score = |(metric, statistics): (&&dyn Metric, &Vec<Vec<f64>>)| {
                let sums = super::score::sums(drawn.iter().map(|sample| &statistics[*sample]));
                metric.corpus(&sums, samples)
            };
            metrics.iter().zip(statistics).map(score).collect()
        })
        .collect();
    let interval = |metric: usize| {
        let mut sorted: Vec<f64> = values.iter().map(|resample| resample[metric]).collect();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        (quantile(&sorted, tail), quantile(&sorted, 1.0 - tail))
    };
    (0..metrics.len()).map(|metric| Some(interval(metric))).collect()
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
    use crate::metrics::{RougeWords, all};

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0], 0.5), 1.5);
        assert_eq!(quantile(&[0.0, 1.0], 1.0), 1.0);
    }

    #[test]
    fn an_interval_holds_the_mean_and_has_the_width_of_theory() {
        let all = all(RougeWords::Ascii);
        let accuracy = all.iter().find(|metric| metric.facts().name == "accuracy").unwrap();
        // 400 tosses of a fair coin: a standard error of 0.025
        let statistics: Vec<_> = (0..400).map(|i| vec![f64::from(i % 2)]).collect();
        let found = intervals(&[accuracy.as_ref()], &[statistics], 400, Seed::root(1));
        let (low, high) = found[0].unwrap();
        assert!(low < 0.5 && 0.5 < high);
        assert!((high - low - 2.0 * 1.96 * 0.025).abs() < 0.012, "{low} {high}");
    }

    #[test]
    fn one_sample_has_no_interval() {
        let all = all(RougeWords::Ascii);
        assert_eq!(
            intervals(&[all[0].as_ref()], &[vec![vec![1.0]]], 1, Seed::root(1)),
            [None]
        );
    }
}
