//! The substrings to begin with.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::{LONGEST, Pieces, Words};

/// All characters, and the substrings that are in the text at least twice and cannot be prolonged to the right
/// without becoming rarer, those first that cover most of the text; at most `most` pieces.
///
/// Suffixes are sorted by their first [`LONGEST`] characters; what neighbours have in common are the nodes of
/// the suffix tree.
pub(super) fn seeds(words: &Words, most: usize) -> Pieces {
    let mut suffixes: Vec<(u32, u32)> = Vec::new();
    for (number, (word, _)) in (0..).zip(words) {
        let length = u32::try_from(word.len()).expect("a word is shorter than 2^32 characters");
        suffixes.extend((0..length).map(|at| (number, at)));
    }
    let window = |&(word, at): &(u32, u32)| {
        let rest = &words[word as usize].0[at as usize..];
        &rest[..rest.len().min(LONGEST)]
    };
    suffixes.par_sort_unstable_by(|a, b| window(a).cmp(window(b)).then(a.cmp(b)));
    let mut characters: std::collections::BTreeMap<char, u64> = std::collections::BTreeMap::new();
    for (word, count) in words {
        for &character in word {
            *characters.entry(character).or_default() += count;
        }
    }
    // open nodes: length of the common prefix, a suffix that has it, occurrences so far
    let mut open: Vec<(usize, (u32, u32), u64)> = Vec::new();
    let mut found: Vec<(u64, &[char])> = Vec::new();
    let ended = (u32::MAX, 0);
    for (at, suffix) in suffixes.iter().enumerate() {
        let count = words[suffix.0 as usize].1;
        let next = suffixes.get(at + 1).copied().unwrap_or(ended);
        let common = if next == ended {
            0
        } else {
            window(suffix)
                .iter()
                .zip(window(&next))
                .take_while(|(a, b)| a == b)
                .count()
        };
        // the suffix by itself is a leaf: a substring that may be in a word that is there often
        let mut carried = count;
        if window(suffix).len() > common && count > 1 {
            close(&mut found, window(suffix), count);
        }
        while let Some(&(length, example, sum)) = open.last()
            && length > common
        {
            open.pop();
            carried += sum;
            close(&mut found, &window(&example)[..length], carried);
        }
        match open.last_mut() {
            Some((length, _, sum)) if *length == common => *sum += carried,
            _ if common > 0 => open.push((common, *suffix, carried)),
            _ => {}
        }
    }
    found.par_sort_unstable_by(|a, b| Reverse(a.0).cmp(&Reverse(b.0)).then_with(|| a.1.cmp(b.1)));
    found.dedup_by(|a, b| a.1 == b.1);
    found.truncate(most.saturating_sub(characters.len()));
    let characters = characters
        .into_iter()
        .map(|(character, count)| (vec![character], count));
    let all: Vec<(Vec<char>, u64)> = characters
        .chain(found.into_iter().map(|(score, piece)| (piece.to_vec(), score)))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "counts of a text")]
    let total = (all.iter().map(|(_, score)| score).sum::<u64>() as f64).ln();
    #[expect(clippy::cast_precision_loss, reason = "counts of a text")]
    let fit = |(piece, score): (Vec<char>, u64)| (piece, (score as f64).ln() - total);
    all.into_iter().map(fit).collect()
}

/// A node of the tree: a piece if it is longer than a character and there twice.
fn close<'a>(found: &mut Vec<(u64, &'a [char])>, piece: &'a [char], count: u64) {
    if piece.len() > 1 && count > 1 {
        found.push((count * piece.len() as u64, piece));
    }
}
