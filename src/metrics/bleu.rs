//! BLEU (Papineni et al., 2002), as sacreBLEU 2.6 computes it: several references proper, and by
//! default the `13a` tokenizer of mteval-v13a, case kept, n-grams to order 4, exponential smoothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::text::{Mteval, Tokenization, total};
use super::{Facts, Metric, Pair, Range, ReferenceCount, Shape, VERSION, Workspace};

/// The longest n-gram.
const ORDER: usize = 4;

/// sacreBLEU's stand-in for the logarithm of zero.
const LOG_OF_ZERO: f64 = -9_999_999_999.0;

/// What is done about an order without a match (Chen and Cherry, 2014).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// Its matches count as `smooth_value`, 0.1 by default.
    Floor,
    /// `smooth_value`, 1 by default, is added to the matches and totals of orders above 1.
    AddK,
    /// Half a match, a quarter for the next such order, and so on: as mteval does.
    #[default]
    Exp,
}

/// How BLEU reads text and smooths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BleuSettings {
    /// How words are cut: `13a`, `intl`, `char` or `none`.
    pub tokenize: Mteval,
    /// What is done about an order without a match.
    pub smooth: Smoothing,
    /// The value that `floor` and `add-k` smooth with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub smooth_value: Option<f64>,
    /// Compare without case.
    pub lowercase: bool,
    /// Leave orders longer than the output out, for the corpus as well. For a sentence it is always done.
    pub effective_order: bool,
}

impl BleuSettings {
    fn smooth_value(&self) -> Option<f64> {
        match self.smooth {
            Smoothing::None | Smoothing::Exp => None,
            Smoothing::Floor => Some(self.smooth_value.unwrap_or(0.1)),
            Smoothing::AddK => Some(self.smooth_value.unwrap_or(1.0)),
        }
    }

    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let value = self.smooth_value?;
        if !value.is_finite() || value < 0.0 {
            return Some((
                "bleu.smooth_value",
                format!("{value} smooths nothing: give a number from 0 up"),
            ));
        }
        let unused = matches!(self.smooth, Smoothing::None | Smoothing::Exp);
        unused.then(|| {
            let message = "a smoothing value goes with `floor` or `add-k`";
            ("bleu.smooth_value", message.to_owned())
        })
    }
}

pub(super) struct Bleu(pub BleuSettings);

impl Metric for Bleu {
    fn facts(&self) -> Facts {
        Facts {
            name: "bleu",
            label: "BLEU",
            about: "runs of one to four words in common, with a penalty for brevity",
            range: Range::Percent,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let case = if self.0.lowercase { "lc" } else { "mixed" };
        let effective = if self.0.effective_order { "yes" } else { "no" };
        let tokenizer = self.0.tokenize.name();
        let smooth = match self.0.smooth {
            Smoothing::None => "none",
            Smoothing::Floor => "floor",
            Smoothing::AddK => "add-k",
            Smoothing::Exp => "exp",
        };
        let value = self
            .0
            .smooth_value()
            .map_or(String::new(), |value| format!("[{value:.2}]"));
        format!(
            "BLEU|nrefs:{references}|case:{case}|eff:{effective}|tok:{tokenizer}|smooth:{smooth}{value}|version:{VERSION}"
        )
    }

    /// Output words, closest reference's words, then matches and totals of each order.
    fn shape(&self) -> Shape {
        Shape::Counts(2 + 2 * ORDER)
    }

    fn statistics(&self, pair: Pair<'_>, work: &mut Workspace, out: &mut [f64]) {
        let words = work.words.of(
            Tokenization::Mteval {
                tokenizer: self.0.tokenize,
                lowercase: self.0.lowercase,
            },
            pair,
        );
        let length = words.output().len();
        let references = (0..words.references()).map(|index| words.reference(index));
        // the closest reference in length; of two as close, the shorter
        let lengths = references.clone().map(<[u32]>::len);
        let closest = lengths
            .min_by_key(|other| (other.abs_diff(length), *other))
            .unwrap_or(0);
        out[0] = length as f64;
        out[1] = closest as f64;
        work.ngrams.shared(words.output(), references, &mut out[2..2 + ORDER]);
        for n in 1..=ORDER {
            out[1 + ORDER + n] = total(length, n) as f64;
        }
    }

    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        self.of_counts(sums, self.0.effective_order).score
    }

