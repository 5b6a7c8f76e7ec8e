//! Longest common subsequences, with rouge-score's choice where several are longest.

use std::collections::BTreeSet;
use std::ops::Range;

/// The length of the longest common subsequence. Time is the product of the lengths, memory the
/// second one.
pub(super) fn common_length(one: &[String], other: &[String]) -> usize {
    let mut row = vec![0; other.len() + 1];
    for word in one {
        let mut above_left = 0;
        for (column, candidate) in other.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if word == candidate {
                above_left + 1
            } else {
                above.max(row[column])
            };
            above_left = above;
        }
    }
    row[other.len()]
}

/// The positions in `line` that are in the longest common subsequence with at least one of `others`.
pub(super) fn union_positions(line: &[String], others: &[Vec<String>]) -> BTreeSet<usize> {
    others.iter().flat_map(|other| positions(line, other)).collect()
}

/// The places in `text` of its words that are in the longest common subsequence with `other`, words
/// being runs of letters and digits of any script, whatever their case. For marking them.
pub fn common_words(text: &str, other: &str) -> Vec<Range<usize>> {
    let (places, other) = (places(text), words_of(other));
    let words: Vec<String> = places.iter().map(|place| text[place.clone()].to_lowercase()).collect();
    let mut found = positions(&words, &other);
    found.reverse();
    found.into_iter().map(|word| places[word].clone()).collect()
}

fn words_of(text: &str) -> Vec<String> {
    places(text)
        .into_iter()
        .map(|place| text[place].to_lowercase())
        .collect()
}

/// The places of words in a text.
fn places(text: &str) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| is_inside(*c)) {
        let end = at + c.len_utf8();
        match places.last_mut() {
            Some(place) if place.end == at => place.end = end,
            _ => places.push(at..end),
        }
    }
    places
}

/// Whether a character is part of a word in any script; combining accents belong to their letter.
pub(super) fn is_inside(c: char) -> bool {
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

/// The positions in `line`, from the last, of one longest common subsequence: traced back from the end, leaving a
/// word of `other` before one of `line` only if that keeps strictly more.
fn positions(line: &[String], other: &[String]) -> Vec<usize> {
    let width = other.len() + 1;
    let mut table = vec![0u32; (line.len() + 1) * width];
    for i in 1..=line.len() {
        for j in 1..=other.len() {
            table[i * width + j] = if line[i - 1] == other[j - 1] {
                table[(i - 1) * width + j - 1] + 1
            } else {
                table[(i - 1) * width + j].max(table[i * width + j - 1])
            };
        }
    }
    let (mut i, mut j) = (line.len(), other.len());
    let mut found = Vec::new();
    while i > 0 && j > 0 {
        if line[i - 1] == other[j - 1] {
            found.push(i - 1);
            i -= 1;
            j -= 1;
        } else if table[i * width + j - 1] > table[(i - 1) * width + j] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_agree_on_the_length(one in "[a-c ]{0,12}", other in "[a-c ]{0,12}") {
            let words = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
            let (one, other) = (words(&one), words(&other));
            prop_assert_eq!(common_length(&one, &other), positions(&one, &other).len());
            prop_assert_eq!(common_length(&one, &other), common_length(&other, &one));
        }
    }
}
