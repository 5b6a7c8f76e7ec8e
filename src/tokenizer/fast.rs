//! Short ways to encode that give exactly what the library gives, for formats that we know.

use std::collections::HashMap;

use serde_json::Value;

use super::{TokenizerError, bytes, format};

/// A short way, if the `tokenizer.json` is one that it is for.
pub(super) enum Fast {
    /// A word-level model over single characters; the number of the unknown token, if it has one.
    Characters(HashMap<char, u32>, Option<u32>),
    /// A byte-level model without merges: a token for each byte.
    Bytes(Box<[u32; 256]>),
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
        } else {
            None
        }
    }

    /// The tokens of a text without special tokens in it.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match self {
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
