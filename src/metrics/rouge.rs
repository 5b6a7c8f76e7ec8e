//! ROUGE (Lin, 2004), as the Python package rouge-score 0.1.2 defines it, without its stemmer.
//!
//! The F-measure of overlapping n-grams (`rouge1`, `rouge2`), of the longest common subsequence
//! (`rougeL`), and of the union of those of each line (`rougeLsum`). With several references the
//! best counts; a corpus's score is the mean over its samples.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ngrams;
use super::rouge_lcs::{common_length, is_inside, union_positions};
use super::{Facts, Metric, Range, ReferenceCount};

/// The metrics of this file.
pub(super) const NAMES: &[&str] = &["rouge1", "rouge2", "rougeL", "rougeLsum"];

/// How ROUGE splits text into words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RougeWords {
    /// As rouge-score does: runs of a-z and 0-9. Any other letter separates words, so `mañana` is
    /// `ma` and `ana`: comparable with published figures.
    #[default]
    Ascii,
    /// Runs of letters and digits of any script: right for Spanish and every language but English.
    Unicode,
}

impl RougeWords {
    fn split(self, text: &str) -> Vec<String> {
        let inside = |c: char| match self {
            Self::Ascii => c.is_ascii_alphanumeric(),
            Self::Unicode => is_inside(c),
        };
        let lower = text.to_lowercase();
        let words = lower.split(|c| !inside(c)).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }
}

#[derive(Clone, Copy)]
enum Form {
    Ngrams(usize),
    Sequence,
    Lines,
}

struct Rouge {
    form: Form,
    words: RougeWords,
}

/// The metrics of this file, in order of [`NAMES`].
pub(super) fn all(words: RougeWords) -> impl Iterator<Item = Box<dyn Metric>> {
    [Form::Ngrams(1), Form::Ngrams(2), Form::Sequence, Form::Lines]
        .into_iter()
        .map(move |form| Box::new(Rouge { form, words }) as Box<dyn Metric>)
}

impl Metric for Rouge {
    fn facts(&self) -> Facts {
        let (name, label, about) = match self.form {
            Form::Ngrams(1) => ("rouge1", "ROUGE-1", "words in common with the reference"),
            Form::Ngrams(_) => ("rouge2", "ROUGE-2", "pairs of neighbouring words in common"),
            Form::Sequence => ("rougeL", "ROUGE-L", "the longest common subsequence of words"),
            Form::Lines => (
                "rougeLsum",
                "ROUGE-Lsum",
                "the longest common subsequences, line by line",
            ),
        };
        Facts {
            name,
            label,
            about,
            range: Range::Fraction,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let words = match self.words {
            RougeWords::Ascii => "ascii",
            RougeWords::Unicode => "unicode",
        };
        let name = self.facts().name;
        format!("{name}|f|nrefs:{references}|stem:no|tok:{words}|version:rouge-score-0.1.2")
    }

    fn statistics(&self, output: &str, references: &[String]) -> Vec<f64> {
        let scores = references.iter().map(|reference| match self.form {
            Form::Ngrams(n) => by_ngrams(&self.words.split(reference), &self.words.split(output), n),
            Form::Sequence => by_sequence(&self.words.split(reference), &self.words.split(output)),
            Form::Lines => by_lines(&self.lines(reference), &self.lines(output)),
        });
        vec![scores.fold(0.0, f64::max)]
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        super::score::mean(sums[0], samples)
    }
}

impl Rouge {
    fn lines(&self, text: &str) -> Vec<Vec<String>> {
        let lines = text.split('\n').filter(|line| !line.is_empty());
        lines.map(|line| self.words.split(line)).collect()
    }
}

/// The harmonic mean of precision and recall, from counts; 0 where nothing is in common.
fn f_measure(hits: usize, output: usize, reference: usize) -> f64 {
    if hits == 0 || output == 0 || reference == 0 {
        return 0.0;
    }
    let precision = hits as f64 / output as f64;
    let recall = hits as f64 / reference as f64;
    2.0 * precision * recall / (precision + recall)
}

fn by_ngrams(reference: &[String], output: &[String], n: usize) -> f64 {
    let hits = ngrams::overlap(&ngrams::count(reference, n), &ngrams::count(output, n));
    f_measure(
        hits as usize,
        ngrams::total(output.len(), n),
        ngrams::total(reference.len(), n),
    )
}

fn by_sequence(reference: &[String], output: &[String]) -> f64 {
    f_measure(common_length(reference, output), output.len(), reference.len())
}

/// Summary-level ROUGE-L (section 3.2 of the paper), each word counted at most as often as it is in
/// both texts, as version 1.5.5 of the original does.
fn by_lines(reference: &[Vec<String>], output: &[Vec<String>]) -> f64 {
    let left = |lines: &[Vec<String>]| {
        let mut counts: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
        for word in lines.iter().flatten() {
            *counts.entry(Cow::Owned(word.clone())).or_default() += 1;
        }
        counts
    };
    let (mut in_reference, mut in_output) = (left(reference), left(output));
    let mut hits = 0;
    for line in reference {
        for position in union_positions(line, output) {
            let word = line[position].as_str();
            let (Some(there), Some(here)) = (in_reference.get_mut(word), in_output.get_mut(word)) else {
                continue;
            };
            if *there > 0 && *here > 0 {
                hits += 1;
                *there -= 1;
                *here -= 1;
            }
        }
    }
    f_measure(
        hits,
        output.iter().map(Vec::len).sum(),
        reference.iter().map(Vec::len).sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, words: RougeWords, output: &str, references: &[&str]) -> f64 {
        let references: Vec<_> = references.iter().map(|text| (*text).to_owned()).collect();
        let metric = all(words).find(|metric| metric.facts().name == name).unwrap();
        metric.sentence(&metric.statistics(output, &references))
    }

    /// Hand-checked: of the 5 and 6 words `luke yo tu padre` are in common, in order.
    #[test]
    fn luke_has_high_overlap_and_another_meaning() {
        let pair = ("Luke, yo soy tu padre", ["Luke, yo mate a tu padre"]);
        let f = 2.0 * (4.0 / 5.0) * (4.0 / 6.0) / (4.0 / 5.0 + 4.0 / 6.0);
        assert_eq!(score("rouge1", RougeWords::Ascii, pair.0, &pair.1), f);
        assert_eq!(score("rougeL", RougeWords::Ascii, pair.0, &pair.1), f);
        // `luke yo` and `tu padre`, of 4 and 5 pairs
        let f = 2.0 * (2.0 / 4.0) * (2.0 / 5.0) / (2.0 / 4.0 + 2.0 / 5.0);
        assert_eq!(score("rouge2", RougeWords::Ascii, pair.0, &pair.1), f);
    }

    #[test]
    fn ascii_words_cut_at_accents_and_unicode_words_do_not() {
        assert_eq!(
            RougeWords::Ascii.split("El niño, ¡mañana!"),
            ["el", "ni", "o", "ma", "ana"]
        );
        assert_eq!(RougeWords::Unicode.split("El niño, ¡mañana!"), ["el", "niño", "mañana"]);
        assert_eq!(score("rouge1", RougeWords::Unicode, "año", &["ano"]), 0.0);
        assert_eq!(score("rouge1", RougeWords::Unicode, "AÑO", &["año"]), 1.0);
    }

    #[test]
    fn the_best_reference_counts() {
        assert_eq!(score("rouge1", RougeWords::Ascii, "a b", &["c d", "a b", "a c"]), 1.0);
    }
}
