//! Distinct-n (Li et al., 2016): the different n-grams of all outputs over the n-grams of all outputs,
//! which shows a system that answers everything alike. And the repetition rate (seq-rep-4 of Welleck
//! et al., 2020): the share of an output's runs of four words that it has written before.

use std::sync::Arc;

use super::text::{Tokenization, mix, total};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace, score};

const WORDS: Tokenization = Tokenization::Alphanumeric {
    unicode: true,
    stem: false,
};

/// Words in a run that is looked for again.
const REPEATED: usize = 4;

/// The metrics of this file.
pub(super) fn all() -> [Arc<dyn Metric>; 3] {
    [Arc::new(Distinct(1)), Arc::new(Distinct(2)), Arc::new(Repetition)]
}

struct Distinct(usize);

impl Metric for Distinct {
    fn facts(&self) -> Facts {
        let (name, label, about) = match self.0 {
            1 => (
                "distinct1",
                "Distinct-1",
                "different words over all words of the outputs",
            ),
            _ => (
                "distinct2",
                "Distinct-2",
                "different pairs of words over all pairs of the outputs",
            ),
        };
        Facts {
            name,
            label,
            about,
            range: Range::Fraction,
        }
    }

    fn signature(&self, _references: ReferenceCount) -> String {
        format!("distinct{}|over:corpus|case:lc|tok:unicode|version:{VERSION}", self.0)
    }

    /// Different n-grams, and all.
    fn shape(&self) -> Shape {
        Shape::Counts(2)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let output = work.words.of(WORDS, pair).output();
        out[0] = work.ngrams.distinct(output, self.0) as f64;
        out[1] = total(output.len(), self.0) as f64;
    }

    /// Of outputs without words nothing is different: 0.
    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        if sums[1] > 0.0 { sums[0] / sums[1] } else { 0.0 }
    }

    fn needs_references(&self) -> bool {
        false
    }

    fn counts_keys(&self) -> bool {
        true
    }

    fn keys(&self, pair: Pair<'_>, work: &mut Workspace, keys: &mut Vec<u64>) {
        let (words, hash) = work.words.with_hashes(WORDS, pair);
        let name = |run: &[u32]| {
            run.iter()
                .fold(0, |name: u64, word| mix(name.rotate_left(1) ^ hash(*word)))
        };
        keys.extend(words.output().windows(self.0).map(name));
    }
}

struct Repetition;

impl Metric for Repetition {
    fn facts(&self) -> Facts {
        Facts {
            name: "repetition",
            label: "Repetition",
            about: "runs of four words that an output has written before",
            range: Range::Waste,
        }
    }

    fn signature(&self, _references: ReferenceCount) -> String {
        format!("repetition|n:{REPEATED}|over:output|case:lc|tok:unicode|version:{VERSION}")
    }

    fn shape(&self) -> Shape {
        Shape::Values(1)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let output = work.words.of(WORDS, pair).output();
        let runs = total(output.len(), REPEATED);
        let distinct = work.ngrams.distinct(output, REPEATED);
        out[0] = if runs > 0 {
            (runs - distinct) as f64 / runs as f64
        } else {
            0.0
        };
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        score::mean(sums[0], samples)
    }

    fn needs_references(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::sentence;

    #[test]
    fn repetition_is_what_was_written_before() {
        assert_eq!(sentence(&Repetition, "a b c d e", &[]), 0.0);
        // six runs of four, of which `a b a b` comes three times and `b a b a` three times
        assert_eq!(sentence(&Repetition, "a b a b a b a b a", &[]), 4.0 / 6.0);
        assert_eq!(sentence(&Repetition, "", &[]), 0.0);
    }

    #[test]
    fn distinct_counts_words_of_any_script() {
        assert_eq!(sentence(&Distinct(1), "Año, año; niño!", &[]), 2.0 / 3.0);
        assert_eq!(sentence(&Distinct(2), "uno", &[]), 0.0);
    }
}
