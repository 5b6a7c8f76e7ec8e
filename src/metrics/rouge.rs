//! ROUGE (Lin, 2004), as the Python package rouge-score 0.1.2 defines it.
//!
//! Precision, recall and F-measure of overlapping n-grams (`rouge1` to `rouge9`), of the longest
//! common subsequence (`rougeL`), and of the union of those of each line (`rougeLsum`). A corpus's
//! score is the mean over its samples.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::score::mean;
use super::text::{Lcs, Tokenization, total};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace};

/// The members of the group `rouge`.
pub(super) const USUAL: &[&str] = &["rouge1", "rouge2", "rougeL", "rougeLsum"];

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

/// What ROUGE makes of a word before it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stemmer {
    /// Words as they are.
    #[default]
    None,
    /// Words of more than three letters without their English endings: what most papers report.
    Porter,
}

/// What ROUGE does with several references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RougeReferences {
    /// The reference with the highest F-measure counts, as in rouge-score.
    #[default]
    Best,
    /// The mean over all references.
    Average,
}

/// How ROUGE reads text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RougeSettings {
    /// What a word is. `ascii` gives the figures of the rouge-score package, which cut words at
    /// accents; `unicode` is right for Spanish.
    pub words: RougeWords,
    /// Whether English endings are left aside.
    pub stemmer: Stemmer,
    /// Which of several references counts.
    pub references: RougeReferences,
}

#[derive(Clone, Copy)]
enum Form {
    Ngrams(usize),
    Sequence,
    Lines,
}

const LONGEST: usize = 9;

/// `(name, label)` of each order.
const ORDERS: [(&str, &str); LONGEST] = [
    ("rouge1", "ROUGE-1"),
    ("rouge2", "ROUGE-2"),
    ("rouge3", "ROUGE-3"),
    ("rouge4", "ROUGE-4"),
    ("rouge5", "ROUGE-5"),
    ("rouge6", "ROUGE-6"),
    ("rouge7", "ROUGE-7"),
    ("rouge8", "ROUGE-8"),
    ("rouge9", "ROUGE-9"),
];

struct Rouge {
    form: Form,
    settings: RougeSettings,
}

/// The metrics of this file.
pub(super) fn all(settings: RougeSettings) -> impl Iterator<Item = Arc<dyn Metric>> {
    let ngrams = (1..=LONGEST).map(Form::Ngrams);
    ngrams
        .chain([Form::Sequence, Form::Lines])
        .map(move |form| Arc::new(Rouge { form, settings }) as Arc<dyn Metric>)
}

