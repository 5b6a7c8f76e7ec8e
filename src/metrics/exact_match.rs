//! Exact match: the output is one of the references, but for white space around it.

use super::{Facts, Metric, Range, ReferenceCount, score, words};

pub(super) struct ExactMatch;

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
        format!("exact_match|nrefs:{references}|case:mixed|trim:space|version:1")
    }

    fn statistics(&self, output: &str, references: &[String]) -> Vec<f64> {
        let output = words::strip(output);
        let hit = references.iter().any(|reference| words::strip(reference) == output);
        vec![f64::from(u8::from(hit))]
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        score::mean(sums[0], samples)
    }
}
