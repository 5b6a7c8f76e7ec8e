//! Byte-level byte-pair encoding, trained by Hugging Face's `tokenizers`.

use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Trainer};

use super::cut::Cut;
use super::{SpecialTokens, TokenizerError, bytes, format};

/// The `tokenizer.json` of a byte-level BPE.
///
/// The trainer counts words and pairs in maps of random order and merges on several threads. Its
/// result is fixed all the same: counts are sums, ties go to the pair with the smaller numbers, and
/// two queue entries of one pair are merged one after the other. The tests hold it to that.
pub(super) fn train(size: usize, special: &SpecialTokens, texts: &[String]) -> Result<Value, TokenizerError> {
    let refused = |error: tokenizers::Error| TokenizerError::Unfit(format!("cannot train: {error}"));
    let added = special.tokens().into_iter().map(|token| AddedToken::from(token, true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .special_tokens(added.collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let spelled = |text: &str| {
        Ok(Cut::Gpt2
            .words(text)
            .map(|word| bytes::spell(word.as_bytes()))
            .collect())
    };
    trainer.feed(texts.iter(), spelled).map_err(refused)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(refused)?;
    let model = serde_json::to_value(&model).expect("a model is written as JSON");
    // the trainer numbers special tokens first
    let numbered: Vec<(&str, u32)> = special.tokens().into_iter().zip(0..).collect();
    Ok(format::whole(
        &numbered,
        &format::byte_level(true),
        &format::byte_decoder(),
        &model,
    ))
}
