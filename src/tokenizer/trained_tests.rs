//! The trained vocabularies: the same bytes whatever the threads and the order, and the library's own ids.

use proptest::prelude::*;

use super::*;
use crate::data::shared_for_tests;

/// A few hundred sentences with accents, numbers, other scripts, and words that are there once.
fn texts() -> Vec<String> {
    let names = ["Ana", "Luis", "Eva", "Iván", "Begoña"];
    let places = ["the river", "el jardín", "東京の本", "la estación", "Кремль"];
    (0..300)
        .map(|i| {
            let (name, other) = (names[i % 5], names[(i / 5 + 1) % 5]);
            format!(
                "{name} walked to {} with {other}, number {i}.\n«¿Qué haces?», dijo {name}\tand left.",
                places[i % 5]
            )
        })
        .collect()
}

fn quijote() -> Option<Vec<String>> {
    let path = shared_for_tests("data/quijote.txt")?;
    let text = std::fs::read_to_string(path).unwrap();
    Some(text.lines().take(1_200).map(str::to_owned).collect())
}

fn written(tokenizer: &Tokenizer) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    std::fs::read(folder.path().join("tokenizer.json")).unwrap()
}

#[test]
fn training_does_not_depend_on_threads_or_hashing_or_order() {
    let texts = quijote().unwrap_or_else(texts);
    let mut reversed = texts.clone();
    reversed.reverse();
    for algorithm in [Algorithm::Unigram, Algorithm::Wordpiece] {
        let train = |threads: usize, texts: &[String]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                written(
                    &algorithm
                        .train(Some(1_000), &algorithm.default_special(), texts)
                        .unwrap(),
                )
            })
        };
        let first = train(1, &texts);
        assert!(train(2, &texts) == first, "{algorithm:?} on two threads");
        assert!(train(3, &reversed) == first, "{algorithm:?} in another order");
    }
}

#[test]
fn unigram_is_laid_out_as_t5() {
    let special = Algorithm::Unigram.default_special();
    let tokenizer = Algorithm::Unigram.train(Some(300), &special, &texts()).unwrap();
    assert_eq!(
        (tokenizer.pad(), tokenizer.eos(), tokenizer.unk(), tokenizer.bos()),
        (Some(0), Some(1), Some(2), None)
    );
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[][..], &[1][..]));
    assert_eq!(tokenizer.vocab_size(), 300);
    assert_eq!(
        (tokenizer.id("<extra_id_0>"), tokenizer.id("<extra_id_99>")),
        (Some(299), Some(200))
    );
    assert_eq!(tokenizer.encode("<extra_id_1>").unwrap(), [298]);
    // white space is one space, forms are NFKC's
    let text = "  Ana\t walked \n to ｔｈｅ river";
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(tokenizer.decode(&ids), "Ana walked to the river");
    assert!(ids.len() <= 8, "{ids:?}");
    assert_eq!(
        tokenizer
            .encode("Ana ☃☃ ☃")
            .unwrap()
            .iter()
            .filter(|&&id| id == 2)
            .count(),
        2
    );
    assert_eq!(tokenizer.encode(" \n").unwrap(), [0u32; 0]);
    for (id, score) in [(3, "▁"), (2, "<unk>")] {
        assert!(tokenizer.token(id).is_some(), "{score}");
    }
    let training = Training {
        algorithm: Algorithm::Unigram,
        vocab_size: Some(200),
        sentinels: 0,
        lowercase: false,
    };
    assert_eq!(training.train(&special, &texts()).unwrap().vocab_size(), 200);
    let error = |size| {
        Algorithm::Unigram
            .train(Some(size), &special, &texts())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(error(150).contains("different characters"), "{}", error(150));
    assert!(error(20).contains("too small"));
    let bare = SpecialTokens::default();
    assert!(Algorithm::Unigram.train(Some(500), &bare, &texts()).is_err());
    assert!(Algorithm::Unigram.train(Some(500), &special, &[" ".into()]).is_err());
}

/// SentencePiece's own trainer needs 25,634 tokens for the same lines with as many tokens (0.2.3,
/// `model_type=unigram vocab_size=1000 character_coverage=1 normalization_rule_name=nmt_nfkc`).
#[test]
fn unigram_compresses_as_well_as_sentencepiece() {
    let Some(lines) = quijote() else { return };
    let training = Training {
        algorithm: Algorithm::Unigram,
        vocab_size: Some(1_000),
        sentinels: 0,
        lowercase: false,
    };
    let tokenizer = training.train(&Algorithm::Unigram.default_special(), &lines).unwrap();
    let tokens: usize = lines.iter().map(|line| tokenizer.encode(line).unwrap().len()).sum();
    assert!(tokens <= 25_634, "{tokens}");
}

