//! Texts into words: what the reference implementations call tokenization, each exactly as its own.
//!
//! [`Words`] holds the words of one sample's texts as numbers; [`WordCache`] makes them once for all
//! metrics that read text alike.

mod category;
mod lcs;
mod mteval;
mod ngrams;
mod porter;
mod python;
mod squad;
mod tercom;
mod vocabulary;
mod words;

pub(in crate::metrics) use lcs::Lcs;
pub(in crate::metrics) use ngrams::{Ngrams, total};
pub(in crate::metrics) use python::{push_lower, split, strip, strip_end};
pub use tercom::Tercom;
pub(in crate::metrics) use vocabulary::{Vocabulary, hash, mix};
pub use words::Mteval;
pub(in crate::metrics) use words::{Tokenization, WordCache, places};

/// The stem of a word, for a test against NLTK's.
#[cfg(test)]
pub(super) fn stem(word: &str) -> String {
    String::from_utf8(porter::stem(word.as_bytes())).expect("letters stay letters")
}
