//! Token F1 (Rajpurkar et al., 2016): the words that an answer and a reference share, as the harmonic
//! mean of precision and recall; of several references the best. A corpus's score is the mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Tokenization;
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace, score};

/// How token F1 splits text into words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerWords {
    /// As SQuAD does: white space, without case, ASCII punctuation and the articles *a*, *an*, *the*.
    #[default]
    Squad,
    /// Lower-cased runs of letters and digits of any script, articles kept: right for Spanish.
    Unicode,
}

/// How token F1 reads text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenF1Settings {
    /// What a word is.
    pub words: AnswerWords,
}

pub(super) struct TokenF1(pub TokenF1Settings);

impl Metric for TokenF1 {
    fn facts(&self) -> Facts {
        Facts {
            name: "token_f1",
            label: "Token F1",
            about: "words that an answer shares with a reference, in any order",
            range: Range::Fraction,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let words = match self.0.words {
            AnswerWords::Squad => "squad",
            AnswerWords::Unicode => "unicode",
        };
        format!("token_f1|nrefs:{references}|case:lc|tok:{words}|version:{VERSION}")
    }

    fn shape(&self) -> Shape {
        Shape::Values(1)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let tokenization = match self.0.words {
            AnswerWords::Squad => Tokenization::Squad,
            AnswerWords::Unicode => Tokenization::Alphanumeric {
                unicode: true,
                stem: false,
            },
        };
        let words = work.words.of(tokenization, pair);
        let output = words.output();
        let mut best = 0f64;
        for index in 0..words.references() {
            let reference = words.reference(index);
            let mut shared = [0.0];
            work.ngrams.shared(output, std::iter::once(reference), &mut shared);
            let f1 = match (output.len(), reference.len()) {
                // no answer is right where none is wanted (as in SQuAD 2.0), and then only
                (0, 0) => 1.0,
                (here, there) if shared[0] > 0.0 => {
                    let (precision, recall) = (shared[0] / here as f64, shared[0] / there as f64);
                    2.0 * precision * recall / (precision + recall)
                }
                _ => 0.0,
            };
            best = best.max(f1);
        }
        out[0] = best;
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        score::mean(sums[0], samples)
    }
}
