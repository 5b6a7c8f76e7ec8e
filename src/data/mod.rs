//! Rows and tokens: readers, grammars, selection, splits and token files.
//!
//! A dataset is a folder with one folder a split (`train`, `validation`, `test`, or `all` without a
//! split), each with `data.jsonl` and `info.json` ([`rows`]). Encoded rows are the same folders with
//! `tokens.bin` and `index.json` ([`tokens`]). Members: [`read`] (files into rows), [`grammar`] (a
//! template and a seed into rows), [`select`] (fields, duplicates, order, limit), [`split`].

mod error;
mod files;
mod layout;

pub mod grammar;
pub mod read;
pub mod rows;
pub mod select;
pub mod split;
pub mod statistics;
pub mod tokens;

pub use error::DataError;
pub use files::expand;
#[cfg(test)]
pub(crate) use layout::shared_for_tests;
pub use layout::{WHOLE, splits, text_of};
pub use statistics::{Listed, Statistics};

/// One row: field names to values, in the order in which the source has them.
pub type Row = serde_json::Map<String, serde_json::Value>;
