//! Accuracy: right predictions over all predictions. A prediction is right when it is one of the
//! references but for case, runs of white space, and punctuation around it: what a classifier's or
//! a short answer's reader would accept.

use super::text::split;
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace, score};

pub(super) struct Accuracy;

impl Metric for Accuracy {
    fn facts(&self) -> Facts {
        Facts {
            name: "accuracy",
            label: "Accuracy",
            about: "right predictions over all, case and outer punctuation aside",
            range: Range::Fraction,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        format!("accuracy|nrefs:{references}|case:lower|trim:space,punctuation|version:{VERSION}")
    }

    fn shape(&self) -> Shape {
        Shape::Counts(1)
    }

    fn statistics(&self, pair: Pair<'_>, _work: &mut Workspace, out: &mut [f64]) {
        let output = normal(pair.output);
        let hit = pair.references.iter().any(|reference| normal(reference) == output);
        out[0] = f64::from(u8::from(hit));
    }

    fn corpus(&self, sums: &[f64], samples: usize) -> f64 {
        score::mean(sums[0], samples)
    }
}

/// A text without case, runs of white space and outer punctuation. A text of nothing but
/// punctuation stays as it is: `?` is not `!`.
pub(super) fn normal(text: &str) -> String {
    let lower = text.to_lowercase();
    let text = split(&lower).collect::<Vec<_>>().join(" ");
    let inner = text
        .trim_matches(|c: char| !c.is_alphanumeric() && !is_symbol(c))
        .trim();
    if inner.is_empty() { text } else { inner.to_owned() }
}

/// What carries meaning although it is no letter: signs before numbers, currency, degrees.
fn is_symbol(c: char) -> bool {
    matches!(
        c,
        '+' | '-' | '−' | '%' | '$' | '€' | '£' | '°' | '#' | '@' | '=' | '<' | '>'
    ) || (c > '\u{2fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::sentence;

    #[test]
    fn a_reader_would_accept_it() {
        let right = |output: &str, reference: &str| sentence(&Accuracy, output, &[reference]) == 1.0;
        assert!(right(" Positive.", "positive"));
        assert!(right("¿Qué  tal?", "qué tal"));
        assert!(!right("-5", "5"));
        assert!(!right("?", "!"));
        assert!(!right("Luke, yo soy tu padre", "Luke, yo mate a tu padre"));
    }
}
