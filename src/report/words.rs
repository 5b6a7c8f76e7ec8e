//! The page's words and numbers in its language.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::{Facts, Range};

/// The language of a report's own words. Data, prompts and outputs stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    /// The tag for `<html lang>`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::En => include_str!("page/en.json"),
            Self::Es => include_str!("page/es.json"),
        }
    }
}

/// The words of a language, by name.
pub(super) struct Words {
    language: Language,
    words: BTreeMap<String, String>,
}

impl Words {
    pub(super) fn of(language: Language) -> Self {
        let words = serde_json::from_str(language.text()).expect("the word lists are part of the program");
        Self { language, words }
    }

    /// The same with the words of the page about one model.
    pub(super) fn of_inspection(language: Language) -> Self {
        let mut all = Self::of(language);
        let more: BTreeMap<String, String> = serde_json::from_str(match language {
            Language::En => include_str!("page/inspect.en.json"),
            Language::Es => include_str!("page/inspect.es.json"),
        })
        .expect("the word lists are part of the program");
        all.words.extend(more);
        all
    }

    /// The language.
    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// All of them, for the template.
    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.words
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> &str {
        let word = self.words.get(name);
        word.unwrap_or_else(|| panic!("the word lists have {name:?}: a test compares them with their uses"))
    }

    /// A metric's name in prose: most are the same in every language.
    pub(super) fn label(&self, metric: Facts) -> &str {
        let own = self.words.get(&format!("label_{}", metric.name));
        own.map_or(metric.label, String::as_str)
    }

    /// What a metric measures, in a sentence.
    pub(super) fn about(&self, metric: Facts) -> &str {
        self.get(&format!("about_{}", metric.name))
    }

    /// A sentence with its `{places}` filled. What is filled in is not searched for places again.
    pub(super) fn fill(&self, name: &str, values: &[(&str, &str)]) -> String {
        let mut filled = String::new();
        let mut rest = self.get(name);
        while let Some((before, place)) = rest.split_once('{') {
            let (place, after) = place.split_once('}').expect("places are closed");
            let value = values.iter().find(|(known, _)| *known == place);
            filled.push_str(before);
            filled.push_str(value.unwrap_or_else(|| panic!("{name} has no value for {place}")).1);
            rest = after;
        }
        filled + rest
    }

    /// A decimal number.
    pub(super) fn decimal(&self, value: f64, decimals: usize) -> String {
        let text = format!("{value:.decimals$}");
        let text = match text.strip_prefix('-') {
            Some(digits) if digits.contains(|c: char| c.is_ascii_digit() && c != '0') => format!("\u{2212}{digits}"),
            Some(zero) => zero.to_owned(),
            None => text,
        };
        match self.language {
            Language::En => text,
            Language::Es => text.replace('.', ","),
        }
    }

    /// A whole number with its thousands apart.
    pub(super) fn whole(&self, value: u64) -> String {
        let digits = value.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(match self.language {
                    Language::En => ',',
                    Language::Es => '\u{202f}',
                });
            }
            text.push(digit);
        }
        text
    }

    /// Bytes, in powers of ten.
    pub(super) fn bytes(&self, bytes: u64) -> String {
        let (unit, name) = match bytes {
            0..1_000 => return format!("{bytes} B"),
            1_000..1_000_000 => (1e3, "kB"),
            1_000_000..1_000_000_000 => (1e6, "MB"),
            _ => (1e9, "GB"),
        };
        format!("{} {name}", self.decimal(bytes as f64 / unit, 2))
    }

    /// A length of time: `8.1 s`, `2 min 5 s`.
    pub(super) fn seconds(&self, seconds: f64) -> String {
        if seconds < 60.0 {
            return format!("{} s", self.decimal(seconds, 1));
        }
        let whole = seconds.round() as u64;
        let parts = [(whole / 3600, "h"), (whole % 3600 / 60, "min"), (whole % 60, "s")];
        let parts = parts.iter().filter(|(value, _)| *value > 0);
        parts
            .map(|(value, unit)| format!("{value} {unit}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A score, with as many digits as its range deserves.
    pub(super) fn score(&self, value: f64, range: Range) -> String {
        self.decimal(value, decimals(value, range))
    }

    /// A difference of scores with its sign, and -1, 0 or 1 as it is shown.
    pub(super) fn difference(&self, from: f64, to: f64, range: Range) -> (String, i8) {
        let decimals = decimals(from.abs().max(to.abs()), range);
        let text = self.decimal((to - from).abs(), decimals);
        if text.chars().all(|c| !c.is_ascii_digit() || c == '0') {
            return (format!("±{}", self.decimal(0.0, 0)), 0);
        }
        if to > from {
            (format!("+{text}"), 1)
        } else {
            (format!("\u{2212}{text}"), -1)
        }
    }
}

fn decimals(value: f64, range: Range) -> usize {
    match range {
        Range::Fraction | Range::Waste | Range::Bits | Range::Ratio => 3,
        Range::Percent | Range::ErrorRate => 1,
        Range::Perplexity if value.abs() >= 1000.0 => 0,
        Range::Perplexity => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_have_the_same_words_and_places() {
        let (en, es) = (Words::of_inspection(Language::En), Words::of_inspection(Language::Es));
        assert_eq!(en.all().keys().collect::<Vec<_>>(), es.all().keys().collect::<Vec<_>>());
        let places = |text: &str| {
            let found = text
                .split('{')
                .skip(1)
                .map(|rest| rest.split('}').next().unwrap().to_owned());
            found.collect::<std::collections::BTreeSet<_>>()
        };
        for (name, text) in en.all() {
            assert_eq!(places(text), places(es.get(name)), "{name}");
        }
    }

    #[test]
    fn every_metric_is_explained() {
        let words = Words::of(Language::Es);
        for facts in crate::metrics::every() {
            assert!(words.about(facts).len() > 20);
            // ROUGE, BLEU and the like are names; what is a word is said in the page's language
            let is_name = ["ROUGE", "BLEU", "chrF", "TER", "Distinct-", "F1 (ma", "F1 (mi"]
                .iter()
                .any(|name| facts.label.starts_with(name));
            assert_eq!(words.label(facts) == facts.label, is_name, "{}", facts.label);
        }
    }

    #[test]
    fn numbers_follow_the_language() {
        let (en, es) = (Words::of(Language::En), Words::of(Language::Es));
        assert_eq!(en.whole(1_234_567), "1,234,567");
        assert_eq!(en.score(0.83149, Range::Fraction), "0.831");
        assert_eq!(en.decimal(-0.04, 1), "0.0");
        assert_eq!(es.score(43.21, Range::Percent), "43,2");
        assert_eq!(
            en.difference(0.5, 0.4, Range::Fraction),
            ("\u{2212}0.100".to_owned(), -1)
        );
        assert_eq!(en.difference(0.5, 0.50001, Range::Fraction), ("±0".to_owned(), 0));
        assert_eq!(en.bytes(3_250_000), "3.25 MB");
    }

    #[test]
    fn what_is_filled_in_is_not_read_as_a_place() {
        let words = Words::of(Language::En);
        assert!(words.fill("n_samples", &[("n", "{n}")]).contains("{n}"));
    }
}
