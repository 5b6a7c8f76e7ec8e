//! WordPiece as BERT has it, trained by Hugging Face's `tokenizers`: merges of the most frequent pairs, whose
//! results are the pieces. A text is cut by the longest piece that fits (Devlin et al. 2019).

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, PreTokenizerWrapper, Trainer,
};

use super::{SpecialTokens, TokenizerError, format};

/// What stands before a piece that does not begin a word.
const INSIDE: &str = "##";

/// BERT's text before it is cut: no control characters, one kind of space, spaces around Chinese characters;
/// in lower case and without accents if asked to.
fn normalizer(lowercase: bool) -> Value {
    json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": lowercase,
    })
}

/// The `tokenizer.json` of a vocabulary of `size` tokens in all: special ones, characters, pieces.
///
/// The library numbers the characters inside of words in the order of a hash map, and merges depend on these
/// numbers. So they are given to it in their own order, among the special tokens; what comes out is fixed.
pub(super) fn train(
    size: usize,
    special: &SpecialTokens,
    lowercase: bool,
    texts: &[String],
) -> Result<Value, TokenizerError> {
    let Some(unknown) = special.unk.as_deref() else {
        return Err(TokenizerError::Unfit(
            "`wordpiece` needs an unknown token: `special_tokens: {unk: ..}`".into(),
        ));
    };
    let refused = |error: tokenizers::Error| TokenizerError::Unfit(format!("cannot train: {error}"));
    let words = words(texts, lowercase).map_err(refused)?;
    let (mut first, mut inside) = (BTreeSet::new(), BTreeSet::new());
    for word in words.iter().flatten() {
        let mut characters = word.chars();
        first.extend(characters.next());
        inside.extend(characters);
    }
    let tokens = special.tokens();
    let alphabet: Vec<String> = first
        .iter()
        .map(ToString::to_string)
        .chain(inside.iter().map(|character| format!("{INSIDE}{character}")))
        .collect();
    if alphabet.is_empty() {
        return Err(TokenizerError::Unfit("the texts have no character to train on".into()));
    } else if tokens.len() + alphabet.len() > size {
        return Err(TokenizerError::Unfit(format!(
            "a vocabulary of {size} is too small: the texts have {} characters that begin words or are inside of \
             them, and {} tokens are special",
            alphabet.len(),
            tokens.len()
        )));
    }
    if let Some(clash) = tokens.iter().find(|token| alphabet.iter().any(|one| one == *token)) {
        return Err(TokenizerError::Unfit(format!(
            "the special token {clash:?} is also a character of the texts"
        )));
    }
    let given = tokens.iter().copied().chain(alphabet.iter().map(String::as_str));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .special_tokens(given.map(|token| AddedToken::from(token, true)).collect())
        .continuing_subword_prefix(INSIDE.into())
        .show_progress(false)
        .build();
    let own = |word: &str| Ok(vec![word.to_owned()]);
    trainer.feed(words.iter().flatten(), own).map_err(refused)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(refused)?;
    let mut pieces: Vec<(String, u32)> = model.get_vocab().into_iter().collect();
    pieces.sort_by_key(|(_, id)| *id);
    let vocabulary: Map<String, Value> = pieces.into_iter().map(|(piece, id)| (piece, json!(id))).collect();
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": INSIDE,
        "max_input_chars_per_word": 100, "vocab": vocabulary,
    });
    let numbered: Vec<(&str, u32)> = tokens.iter().copied().zip(0..).collect();
    let decoder = json!({"type": "WordPiece", "prefix": INSIDE, "cleanup": true});
    let mut json = format::whole(&numbered, &json!({"type": "BertPreTokenizer"}), &decoder, &model);
    json["normalizer"] = normalizer(lowercase);
    if special.cls.is_some() || special.sep.is_some() {
        let id = |token: &str| numbered.iter().find(|(own, _)| *own == token).map(|(_, id)| *id);
        json["post_processor"] = format::around(special.cls.as_deref(), special.sep.as_deref(), id);
    }
    Ok(json)
}

/// The words of each text, as BERT cuts them.
fn words(texts: &[String], lowercase: bool) -> tokenizers::Result<Vec<Vec<String>>> {
    let known = "the library reads its own format";
    let normalizer: NormalizerWrapper = serde_json::from_value(normalizer(lowercase)).expect(known);
    let cut: PreTokenizerWrapper = serde_json::from_value(json!({"type": "BertPreTokenizer"})).expect(known);
    texts
        .par_iter()
        .map(|text| {
            let mut normalized = NormalizedString::from(text.as_str());
            normalizer.normalize(&mut normalized)?;
            let mut parts = PreTokenizedString::from(normalized);
            cut.pre_tokenize(&mut parts)?;
            let parts = parts.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(parts.into_iter().map(|(word, ..)| word.to_owned()).collect())
        })
        .collect()
}
