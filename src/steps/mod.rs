//! The step kinds: settings → domain call → artifact. One thin file a kind; to add one, write its
//! file and add two lines here.

mod dataset;
mod encode;
mod tokenize;

#[cfg(test)]
mod preparation_tests;

use crate::step::Kind;

/// Every kind that a pipeline file can name.
pub static KINDS: &[Kind] = &[dataset::KIND, encode::KIND, tokenize::KIND];
