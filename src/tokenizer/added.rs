//! Added tokens, found in a text as Hugging Face's library finds them.

use regex::Regex;
use serde_json::Value;

/// The added tokens of a `tokenizer.json`.
pub(super) struct Added {
    tokens: Vec<(String, u32)>,
    /// Any of them, the longest first; `None` without any.
    pattern: Option<Regex>,
    /// Whether they are found wherever they are written: none takes white space with it, is found only as a
    /// whole word or after normalization.
    plain: bool,
    /// Whether there are too many for a pattern.
    many: bool,
}

/// A part of a text: an added token, or the text from one place to another, which begins the text that the
/// tokenizer sees (a text of its own after each added token).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Token(u32),
    Text { from: usize, to: usize, first: bool },
}

impl Added {
    pub(super) fn of(json: &Value) -> Self {
        let all: Vec<&Value> = json["added_tokens"].as_array().into_iter().flatten().collect();
        let off = |token: &&Value, name: &str| token[name] != true;
        let normalized = |token: &&Value| !off(token, "normalized") && !json["normalizer"].is_null();
        let plain = all.iter().all(|token| {
            off(token, "single_word") && off(token, "lstrip") && off(token, "rstrip") && !normalized(token)
        });
        let id = |token: &Value| token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let token = |token: &&Value| Some((token["content"].as_str()?.to_owned(), id(token)?));
        let mut tokens: Vec<(String, u32)> = all.iter().filter_map(token).collect();
        tokens.retain(|(content, _)| !content.is_empty());
        tokens.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        let escaped: Vec<String> = tokens.iter().map(|(content, _)| regex::escape(content)).collect();
        let pattern = (!escaped.is_empty()).then(|| Regex::new(&escaped.join("|")));
        Self {
            many: matches!(pattern, Some(Err(_))),
            tokens,
            pattern: pattern.and_then(Result::ok),
            plain,
        }
    }

    /// The parts of a text; `None` if the library must find them.
    pub(super) fn parts(&self, text: &str) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut found = self
            .pattern
            .iter()
            .flat_map(|pattern| pattern.find_iter(text))
            .peekable();
        if self.many || (found.peek().is_some() && !self.plain) {
            return None;
        }
        for one in found {
            let token = self.tokens.iter().find(|(content, _)| content == one.as_str());
            if from < one.start() {
                parts.push(Part::Text {
                    from,
                    to: one.start(),
                    first: true,
                });
            }
            parts.push(Part::Token(token?.1));
            from = one.end();
        }
        if from < text.len() {
            parts.push(Part::Text {
                from,
                to: text.len(),
                first: true,
            });
        }
        Some(parts)
    }

    /// A text without them.
    pub(super) fn left_out_of(&self, text: &str) -> String {
        match &self.pattern {
            Some(pattern) => pattern.replace_all(text, "").into_owned(),
            None => text.to_owned(),
        }
    }
}
