//! SentencePiece models against the reference implementation: `goldens/` is made by `goldens/make.py`.

use serde_json::{Value, json};

use crate::tokenizer::{SpecialTokens, Tokenizer};

const MODELS: [(&str, &[u8]); 3] = [
    ("unigram", include_bytes!("goldens/unigram.model")),
    ("bpe", include_bytes!("goldens/bpe.model")),
    ("bare", include_bytes!("goldens/bare.model")),
];

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/goldens.json")).unwrap()
}

/// A folder with a model's file, and other files beside it.
fn folder(name: &str, beside: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bytes = MODELS.iter().find(|(own, _)| *own == name).unwrap().1;
    std::fs::write(folder.path().join("spiece.model"), bytes).unwrap();
    for (file, json) in beside {
        std::fs::write(folder.path().join(file), json.to_string()).unwrap();
    }
    folder
}

#[test]
fn ids_are_those_of_the_reference() {
    let goldens = goldens();
    let mut different = Vec::new();
    for (name, _) in MODELS {
        let tokenizer = Tokenizer::load(folder(name, &[]).path()).unwrap();
        let texts = goldens["texts"].as_array().unwrap();
        let (ids, decoded) = (&goldens["ids"][name], &goldens["decoded"][name]);
        for (at, text) in texts.iter().enumerate() {
            let text = text.as_str().unwrap();
            let found = tokenizer.encode(text).unwrap();
            if json!(found) != ids[at] {
                different.push(format!("{name} {text:?}: {found:?}, reference {}", ids[at]));
            } else if !found.iter().any(|&id| Some(id) == tokenizer.unk()) && decoded[at] != tokenizer.decode(&found) {
                let found = tokenizer.decode(&found);
                different.push(format!("{name} {text:?}: decoded {found:?}, reference {}", decoded[at]));
            }
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// What is written is a tokenizer.json like any other.
#[test]
fn a_loaded_model_is_saved_as_tokenizer_json() {
    for (name, _) in MODELS {
        let loaded = Tokenizer::load(folder(name, &[]).path()).unwrap();
        let out = tempfile::tempdir().unwrap();
        loaded.save(out.path()).unwrap();
        let again = Tokenizer::load(out.path()).unwrap();
        let library = tokenizers::Tokenizer::from_file(out.path().join("tokenizer.json")).unwrap();
        for text in goldens()["texts"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            let ids = again.encode(text).unwrap();
            assert_eq!(ids, loaded.encode(text).unwrap());
            assert_eq!(
                ids,
                library.encode_fast(text, false).unwrap().get_ids(),
                "{name} {text:?}"
            );
        }
        assert_eq!((again.bos(), again.eos()), (loaded.bos(), loaded.eos()));
    }
}

#[test]
fn the_files_beside_a_model_say_what_surrounds_a_text() {
    let t5 = json!({"model_type": "t5"});
    let tokenizer = Tokenizer::load(folder("unigram", &[("config.json", t5)]).path()).unwrap();
    assert_eq!(
        (tokenizer.pad(), tokenizer.eos(), tokenizer.unk(), tokenizer.bos()),
        (Some(0), Some(1), Some(2), None)
    );
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[][..], &[1][..]));
    assert_eq!(tokenizer.vocab_size(), 700);
    assert_eq!(
        (tokenizer.id("<extra_id_0>"), tokenizer.id("<extra_id_99>")),
        (Some(699), Some(600))
    );
    assert_eq!(tokenizer.encode("<extra_id_1>").unwrap(), [698]);

    let llama = json!({"tokenizer_class": "LlamaTokenizer", "pad_token": "[x]", "added_tokens_decoder": {
        "761": {"content": "[y]", "special": false}, "760": {"content": "[x]", "special": true},
        "1": {"content": "<s>", "special": true},
    }});
    let tokenizer = Tokenizer::load(folder("bpe", &[("tokenizer_config.json", llama)]).path()).unwrap();
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[1][..], &[][..]));
    assert_eq!(
        (tokenizer.pad(), tokenizer.id("[y]"), tokenizer.vocab_size()),
        (Some(760), Some(761), 762)
    );
    let both = json!({"add_bos_token": true, "add_eos_token": true});
    let tokenizer = Tokenizer::load(folder("bpe", &[("tokenizer_config.json", both)]).path()).unwrap();
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[1][..], &[2][..]));

    let error = |config: Value| {
        let folder = folder("bpe", &[("tokenizer_config.json", config)]);
        Tokenizer::load(folder.path()).err().unwrap().to_string()
    };
    assert!(error(json!({"tokenizer_class": "XLMRobertaTokenizer"})).contains("may number its tokens otherwise"));
    let clash = json!({"added_tokens_decoder": {"5": {"content": "[x]"}}});
    assert!(error(clash).contains("\"[x]\" has the number 5, which is"));
    let gap = json!({"added_tokens_decoder": {"999": {"content": "[x]"}}});
    assert!(error(gap).contains("should be number 999"));
}

#[test]
fn what_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.model");
    let error = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Tokenizer::open(&file, &SpecialTokens::default(), None)
            .err()
            .map(|error| error.to_string())
    };
    assert!(error(b"").unwrap().contains("it has no pieces"));
    assert!(
        error(b"nothing of the kind")
            .unwrap()
            .contains("not a SentencePiece model")
    );
    // cut off anywhere, or with a byte changed: an error or a tokenizer, never a panic
    for (_, model) in MODELS {
        let mut random = crate::seed::Seed::root(1).rng();
        for _ in 0..300 {
            use rand::Rng;
            let mut bytes = model.to_vec();
            bytes[random.random_range(0..model.len())] = random.random();
            if random.random() {
                bytes.truncate(random.random_range(0..model.len()));
            }
            std::fs::write(&file, bytes).unwrap();
            if let Ok(tokenizer) = Tokenizer::open(&file, &SpecialTokens::default(), None) {
                tokenizer.encode("cafe\u{301} ☃ <sep>").ok();
            }
        }
    }
}
