//! A tokenizer in use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value};
use tokenizers::{NormalizedString, Normalizer};

use super::added::{Added, Part};
use super::fast::Fast;
use super::source::{CONFIG, Source, TOKENIZER, tokenizer_file};
use super::special::declared;
use super::spelling::Spelling;
use super::{SpecialTokens, TokenizerError, Vocabulary, base64, sentencepiece};

/// A tokenizer in use: text to tokens and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    config: Map<String, Value>,
    fast: Option<Fast>,
    /// The characters that a model knows which leaves out, without a word, all others.
    alphabet: Option<BTreeSet<char>>,
    special: Added,
    roles: BTreeMap<&'static str, u32>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    vocab_size: usize,
    spelling: Spelling,
}

impl Tokenizer {
    /// Reads the tokenizer of a folder (a tokenizer or a model): `tokenizer.json`, or without one a
    /// SentencePiece model, and what stands beside it.
    ///
    /// # Errors
    /// A file that is missing or not of its format, or a role given to a token that is not there.
    pub fn load(folder: &Path) -> Result<Self, TokenizerError> {
        let file = tokenizer_file(folder).unwrap_or_else(|| folder.join(TOKENIZER));
        Self::open(&file, &SpecialTokens::default(), None)
    }

    /// Reads a tokenizer by its file's own path (a `tokenizer.json`, a SentencePiece model or a tiktoken
    /// vocabulary) with the configuration beside it, and gives roles to tokens that are declared here.
    /// `pattern` is for a tiktoken file: the published vocabulary that cuts words as it does, which its name
    /// tells if it is one of those.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn open(file: &Path, special: &SpecialTokens, pattern: Option<Vocabulary>) -> Result<Self, TokenizerError> {
        let Source { json, config } = Source::read(file, special, pattern)?;
        Self::build(json, config).map_err(|error| match error {
            TokenizerError::Unfit(message) => TokenizerError::File {
                path: file.to_owned(),
                message,
            },
            other => other,
        })
    }

    /// A tokenizer from its parts.
    pub(super) fn assemble(json: &Value, config: Map<String, Value>) -> Result<Self, TokenizerError> {
        let mut text = serde_json::to_vec_pretty(json).expect("a JSON value can be written");
        text.push(b'\n');
        Self::build(text, config)
    }

    fn build(json: Vec<u8>, config: Map<String, Value>) -> Result<Self, TokenizerError> {
        let unfit = |error: &dyn std::fmt::Display| TokenizerError::Unfit(format!("not a tokenizer.json: {error}"));
        let value: Value = serde_json::from_slice(&json).map_err(|error| unfit(&error))?;
        check_normalizer(&value["normalizer"]).map_err(|error| unfit(&error))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&json).map_err(|error| unfit(&error))?;
        // a text is encoded whole: a truncation would drop its end without a word
        inner.with_truncation(None).map_err(|error| unfit(&error))?;
        inner.with_padding(None);
        let vocabulary = inner.get_vocab(true);
        let vocab_size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        for token in value["added_tokens"].as_array().into_iter().flatten() {
            let content = token["content"].as_str().unwrap_or_default();
            let given = inner.token_to_id(content);
            if given.map(u64::from) != token["id"].as_u64() {
                let wanted = &token["id"];
                return Err(unfit(&format!(
                    "the added token {content:?} should be number {wanted} and cannot be"
                )));
            }
        }
        let mut roles = BTreeMap::new();
        for role in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            if let Some(token) = declared(&config, role) {
                let id = inner
                    .token_to_id(token)
                    .ok_or_else(|| TokenizerError::Unfit(format!("the {role} {token:?} is not in the vocabulary")))?;
                roles.insert(role, id);
            }
        }
        let special = Added::of(&value);
        let begun = inner.encode_fast("", true).map_err(|error| unfit(&error))?;
        let end = roles.get("eos_token");
        let prefix: Vec<u32> = begun
            .get_ids()
            .iter()
            .copied()
            .take_while(|id| Some(id) != end)
            .collect();
        let suffix = begun.get_ids()[prefix.len()..].to_vec();
        Ok(Self {
            inner,
            json,
            config,
            fast: Fast::of(&value),
            alphabet: alphabet(&value),
            special,
            roles,
            prefix,
            suffix,
            vocab_size,
            spelling: Spelling::of(&value),
        })
    }

    /// Writes `tokenizer.json` (byte for byte what was loaded) and `tokenizer_config.json`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        let path = folder.join(TOKENIZER);
        std::fs::write(&path, &self.json).map_err(TokenizerError::io(&path))?;
        let path = folder.join(CONFIG);
        let text = serde_json::to_string_pretty(&self.config).expect("a JSON value can be written") + "\n";
        std::fs::write(&path, text).map_err(TokenizerError::io(&path))
    }

    /// The tokens of a text: nothing put before or after it, nothing cut off. Special tokens that
    /// are written out in the text become those tokens, as in Hugging Face.
    ///
    /// # Errors
    /// A character that the vocabulary does not have.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if let Some(fast) = &self.fast
            && let Some(parts) = self.special.parts(text)
        {
            return self.encode_parts(fast, text, parts);
        }
        if self.alphabet.is_some() {
            self.check_known(text)?;
        }
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| self.refusal(text, &error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a text between special tokens, by all threads if it is long: it is cut between two words,
    /// where no way to encode reaches over.
    fn encode_parts(&self, fast: &Fast, text: &str, parts: Vec<Part>) -> Result<Vec<u32>, TokenizerError> {
        const PIECE: usize = 1 << 16;
        let one = |part: &Part| match *part {
            Part::Token(id) => Ok(vec![id]),
            Part::Text { from, to, first } => fast.encode(&text[from..to], first, &self.inner),
        };
        if let [part @ Part::Text { from, to, .. }] = parts[..]
            && to - from < 2 * PIECE
        {
            return one(&part);
        }
        let mut pieces = Vec::new();
        for part in parts {
            let Part::Text { from, to, first } = part else {
                pieces.push(part);
                continue;
            };
            let mut at = from;
            while to - at > PIECE
                && let Some(cut) = between_words(&text.as_bytes()[..to], at + PIECE)
            {
                pieces.push(Part::Text {
                    from: at,
                    to: cut,
                    first: first && at == from,
                });
                at = cut;
            }
            pieces.push(Part::Text {
                from: at,
                to,
                first: first && at == from,
            });
        }
        let encoded: Vec<_> = pieces.par_iter().map(one).collect();
        let mut tokens = Vec::with_capacity(encoded.iter().flatten().map(Vec::len).sum());
        for piece in encoded {
            tokens.append(&mut piece?);
        }
        Ok(tokens)
    }

    /// The tokens of each text, in the order of the texts, by all threads of the current rayon pool.
    ///
    /// # Errors
    /// That of the first text which has one, with its position.
    pub fn encode_batch<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>, (usize, TokenizerError)> {
        let encoded: Vec<_> = texts.par_iter().map(|text| self.encode(text.as_ref())).collect();
        encoded
            .into_iter()
            .enumerate()
            .map(|(at, result)| result.map_err(|error| (at, error)))
            .collect()
    }

    /// Refuses what a model that leaves out what it does not know would leave out: a character which
    /// no token begins from.
    fn check_known(&self, text: &str) -> Result<(), TokenizerError> {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            normalizer
                .normalize(&mut normalized)
                .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        }
        let known = |character: char| {
            self.alphabet
                .as_ref()
                .is_none_or(|alphabet| alphabet.contains(&character))
        };
        let unknown = normalized
            .get()
            .chars()
            .find(|&character| !character.is_whitespace() && !known(character));
        unknown.map_or(Ok(()), |character| Err(TokenizerError::UnknownCharacter { character }))
    }

    /// Why the library refused a text: nearly always a character that a vocabulary of characters
    /// does not have.
    fn refusal(&self, text: &str, message: &str) -> TokenizerError {
        let words = self.special.left_out_of(text);
        let unknown = |character: &char| self.inner.token_to_id(&character.to_string()).is_none();
        if matches!(self.fast, Some(Fast::Characters(..)))
            && let Some(character) = words.chars().find(unknown)
        {
            return TokenizerError::UnknownCharacter { character };
        }
        TokenizerError::Encode(message.to_owned())
    }

    /// The text of tokens, without special tokens. Bytes that are not UTF-8 (a character cut in two)
    /// become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.inner.decode(tokens, true).unwrap_or_else(|_| {
            // a decoder that refuses (none of ours does): the tokens as the vocabulary writes them
            tokens
                .iter()
                .filter_map(|&token| self.inner.id_to_token(token))
                .collect()
        })
    }

    /// One more than the largest token.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token that ends a document or an answer, if one is declared.
    pub fn eos(&self) -> Option<u32> {
        self.roles.get("eos_token").copied()
    }

    /// The token that begins a sequence, if one is declared.
    pub fn bos(&self) -> Option<u32> {
        self.roles.get("bos_token").copied()
    }

    /// The token that fills a batch's shorter sequences, if one is declared.
    pub fn pad(&self) -> Option<u32> {
        self.roles.get("pad_token").copied()
    }

    /// The token for what the vocabulary does not have, if one is declared.
    pub fn unk(&self) -> Option<u32> {
        self.roles.get("unk_token").copied()
    }

    /// What the tokenizer's own template puts before every sequence (Llama's `<s>`): usually nothing.
    /// Training documents and prompts begin with it.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// What the tokenizer's own template puts after every sequence (T5's `</s>`): what an encoder reads
    /// ends with it.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// The number of a token by its exact spelling in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's spelling in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The bytes of text that a token stands for (before what a decoder drops at the beginning of a text).
    pub fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.token(id)?;
        Some(if self.is_special(id) {
            token.into_bytes()
        } else {
            self.spelling.undo(&token)
        })
    }

    /// Whether a token is no text, but a mark that decoding leaves out.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }
}