#[test]
fn wordpiece_is_laid_out_as_bert() {
    let special = Algorithm::Wordpiece.default_special();
    let tokenizer = Algorithm::Wordpiece.train(Some(400), &special, &texts()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 400);
    let id = |token: &str| tokenizer.id(token).unwrap();
    assert_eq!(
        (tokenizer.eos(), tokenizer.unk(), tokenizer.pad()),
        (Some(id("[SEP]")), Some(id("[UNK]")), Some(id("[PAD]")))
    );
    assert_eq!(
        (tokenizer.prefix(), tokenizer.suffix()),
        (&[id("[CLS]")][..], &[id("[SEP]")][..])
    );
    let ids = tokenizer.encode("Ana  walked to ☃ ,Eva[MASK]").unwrap();
    let tokens: Vec<String> = ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
    assert_eq!(tokens, ["Ana", "walked", "to", "[UNK]", ",", "Eva", "[MASK]"]);
    assert_eq!(tokenizer.decode(&ids), "Ana walked to, Eva");
    let uncased = Training {
        algorithm: Algorithm::Wordpiece,
        vocab_size: Some(400),
        sentinels: 0,
        lowercase: true,
    };
    let uncased = uncased.train(&special, &texts()).unwrap();
    assert_eq!(uncased.encode("IVÁN").unwrap(), uncased.encode("ivan").unwrap());
    assert_ne!(tokenizer.encode("ana").unwrap(), tokenizer.encode("Ana").unwrap());
    assert!(Algorithm::Wordpiece.train(Some(40), &special, &texts()).is_err());
    assert!(
        Algorithm::Wordpiece
            .train(Some(400), &SpecialTokens::default(), &texts())
            .is_err()
    );
}

/// A long text is cut into pieces, which many threads encode; special tokens in it stay where they are.
#[test]
fn long_texts_are_encoded_as_in_the_library() {
    let mut text = texts().concat().repeat(8);
    text.insert_str(text.len() / 2, "</s>");
    text += "  the end  \n ";
    assert!(text.len() > 3 << 16);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.model");
    std::fs::write(&file, include_bytes!("sentencepiece/goldens/bpe.model")).unwrap();
    let mut all = vec![
        Tokenizer::load(folder.path()).unwrap(),
        Vocabulary::Cl100kBase.tokenizer().unwrap(),
    ];
    for algorithm in [
        Algorithm::Bpe,
        Algorithm::Unigram,
        Algorithm::Wordpiece,
        Algorithm::Byte,
    ] {
        let size = algorithm.smallest(&algorithm.default_special(), 100).map(|_| 400);
        all.push(algorithm.train(size, &algorithm.default_special(), &texts()).unwrap());
    }
    for tokenizer in all {
        let library = tokenizers::Tokenizer::from_bytes(written(&tokenizer)).unwrap();
        let expected = library.encode_fast(text.as_str(), false).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| tokenizer.encode(&text)).unwrap() == expected.get_ids());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What the algorithms promise of any text: the library's own ids, bytes come back exactly, and pieces give
    /// back the normalized text where no character of it is unknown.
    #[test]
    fn any_text_is_encoded_as_in_the_library(text in "(.|\\PC|[ \n\tañ東😀▁,.])*") {
        use std::sync::LazyLock;
        type Made = Vec<(Algorithm, Tokenizer, tokenizers::Tokenizer)>;
        static ALL: LazyLock<Made> = LazyLock::new(|| {
            let all = [Algorithm::Bpe, Algorithm::Unigram, Algorithm::Wordpiece, Algorithm::Byte];
            let made = all.into_iter().map(|algorithm| {
                let size = algorithm.smallest(&algorithm.default_special(), 100).map(|_| 500);
                let tokenizer = algorithm.train(size, &algorithm.default_special(), &texts()).unwrap();
                let library = tokenizers::Tokenizer::from_bytes(written(&tokenizer)).unwrap();
                (algorithm, tokenizer, library)
            });
            made.collect()
        });
        for (algorithm, tokenizer, library) in ALL.iter() {
            let ids = tokenizer.encode(&text).unwrap();
            let expected = library.encode_fast(text.as_str(), false).unwrap();
            prop_assert_eq!(&ids, expected.get_ids(), "{:?}", algorithm);
            let decoded = tokenizer.decode(&ids);
            match algorithm {
                Algorithm::Bpe | Algorithm::Byte => prop_assert_eq!(&decoded, &text),
                _ if ids.iter().any(|&id| Some(id) == tokenizer.unk()) => {}
                _ => prop_assert_eq!(tokenizer.encode(&decoded).unwrap(), ids, "{:?}", algorithm),
            }
        }
    }
}
