//! The general category of a character, as far as tokenizers ask.

use std::sync::LazyLock;

use regex::Regex;

/// What a tokenizer wants to know of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Unicode's N: digits and other numbers.
    Number,
    /// Unicode's P.
    Punctuation,
    /// Unicode's S.
    Symbol,
    /// Letters, marks, separators, controls.
    Other,
}

/// The category of every character by its number: made once, when first asked.
static TABLE: LazyLock<Vec<Category>> = LazyLock::new(|| {
    let all: String = ('\0'..=char::MAX).collect();
    let mut table = vec![Category::Other; char::MAX as usize + 1];
    for (pattern, category) in [
        (r"\p{N}", Category::Number),
        (r"\p{P}", Category::Punctuation),
        (r"\p{S}", Category::Symbol),
    ] {
        let pattern = Regex::new(pattern).expect("the pattern is constant");
        for found in pattern.find_iter(&all).flat_map(|found| found.as_str().chars()) {
            table[found as usize] = category;
        }
    }
    table
});

pub(super) fn category(c: char) -> Category {
    match c {
        'a'..='z' | 'A'..='Z' | ' ' => Category::Other,
        '0'..='9' => Category::Number,
        c => TABLE[c as usize],
    }
}
