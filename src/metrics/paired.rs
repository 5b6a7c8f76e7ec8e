//! Whether two systems differ on the same samples: paired bootstrap (Koehn, 2004) and paired
//! approximate randomization (Riezler and Maxwell, 2005), with sacreBLEU's definitions.

use rand::RngCore;
use rayon::prelude::*;
use serde::Serialize;

use super::bootstrap::{draw, scores};
use super::table::{Column, LANES};
use super::{Evaluated, MetricsError};
use crate::seed::Seed;

/// A paired test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Both systems are scored on the same resampled corpora. The p-value is the share of resamples
    /// whose difference is farther from the mean difference than the real one is from zero.
    Bootstrap,
    /// Each sample's outputs are exchanged or not by a coin. The p-value is the share of trials whose
    /// difference is larger than the real one.
    Randomization,
}

impl Test {
    /// Trials where none are asked for: sacreBLEU's.
    pub fn usual_trials(self) -> u64 {
        match self {
            Self::Bootstrap => 1000,
            Self::Randomization => 10_000,
        }
    }

    /// As sacreBLEU's signatures name it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bootstrap => "bs",
            Self::Randomization => "ar",
        }
    }
}

/// How a system differs from a baseline by one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The metric.
    pub metric: &'static str,
    /// The baseline's score.
    pub baseline: f64,
    /// The system's score.
    pub value: f64,
    /// The system's score less the baseline's.
    pub difference: f64,
    /// How probable a difference as large is by chance, if the systems were the same.
    pub p: f64,
    /// The samples.
    pub n: usize,
}

/// Compares a system with a baseline by every metric that both have. One added to the trials and to
/// those that count keeps a p-value from being zero. (No difference at all has a p-value of 1, where
/// sacreBLEU would give the smallest one: it counts trials that are strictly larger.) The same seed gives the same trials for every
/// pair of systems; threads change nothing.
///
/// # Errors
/// When the two were not scored on the same number of samples.
pub fn paired(
    baseline: &Evaluated,
    system: &Evaluated,
    test: Test,
    trials: u64,
    seed: Seed,
) -> Result<Vec<Compared>, MetricsError> {
    let n = baseline.samples();
    if n != system.samples() {
        return Err(MetricsError::Unpaired {
            baseline: n,
            system: system.samples(),
        });
    }
    let pairs = baseline.columns().iter().filter_map(|one| {
        let other = system
            .columns()
            .iter()
            .find(|other| other.facts.name == one.facts.name)?;
        (one.resamples && one.table.width() == other.table.width()).then_some((one, other))
    });
    let pairs: Vec<(&Column, &Column)> = pairs.collect();
    let groups = (0..trials.div_ceil(LANES as u64)).into_par_iter();
    let trial = |group: u64| -> Vec<[f64; LANES]> {
        let mut weights = vec![[0f32; LANES]; n];
        match test {
            Test::Bootstrap => {
                draw(&mut weights, group, seed);
                let difference = |(one, other): &(&Column, &Column)| {
                    let (one, other) = (scores(one, &weights, n), scores(other, &weights, n));
                    std::array::from_fn(|lane| (other[lane] - one[lane]).abs())
                };
                pairs.iter().map(difference).collect()
            }
            Test::Randomization => {
                toss(&mut weights, group, seed);
                let against: Vec<_> = weights.iter().map(|coins| coins.map(|coin| 1.0 - coin)).collect();
                let difference = |(one, other): &(&Column, &Column)| exchanged(one, other, &weights, &against, n);
                pairs.iter().map(difference).collect()
            }
        }
    };
    let differences: Vec<Vec<[f64; LANES]>> = groups.map(trial).collect();
    let compare = |(index, (one, other)): (usize, &(&Column, &Column))| {
        let (baseline, value) = ((one.of)(&one.table.sums(), n), (other.of)(&other.table.sums(), n));
        let trials = usize::try_from(trials).unwrap_or(usize::MAX);
        let of_trials: Vec<f64> = differences.iter().flat_map(|group| group[index]).take(trials).collect();
        let centre = match test {
            Test::Bootstrap => of_trials.iter().sum::<f64>() / of_trials.len().max(1) as f64,
            Test::Randomization => 0.0,
        };
        let real = (value - baseline).abs();
        let farther = of_trials
            .iter()
            .filter(|difference| **difference - centre > real)
            .count();
        Compared {
            metric: one.facts.name,
            baseline,
            value,
            difference: value - baseline,
            p: if real > 0.0 {
                (farther + 1) as f64 / (of_trials.len() + 1) as f64
            } else {
                1.0
            },
            n,
        }
    };
    Ok(pairs.iter().enumerate().map(compare).collect())
}

/// For each sample and trial of a group, 1 or 0.
fn toss(coins: &mut [[f32; LANES]], group: u64, seed: Seed) {
    for lane in 0..LANES {
        let mut rng = seed
            .child("randomization")
            .child(group * LANES as u64 + lane as u64)
            .rng();
        for samples in coins.chunks_mut(64) {
            let bits = rng.next_u64();
            for (at, coins) in samples.iter_mut().enumerate() {
                coins[lane] = (bits >> at & 1) as f32;
            }
        }
    }
}

/// The difference of two systems that exchange the samples whose coin is 0.
fn exchanged(one: &Column, other: &Column, coins: &[[f32; LANES]], against: &[[f32; LANES]], n: usize) -> [f64; LANES] {
    let add = |one: Vec<[f64; LANES]>, other: Vec<[f64; LANES]>| -> Vec<[f64; LANES]> {
        let sum = |(one, other): ([f64; LANES], [f64; LANES])| std::array::from_fn(|lane| one[lane] + other[lane]);
        one.into_iter().zip(other).map(sum).collect()
    };
    let first = add(one.table.weighted(coins), other.table.weighted(against));
    let second = add(one.table.weighted(against), other.table.weighted(coins));
    std::array::from_fn(|lane| {
        let score = |column: &Column, sums: &[[f64; LANES]]| {
            let sums: Vec<f64> = sums.iter().map(|sums| sums[lane]).collect();
            (column.of)(&sums, n)
        };
        (score(one, &first) - score(other, &second)).abs()
    })
}

/// Holm's correction (1979) for several comparisons: the p-value of each, times the number of those
/// that are not smaller, and no smaller than that of a more significant one; at most 1.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand; R's `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` gives the same.
    #[test]
    fn holm_multiplies_by_the_rank_from_the_end_and_keeps_the_order() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(
            adjusted
                .iter()
                .zip(expected)
                .all(|(one, other)| (one - other).abs() < 1e-12),
            "{adjusted:?}"
        );
        assert_eq!(holm(&[0.7, 0.6]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn coins_are_fair_and_the_same_again() {
        let mut coins = vec![[0.0; LANES]; 1000];
        toss(&mut coins, 0, Seed::root(3));
        let heads: f32 = coins.iter().flatten().sum();
        assert!((heads - 4000.0).abs() < 200.0, "{heads}");
        let mut again = vec![[0.0; LANES]; 1000];
        toss(&mut again, 0, Seed::root(3));
        assert_eq!(coins, again);
    }
}
