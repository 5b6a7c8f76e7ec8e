//! chrF2 (Popović, 2015) and chrF2++ (Popović, 2017), as sacreBLEU 2.6 computes them: the F-measure,
//! recall counted twice, of character n-grams to order 6 without white space; `chrf++` adds words
//! and pairs of words. With several references the best one's counts are taken.

use super::{Facts, Metric, Range, ReferenceCount, ngrams, words};

/// The longest character n-gram.
const CHARACTERS: usize = 6;

/// How much more recall counts than precision, squared.
const BETA_SQUARED: f64 = 4.0;

struct Chrf {
    /// The longest word n-gram: 0 or 2.
    words: usize,
}

/// The metrics of this file.
pub(super) fn all() -> impl Iterator<Item = Box<dyn Metric>> {
    [0, 2]
        .into_iter()
        .map(|words| Box::new(Chrf { words }) as Box<dyn Metric>)
}

impl Metric for Chrf {
    fn facts(&self) -> Facts {
        let (name, label, about) = match self.words {
            0 => ("chrf", "chrF", "runs of one to six characters in common"),
            _ => ("chrf++", "chrF++", "runs of characters and of words in common"),
        };
        Facts {
            name,
            label,
            about,
            range: Range::Percent,
        }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let (plus, nw) = ("+".repeat(self.words), self.words);
        format!("chrF2{plus}|nrefs:{references}|case:mixed|eff:yes|nc:6|nw:{nw}|space:no|version:2.6.0")
    }

    /// For each order: n-grams of the output, of the reference, and in common.
    fn statistics(&self, output: &str, references: &[String]) -> Vec<f64> {
        let output = Text::of(output);
        let mut best: Option<(f64, Vec<f64>)> = None;
        for reference in references {
            let statistics = self.against(&output, &Text::of(reference));
            let score = f_score(&statistics);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, statistics));
            }
        }
        best.map_or_else(
            || vec![0.0; 3 * (CHARACTERS + self.words)],
            |(_, statistics)| statistics,
        )
    }

    fn corpus(&self, sums: &[f64], _samples: usize) -> f64 {
        f_score(sums)
    }
}

impl Chrf {
    fn against(&self, output: &Text, reference: &Text) -> Vec<f64> {
        let characters = (1..=CHARACTERS).map(|n| triple(&output.characters, &reference.characters, n));
        let words = (1..=self.words).map(|n| triple(&output.words, &reference.words, n));
        characters.chain(words).flatten().collect()
    }
}

fn triple<T: std::hash::Hash + Eq>(output: &[T], reference: &[T], n: usize) -> [f64; 3] {
    let there = ngrams::total(reference.len(), n);
    // without an n-gram in the reference, those of the output are not held against it
    let here = if there == 0 { 0 } else { ngrams::total(output.len(), n) };
    let common = ngrams::overlap(&ngrams::count(output, n), &ngrams::count(reference, n));
    [here as f64, there as f64, f64::from(common)]
}

fn f_score(statistics: &[f64]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in statistics.chunks_exact(3) {
        if order[0] > 0.0 && order[1] > 0.0 {
            precision += order[2] / order[0];
            recall += order[2] / order[1];
            orders += 1.0;
        }
    }
    if orders == 0.0 || precision + recall == 0.0 {
        return 0.0;
    }
    precision /= orders;
    recall /= orders;
    100.0 * ((1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall))
}

/// A text as this metric sees it.
struct Text {
    characters: Vec<char>,
    words: Vec<String>,
}

impl Text {
    fn of(text: &str) -> Self {
        Self {
            characters: words::split(text).flat_map(str::chars).collect(),
            words: words::split(text)
                .flat_map(without_punctuation)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// A word and the punctuation at its end, or else at its start, apart.
fn without_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let ends = word
        .char_indices()
        .next_back()
        .filter(|(at, c)| *at > 0 && c.is_ascii_punctuation());
    let starts = word.starts_with(|c: char| c.is_ascii_punctuation()) && word.chars().nth(1).is_some();
    let (first, second) = match ends {
        Some((at, _)) => word.split_at(at),
        None if starts => word.split_at(1),
        None => (word, ""),
    };
    [first, second].into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_cut_from_one_end() {
        let cut = |word| without_punctuation(word).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cut("(hi)"), ["(hi", ")"]);
        assert_eq!(cut("(hi"), ["(", "hi"]);
        assert_eq!(cut("."), ["."]);
        assert_eq!(cut("año"), ["año"]);
    }
}
