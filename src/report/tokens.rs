//! How the texts were encoded: how well each tokenizer fits, its most frequent and its longest tokens.

use serde::Serialize;

use super::material::Material;
use super::words::Words;
use crate::data::Listed;

/// Tokens that are shown of each list.
const SHOWN: usize = 12;

/// One split of an encoded text.
#[derive(Serialize)]
pub(super) struct Encoding {
    instance: String,
    split: String,
    vocabulary: String,
    used: String,
    tokens: String,
    tokens_per_word: String,
    bytes_per_token: String,
    frequent: Vec<Token>,
    longest: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    token: String,
    count: String,
}

/// The encoded texts, in the order of the pipeline.
pub(super) fn encodings(material: &Material, words: &Words) -> Vec<Encoding> {
    let size = |count: usize| words.whole(count as u64);
    let listed = |list: &[Listed]| -> Vec<Token> {
        let token = |one: &Listed| Token {
            token: one.token.clone(),
            count: words.whole(one.count),
        };
        list.iter().take(SHOWN).map(token).collect()
    };
    let encoded = material.encoded.iter();
    encoded
        .map(|one| Encoding {
            instance: one.instance.clone(),
            split: one.split.clone(),
            vocabulary: size(one.statistics.vocab_size),
            used: size(one.statistics.used),
            tokens: words.whole(one.statistics.tokens),
            tokens_per_word: words.decimal(one.statistics.tokens_per_word(), 2),
            bytes_per_token: words.decimal(one.statistics.bytes_per_token(), 2),
            frequent: listed(&one.statistics.frequent),
            longest: listed(&one.statistics.longest),
        })
        .collect()
}
