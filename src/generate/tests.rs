//! Real checkpoints through the whole of decoding, against what PyTorch and transformers gave.

use std::path::{Path, PathBuf};

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::allocator::counted::allocations;
use crate::data::shared_for_tests;
use crate::device::DeviceSpec;
use crate::models::{Model, ModelSettings, SpecialIds};
use crate::seed::Seed;
use crate::tokenizer::Tokenizer;

struct Loaded {
    writer: Writer,
    tokenizer: Tokenizer,
    eos: Vec<u32>,
}

impl Loaded {
    fn from(folder: &Path) -> Self {
        let device = DeviceSpec::parse("cpu").unwrap().open().unwrap();
        let tokenizer = Tokenizer::load(folder).unwrap();
        Self {
            writer: Writer::new(Model::load(folder, &device).unwrap()),
            eos: end_tokens(folder, &tokenizer).unwrap(),
            tokenizer,
        }
    }

    fn decode(&self, prompt: &[u32], sampling: &Sampling, seed: Seed) -> Output {
        self.outputs(prompt, sampling, seed).remove(0)
    }

    fn outputs(&self, prompt: &[u32], sampling: &Sampling, seed: Seed) -> Vec<Output> {
        let (cached, before) = self.writer.start(prompt, sampling.max_new_tokens).unwrap();
        let text = |tokens: &[u32]| self.tokenizer.decode(tokens);
        outputs(cached, &before, sampling, &self.eos, &text, seed).unwrap()
    }
}

