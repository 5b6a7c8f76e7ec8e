//! Unigram tokenizers as T5 has them: Kudo, *Subword Regularization* (2018), trained as in SentencePiece.
//!
//! A vocabulary far too large ([`seeds`]: the substrings that cover most of the text) is thinned out: the
//! probabilities of its pieces are fitted to the text by expectation and maximization ([`estimate`]), and
//! those whose loss costs least likelihood go ([`prune`]), until it has the size that was asked for.
//!
//! The trainer of Hugging Face's library is not used: its result depends on the order of a hash map and on
//! the number of threads (scores of rare characters, sums of floating-point numbers), and it is slower.

mod estimate;
mod lattice;
mod prune;
mod seeds;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::{SpecialTokens, TokenizerError, format};

/// What stands for a space.
const SPACE: char = '\u{2581}';
/// The longest piece, in characters, as in SentencePiece.
const LONGEST: usize = 16;
/// So many pieces at most to begin with, as in SentencePiece.
const SEEDS: usize = 1_000_000;
/// How much of the vocabulary survives a thinning.
const SHRINK: f64 = 0.75;

/// Distinct words with how often each is in the texts, in their own order.
type Words = Vec<(Vec<char>, u64)>;

/// A piece and its log-probability.
type Pieces = Vec<(Vec<char>, f64)>;

/// T5's text before it is cut: NFKC, and white space of any kind is one space, none at the ends.
fn normalizer() -> Value {
    let mut list = vec![json!({"type": "Nmt"}), json!({"type": "NFKC"})];
    list.extend(format::collapse());
    json!({"type": "Sequence", "normalizers": list})
}

/// The order in which T5 numbers special tokens.
fn in_order(special: &SpecialTokens) -> Vec<&str> {
    let SpecialTokens {
        eos,
        bos,
        pad,
        unk,
        cls,
        sep,
        mask,
    } = special;
    let mut tokens: Vec<&str> = Vec::new();
    for token in [pad, eos, unk, bos, cls, sep, mask].into_iter().flatten() {
        if !tokens.contains(&token.as_str()) {
            tokens.push(token);
        }
    }
    tokens
}

/// The `tokenizer.json` of a unigram model of `size` tokens in all: special tokens, pieces, and at the end so
/// many `<extra_id_N>`, the first of them last, as T5 numbers them.
pub(super) fn train(
    size: usize,
    sentinels: usize,
    special: &SpecialTokens,
    texts: &[String],
) -> Result<Value, TokenizerError> {
    let special_tokens = in_order(special);
    let unknown = special
        .unk
        .as_deref()
        .and_then(|unk| special_tokens.iter().position(|token| *token == unk));
    let Some(unknown) = unknown else {
        return Err(TokenizerError::Unfit(
            "`unigram` needs an unknown token: `special_tokens: {unk: ..}`".into(),
        ));
    };
    let words = words(texts)?;
    let room = size.saturating_sub(sentinels + special_tokens.len());
    let characters = words.iter().flat_map(|(word, _)| word.iter().copied());
    let characters: std::collections::BTreeSet<char> = characters.collect();
    if characters.is_empty() {
        return Err(TokenizerError::Unfit("the texts have no character to train on".into()));
    } else if characters.len() > room {
        return Err(TokenizerError::Unfit(format!(
            "a vocabulary of {size} is too small: the texts have {} different characters, and {} tokens are special",
            characters.len(),
            sentinels + special_tokens.len()
        )));
    }
    let mut vocabulary: Vec<Value> = special_tokens.iter().map(|token| json!([token, 0.0])).collect();
    for (piece, score) in pieces(&words, room) {
        let piece: String = piece.into_iter().collect();
        if special_tokens.contains(&piece.as_str()) {
            return Err(TokenizerError::Unfit(format!(
                "the special token {piece:?} is also a piece of the texts"
            )));
        }
        vocabulary.push(json!([piece, score]));
    }
    let numbered: Vec<(&str, u32)> = special_tokens.iter().copied().zip(0..).collect();
    let cut = format::runs_of(SPACE);
    let decoder = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]});
    let first = u32::try_from(vocabulary.len()).expect("a vocabulary has far fewer than 2^32 tokens");
    let model = json!({"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": false});
    let mut json = format::whole(&numbered, &cut, &decoder, &model);
    json["normalizer"] = normalizer();
    let added = json["added_tokens"].as_array_mut().expect("made as one");
    for (id, number) in (first..).zip((0..sentinels).rev()) {
        added.push(format::added(&format!("<extra_id_{number}>"), id, true));
    }
    if let Some(end) = special.eos.as_deref() {
        let id = |token: &str| numbered.iter().find(|(own, _)| *own == token).map(|(_, id)| *id);
        json["post_processor"] = format::around(None, Some(end), id);
    }
    Ok(json)
}

/// The words of the texts, normalized.
fn words(texts: &[String]) -> Result<Words, TokenizerError> {
    let normalizer: NormalizerWrapper = serde_json::from_value(normalizer()).expect("the library reads its own format");
    let counted = texts.par_chunks(64).map(|texts| {
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            let mut normalized = NormalizedString::from(text.as_str());
            let done = normalizer.normalize(&mut normalized);
            done.map_err(|error| TokenizerError::Unfit(format!("cannot train: {error}")))?;
            for word in normalized.get().split(SPACE).filter(|word| !word.is_empty()) {
                *words.entry(format!("{SPACE}{word}")).or_default() += 1;
            }
        }
        Ok(words)
    });
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for words in counted.collect::<Vec<Result<_, TokenizerError>>>() {
        for (word, count) in words? {
            *all.entry(word).or_default() += count;
        }
    }
    Ok(all
        .into_iter()
        .map(|(word, count)| (word.chars().collect(), count))
        .collect())
}

/// The best pieces, at most `size`, by falling probability; every character is one.
fn pieces(words: &Words, size: usize) -> Pieces {
    let mut pieces = seeds::seeds(words, SEEDS.max(size));
    let wanted = size * 11 / 10; // a little more than needed, so that the last choice is by probability
    loop {
        for _ in 0..2 {
            let expected = estimate::expected(&pieces, words);
            pieces = estimate::maximized(pieces, &expected);
        }
        if pieces.len() <= wanted {
            break;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let fewer = ((pieces.len() as f64 * SHRINK) as usize).max(wanted);
        let before = pieces.len();
        pieces = prune::pruned(pieces, words, fewer);
        if pieces.len() == before {
            break; // every piece is a character
        }
    }
    // characters stay whatever their probability is
    let falling = |a: &(Vec<char>, f64), b: &(Vec<char>, f64)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    pieces.sort_by(|a, b| (a.0.len() > 1).cmp(&(b.0.len() > 1)).then_with(|| falling(a, b)));
    pieces.truncate(size);
    pieces.sort_by(falling);
    pieces
}
