//! Text as the reference implementations (Python's) see it: white space, lower case.

/// Whether Python's `str.split()` splits at this character: Unicode white space and the four
/// separator controls, which Rust does not count.
pub(in crate::metrics) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `text.split()`.
pub(in crate::metrics) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Python's `text.strip()`.
pub(in crate::metrics) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `text.rstrip()`.
pub(in crate::metrics) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Appends `text.lower()`, without allocating where the letters allow it.
pub(in crate::metrics) fn push_lower(text: &str, to: &mut String) {
    if text.is_ascii() {
        let start = to.len();
        to.push_str(text);
        to[start..].make_ascii_lowercase();
    } else if text.contains('Σ') {
        to.push_str(&text.to_lowercase()); // the form of a small sigma depends on its neighbours
    } else {
        to.extend(text.chars().flat_map(char::to_lowercase));
    }
}
