//! Tokenizers against their references: tiktoken-rs, Hugging Face's library, and round trips.

use proptest::prelude::*;

use super::*;
use crate::data::shared_for_tests;

const STAR_WARS: &str = "Soy uno con la fuerza y la fuerza esta conmigo";

/// Texts that cut words, spaces and bytes in unusual ways.
const TEXTS: &[&str] = &[
    "",
    " ",
    STAR_WARS,
    "Hello world",
    "hello  world   !\n\n\n  x\t\ty \r\n\r\n z",
    "trailing spaces   ",
    "trailing lines \n \n  ",
    "I'll we've can't IT'S Don'T l'été d'accord 'sſ",
    "12345678901234567890 1,000.50 ½ ²³ ٣٤٥",
    "¿Qué tal, señor Muñoz? «Mañana» – dijo él… ¡ÁÉÍÓÚ!",
    "日本語のテキスト 한국어 العربية עברית ไทย हिन्दी",
    "👩‍👩‍👧‍👦🏳️‍🌈 emoji 😀😃 e\u{301}\u{200b}\u{feff}",
    "fn main() {\n    println!(\"{}\", x[0]);\n        // deep\n}\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "................................................................////\n\n/",
    "                                                                                 x",
    "CamelCaseHTTPServerÄÖÜß ǅ ª º",
    "\u{0}\u{1}\u{7f}\u{85}\u{a0}\u{2028}\u{3000}",
    "supercalifragilisticexpialidocious_antidisestablishmentarianism",
];

fn core(vocabulary: Vocabulary) -> &'static tiktoken_rs::CoreBPE {
    match vocabulary {
        Vocabulary::Gpt2 | Vocabulary::R50kBase => tiktoken_rs::r50k_base_singleton(),
        Vocabulary::P50kBase => tiktoken_rs::p50k_base_singleton(),
        Vocabulary::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        Vocabulary::O200kBase => tiktoken_rs::o200k_base_singleton(),
    }
}

/// A text of random pieces in several scripts, with runs of spaces and line ends.
fn mixed(seed: u64) -> String {
    use rand::Rng;
    const PIECES: &[&str] = &[
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "the",
        "fuerza",
        "ing",
        "ñandú",
        "é",
        "'s",
        "'LL",
        "7",
        "2024",
        ",",
        "...",
        "(",
        ")",
        "/",
        "日本",
        "Привет",
        "😀",
        "\u{301}",
        "A",
        "bC",
        "_",
        "==",
        "\u{a0}",
        "ß",
        "x",
        "ee",
        "ll",
    ];
    let mut rng = crate::seed::Seed::root(seed).rng();
    (0..rng.random_range(0..60))
        .map(|_| PIECES[rng.random_range(0..PIECES.len())])
        .collect()
}

fn equals_tiktoken(vocabulary: Vocabulary) {
    let tokenizer = vocabulary.tokenizer().unwrap();
    assert_eq!(tokenizer.vocab_size(), vocabulary.size());
    let random: Vec<String> = (0..400).map(mixed).collect();
    let texts = TEXTS.iter().copied().chain(random.iter().map(String::as_str));
    for text in texts {
        let expected = core(vocabulary).encode_ordinary(text);
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{vocabulary:?}: {text:?}");
        assert_eq!(tokenizer.decode(&expected), text, "{vocabulary:?}");
    }
    let end = tokenizer.eos().unwrap();
    assert_eq!(tokenizer.encode("a<|endoftext|>").unwrap()[1], end);
    assert_eq!(tokenizer.decode(&[end]), "");
    for token in [0, 255, 256, 1000, 40_000] {
        let bytes = core(vocabulary).decode_bytes(&[token]).unwrap();
        assert_eq!(tokenizer.token(token).unwrap(), bytes::spell(&bytes));
    }
}

#[test]
fn gpt3_vocabularies_equal_tiktoken() {
    const EXPECTED: [u32; 20] = [
        50, 726, 555, 78, 369, 8591, 14035, 263, 4496, 331, 8591, 14035, 263, 4496, 1556, 64, 369, 76, 14031, 0,
    ];
    for vocabulary in [Vocabulary::R50kBase, Vocabulary::P50kBase] {
        equals_tiktoken(vocabulary);
        assert_eq!(
            vocabulary.tokenizer().unwrap().encode(STAR_WARS).unwrap(),
            EXPECTED[..19]
        );
    }
}