/// The first place from `from` on that stands before a space between two letters of ASCII. There a word begins,
/// whatever the tokenizer.
fn between_words(text: &[u8], from: usize) -> Option<usize> {
    let found = text
        .get(from..)?
        .windows(3)
        .position(|three| three[0].is_ascii_alphabetic() && three[1] == b' ' && three[2].is_ascii_alphabetic());
    Some(from + found? + 1)
}

/// Refuses a damaged compiled normalization, in which the library would run astray.
fn check_normalizer(normalizer: &Value) -> Result<(), String> {
    if let Some(map) = normalizer["precompiled_charsmap"].as_str() {
        let flaw = base64::decode(map).map_or(Some("is not base64"), |map| sentencepiece::flaw(&map));
        return flaw.map_or(Ok(()), |flaw| Err(format!("its precompiled_charsmap {flaw}")));
    }
    let inner = normalizer["normalizers"].as_array().into_iter().flatten();
    inner.into_iter().try_for_each(check_normalizer)
}

/// The characters that the tokens of a `tokenizer.json` are made of, if it leaves out all others: a BPE
/// without bytes and without an unknown token.
fn alphabet(json: &Value) -> Option<BTreeSet<char>> {
    let model = &json["model"];
    let parts = json["pre_tokenizer"].to_string() + &json["normalizer"].to_string();
    let drops = model["type"] == "BPE"
        && model["unk_token"].is_null()
        && model["byte_fallback"] != true
        && !parts.contains(r#""ByteLevel""#);
    let tokens = model["vocab"].as_object().filter(|_| drops)?;
    Some(tokens.keys().flat_map(|token| token.chars()).collect())
}
