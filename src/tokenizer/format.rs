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

/// A BPE model from a vocabulary and merges.
pub(super) fn bpe(vocabulary: Map<String, Value>, merges: Vec<Value>, whole_words_first: bool) -> Value {
    json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": whole_words_first, "vocab": vocabulary, "merges": merges,
    })
}

/// A whole `tokenizer.json`; special tokens are given with their numbers.
pub(super) fn whole(special: &[(&str, u32)], pre_tokenizer: &Value, decoder: &Value, model: &Value) -> Value {
    let added: Vec<_> = special
        .iter()
        .map(|(content, id)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
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
