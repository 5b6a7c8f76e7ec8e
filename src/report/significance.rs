//! Which differences are supported: paired bootstrap over the samples that two systems share (Koehn,
//! 2004), Holm's correction (1979) over the comparisons of one metric. (Approximate randomization as
//! sacreBLEU counts it, by trials that are strictly larger, calls one exact match in thirty more a
//! difference: every trial is as large, none larger. Resampling sees that the one sample may be missing.)
//!
//! Means over repetitions with other seeds are another matter: their spread is between runs, not
//! between samples, and a difference of theirs is supported when the two intervals are disjoint.

use std::collections::BTreeMap;
use std::path::Path;

use super::material::{Group, ReportError, System};
use super::ranking;
use crate::metrics::{Evaluated, Facts, Test, holm, paired, read_statistics};
use crate::seed::Seed;

/// The corrected probability below which a difference counts as supported.
pub(super) const ALPHA: f64 = 0.05;

/// Samples times trials of one comparison: 10,000 trials up to 20,000 samples, fewer for more, whose
/// differences are plain long before.
const WORK: u64 = 200_000_000;
const FEWEST: u64 = 1000;
const MOST: u64 = if cfg!(test) { 1000 } else { 10_000 }; // tests are about the page, not about p-values

/// Systems that the winner is compared with, the best first: one that is not told from it is among them.
const MOST_RIVALS: usize = 40;

/// Whether a difference is more than chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Support {
    /// How probable a difference as large is by chance, corrected; `None` where intervals decide.
    pub(super) p: Option<f64>,
    /// Whether it is supported.
    pub(super) supported: bool,
}

/// What is supported in a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Significance {
    /// For each system and metric its difference from the system that it is counted from.
    pub(super) from_baseline: Vec<BTreeMap<String, Support>>,
    /// For each system its difference from the best one by the leading metric; none of the best one.
    pub(super) from_best: Vec<Option<Support>>,
    /// Trials of each test; 0 where none was made.
    pub(super) trials: u64,
    /// Samples of each test.
    pub(super) samples: u64,
}

impl Significance {
    /// Nothing was tested.
    pub(super) fn none(group: &Group) -> Self {
        Self {
            from_baseline: vec![BTreeMap::new(); group.systems.len()],
            from_best: vec![None; group.systems.len()],
            ..Self::default()
        }
    }
}

/// Tests the differences of a group: of each system from its baseline, and from the best by the leading
/// metric.
///
/// # Errors
/// Samples that cannot be read.
pub(super) fn significance(group: &Group, baseline: &BTreeMap<String, String>) -> Result<Significance, ReportError> {
    let mut found = Significance::none(group);
    let baselines = ranking::baselines(group, baseline);
    let leading = ranking::leading(&ranking::metrics(group));
    let best = leading.and_then(|metric| ranking::best(group, metric).first().copied());
    if group.systems.iter().any(|system| system.repeats > 1) {
        by_intervals(group, &baselines, best.zip(leading), &mut found);
        return Ok(found);
    }
    let samples = group.systems.iter().map(|system| system.samples).max().unwrap_or(0);
    if samples == 0 || group.systems.len() < 2 {
        return Ok(found);
    }
    let trials = (WORK / samples).clamp(FEWEST, MOST);

    let mut bases: Vec<usize> = baselines.iter().flatten().copied().collect();
    bases.sort_unstable();
    bases.dedup();
    for base in bases {
        let others: Vec<usize> = (0..group.systems.len())
            .filter(|index| *index != base && baselines[*index] == Some(base))
            .collect();
        for (index, supports) in others.iter().zip(against(group, base, &others, trials)?) {
            found.from_baseline[*index] = supports;
        }
    }
    if let Some((best, metric)) = best.zip(leading) {
        let mut rivals: Vec<usize> = (0..group.systems.len()).filter(|index| *index != best).collect();
        rivals.retain(|index| group.systems[*index].score(metric.name).is_some());
        rivals.sort_by(|one, other| goodness(group, *other, metric).total_cmp(&goodness(group, *one, metric)));
        rivals.truncate(MOST_RIVALS);
        for (index, mut supports) in rivals.iter().zip(against(group, best, &rivals, trials)?) {
            found.from_best[*index] = supports.remove(metric.name);
        }
    }
    let tested = found.from_baseline.iter().any(|supports| !supports.is_empty());
    if tested || found.from_best.iter().any(Option::is_some) {
        (found.trials, found.samples) = (trials, samples);
    }
    Ok(found)
}

fn goodness(group: &Group, index: usize, metric: Facts) -> f64 {
    let score = group.systems[index].score(metric.name);
    score.map_or(f64::NEG_INFINITY, |score| ranking::goodness(score.value, metric.range))
}

/// The comparison of each of `others` with one system, by metric. One system's samples are in memory
/// besides the other's.
fn against(
    group: &Group,
    one: usize,
    others: &[usize],
    trials: u64,
) -> Result<Vec<BTreeMap<String, Support>>, ReportError> {
    let first = statistics(&group.systems[one]);
    let mut found: Vec<BTreeMap<String, Support>> = Vec::new();
    for other in others {
        let mut supports = BTreeMap::new();
        let second = statistics(&group.systems[*other]);
        // an evaluation is compared with the same one of the other: they have the same metrics
        for (first, second) in first.iter().zip(&second) {
            let seed = Seed::root(0).child("report");
            for compared in paired(first, second, Test::Bootstrap, trials, seed)? {
                let support = Support {
                    p: Some(compared.p),
                    supported: false,
                };
                supports.insert(compared.metric.to_owned(), support);
            }
        }
        found.push(supports);
    }
    let mut metrics: Vec<String> = found.iter().flat_map(|supports| supports.keys().cloned()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    for metric in metrics {
        let mut family: Vec<&mut Support> = found
            .iter_mut()
            .filter_map(|supports| supports.get_mut(&metric))
            .collect();
        let corrected = holm(&family.iter().filter_map(|support| support.p).collect::<Vec<_>>());
        for (support, p) in family.iter_mut().zip(corrected) {
            **support = Support {
                p: Some(p),
                supported: p < ALPHA,
            };
        }
    }
    Ok(found)
}

/// The statistics of each evaluation of a system. Scores of an earlier version have none, and are then
/// not tested: their differences carry no mark. (That the samples are whole, reading them has shown.)
fn statistics(system: &System) -> Vec<Evaluated> {
    let folders = system.files.iter().filter_map(|file| file.parent());
    folders
        .filter_map(|folder: &Path| read_statistics(folder).ok())
        .collect()
}

/// Means over seeds: supported where the intervals are apart.
fn by_intervals(group: &Group, baselines: &[Option<usize>], best: Option<(usize, Facts)>, found: &mut Significance) {
    let apart = |one: usize, other: usize, metric: &str| {
        let ends = |index: usize| {
            group.systems[index]
                .score(metric)
                .and_then(|score| score.low.zip(score.high))
        };
        let ((low, high), (other_low, other_high)) = ends(one).zip(ends(other))?;
        Some(Support {
            p: None,
            supported: high < other_low || other_high < low,
        })
    };
    for (index, base) in baselines.iter().enumerate() {
        let Some(base) = base.filter(|base| *base != index) else {
            continue;
        };
        for score in &group.systems[index].scores {
            if let Some(support) = apart(index, base, &score.metric) {
                found.from_baseline[index].insert(score.metric.clone(), support);
            }
        }
    }
    if let Some((best, metric)) = best {
        for index in (0..group.systems.len()).filter(|index| *index != best) {
            found.from_best[index] = apart(index, best, metric.name);
        }
    }
}
