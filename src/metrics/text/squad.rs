//! Answers made comparable as SQuAD's evaluation does (Rajpurkar et al., 2016): lower case, without
//! ASCII punctuation and the articles *a*, *an*, *the*, white space evened out.

use super::python;

/// Calls `word` with each word of the normal form. `buffer` is written over.
pub(super) fn words(text: &str, buffer: &mut String, word: &mut dyn FnMut(&str)) {
    buffer.clear();
    python::push_lower(text, buffer);
    buffer.retain(|c| !c.is_ascii_punctuation());
    // an article is one wherever it stands between what Python's `\b` bounds: letters, digits, `_`
    let mut rest = buffer.as_str();
    let mut cleaned = String::with_capacity(rest.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while !rest.is_empty() {
        let run = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (inside, after) = rest.split_at(run);
        if !matches!(inside, "a" | "an" | "the") {
            cleaned.push_str(inside);
        } else {
            cleaned.push(' ');
        }
        let gap = after.find(is_word).unwrap_or(after.len());
        cleaned.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    python::split(&cleaned).for_each(word);
}
