//! One file a metric, text normalisation, resampling statistics.
//!
//! A metric turns each sample (an output and its references) into a few numbers that are summed over
//! the samples, and the sums into a score: a mean for ROUGE, n-gram counts for BLEU. So the score of
//! a corpus, of one sample and of a bootstrap resample are the same code ([`score`](fn@score)).
//!
//! To add a metric, write its file and add its two lines here.

mod accuracy;
mod bleu;
mod bootstrap;
mod chrf;
mod exact_match;
mod name;
mod ngrams;
mod perplexity;
mod rouge;
mod rouge_lcs;
mod samples;
mod score;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use bootstrap::{LEVEL, RESAMPLES};
pub use name::MetricName;
pub use perplexity::PERPLEXITY;
pub use rouge::RougeWords;
pub use rouge_lcs::common_words;
pub use samples::{MetricsError, Sample, read};
pub use score::{Score, ScoredSample, Scores, perplexity, score};
pub use write::write;

/// A metric of texts against references.
pub trait Metric: Send + Sync {
    /// Its name and how to read it.
    fn facts(&self) -> Facts;

    /// Everything that the value depends on, in the manner of sacreBLEU's signatures.
    fn signature(&self, references: ReferenceCount) -> String;

    /// What one sample contributes: numbers that are summed over samples. `references` is not empty.
    fn statistics(&self, output: &str, references: &[String]) -> Vec<f64>;

    /// The score of `samples` samples (at least one) from their summed statistics.
    fn corpus(&self, sums: &[f64], samples: usize) -> f64;

    /// The score of one sample; where a corpus and a sentence differ by convention, the sentence's.
    fn sentence(&self, statistics: &[f64]) -> f64 {
        self.corpus(statistics, 1)
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
}

impl Range {
    /// Whether a higher value is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::Perplexity)
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

/// Every metric of texts, in the order in which tables show them. `words` is how ROUGE splits text.
pub fn all(words: RougeWords) -> Vec<Box<dyn Metric>> {
    let mut all: Vec<Box<dyn Metric>> = Vec::new();
    all.extend(rouge::all(words));
    all.push(Box::new(bleu::Bleu));
    all.extend(chrf::all());
    all.push(Box::new(exact_match::ExactMatch));
    all.push(Box::new(accuracy::Accuracy));
    all
}

/// Names that stand for several metrics.
pub const GROUPS: &[(&str, &[&str])] = &[("rouge", rouge::NAMES)];

/// How to read a metric, by its name in a table of scores.
pub fn facts(name: &str) -> Option<Facts> {
    let texts = all(RougeWords::default()).into_iter().map(|metric| metric.facts());
    texts.chain([PERPLEXITY]).find(|facts| facts.name == name)
}