fn tokens(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn reference(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap()
}

fn fixtures() -> Vec<PathBuf> {
    let names = [
        "tiny-gpt2",
        "tiny-llama-gqa",
        "tiny-falcon-7b",
        "tiny-falcon-40b",
        "tiny-falcon-rw",
        "tiny-t5",
        "tiny-flan-t5",
    ];
    names
        .iter()
        .filter_map(|name| shared_for_tests(&format!("fixtures/{name}")))
        .collect()
}

#[test]
fn greedy_decoding_writes_what_transformers_writes() {
    for folder in fixtures() {
        let loaded = Loaded::from(&folder);
        let reference = reference(&folder);
        let prompt = tokens(&reference["input_ids"][0]);
        let sampling = Sampling {
            max_new_tokens: 16,
            ..Sampling::default()
        };
        let output = loaded.decode(&prompt, &sampling, Seed::root(0));
        let before = loaded
            .writer
            .config()
            .decoder_start()
            .map_or(prompt, |start| vec![start]);
        assert_eq!(
            [before, output.tokens].concat(),
            tokens(&reference["greedy"]),
            "{folder:?}"
        );
        assert_eq!(output.text, reference["greedy_text"].as_str().unwrap());
        let ended = tokens(&reference["greedy"])
            .last()
            .is_some_and(|token| loaded.eos.contains(token));
        assert_eq!(output.finish, if ended { Finish::Eos } else { Finish::Length });
    }
}

#[test]
fn four_beams_write_what_transformers_writes() {
    for folder in fixtures() {
        let loaded = Loaded::from(&folder);
        let reference = reference(&folder);
        let prompt = tokens(&reference["input_ids"][0]);
        let sampling = Sampling {
            max_new_tokens: 16,
            num_beams: 4,
            num_return_sequences: 4,
            ..Sampling::default()
        };
        let outputs = loaded.outputs(&prompt, &sampling, Seed::root(0));
        let before = loaded
            .writer
            .config()
            .decoder_start()
            .map_or(prompt, |start| vec![start]);
        let best = [before, outputs[0].tokens.clone()].concat();
        assert_eq!(best, tokens(&reference["beam4"]), "{folder:?}");
        assert_eq!(outputs[0].text, reference["beam4_text"].as_str().unwrap());
        let scores: Vec<f32> = outputs.iter().map(|output| output.score.unwrap()).collect();
        let expected = reference["beam4_score"].as_f64().unwrap();
        assert!(
            (f64::from(scores[0]) - expected).abs() < 1e-4,
            "{folder:?}: {scores:?} for {expected}"
        );
        assert!(scores.len() == 4 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
}

#[test]
fn a_real_model_tells_its_story() {
    let Some(folder) = shared_for_tests("fixtures/stories260k") else {
        return;
    };
    let loaded = Loaded::from(&folder);
    let sampling = Sampling {
        max_new_tokens: 199,
        ..Sampling::default()
    };
    let output = loaded.decode(&[1], &sampling, Seed::root(0));
    let begins = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, \
                  she saw a big, red ball.";
    assert!(output.text.trim().starts_with(begins), "{}", output.text);
    assert!(
        output.text.ends_with("Lily didn't want to help her mom, so"),
        "{}",
        output.text
    );

    let sampling = Sampling {
        stop: vec!["red ball".into(), "park".into()],
        ..sampling
    };
    let output = loaded.decode(&[1], &sampling, Seed::root(0));
    assert_eq!(output.finish, Finish::Stop);
    assert!(output.text.ends_with("to play outside in the "), "{}", output.text);
}

#[test]
fn outputs_are_the_same_bytes_on_any_number_of_threads() {
    for folder in fixtures() {
        let loaded = Loaded::from(&folder);
        let reference = reference(&folder);
        let prompt = tokens(&reference["input_ids"][0]);
        let sampling = Sampling {
            max_new_tokens: 24,
            temperature: 0.9,
            top_k: 40,
            top_p: 0.95,
            repetition_penalty: 1.1,
            ..Sampling::default()
        };
        let items: Vec<usize> = (0..12).collect();
        let on = |threads| {
            each(&items, threads, |&item| {
                Ok::<_, ()>(loaded.decode(&prompt[item % 5..], &sampling, Seed::root(1).child(item)))
            })
            .unwrap()
        };
        let alone = on(1);
        assert_eq!(alone, on(2));
        assert_eq!(alone, on(5));
        assert_ne!(alone[0].tokens, alone[5].tokens); // the same prompt, another seed
    }
}

/// Rows with prompts of many lengths; the one of `broken` has a token that no model has.
struct Prompts {
    prompts: Vec<Vec<u32>>,
    broken: Option<usize>,
}

impl Rows for Prompts {
    type Kept = ();
    type Done = Vec<Output>;
    type Error = (usize, String);

    fn begin(&self, row: usize) -> Result<Begun<Self>, Self::Error> {
        let tokens = match self.broken {
            Some(broken) if row >= broken => vec![9999],
            _ => self.prompts[row].clone(),
        };
        let seed = Seed::root(4).child(self.prompts[row].len());
        Ok(Begun::Write((), Prompt { tokens, seed }))
    }

    fn done(
        &self,
        row: usize,
        (): (),
        outputs: Result<Vec<Output>, GenerateError>,
    ) -> Result<Vec<Output>, Self::Error> {
        outputs.map_err(|error| (row, error.to_string()))
    }

    fn go_on(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_row_is_written_alike_alone_and_beside_others_in_any_order_on_any_threads() {
    for folder in fixtures() {
        let loaded = Loaded::from(&folder);
        let sampling = Sampling {
            max_new_tokens: 9,
            temperature: 0.9,
            top_k: 40,
            top_p: 0.95,
            repetition_penalty: 1.1,
            num_return_sequences: 2,
            logprobs: true,
            ..Sampling::default()
        };
        let text = |tokens: &[u32]| loaded.tokenizer.decode(tokens);
        let writing = Writing {
            writer: &loaded.writer,
            sampling: &sampling,
            eos: &loaded.eos,
            text: &text,
        };
        let write = |prompts: &[Vec<u32>], threads: usize| {
            let rows = Prompts {
                prompts: prompts.to_vec(),
                broken: None,
            };
            write_rows(&rows, prompts.len(), &writing, threads).unwrap()
        };
        let of = |length: usize| (0..length).map(|at| 3 + ((length * 7 + at * 5) % 60) as u32).collect();
        let prompts: Vec<Vec<u32>> = (1..=14).map(of).collect();
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| write(std::slice::from_ref(prompt), 1).remove(0))
            .collect();
        for threads in [1, 2, 5] {
            assert!(write(&prompts, threads) == alone, "{folder:?} on {threads} threads");
        }
        let mut turned: Vec<_> = prompts.clone();
        turned.reverse();
        let mut written = write(&turned, 2);
        written.reverse();
        assert!(written == alone, "{folder:?} in another order");
        // and as one prompt is written by itself, for whoever talks to a model
        let one = loaded.outputs(&prompts[8], &sampling, Seed::root(4).child(prompts[8].len()));
        assert_eq!(one, alone[8]);
    }
}

#[test]
fn the_earliest_row_that_fails_is_told_of() {
    let Some(folder) = fixtures().into_iter().next() else {
        return;
    };
    let loaded = Loaded::from(&folder);
    let sampling = Sampling {
        max_new_tokens: 12,
        ..Sampling::default()
    };
    let text = |tokens: &[u32]| loaded.tokenizer.decode(tokens);
    let writing = Writing {
        writer: &loaded.writer,
        sampling: &sampling,
        eos: &loaded.eos,
        text: &text,
    };
    let rows = Prompts {
        prompts: (1..=40).map(|length| vec![5; length % 9 + 1]).collect(),
        broken: Some(21),
    };
    for threads in [1, 4] {
        let (row, error) = write_rows(&rows, 40, &writing, threads).unwrap_err();
        assert_eq!(row, 21);
        assert!(error.contains("token 9999"), "{error}");
    }
    assert!(write_rows(&rows, 0, &writing, 2).unwrap().is_empty());
}

/// A model of many tokens, with random weights.
fn wordy() -> Writer {
    let settings = json!({"architecture": "llama", "layers": 2, "heads": 4, "width": 64, "context": 128});
    let settings: ModelSettings = serde_json::from_value(settings).unwrap();
    let special = SpecialIds {
        bos: Some(1),
        eos: vec![2],
        pad: None,
    };
    let device = DeviceSpec::CPU.open().unwrap();
    Writer::new(Model::init(&settings.config(3001, special), Seed::root(5), &device))
}

fn of_length(length: usize) -> Vec<u32> {
    (0..length)
        .map(|at| 3 + ((length * 977 + at * 613) % 2990) as u32)
        .collect()
}

#[test]
fn likeliest_tokens_are_written_as_from_all_logits() {
    let writer = wordy();
    let text = |tokens: &[u32]| format!("{tokens:?}");
    let prompts: Vec<Vec<u32>> = (1..=30).map(of_length).collect();
    let write = |sampling: &Sampling, threads: usize| -> Vec<Vec<u32>> {
        let writing = Writing {
            writer: &writer,
            sampling,
            eos: &[2],
            text: &text,
        };
        let rows = Prompts {
            prompts: prompts.clone(),
            broken: None,
        };
        let written = write_rows(&rows, prompts.len(), &writing, threads).unwrap();
        written
            .into_iter()
            .map(|mut outputs| outputs.remove(0).tokens)
            .collect()
    };
    // for log-probabilities all logits are needed
    let all = Sampling {
        max_new_tokens: 20,
        logprobs: true,
        ..Sampling::default()
    };
    let expected = write(&all, 1);
    let sampling = Sampling {
        logprobs: false,
        ..all.clone()
    };
    assert!(sampling.takes_likeliest() && !all.takes_likeliest());
    for threads in [1, 2, 5] {
        assert_eq!(write(&sampling, threads), expected);
    }
    for (prompt, expected) in prompts.iter().zip(&expected) {
        let (cached, before) = writer.start(prompt, 20).unwrap();
        let alone = outputs(cached, &before, &sampling, &[2], &text, Seed::root(1)).unwrap();
        assert_eq!(&alone[0].tokens, expected);
    }
    assert!(expected.iter().any(|tokens| tokens[3..] != expected[0][3..]));
}

#[test]
fn what_asks_more_of_the_logits_sees_them_all() {
    let changes = [
        json!({"temperature": 0.5}),
        json!({"repetition_penalty": 1.1}),
        json!({"presence_penalty": 0.1}),
        json!({"frequency_penalty": -0.1}),
        json!({"no_repeat_ngram_size": 3}),
        json!({"min_new_tokens": 2}),
        json!({"forced_bos_token_id": 5}),
        json!({"forced_eos_token_id": 5}),
        json!({"suppress_tokens": [4]}),
        json!({"begin_suppress_tokens": [4]}),
        json!({"num_beams": 2}),
        json!({"logprobs": true}),
    ];
    for change in changes {
        let sampling: Sampling = serde_json::from_value(change.clone()).unwrap();
        assert!(!sampling.takes_likeliest(), "{change}");
    }
    let plain = json!({"max_new_tokens": 9, "stop": ["x"], "top_k": 5, "top_p": 0.5});
    let plain: Sampling = serde_json::from_value(plain).unwrap();
    assert!(plain.takes_likeliest());
}

/// Rows that count what is allocated between one token and the next.
struct Counting {
    rows: Prompts,
    counts: Mutex<Vec<usize>>,
}

impl Rows for Counting {
    type Kept = ();
    type Done = Vec<Output>;
    type Error = (usize, String);

    fn begin(&self, row: usize) -> Result<Begun<Self>, Self::Error> {
        let tokens = self.rows.prompts[row].clone();
        Ok(Begun::Write(
            (),
            Prompt {
                tokens,
                seed: Seed::root(1),
            },
        ))
    }

    fn done(&self, _: usize, (): (), outputs: Result<Vec<Output>, GenerateError>) -> Result<Self::Done, Self::Error> {
        Ok(outputs.unwrap())
    }

    fn go_on(&self) -> Result<(), Self::Error> {
        self.counts.lock().unwrap().push(allocations());
        Ok(())
    }
}

#[test]
fn a_token_of_a_batch_is_written_without_allocating() {
    let writer = wordy();
    let sampled = json!({"max_new_tokens": 40, "temperature": 0.9, "top_k": 40, "top_p": 0.9});
    let sampled: Sampling = serde_json::from_value(sampled).unwrap();
    let greedy = Sampling {
        max_new_tokens: 40,
        ..Sampling::default()
    };
    for sampling in [greedy, sampled] {
        let writing = Writing {
            writer: &writer,
            sampling: &sampling,
            eos: &[],
            text: &|_| String::new(),
        };
        let rows = Counting {
            rows: Prompts {
                prompts: (0..8).map(|_| of_length(5)).collect(),
                broken: None,
            },
            counts: Mutex::new(Vec::with_capacity(1000)),
        };
        write_rows(&rows, 8, &writing, 1).unwrap();
        let counts = rows.counts.into_inner().unwrap();
        assert!(counts.len() >= 40, "asked before every token");
        // memory grows to what is needed in the first passes
        let made = counts[35] - counts[5];
        assert!(made <= 2, "{made} for 30 tokens of 8 rows");
    }
}
