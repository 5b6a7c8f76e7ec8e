//! Short ways to encode that give exactly what the library gives, for formats that we know.
//!
//! What is slow in the library is the way to the words, which keeps track of where each byte came from. So words
//! are cut here, the tokens of a word are remembered, and the library (or, for bytes, [`Merges`]) is asked for
//! new ones only.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use tokenizers::Model;

use super::cut::Cut;
use super::merges::Merges;
use super::remembered::Remembered;
use super::{TokenizerError, base64, bytes, format, sentencepiece, tiktoken};

const SPACE: char = '\u{2581}';

/// Words longer than this, in bytes, are the library's: it merges in less than quadratic time.
const LONG: usize = 256;

/// A short way, if the `tokenizer.json` is one that it is for.
pub(super) enum Fast {
    /// A word-level model over single characters; the number of the unknown token, if it has one.
    Characters(HashMap<char, u32>, Option<u32>),
    /// A byte-level model without merges: a token for each byte.
    Bytes(Box<[u32; 256]>),
    /// A byte-level model over the words of a pattern.
    Words(Cut, Merges, Remembered),
    /// A model over runs of spaces and what follows them, one of which is put before a text (Llama's).
    Runs(Remembered),
    /// A tokenizer for which what stands between white space stands by itself (T5's, BERT's).
    Apart(Remembered),
}

impl Fast {
    /// The short way for a `tokenizer.json`.
    pub(super) fn of(json: &Value) -> Option<Self> {
        let (normalizer, pre_tokenizer, model) = (&json["normalizer"], &json["pre_tokenizer"], &json["model"]);
        if !model["dropout"].is_null() && model["dropout"] != 0.0 {
            return None; // drawn anew each time
        } else if normalizer.is_null() {
            return Self::plain(pre_tokenizer, model);
        }
        let runs = format::runs_of(SPACE);
        if *normalizer == format::llama_normalizer() && (*pre_tokenizer == runs || pre_tokenizer.is_null()) {
            let lead = model["type"] == "BPE" && (*pre_tokenizer == runs || spaces_lead(model));
            return lead.then(|| Self::Runs(Remembered::new()));
        }
        let apart = (normalizer["type"] == "BertNormalizer" && pre_tokenizer["type"] == "BertPreTokenizer")
            || (*pre_tokenizer == runs && collapses(normalizer));
        apart.then(|| Self::Apart(Remembered::new()))
    }

    /// Without a normalizer.
    fn plain(pre_tokenizer: &Value, model: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        if model["type"] == "WordLevel" && *pre_tokenizer == format::each_character() {
            let vocabulary = model["vocab"].as_object()?;
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
            let vocabulary = model["vocab"].as_object()?;
            let mut numbers = Box::new([0; 256]);
            for byte in 0..=255u8 {
                numbers[usize::from(byte)] = number(vocabulary.get(&bytes::spell(&[byte]))?)?;
            }
            Some(Self::Bytes(numbers))
        } else {
            Some(Self::Words(
                tiktoken::cut_of(pre_tokenizer)?,
                Merges::of(model)?,
                Remembered::new(),
            ))
        }
    }

    /// The tokens of a text without special tokens in it. `first` says whether it begins the text that it is a
    /// part of.
    pub(super) fn encode(
        &self,
        text: &str,
        first: bool,
        library: &tokenizers::Tokenizer,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = Vec::with_capacity(text.len() / 3);
        let refused = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        match self {
            Self::Characters(numbers, unknown) => {
                for character in text.chars() {
                    let known = numbers.get(&character).copied().or(*unknown);
                    tokens.push(known.ok_or(TokenizerError::UnknownCharacter { character })?);
                }
            }
            Self::Bytes(numbers) => tokens.extend(text.bytes().map(|byte| numbers[usize::from(byte)])),
            Self::Words(cut, merges, remembered) => {
                remembered.encode(cut.words(text), &mut tokens, |word, tokens| {
                    if word.len() <= LONG {
                        merges.encode(word.as_bytes(), tokens);
                    } else {
                        let found = library.get_model().tokenize(&bytes::spell(word.as_bytes()));
                        tokens.extend(found.map_err(refused)?.into_iter().map(|token| token.id));
                    }
                    Ok(())
                })?;
            }
            Self::Runs(remembered) => {
                let find = |run: &str, tokens: &mut Vec<u32>| {
                    let found = library.get_model().tokenize(&run.replace(' ', "\u{2581}"));
                    tokens.extend(found.map_err(refused)?.into_iter().map(|token| token.id));
                    Ok(())
                };
                let begin = if first {
                    runs(text).next().unwrap_or_default()
                } else {
                    ""
                };
                let begun = if begin.is_empty() {
                    String::new()
                } else {
                    format!("{SPACE}{begin}")
                };
                let all = Some(begun.as_str()).filter(|begun| !begun.is_empty()).into_iter();
                remembered.encode(all.chain(runs(&text[begin.len()..])), &mut tokens, find)?;
            }
            Self::Apart(remembered) => {
                let ascii = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r');
                let words = || text.split(ascii).filter(|word| !word.is_empty());
                if words().any(|word| !word.as_bytes()[0].is_ascii() && JOINS.is_match(word)) {
                    let encoding = library.encode_fast(text, false).map_err(refused)?;
                    return Ok(encoding.get_ids().to_vec());
                }
                remembered.encode(words(), &mut tokens, |word, tokens| {
                    let encoding = library.encode_fast(word, false).map_err(refused)?;
                    tokens.extend_from_slice(encoding.get_ids());
                    Ok(())
                })?;
            }
        }
        Ok(tokens)
    }
}

/// A word that begins so may join the space before it.
static JOINS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\A[\p{M}\u{200b}-\u{200f}\u{ff9e}\u{ff9f}\u{1f3fb}-\u{1f3ff}\u{e0000}-\u{e007f}]").expect("a constant")
});

/// Runs of spaces with what follows each, up to the next.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let space = |character: char| matches!(character, ' ' | SPACE);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let spaces = rest.len() - rest.trim_start_matches(space).len();
        let end = rest[spaces..].find(space).map_or(rest.len(), |at| spaces + at);
        let (run, more) = rest.split_at(end);
        rest = more;
        Some(run)
    })
}

/// Whether no token of a vocabulary has a space after another character, and a space by itself is one: then
/// nothing is merged over the beginning of a run of spaces, and no unknown text reaches over it.
fn spaces_lead(model: &Value) -> bool {
    let Some(vocabulary) = model["vocab"].as_object() else {
        return false;
    };
    let leads = |token: &String| !token.trim_start_matches(SPACE).contains(SPACE);
    vocabulary.contains_key(&SPACE.to_string()) && vocabulary.keys().all(leads)
}

/// Whether a normalizer makes one space of white space of any length and kind, drops it at the ends and puts one
/// before a text, and leaves single characters of ASCII and runs of them as they are.
fn collapses(normalizer: &Value) -> bool {
    let Some(list) = normalizer["normalizers"].as_array() else {
        return false;
    };
    let Some((rest, collapse)) = list.len().checked_sub(4).map(|at| list.split_at(at)) else {
        return false;
    };
    if *collapse != format::collapse() {
        return false;
    }
    match rest {
        [nmt, nfkc] => nmt["type"] == "Nmt" && nfkc["type"] == "NFKC",
        [compiled] => {
            let map = compiled["precompiled_charsmap"].as_str().and_then(base64::decode);
            map.is_some_and(|map| sentencepiece::only_spaces(&map))
        }
        _ => false,
    }
}
