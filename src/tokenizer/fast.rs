//! Short ways to encode that give exactly what the library gives, for formats that we know.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use serde_json::Value;
use tokenizers::{Model, ModelWrapper};

use super::words::words;
use super::{TokenizerError, bytes, format};

/// Words that are remembered with their tokens: enough for nearly all of a text, little memory.
const REMEMBERED: usize = 1 << 16;

/// A short way, if the `tokenizer.json` is one that it is for.
pub(super) enum Fast {
    /// A word-level model over single characters; the number of the unknown token, if it has one.
    Characters(HashMap<char, u32>, Option<u32>),
    /// A byte-level model without merges: a token for each byte.
    Bytes(Box<[u32; 256]>),
    /// A byte-level model over GPT-2's words: the library's model on each word, remembered. (What is
    /// slow in the library is the way to the words, which keeps track of where each byte came from.)
    Words(RwLock<HashMap<Box<str>, Box<[u32]>>>),
}

impl Fast {
    /// The short way for a `tokenizer.json`.
    pub(super) fn of(json: &Value) -> Option<Self> {
        if !json["normalizer"].is_null() {
            return None;
        }
        let (pre_tokenizer, model) = (&json["pre_tokenizer"], &json["model"]);
        let vocabulary = model["vocab"].as_object()?;
        let number = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        if model["type"] == "WordLevel" && *pre_tokenizer == format::each_character() {
            let mut characters = HashMap::new();
            for (token, id) in vocabulary {
                let mut rest = token.chars();
                if let (Some(character), None) = (rest.next(), rest.next()) {
                    characters.insert(character, number(id)?);
                }
            }
            let unknown = vocabulary.get(model["unk_token"].as_str()?).and_then(number);
            Some(Self::Characters(characters, unknown))
        } else if model["type"] == "BPE"
            && model["merges"].as_array()?.is_empty()
            && *pre_tokenizer == format::byte_level(false)
        {
            let mut numbers = Box::new([0; 256]);
            for byte in 0..=255u8 {
                numbers[usize::from(byte)] = number(vocabulary.get(&bytes::spell(&[byte]))?)?;
            }
            Some(Self::Bytes(numbers))
        } else if model["type"] == "BPE" && *pre_tokenizer == format::byte_level(true) {
            Some(Self::Words(RwLock::default()))
        } else {
            None
        }
    }

    /// The tokens of a text without special tokens in it.
    pub(super) fn encode(&self, text: &str, model: &ModelWrapper) -> Result<Vec<u32>, TokenizerError> {
        match self {
            Self::Words(remembered) => {
                let mut tokens = Vec::with_capacity(text.len() / 3);
                for word in words(text) {
                    encode_word(word, remembered, model, &mut tokens)?;
                }
                Ok(tokens)
            }
            Self::Bytes(numbers) => Ok(text.bytes().map(|byte| numbers[usize::from(byte)]).collect()),
            Self::Characters(numbers, unknown) => text
                .chars()
                .map(|character| {
                    let known = numbers.get(&character).copied().or(*unknown);
                    known.ok_or(TokenizerError::UnknownCharacter { character })
                })
                .collect(),
        }
    }
}

fn encode_word(
    word: &str,
    remembered: &RwLock<HashMap<Box<str>, Box<[u32]>>>,
    model: &ModelWrapper,
    tokens: &mut Vec<u32>,
) -> Result<(), TokenizerError> {
    // a poisoned lock only means that a thread stopped between two whole entries
    if let Some(known) = remembered.read().unwrap_or_else(PoisonError::into_inner).get(word) {
        tokens.extend_from_slice(known);
        return Ok(());
    }
    let found = model.tokenize(&bytes::spell(word.as_bytes()));
    let found = found.map_err(|error| TokenizerError::Encode(error.to_string()))?;
    let found: Box<[u32]> = found.into_iter().map(|token| token.id).collect();
    tokens.extend_from_slice(&found);
    let mut remembered = remembered.write().unwrap_or_else(PoisonError::into_inner);
    if remembered.len() < REMEMBERED {
        remembered.insert(word.into(), found);
    }
    Ok(())
}
