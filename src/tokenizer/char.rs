//! One token a character, or one a byte.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{SpecialTokens, TokenizerError, bytes, format};

/// The `tokenizer.json` with one token for each character of the texts: a word-level model whose
/// words are single characters, so that Hugging Face reads it and a character that is not there is an
/// error instead of nothing.
pub(super) fn train(special: &SpecialTokens, texts: &[String]) -> Result<Value, TokenizerError> {
    let characters: BTreeSet<char> = texts.iter().flat_map(|text| text.chars()).collect();
    if characters.is_empty() {
        return Err(TokenizerError::Unfit("the texts have no character to train on".into()));
    }
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, token) in (0u32..).zip(special.tokens()) {
        vocabulary.insert(token.to_owned(), json!(id));
        added.push((token, id));
    }
    for character in characters {
        let token = character.to_string();
        if vocabulary.contains_key(&token) {
            return Err(TokenizerError::Unfit(format!(
                "the special token {token:?} is also a character of the texts"
            )));
        }
        let id = vocabulary.len();
        vocabulary.insert(token, json!(id));
    }
    // the format wants a name here; without a declared one it is one that the vocabulary does not have
    let unknown = special.unk.as_deref().unwrap_or("<unk>");
    let model = json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown});
    Ok(format::whole(
        &added,
        &format::each_character(),
        &json!({"type": "Fuse"}),
        &model,
    ))
}

/// The `tokenizer.json` with one token for each byte: a byte-level BPE without merges.
pub(super) fn bytes(special: &SpecialTokens) -> Value {
    let mut vocabulary = Map::new();
    for byte in 0..=255u8 {
        vocabulary.insert(bytes::spell(&[byte]), json!(byte));
    }
    let added: Vec<(&str, u32)> = special.tokens().into_iter().zip(256..).collect();
    for (token, id) in &added {
        vocabulary.insert((*token).to_owned(), json!(id));
    }
    let model = format::bpe(vocabulary, Vec::new(), false);
    format::whole(&added, &format::byte_level(false), &format::byte_decoder(), &model)
}
