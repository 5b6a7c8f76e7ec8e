//! Exact match: the output is one of the references, but for white space around it; or, normalized
//! as SQuAD's evaluation does, but for case, punctuation and articles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{Tokenization, strip};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace, score};

/// What is left aside before texts are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// White space around the text.
    #[default]
    None,
    /// Case, ASCII punctuation, the articles *a*, *an*, *the*, and runs of white space, as SQuAD does.
    Squad,
}

/// What an exact match leaves aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExactMatchSettings {
    /// What is left aside before texts are compared.
    pub normalize: Normalization,
}

pub(super) struct ExactMatch(pub ExactMatchSettings);

impl Metric for ExactMatch {
    fn facts(&self) -> Facts {
        Facts {
            name: "exact_match",
            label: "Exact match",
            about: "outputs that are a reference, character by character",
            range: Range::Fraction,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        match self.0.normalize {
            Normalization::None => format!("exact_match|nrefs:{references}|case:mixed|trim:space|version:{VERSION}"),
            Normalization::Squad => format!("exact_match|nrefs:{references}|case:lc|norm:squad|version:{VERSION}"),
        }
    }

    fn shape(&self) -> Shape {
        Shape::Counts(1)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let hit = match self.0.normalize {
            Normalization::None => {
                let output = strip(pair.output);
                pair.references.iter().any(|reference| strip(reference) == output)
            }
            Normalization::Squad => {
                let words = work.words.of(Tokenization::Squad, pair);
                (0..words.references()).any(|index| words.reference(index) == words.output())
            }
        };
        out[0] = f64::from(u8::from(hit));
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        score::mean(sums[0], samples)
    }
}
