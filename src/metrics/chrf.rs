//! chrF (Popović, 2015) and chrF++ (Popović, 2017), as sacreBLEU 2.6 computes them: the F-measure,
//! by default with recall counted twice, of character n-grams to order 6 without white space;
//! `chrf++` adds words and pairs of words. With several references the best one's counts are taken.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{Tokenization, push_lower, split, total};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace};

/// The words in an n-gram of chrF++, at most.
const PLUS_PLUS: usize = 2;

/// sacreBLEU's stand-in for nothing.
const EPSILON: f64 = 1e-16;

/// What chrF counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChrfSettings {
    /// The longest run of characters.
    #[schemars(range(min = 1, max = 20))]
    pub char_order: usize,
    /// The longest run of words that `chrf` counts besides; `chrf++` always counts two.
    #[schemars(range(max = 20))]
    pub word_order: usize,
    /// How much more recall counts than precision.
    #[schemars(range(min = 1, max = 1000))]
    pub beta: u32,
    /// Compare without case.
    pub lowercase: bool,
    /// Count white space as characters.
    pub whitespace: bool,
    /// Count an order that one of the texts is too short for, as almost nothing, as chrF++.py does,
    /// instead of leaving it out.
    pub eps_smoothing: bool,
}

impl Default for ChrfSettings {
    fn default() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 2,
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

impl ChrfSettings {
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        match self {
            Self { char_order: 0, .. } => Some((
                "chrf.char_order",
                "chrF needs runs of at least one character".to_owned(),
            )),
            Self { beta: 0, .. } => Some(("chrf.beta", "with a beta of 0 recall would not count".to_owned())),
            Self {
                char_order, word_order, ..
            } if *char_order > 20 || *word_order > 20 => {
                Some(("chrf", "runs of more than 20 are not counted".to_owned()))
            }
            _ => None,
        }
    }
}

struct Chrf {
    settings: ChrfSettings,
    name: &'static str,
}

/// The metrics of this file.
pub(super) fn all(settings: ChrfSettings) -> impl Iterator<Item = Arc<dyn Metric>> {
    let plus = ChrfSettings {
        word_order: PLUS_PLUS,
        ..settings
    };
    [("chrf", settings), ("chrf++", plus)]
        .into_iter()
        .map(|(name, settings)| Arc::new(Chrf { settings, name }) as Arc<dyn Metric>)
}

/// The characters of one sample's texts, for all metrics that read them alike.
#[derive(Default)]
pub(super) struct Characters {
    text: String,
    output: Vec<u32>,
    reference: Vec<u32>,
    counts: Vec<f64>,
}

impl Metric for Chrf {
    fn facts(&self) -> Facts {
        let (label, about) = match self.name {
            "chrf" => ("chrF", "runs of one to six characters in common"),
            _ => ("chrF++", "runs of characters and of words in common"),
        };
        Facts {
            name: self.name,
            label,
            about,
            range: Range::Percent,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let ChrfSettings {
            char_order,
            word_order,
            beta,
            lowercase,
            whitespace,
            eps_smoothing,
        } = self.settings;
        let plus = "+".repeat(word_order);
        let case = if lowercase { "lc" } else { "mixed" };
        let effective = if eps_smoothing { "no" } else { "yes" };
        let space = if whitespace { "yes" } else { "no" };
        format!(
            "chrF{beta}{plus}|nrefs:{references}|case:{case}|eff:{effective}|nc:{char_order}|nw:{word_order}\
             |space:{space}|version:{VERSION}"
        )
    }

    /// For each order: n-grams of the output, of the reference, and in common.
    fn shape(&self) -> Shape {
        Shape::Counts(3 * (self.settings.char_order + self.settings.word_order))
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let ChrfSettings {
            char_order,
            word_order,
            lowercase,
            ..
        } = self.settings;
        let Workspace {
            words,
            ngrams,
            characters,
            ..
        } = work;
        let words = (word_order > 0).then(|| words.of(Tokenization::Chrf { lowercase }, pair));
        self.characters(pair.output, &mut characters.text, &mut characters.output);
        out.fill(0.0);
        let mut best = -1.0;
        for (index, text) in pair.references.iter().enumerate() {
            self.characters(text, &mut characters.text, &mut characters.reference);
            let Characters {
                output,
                reference,
                counts,
                ..
            } = characters;
            counts.clear();
            let mut add = |output: &[u32], reference: &[u32], orders: usize| {
                let mut shared = [0.0; 20];
                ngrams.shared(output, std::iter::once(reference), &mut shared[..orders]);
                for (n, shared) in (1..).zip(&shared[..orders]) {
                    let there = total(reference.len(), n);
                    // without an n-gram in the reference, those of the output are not held against it
                    let here = if there == 0 { 0 } else { total(output.len(), n) };
                    counts.extend([here as f64, there as f64, *shared]);
                }
            };
            add(output, reference, char_order);
            if let Some(words) = words {
                add(words.output(), words.reference(index), word_order);
            }
            let score = self.corpus(counts, 1);
            if score > best {
                best = score;
                out.copy_from_slice(counts);
            }
        }
    }

    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        let weight = f64::from(self.settings.beta * self.settings.beta);
        let orders = sums.chunks_exact(3).map(|order| (order[0], order[1], order[2]));
        if self.settings.eps_smoothing {
            let scores = orders.map(|(here, there, shared)| {
                let precision = if here > 0.0 { shared / here } else { EPSILON };
                let recall = if there > 0.0 { shared / there } else { EPSILON };
                let below = weight * precision + recall;
                if below > 0.0 {
                    (1.0 + weight) * precision * recall / below
                } else {
                    EPSILON
                }
            });
            return 100.0 * scores.sum::<f64>() / (sums.len() / 3) as f64;
        }
        let (mut precision, mut recall, mut effective) = (0.0, 0.0, 0.0);
        for (here, there, shared) in orders {
            if here > 0.0 && there > 0.0 {
                precision += shared / here;
                recall += shared / there;
                effective += 1.0;
            }
        }
        if effective == 0.0 || precision + recall == 0.0 {
            return 0.0;
        }
        precision /= effective;
        recall /= effective;
        100.0 * ((1.0 + weight) * precision * recall / (weight * precision + recall))
    }
}

impl Chrf {
    /// A text's characters as numbers.
    fn characters(&self, text: &str, lower: &mut String, to: &mut Vec<u32>) {
        let text = if self.settings.lowercase {
            lower.clear();
            push_lower(text, lower);
            &*lower
        } else {
            text
        };
        to.clear();
        if self.settings.whitespace {
            to.extend(text.chars().map(u32::from));
        } else {
            to.extend(split(text).flat_map(str::chars).map(u32::from));
        }
    }
}