    /// Orders longer than the output are left out, as sacreBLEU does for sentences.
    fn sentence(&self, statistics: &[f64]) -> f64 {
        self.of_counts(statistics, true).score
    }

    fn details(&self, sums: &[f64], _samples: usize) -> Map<String, Value> {
        let made = self.of_counts(sums, self.0.effective_order);
        let ratio = if sums[1] > 0.0 { sums[0] / sums[1] } else { 0.0 };
        Map::from_iter([
            ("precisions".to_owned(), json!(made.precisions)),
            ("brevity_penalty".to_owned(), json!(made.brevity)),
            ("length_ratio".to_owned(), json!(ratio)),
            ("output_words".to_owned(), json!(sums[0])),
            ("reference_words".to_owned(), json!(sums[1])),
        ])
    }
}

/// A score and what it is made of.
struct Made {
    score: f64,
    precisions: [f64; ORDER],
    brevity: f64,
}

impl Bleu {
    fn of_counts(&self, sums: &[f64], effective_order: bool) -> Made {
        let (output, reference) = (sums[0], sums[1]);
        let (matches, totals) = sums[2..].split_at(ORDER);
        let brevity = match () {
            () if output >= reference => 1.0,
            () if output > 0.0 => (1.0 - reference / output).exp(),
            () => 0.0,
        };
        let mut precisions = [0.0; ORDER];
        if matches.iter().all(|count| *count == 0.0) {
            return Made {
                score: 0.0,
                precisions,
                brevity,
            };
        }
        let value = self.0.smooth_value().unwrap_or(0.0);
        let mut order = ORDER;
        let mut halves = 1.0;
        for n in 0..ORDER {
            let more = if self.0.smooth == Smoothing::AddK && n > 0 {
                value
            } else {
                0.0
            };
            let (matched, total) = (matches[n] + more, totals[n] + more);
            if total == 0.0 {
                break;
            }
            if effective_order {
                order = n + 1;
            }
            precisions[n] = match self.0.smooth {
                _ if matched > 0.0 => 100.0 * matched / total,
                Smoothing::Exp => {
                    halves *= 2.0;
                    100.0 / (halves * total)
                }
                Smoothing::Floor => 100.0 * value / total,
                Smoothing::None | Smoothing::AddK => 0.0,
            };
        }
        let logs = precisions[..order].iter();
        let sum: f64 = logs.map(|p: &f64| if *p == 0.0 { LOG_OF_ZERO } else { p.ln() }).sum();
        Made {
            score: brevity * (sum / order as f64).exp(),
            precisions,
            brevity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::statistics;

    #[test]
    fn nothing_in_common_is_zero_and_never_nan() {
        for smooth in [Smoothing::None, Smoothing::Floor, Smoothing::AddK, Smoothing::Exp] {
            let bleu = Bleu(BleuSettings {
                smooth,
                ..Default::default()
            });
            let zero = statistics(&bleu, "", &["some words"]);
            assert_eq!(bleu.corpus(&zero, 1), 0.0);
            assert_eq!(bleu.sentence(&zero), 0.0);
        }
        // too short for an order of 4: the corpus score is 0, the sentence's is not
        let bleu = Bleu(BleuSettings::default());
        let short = statistics(&bleu, "same words", &["same words"]);
        assert_eq!(bleu.corpus(&short, 1), 0.0);
        assert!((bleu.sentence(&short) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_smoothing_value_without_its_method_is_a_problem() {
        let settings = |smooth, value| BleuSettings {
            smooth,
            smooth_value: Some(value),
            ..Default::default()
        };
        assert!(settings(Smoothing::Exp, 0.1).problem().is_some());
        assert!(settings(Smoothing::Floor, f64::NAN).problem().is_some());
        assert!(settings(Smoothing::Floor, 0.1).problem().is_none());
    }
}
