//! The parts of a `tokenizer.json`.

use serde_json::{Map, Value, json};

/// The pre-tokenizer that leaves every character by itself.
pub(super) fn each_character() -> Value {
    split(r"[\s\S]")
}

/// A pre-tokenizer that cuts around each match of a pattern.
pub(super) fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

/// The pre-tokenizer that spells bytes as characters, after cutting words as GPT-2 does if asked to.
pub(super) fn byte_level(words: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": words})
}

/// The decoder of byte-level vocabularies.
pub(super) fn byte_decoder() -> Value {
    byte_level(true)
}

/// The pre-tokenizer that leaves a run of spaces with what follows it.
pub(super) fn runs_of(space: char) -> Value {
    json!({
        "type": "Split", "pattern": {"Regex": format!("{space}+")}, "behavior": "MergedWithNext", "invert": false,
    })
}

fn replace(pattern: &Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// The normalizers that put a space before a text and write spaces as U+2581.
pub(super) fn spaced() -> [Value; 2] {
    [
        json!({"type": "Prepend", "prepend": "\u{2581}"}),
        replace(&json!({"String": " "}), "\u{2581}"),
    ]
}

/// Those by themselves, as Llama has them.
pub(super) fn llama_normalizer() -> Value {
    json!({"type": "Sequence", "normalizers": spaced()})
}

/// The normalizers that drop spaces around a text (those at the end when they are escaped already, too) and make
/// one of several.
pub(super) fn trimmed() -> [Value; 2] {
    [
        replace(&json!({"Regex": "\\A +|[ \u{2581}]+\\z"}), ""),
        replace(&json!({"Regex": " {2,}"}), " "),
    ]
}

/// All four.
pub(super) fn collapse() -> Vec<Value> {
    trimmed().into_iter().chain(spaced()).collect()
}

/// A BPE model from a vocabulary and merges.
pub(super) fn bpe(vocabulary: Map<String, Value>, merges: Vec<Value>, whole_words_first: bool) -> Value {
    json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": whole_words_first, "vocab": vocabulary, "merges": merges,
    })
}

/// An entry of `added_tokens`.
pub(super) fn added(content: &str, id: u32, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": special,
    })
}

/// The post-processor that puts tokens before and after every sequence; `id` numbers them.
pub(super) fn around(begin: Option<&str>, end: Option<&str>, id: impl Fn(&str) -> Option<u32>) -> Value {
    let token = |token: &str, kind: u8| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let part = |sequence: &str, kind: u8| {
        let text = json!({"Sequence": {"id": sequence, "type_id": kind}});
        let parts = begin.map(|begin| token(begin, kind)).into_iter().chain([text]);
        parts.chain(end.map(|end| token(end, kind)))
    };
    let single: Vec<Value> = part("A", 0).collect();
    let pair: Vec<Value> = part("A", 0).chain(part("B", 1)).collect();
    let mut special = Map::new();
    for token in begin.into_iter().chain(end) {
        special.insert(
            token.to_owned(),
            json!({"id": token, "ids": [id(token)], "tokens": [token]}),
        );
    }
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})
}

/// A whole `tokenizer.json`; special tokens are given with their numbers.
pub(super) fn whole(special: &[(&str, u32)], pre_tokenizer: &Value, decoder: &Value, model: &Value) -> Value {
    let added: Vec<_> = special.iter().map(|(content, id)| added(content, *id, true)).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    })
}

/// What `tokenizer_config.json` says of a tokenizer that we made, besides its special tokens.
pub(super) fn config() -> Map<String, Value> {
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false});
    config.as_object().expect("made as one").clone()
}
