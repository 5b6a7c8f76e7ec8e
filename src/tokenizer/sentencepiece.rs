//! SentencePiece models (`spiece.model`, `tokenizer.model`) as `tokenizer.json`.
//!
//! The file is a protocol buffer, `sentencepiece_model.proto` of
//! <https://github.com/google/sentencepiece>: [`proto`] has the parts of it that say how a text is encoded.
//! Unigram and BPE models are read, with their compiled normalization, the space that is put before a
//! text, byte fallback, and control, user-defined and unknown pieces. Ids are those of the file.

mod charsmap;
mod convert;
mod proto;
mod surroundings;

#[cfg(test)]
mod tests;

pub(super) use charsmap::{flaw, only_spaces};
pub(super) use convert::tokenizer_json;
pub(super) use surroundings::Surroundings;
