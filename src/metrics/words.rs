//! The words that two texts have in common, for marking them.

use std::ops::Range;

use super::text::{Lcs, Vocabulary, places};

/// The places in `text` of its words that are in the longest common subsequence with `other`, words
/// being runs of letters and digits of any script, whatever their case.
pub fn common_words(text: &str, other: &str) -> Vec<Range<usize>> {
    let mut vocabulary = Vocabulary::default();
    let mut ids = |text: &str, places: &[Range<usize>]| -> Vec<u32> {
        let words = places.iter().map(|place| text[place.clone()].to_lowercase());
        words.map(|word| vocabulary.id(word.as_bytes()).0).collect()
    };
    let (here, there) = (places(text), places(other));
    let (words, others) = (ids(text, &here), ids(other, &there));
    let mut found = Vec::new();
    Lcs::default().positions(&words, &others, |word| found.push(here[word].clone()));
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_found_in_their_places() {
        let text = "El NIÑO comió pan";
        let found: Vec<_> = common_words(text, "¿comió el niño pan?")
            .into_iter()
            .map(|place| &text[place])
            .collect();
        assert_eq!(found, ["El", "NIÑO", "pan"]);
    }
}
