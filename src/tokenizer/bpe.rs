//! Byte-level byte-pair encoding, trained by Hugging Face's `tokenizers`.

use serde_json::{Map, Value};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::{SpecialTokens, TokenizerError, format};

/// The `tokenizer.json` of a byte-level BPE.
///
/// The trainer counts words and pairs in maps of random order and merges on several threads. Its
/// result is fixed all the same: counts are sums, ties go to the pair with the smaller numbers, and
/// two queue entries of one pair are merged one after the other. The tests hold it to that.
pub(super) fn train(size: usize, special: &SpecialTokens, texts: &[String]) -> Result<Value, TokenizerError> {
    let refused = |error: tokenizers::Error| TokenizerError::Unfit(format!("cannot train: {error}"));
    let empty = format::bpe(Map::new(), Vec::new(), false);
    let empty = format::whole(&[], &format::byte_level(true), &format::byte_decoder(), &empty);
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(empty.to_string()).map_err(refused)?;
    let added = special
        .tokens()
        .into_iter()
        .map(|token| tokenizers::AddedToken::from(token, true).normalized(false));
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .special_tokens(added.collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    tokenizer
        .train(&mut TrainerWrapper::from(trainer), texts.iter())
        .map_err(refused)?;
    let json = tokenizer.to_string(false).map_err(refused)?;
    Ok(serde_json::from_str(&json).expect("a serialized tokenizer is JSON"))
}