#[test]
fn gpt4_vocabularies_equal_tiktoken() {
    equals_tiktoken(Vocabulary::Cl100kBase);
    equals_tiktoken(Vocabulary::O200kBase);
}

/// A vocabulary in tiktoken's own format, but for a number of its last tokens.
fn ranks(vocabulary: Vocabulary, tokens: u32) -> String {
    let lines = (0..tokens).filter_map(|rank| {
        let bytes = core(vocabulary).decode_bytes(&[rank]).ok()?;
        Some(format!("{} {rank}\n", base64::encode(&bytes)))
    });
    lines.collect()
}

#[test]
fn files_of_tiktoken_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let none = SpecialTokens::default();
    // under its own name, a published vocabulary with its special tokens
    let file = folder.path().join("cl100k_base.tiktoken");
    std::fs::write(&file, ranks(Vocabulary::Cl100kBase, 100_256)).unwrap();
    let tokenizer = Tokenizer::open(&file, &none, None).unwrap();
    let published = Vocabulary::Cl100kBase.tokenizer().unwrap();
    assert_eq!(tokenizer.vocab_size(), published.vocab_size());
    assert_eq!(tokenizer.eos(), published.eos());
    for text in TEXTS {
        assert_eq!(
            tokenizer.encode(text).unwrap(),
            published.encode(text).unwrap(),
            "{text:?}"
        );
    }
    // under another, one's own: how it cuts words must be said, and special tokens follow on the last rank
    let own = folder.path().join("own.tiktoken");
    std::fs::write(&own, ranks(Vocabulary::R50kBase, 5_000)).unwrap();
    let message = Tokenizer::open(&own, &none, None).err().unwrap().to_string();
    assert!(message.contains("pattern: cl100k_base"), "{message}");
    let tokenizer = Tokenizer::open(&own, &SpecialTokens::end_of_text(), Some(Vocabulary::R50kBase)).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.eos()), (5_001, Some(5_000)));
    for text in TEXTS {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids), *text);
        assert!(ids.iter().all(|&id| id < 5_000), "{text:?}");
    }
    // what merges of tokens in the file can be made is made: the words of the published vocabulary that it has
    let early = |ids: &[u32]| ids.iter().all(|&id| id < 5_000);
    let words = [" the", " and", "ing", " of", "er"];
    for word in words {
        let expected = core(Vocabulary::R50kBase).encode_ordinary(word);
        assert!(early(&expected));
        assert_eq!(tokenizer.encode(word).unwrap(), expected, "{word:?}");
    }
    // and a damaged one is refused by its line
    std::fs::write(&own, "IQ== 0\nno line\n").unwrap();
    let message = Tokenizer::open(&own, &none, Some(Vocabulary::R50kBase))
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("line 2"), "{message}");
}

fn texts() -> Vec<String> {
    let stories = (0..40).map(|i| {
        let names = ["Ana", "Luis", "Eva", "Iván"];
        format!(
            "{} vio a {} en el río.\n«¿Qué haces?», dijo.\n",
            names[i % 4],
            names[(i / 4 + 1) % 4]
        )
    });
    stories.chain(TEXTS.iter().map(|text| (*text).to_owned())).collect()
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}

fn saved(tokenizer: &Tokenizer) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let read = |name| std::fs::read(folder.path().join(name)).unwrap();
    let again = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(again.vocab_size(), tokenizer.vocab_size());
    assert_eq!((again.eos(), again.bos(), again.pad(), again.unk()), {
        (tokenizer.eos(), tokenizer.bos(), tokenizer.pad(), tokenizer.unk())
    });
    (read("tokenizer.json"), read("tokenizer_config.json"))
}