impl Metric for Rouge {
    fn facts(&self) -> Facts {
        let (name, label, about) = match self.form {
            Form::Ngrams(n) => {
                let about = match n {
                    1 => "words in common with the reference",
                    2 => "pairs of neighbouring words in common",
                    _ => "longer runs of words in common",
                };
                (ORDERS[n - 1].0, ORDERS[n - 1].1, about)
            }
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
        let words = match self.settings.words {
            RougeWords::Ascii => "ascii",
            RougeWords::Unicode => "unicode",
        };
        let stem = match self.settings.stemmer {
            Stemmer::None => "no",
            Stemmer::Porter => "porter",
        };
        let which = match self.settings.references {
            RougeReferences::Best => "best",
            RougeReferences::Average => "average",
        };
        let name = self.facts().name;
        format!("{name}|f|nrefs:{references}|refs:{which}|stem:{stem}|tok:{words}|version:{VERSION}")
    }

    /// Precision, recall and F-measure.
    fn shape(&self) -> Shape {
        Shape::Values(3)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let words = work.words.of(
            Tokenization::Alphanumeric {
                unicode: self.settings.words == RougeWords::Unicode,
                stem: self.settings.stemmer == Stemmer::Porter,
            },
            pair,
        );
        let output = words.output();
        out.fill(0.0);
        for index in 0..words.references() {
            let reference = words.reference(index);
            let (hits, here, there) = match self.form {
                Form::Ngrams(n) => {
                    let mut shared = [0.0; LONGEST];
                    work.ngrams.shared(output, std::iter::once(reference), &mut shared[..n]);
                    (shared[n - 1], total(output.len(), n), total(reference.len(), n))
                }
                Form::Sequence => {
                    let length = work.lcs.length(reference, output);
                    (length as f64, output.len(), reference.len())
                }
                Form::Lines => {
                    let (lines, others) = (words.reference_lines(index), words.output_lines());
                    let hits = by_lines([reference, output], lines, others, &mut work.lcs, &mut work.tally);
                    (hits as f64, output.len(), reference.len())
                }
            };
            let values = figures(hits, here, there);
            match self.settings.references {
                RougeReferences::Best if index == 0 || values[2] > out[2] => out.copy_from_slice(&values),
                RougeReferences::Best => {}
                RougeReferences::Average => {
                    for (mean, value) in out.iter_mut().zip(values) {
                        *mean += value / words.references() as f64;
                    }
                }
            }
        }
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        mean(sums[2], samples)
    }

    fn details(&self, sums: &[f64], samples: usize) -> Map<String, Value> {
        Map::from_iter([
            ("precision".to_owned(), json!(mean(sums[0], samples))),
            ("recall".to_owned(), json!(mean(sums[1], samples))),
        ])
    }
}

/// Precision, recall and their harmonic mean; 0 where nothing is in common.
fn figures(hits: f64, output: usize, reference: usize) -> [f64; 3] {
    if hits == 0.0 {
        return [0.0; 3];
    }
    let (precision, recall) = (hits / output as f64, hits / reference as f64);
    [precision, recall, 2.0 * precision * recall / (precision + recall)]
}

/// What counting common words line by line needs, kept from sample to sample.
#[derive(Default)]
pub(super) struct Tally {
    /// How often each word is left to be found in the reference and in the output; zero between calls.
    left: Vec<[u32; 2]>,
    /// Whether each word of a line was found.
    found: Vec<bool>,
}

/// Summary-level ROUGE-L (section 3.2 of the paper), each word counted at most as often as it is in
/// both texts, as version 1.5.5 of the original does.
fn by_lines<'a>(
    [reference, output]: [&'a [u32]; 2],
    reference_lines: impl Iterator<Item = &'a [u32]>,
    output_lines: impl Iterator<Item = &'a [u32]> + Clone,
    lcs: &mut Lcs,
    Tally { left, found }: &mut Tally,
) -> usize {
    let most = reference.iter().chain(output).max().map_or(0, |most| *most as usize);
    if left.len() <= most {
        left.resize(most + 1, [0; 2]);
    }
    reference.iter().for_each(|word| left[*word as usize][0] += 1);
    output.iter().for_each(|word| left[*word as usize][1] += 1);
    let mut hits = 0;
    for line in reference_lines {
        found.clear();
        found.resize(line.len(), false);
        for other in output_lines.clone() {
            lcs.positions(line, other, |position| found[position] = true);
        }
        for (word, _) in line.iter().zip(&*found).filter(|(_, found)| **found) {
            let [there, here] = &mut left[*word as usize];
            if *there > 0 && *here > 0 {
                hits += 1;
                *there -= 1;
                *here -= 1;
            }
        }
    }
    reference
        .iter()
        .chain(output)
        .for_each(|word| left[*word as usize] = [0; 2]);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::sentence;

    fn score(name: &str, words: RougeWords, output: &str, references: &[&str]) -> f64 {
        let settings = RougeSettings {
            words,
            ..Default::default()
        };
        let metric = all(settings).find(|metric| metric.facts().name == name).unwrap();
        sentence(metric.as_ref(), output, references)
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
            score("rouge1", RougeWords::Ascii, "El niño, ¡mañana!", &["el ni o ma ana"]),
            1.0
        );
        assert_eq!(score("rouge1", RougeWords::Unicode, "año", &["ano"]), 0.0);
        assert_eq!(score("rouge1", RougeWords::Unicode, "AÑO", &["¡año!"]), 1.0);
    }

    #[test]
    fn the_best_reference_counts_or_all_do() {
        assert_eq!(score("rouge1", RougeWords::Ascii, "a b", &["c d", "a b", "a c"]), 1.0);
        let settings = RougeSettings {
            references: RougeReferences::Average,
            ..Default::default()
        };
        let rouge1 = all(settings).next().unwrap();
        assert_eq!(sentence(rouge1.as_ref(), "a b", &["c d", "a b", "a c"]), 0.5);
    }
}
