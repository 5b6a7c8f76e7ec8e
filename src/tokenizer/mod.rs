//! Tokenizers: trained, loaded, or taken from a published vocabulary, always as the `tokenizer.json`
//! and `tokenizer_config.json` that Hugging Face reads.
//!
//! One file a source: [`train`] (byte-level BPE, unigram, WordPiece, characters, bytes), [`tiktoken`] (the GPT-2 to
//! GPT-4o vocabularies, and files of that format), `sentencepiece` (the models of T5, Llama and others).
//! [`Tokenizer`] is what the others use.

mod added;
mod base64;
mod bpe;
mod bytes;
mod char;
mod counts;
mod cut;
mod error;
mod fast;
mod format;
mod hash;
mod loaded;
mod merges;
mod remembered;
mod sentencepiece;
mod source;
mod special;
mod spelling;
mod unigram;
mod wordpiece;

pub mod tiktoken;
pub mod train;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trained_tests;

pub use counts::Counts;
pub use error::TokenizerError;
pub use loaded::Tokenizer;
pub use source::{files_beside, tokenizer_file};
pub use special::SpecialTokens;
pub use spelling::visible;
pub use tiktoken::Vocabulary;
pub use train::{Algorithm, Training};