#[test]
fn bpe_has_the_size_asked_for_and_round_trips_anything() {
    let special = Algorithm::Bpe.default_special();
    let tokenizer = Algorithm::Bpe.train(Some(400), &special, &texts()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 400);
    assert_eq!(tokenizer.eos(), Some(0));
    assert_eq!(tokenizer.prefix(), [0u32; 0]);
    for text in TEXTS {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), **text);
    }
    assert!(tokenizer.encode(" vio a Luis").unwrap().len() < 6);
    saved(&tokenizer);
    assert!(Algorithm::Bpe.train(Some(256), &special, &texts()).is_err());
    assert!(Algorithm::Bpe.train(None, &special, &texts()).is_err());
}

#[test]
fn bpe_does_not_depend_on_threads_or_hashing_or_order() {
    let texts = match shared_for_tests("data/quijote.txt") {
        Some(path) => std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .take(8_000)
            .map(str::to_owned)
            .collect(),
        None => texts(),
    };
    let special = Algorithm::Bpe.default_special();
    let train = |threads, texts: &[String]| {
        with_threads(threads, || {
            saved(&Algorithm::Bpe.train(Some(3_000), &special, texts).unwrap())
        })
    };
    let first = train(1, &texts);
    let mut reversed = texts.clone();
    reversed.reverse();
    for threads in [1, 2, 3] {
        assert!(train(threads, &texts) == first);
        assert!(train(threads, &reversed) == first);
    }
}

#[test]
fn characters_are_numbered_by_code_point_and_unknown_ones_named() {
    let special = SpecialTokens {
        eos: Some("<end>".into()),
        ..SpecialTokens::default()
    };
    let plain = Algorithm::Char
        .train(None, &SpecialTokens::default(), &["ba \n".into(), "ñ".into()])
        .unwrap();
    assert_eq!(plain.encode("\n abñ").unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(plain.decode(&[3, 0, 0, 1, 4]), "b\n\n ñ");
    assert_eq!((plain.vocab_size(), plain.eos()), (5, None));
    let error = plain.encode("abc").unwrap_err();
    assert!(
        matches!(error, TokenizerError::UnknownCharacter { character: 'c' }),
        "{error}"
    );
    let ended = Algorithm::Char.train(None, &special, &["ba".into()]).unwrap();
    assert_eq!(ended.encode("a<end>b").unwrap(), [1, 0, 2]);
    assert!(matches!(
        ended.encode("a<end>c"),
        Err(TokenizerError::UnknownCharacter { character: 'c' })
    ));
    let forgiving = SpecialTokens {
        unk: Some("?".into()),
        ..SpecialTokens::default()
    };
    let forgiving = Algorithm::Char.train(None, &forgiving, &["ab".into()]).unwrap();
    assert_eq!(forgiving.encode("axb").unwrap(), [1, 0, 2]);
    assert!(
        Algorithm::Char
            .train(None, &SpecialTokens::default(), &[String::new()])
            .is_err()
    );
    assert!(
        Algorithm::Char
            .train(Some(300), &SpecialTokens::default(), &["a".into()])
            .is_err()
    );
}

#[test]
fn bytes_are_their_own_numbers() {
    let bytes = Algorithm::Byte.train(None, &SpecialTokens::end_of_text(), &[]).unwrap();
    assert_eq!(bytes.encode("A\nñ").unwrap(), [65, 10, 195, 177]);
    assert_eq!((bytes.vocab_size(), bytes.eos()), (257, Some(256)));
    assert_eq!(bytes.decode(&[65, 10, 195, 177, 256]), "A\nñ");
    assert_eq!(bytes.decode(&[195]), "\u{fffd}");
    saved(&bytes);
}

proptest! {
    /// The short ways give what Hugging Face's library gives for the same file.
    #[test]
    fn short_ways_equal_the_library(text in "[a-cñ \n😀]{0,40}(<end>)?[a-c]{0,3}") {
        let special = SpecialTokens { eos: Some("<end>".into()), ..SpecialTokens::default() };
        for algorithm in [Algorithm::Char, Algorithm::Byte] {
            let tokenizer = algorithm.train(None, &special, &["abcñ \n😀".into()]).unwrap();
            let library = tokenizers::Tokenizer::from_bytes(saved(&tokenizer).0).unwrap();
            let expected = library.encode_fast(text.as_str(), false).unwrap();
            prop_assert_eq!(tokenizer.encode(&text).unwrap(), expected.get_ids());
            prop_assert_eq!(tokenizer.decode(expected.get_ids()), text.replace("<end>", ""));
        }
    }
}

/// So does the one for GPT-2's words, and training on those words is the library's training.
#[test]
fn words_equal_the_library() {
    let special = SpecialTokens::end_of_text();
    let all: Vec<String> = texts().into_iter().chain((0..2_000).map(mixed)).collect();
    let tokenizer = Algorithm::Bpe.train(Some(600), &special, &all).unwrap();
    let json = saved(&tokenizer).0;
    let mut library = tokenizers::Tokenizer::from_bytes(&json).unwrap();
    for text in &all {
        let expected = library.encode_fast(text.as_str(), false).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected.get_ids(), "{text:?}");
    }
    let trainer = tokenizers::models::bpe::BpeTrainer::builder()
        .vocab_size(600)
        .special_tokens(vec![tokenizers::AddedToken::from("<|endoftext|>", true)])
        .initial_alphabet(
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet()
                .into_iter()
                .collect(),
        )
        .show_progress(false)
        .build();
    library
        .train(&mut tokenizers::models::TrainerWrapper::from(trainer), all.iter())
        .unwrap();
    let trained: serde_json::Value = serde_json::from_str(&library.to_string(false).unwrap()).unwrap();
    let ours: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(trained["model"]["merges"], ours["model"]["merges"]);
    assert_eq!(trained["model"]["vocab"], ours["model"]["vocab"]);
}

