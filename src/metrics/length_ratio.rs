//! Length ratio: the words of all outputs over those of the references, the closest in length where
//! there are several. Below 1 a system says too little, above too much.

use super::text::{Mteval, Tokenization};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace};

pub(super) struct LengthRatio;

impl Metric for LengthRatio {
    fn facts(&self) -> Facts {
        Facts {
            name: "length_ratio",
            label: "Length ratio",
            about: "words of the outputs over words of the references; 1 is as long",
            range: Range::Ratio,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        format!("length_ratio|nrefs:{references}|refs:closest|tok:space|version:{VERSION}")
    }

    /// Words of the output and of the closest reference.
    fn shape(&self) -> Shape {
        Shape::Counts(2)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let tokenization = Tokenization::Mteval {
            tokenizer: Mteval::None,
            lowercase: false,
        };
        let words = work.words.of(tokenization, pair);
        let here = words.output().len();
        let there = (0..words.references()).map(|index| words.reference(index).len());
        out[0] = here as f64;
        out[1] = there.min_by_key(|there| (there.abs_diff(here), *there)).unwrap_or(0) as f64;
    }

    /// Where no reference has a word, 1 for outputs that have none either; else the words of the
    /// outputs, as if there were one word to say: never an infinite number.
    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        match (sums[0], sums[1]) {
            (0.0, 0.0) => 1.0,
            (here, there) => here / there.max(1.0),
        }
    }
}
