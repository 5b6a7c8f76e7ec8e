//! BLEU (Papineni et al., 2002), as sacreBLEU 2.6 computes it by default: the `13a` tokenizer of
//! mteval-v13a, case kept, n-grams to order 4, exponential smoothing, several references proper.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::{Facts, Metric, Range, ReferenceCount, ngrams, words};

/// The longest n-gram.
const ORDER: usize = 4;

/// sacreBLEU's stand-in for the logarithm of zero.
const LOG_OF_ZERO: f64 = -9_999_999_999.0;

pub(super) struct Bleu;

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
        format!("BLEU|nrefs:{references}|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0")
    }

    /// Output words, closest reference's words, then matches and totals of each order.
    fn statistics(&self, output: &str, references: &[String]) -> Vec<f64> {
        let output = tokenize(output);
        let references: Vec<_> = references.iter().map(|text| tokenize(text)).collect();
        // the closest reference in length; of two as close, the shorter
        let closest = references
            .iter()
            .map(Vec::len)
            .min_by_key(|length| (length.abs_diff(output.len()), *length))
            .unwrap_or(0);
        let mut statistics = vec![output.len() as f64, closest as f64];
        let counted = (1..=ORDER).map(|n| {
            let mut most: HashMap<&[String], u32> = HashMap::new();
            for reference in &references {
                for (ngram, count) in ngrams::count(reference, n) {
                    let seen = most.entry(ngram).or_insert(0);
                    *seen = count.max(*seen);
                }
            }
            f64::from(ngrams::overlap(&ngrams::count(&output, n), &most))
        });
        statistics.extend(counted);
        statistics.extend((1..=ORDER).map(|n| ngrams::total(output.len(), n) as f64));
        statistics
    }

    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        from_counts(sums, false)
    }

    /// Orders longer than the output are left out (`effective_order`), as sacreBLEU does for sentences.
    fn sentence(&self, statistics: &[f64]) -> f64 {
        from_counts(statistics, true)
    }
}

fn from_counts(sums: &[f64], effective_order: bool) -> f64 {
    let (output, reference) = (sums[0], sums[1]);
    let (matches, totals) = sums[2..].split_at(ORDER);
    if matches.iter().all(|count| *count == 0.0) {
        return 0.0;
    }
    let brevity = if output < reference {
        (1.0 - reference / output).exp()
    } else {
        1.0
    };
    let mut precisions = [0.0; ORDER];
    let mut order = ORDER;
    let mut smoothing = 1.0;
    for n in 0..ORDER {
        if totals[n] == 0.0 {
            break;
        }
        if effective_order {
            order = n + 1;
        }
        precisions[n] = if matches[n] == 0.0 {
            smoothing *= 2.0;
            100.0 / (smoothing * totals[n])
        } else {
            100.0 * matches[n] / totals[n]
        };
    }
    let logs = precisions[..order].iter();
    let sum: f64 = logs.map(|p: &f64| if *p == 0.0 { LOG_OF_ZERO } else { p.ln() }).sum();
    brevity * (sum / order as f64).exp()
}

/// The `13a` tokenizer: what mteval-v13a does to text in Western languages.
fn tokenize(text: &str) -> Vec<String> {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        let rule = |pattern: &str, by| (Regex::new(pattern).expect("the pattern is constant"), by);
        [
            // punctuation and symbols, but not comma, hyphen and full stop
            rule(r##"([{-~\[-` -&(-+:-@/])"##, " ${1} "),
            // a full stop or comma is part of a number only after a digit ...
            rule(r"([^0-9])([.,])", "${1} ${2} "),
            // ... and before one
            rule(r"([.,])([^0-9])", " ${1} ${2}"),
            // a dash after a digit
            rule(r"([0-9])(-)", "${1} ${2} "),
        ]
    });
    let text = text.trim_end_matches(words::is_space);
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            text = text.replace(entity, character);
        }
    }
    let mut text = format!(" {text} ");
    for (pattern, by) in RULES.iter() {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    words::split(&text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_points_and_words_lose_theirs() {
        assert_eq!(
            tokenize("It's 3.5, not 1,000-2; \"ok\" &amp; done."),
            [
                "It's", "3.5", ",", "not", "1,000", "-", "2", ";", "\"", "ok", "\"", "&", "done", "."
            ]
        );
    }

    #[test]
    fn nothing_in_common_is_zero_and_never_nan() {
        let zero = Bleu.statistics("", &["some words".into()]);
        assert_eq!(Bleu.corpus(&zero, 1), 0.0);
        assert_eq!(Bleu.sentence(&zero), 0.0);
        // too short for an order of 4: the corpus score is 0, the sentence's is not
        let short = Bleu.statistics("same words", &["same words".into()]);
        assert_eq!(Bleu.corpus(&short, 1), 0.0);
        assert!((Bleu.sentence(&short) - 100.0).abs() < 1e-9);
    }
}
