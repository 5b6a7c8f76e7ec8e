//! One file a metric, text normalisation, resampling statistics.
//!
//! A metric turns each sample (an output and its references) into a few numbers that are summed over
//! the samples, and the sums into a score: a mean for ROUGE, n-gram counts for BLEU. So the score of
//! a corpus, of one sample, of a slice and of a bootstrap resample are the same code. Samples stream
//! through a [`Scorer`]; of each only those numbers are kept, and [`Evaluated`] is what can be asked
//! afterwards: scores with intervals, slices, paired tests.
//!
//! To add a metric, write its file and add its two lines here.

mod accuracy;
mod bleu;
mod bootstrap;
mod chrf;
mod classes;
mod diversity;
mod evaluated;
mod exact_match;
mod file;
mod length_ratio;
mod name;
mod paired;
mod perplexity;
mod resume;
mod rouge;
mod samples;
mod score;
mod scorer;
mod segments;
mod settings;
mod shifts;
mod slices;
mod spread;
mod standalone;
mod table;
mod ter;
mod text;
mod token_f1;
mod words;
mod workspace;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use bleu::{BleuSettings, Smoothing};
pub use bootstrap::{LEVEL, RESAMPLES};
pub use chrf::ChrfSettings;
pub use classes::{Class, Confusion};
pub use evaluated::{Evaluated, Resampled};
pub use exact_match::{ExactMatchSettings, Normalization};
pub use file::read_statistics;
pub use name::MetricName;
pub use paired::{Compared, Test, holm, paired};
pub use perplexity::{BITS_PER_BYTE, PERPLEXITY};
pub use rouge::{RougeReferences, RougeSettings, RougeWords, Stemmer};
pub use samples::{MetricsError, Pair, Row, Sample, read, stream};
pub use score::{Score, ScoredSample, Scores, bits_per_byte, perplexity, score};
pub use scorer::Scorer;
pub use segments::{Layout, SegmentsError};
pub use settings::Settings;
pub use slices::Slice;
pub use spread::{Spread, spread};
pub use standalone::{Files, FilesError, OwnScores, Scored, score_files};
pub use text::{Mteval, Tercom};
pub use token_f1::{AnswerWords, TokenF1Settings};
pub use words::common_words;
pub use workspace::Workspace;
pub use write::{ScoresFile, write};

/// As signatures name what computed them.
pub const VERSION: &str = concat!("fragua-", env!("CARGO_PKG_VERSION"));

/// A metric of texts, most of them against references.
pub trait Metric: Send + Sync {
    /// Its name and how to read it.
    fn facts(&self) -> Facts;

    /// Everything that the value depends on, in the manner of sacreBLEU's signatures.
    fn signature(&self, references: ReferenceCount) -> String;

    /// How many numbers a sample contributes, and of which sort.
    fn shape(&self) -> Shape;

    /// Writes what one sample contributes: numbers that are summed over samples. There is at least
    /// one reference, unless the metric needs none.
    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]);

    /// The score of `samples` samples (at least one) from their summed statistics.
    fn corpus(&self, sums: &[f64], samples: usize) -> f64;

    /// The score of one sample; where a corpus and a sentence differ by convention, the sentence's.
    fn sentence(&self, statistics: &[f64]) -> f64 {
        self.corpus(statistics, 1)
    }

    /// Figures that the score is made of: precision and recall, a brevity penalty.
    fn details(&self, _sums: &[f64], _samples: usize) -> Map<String, Value> {
        Map::new()
    }

    /// Whether samples must have a reference.
    fn needs_references(&self) -> bool {
        true
    }

    /// Whether the first statistic counts different things, so that a corpus has as many as there
    /// are different [`Self::keys`] in it, and not their sum.
    fn counts_keys(&self) -> bool {
        false
    }

    /// Appends a 64-bit name for each thing that the first statistic counts.
    fn keys(&self, _pair: Pair<'_>, _work: &mut Workspace, _keys: &mut Vec<u64>) {}
}

/// How many numbers a sample contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whole numbers, kept in 32 bits each.
    Counts(usize),
    /// Any numbers, kept in 64 bits each.
    Values(usize),
}

impl Shape {
    /// How many.
    pub fn width(self) -> usize {
        match self {
            Self::Counts(width) | Self::Values(width) => width,
        }
    }
}

/// A metric's name and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The name in settings and in `scores.csv`: `rougeL`.
    pub name: &'static str,
    /// The name in prose and tables: `ROUGE-L`.
    pub label: &'static str,
    /// What it measures, in a sentence.
    pub about: &'static str,
    /// The range of its values.
    pub range: Range,
}

/// The range of a metric's values, and which end is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 1, higher is better.
    Fraction,
    /// 0 to 100, higher is better.
    Percent,
    /// 1 and up, lower is better.
    Perplexity,
    /// 0 and up, 100 being as many errors as there are words, lower is better.
    ErrorRate,
    /// 0 to 1, lower is better.
    Waste,
    /// Bits, 0 and up, lower is better.
    Bits,
    /// 0 and up, 1 is best.
    Ratio,
}

impl Range {
    /// Whether a higher value is better. (Of a ratio neither end is good.)
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::Fraction | Self::Percent)
    }
}

/// How many references the samples have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceCount {
    /// The same number for each sample.
    Each(usize),
    /// Not the same for all.
    Varying,
}

impl std::fmt::Display for ReferenceCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Each(count) => count.fmt(f),
            Self::Varying => f.write_str("var"),
        }
    }
}

/// Every metric of texts, in the order in which tables show them.
pub fn all(settings: &Settings) -> Vec<Arc<dyn Metric>> {
    let mut all: Vec<Arc<dyn Metric>> = Vec::new();
    all.extend(rouge::all(settings.rouge));
    all.push(Arc::new(bleu::Bleu(settings.bleu)));
    all.extend(chrf::all(settings.chrf));
    all.push(Arc::new(ter::Ter(settings.ter)));
    all.push(Arc::new(exact_match::ExactMatch(settings.exact_match)));
    all.push(Arc::new(accuracy::Accuracy));
    all.push(Arc::new(token_f1::TokenF1(settings.token_f1)));
    all.push(Arc::new(length_ratio::LengthRatio));
    all.extend(diversity::all());
    all
}

/// Names that stand for several metrics.
pub const GROUPS: &[(&str, &[&str])] = &[("rouge", rouge::USUAL), ("classes", classes::USUAL)];

/// How to read every metric, in the order of tables.
pub fn every() -> Vec<Facts> {
    let texts = all(&Settings::default()).into_iter().map(|metric| metric.facts());
    texts
        .chain(classes::facts())
        .chain([PERPLEXITY, BITS_PER_BYTE])
        .collect()
}

/// How to read a metric, by its name in a table of scores.
pub fn facts(name: &str) -> Option<Facts> {
    every().into_iter().find(|facts| facts.name == name)
}