#[test]
fn batches_keep_their_order_and_name_the_first_bad_text() {
    let tokenizer = Algorithm::Char
        .train(None, &SpecialTokens::default(), &["ab".into()])
        .unwrap();
    assert_eq!(
        tokenizer.encode_batch(&["ab", "", "b"]).unwrap(),
        [vec![0, 1], vec![], vec![1]]
    );
    assert_eq!(tokenizer.encode_batch(&["ab", "x", "y"]).unwrap_err().0, 1);
}

#[test]
fn a_model_of_the_world_is_loaded_with_its_beginning() {
    let Some(folder) = shared_for_tests("fixtures/stories260k") else {
        return;
    };
    let tokenizer = Tokenizer::load(&folder).unwrap();
    assert_eq!(tokenizer.vocab_size(), 512);
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos(), tokenizer.prefix()),
        (Some(1), Some(2), &[1][..])
    );
    let text = "Once upon a time, there was a little girl named Lily.";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
}

#[test]
fn a_model_that_leaves_characters_out_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.json");
    let vocabulary = serde_json::json!({"a": 0, "b": 1, "ab": 2});
    let model = format::bpe(
        vocabulary.as_object().unwrap().clone(),
        vec![serde_json::json!(["a", "b"])],
        false,
    );
    let words = serde_json::json!({"type": "WhitespaceSplit"});
    let json = format::whole(&[], &words, &serde_json::Value::Null, &model);
    std::fs::write(&file, json.to_string()).unwrap();
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.encode(" ab a\n").unwrap(), [2, 0]);
    for text in ["ab c", "c", "añb", "ab ñ "] {
        assert!(matches!(
            tokenizer.encode(text),
            Err(TokenizerError::UnknownCharacter { character: 'c' | 'ñ' })
        ));
    }
}

#[test]
fn roles_of_tokens_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    Algorithm::Byte
        .train(None, &SpecialTokens::default(), &[])
        .unwrap()
        .save(folder.path())
        .unwrap();
    let file = folder.path().join("tokenizer.json");
    let error = Tokenizer::open(&file, &SpecialTokens::end_of_text(), None)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("eos_token \"<|endoftext|>\" is not in the vocabulary"),
        "{error}"
    );
    let newline = SpecialTokens {
        eos: Some("\u{10a}".into()),
        ..SpecialTokens::default()
    };
    assert_eq!(Tokenizer::open(&file, &newline, None).unwrap().eos(), Some(10));
    std::fs::write(&file, "{}").unwrap();
    assert!(Tokenizer::load(folder.path()).is_err());
    assert!(Tokenizer::load(&folder.path().join("nowhere")).is_err());
}
