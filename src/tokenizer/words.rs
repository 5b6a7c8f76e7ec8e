//! How GPT-2 cuts a text into words before byte-pair encoding.

use std::sync::LazyLock;

use regex::Regex;

/// GPT-2's pattern without its look-ahead, which [`words`] does by hand: this engine runs in linear
/// time and is several times faster.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+").expect("a constant pattern")
});

/// The words of a text in order; together they are the text. The pattern is that of GPT-2's
/// encoder.py, with `\s+(?!\S)|\s+` at its end: a run of white space before a word leaves its last
/// character to that word, or by itself.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let found = PATTERN.find_at(text, at)?;
        let mut word = found.as_str();
        if found.end() < text.len()
            && let Some((last, _)) = word.char_indices().next_back().filter(|(last, _)| *last > 0)
            && word.chars().all(char::is_whitespace)
        {
            word = &word[..last];
        }
        at = found.start() + word.len();
        Some(word)
    })
}
