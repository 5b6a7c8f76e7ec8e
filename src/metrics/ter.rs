//! TER (Snover et al., 2006), as sacreBLEU 2.6 computes it after Tercom: the least edits, shifts of
//! whole phrases among them, that turn the output into a reference, over the references' mean length.

use super::shifts;
use super::text::{Tercom, Tokenization};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace};
use serde_json::{Map, Value, json};

pub(super) struct Ter(pub Tercom);

impl Metric for Ter {
    fn facts(&self) -> Facts {
        Facts {
            name: "ter",
            label: "TER",
            about: "edits of words, and shifts of phrases, that turn the output into a reference",
            range: Range::ErrorRate,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let yes = |setting| if setting { "yes" } else { "no" };
        let case = if self.0.case_sensitive { "mixed" } else { "lc" };
        let (norm, punct, asian) = (yes(self.0.normalized), yes(!self.0.no_punct), yes(self.0.asian_support));
        format!(
            "TER|nrefs:{references}|case:{case}|tok:tercom|norm:{norm}|punct:{punct}|asian:{asian}|version:{VERSION}"
        )
    }

    /// Edits to the closest reference, and the mean length of all.
    fn shape(&self) -> Shape {
        Shape::Values(2)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let words = work.words.of(Tokenization::Tercom(self.0), pair);
        let references = (0..words.references()).map(|index| words.reference(index));
        let lengths: usize = references.clone().map(<[u32]>::len).sum();
        let edits = references.map(|reference| shifts::edits(words.output(), reference, &mut work.edits));
        out[0] = edits.min().unwrap_or(0) as f64;
        out[1] = lengths as f64 / words.references() as f64;
    }

    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        match (sums[0], sums[1]) {
            (edits, words) if words > 0.0 => 100.0 * (edits / words),
            (edits, _) if edits > 0.0 => 100.0,
            _ => 0.0,
        }
    }

    fn details(&self, sums: &[f64], _samples: usize) -> Map<String, Value> {
        Map::from_iter([
            ("edits".to_owned(), json!(sums[0])),
            ("reference_words".to_owned(), json!(sums[1])),
        ])
    }
}
