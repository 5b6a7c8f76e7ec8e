//! The form for inference against burn's, and a sequence alone against the same among others.

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::{Value, json};

use super::*;
use crate::allocator::counted::allocations;
use crate::device::DeviceSpec;
use crate::kernels::inference::Screen;
use crate::models::{Cache, Model, ModelSettings, Sources, SpecialIds};
use crate::seed::Seed;

fn device() -> Device {
    DeviceSpec::CPU.open().unwrap()
}

/// Every architecture, and what each differs in, with widths that are no multiple of sixteen.
fn settings() -> Vec<Value> {
    let mut list = vec![
        json!({"architecture": "gpt2", "heads": 3, "width": 36}),
        json!({"architecture": "llama", "heads": 4, "width": 40, "kv_heads": 2, "mlp_width": 52}),
        json!({"architecture": "llama", "heads": 2, "width": 68, "attention_bias": true, "tied_embeddings": false}),
        json!({"architecture": "falcon", "heads": 4, "width": 40, "kv_heads": 1}),
        json!({"architecture": "falcon", "heads": 4, "width": 40, "kv_heads": 2}),
        json!({"architecture": "falcon", "heads": 6, "width": 36, "positions": "alibi"}),
        json!({"architecture": "palm", "heads": 4, "width": 40}),
        json!({"architecture": "t5", "heads": 4, "width": 40}),
        json!({"architecture": "t5", "heads": 4, "width": 40, "feed_forward": "relu"}),
        json!({"architecture": "transformer", "heads": 4, "width": 40}),
        json!({"architecture": "transformer", "heads": 4, "width": 40, "norm": "pre"}),
        json!({"architecture": "rnn", "width": 36, "cell": "lstm"}),
        json!({"architecture": "rnn", "width": 36, "cell": "gru"}),
    ];
    for one in &mut list {
        one["layers"] = 3.into();
        one["context"] = 80.into();
    }
    list
}

const VOCABULARY: usize = 83;

/// A model whose weights are all of a size that shows.
fn model(settings: &Value) -> Model {
    model_of(settings, VOCABULARY)
}

fn model_of(settings: &Value, vocabulary: usize) -> Model {
    let settings: ModelSettings = serde_json::from_value(settings.clone()).unwrap();
    let special = SpecialIds {
        bos: Some(1),
        eos: vec![2],
        pad: Some(0),
    };
    let mut model = Model::init(&settings.config(vocabulary, special), Seed::root(5), &device());
    for (number, weight) in model.weights_mut().into_iter().enumerate() {
        let mut state = number as u32;
        weight.update(|value| {
            let [rows, columns] = value.dims();
            let noise: Vec<f32> = (0..rows * columns)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.2
                })
                .collect();
            let device = value.device();
            value.add(Tensor::from_data(TensorData::new(noise, [rows, columns]), &device))
        });
    }
    model
}

fn tokens(count: usize, seed: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 37 + seed * 11) % (VOCABULARY - 3) + 3) as u32)
        .collect()
}

fn burn_logits(model: &Model, source: &[u32], pieces: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut cache = Cache::new(model.config(), 80, &device());
    if !source.is_empty() {
        model.begin(&Sources::of(&[source.to_vec()], &device()), &mut cache);
    }
    let mut step = |piece: &&[u32]| {
        let ids: Vec<i64> = piece.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, piece.len()]), &device());
        model.step(ids, &mut cache).into_data().try_into_vec::<f32>().unwrap()
    };
    pieces.iter().map(&mut step).collect()
}

fn logits(inference: &Inference, sequence: &mut Sequence, tokens: &[u32], work: &mut Workspace) -> Vec<f32> {
    let feed = Feed {
        sequence,
        tokens,
        wanted: true,
    };
    inference.extend(&mut [feed], work).to_vec()
}

fn source_of(model: &Model) -> Vec<u32> {
    match model.config().decoder_start() {
        Some(_) => tokens(23, 9),
        None => Vec::new(),
    }
}

#[test]
fn logits_are_those_of_the_other_form() {
    for settings in settings() {
        let model = model(&settings);
        let source = source_of(&model);
        let read = tokens(40, 1);
        let pieces: Vec<&[u32]> = vec![&read[..17], &read[17..18], &read[18..19], &read[19..40]];
        let expected = burn_logits(&model, &source, &pieces);
        let Ok(inference) = model.compile() else {
            return; // a processor without fused multiply-add
        };
        let mut work = Workspace::new();
        let mut sequence = inference.sequence(41, &source, &mut work);
        for (piece, expected) in pieces.iter().zip(expected) {
            let found = logits(&inference, &mut sequence, piece, &mut work);
            let largest = expected.iter().fold(0f32, |most, logit| most.max(logit.abs()));
            assert!(largest > 0.1, "{settings}: logits that show nothing");
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-5 * largest,
                    "{settings}: {found} for {expected} of {largest}"
                );
            }
        }
        assert_eq!(sequence.length(), 40);
    }
}

#[test]
fn a_sequence_gives_the_same_bits_alone_and_among_others() {
    for settings in settings() {
        let model = model(&settings);
        let source = source_of(&model);
        let Ok(inference) = model.compile() else { return };
        let alone = |seed: usize| {
            let mut work = Workspace::new();
            let mut sequence = inference.sequence(60, &source, &mut work);
            let read = tokens(5 + 3 * seed, seed);
            let mut all = vec![logits(&inference, &mut sequence, &read, &mut work)];
            for token in tokens(4, seed + 1) {
                all.push(logits(&inference, &mut sequence, &[token], &mut work));
            }
            all
        };
        let expected: Vec<_> = (0..9).map(alone).collect();
        // the others come in one after the other, while the first are already being written
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut work = Workspace::new();
                let mut sequences: Vec<_> = (0..9).map(|_| inference.sequence(60, &source, &mut work)).collect();
                let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); 9];
                for round in 0..13 {
                    let inputs: Vec<(usize, Vec<u32>)> = (0..9)
                        .filter(|seed| (*seed..seed + 5).contains(&round))
                        .map(|seed| match round - seed {
                            0 => (seed, tokens(5 + 3 * seed, seed)),
                            step => (seed, vec![tokens(4, seed + 1)[step - 1]]),
                        })
                        .collect();
                    let mut feeds = Vec::new();
                    let mut left = inputs.iter();
                    let mut next = left.next();
                    for (number, sequence) in sequences.iter_mut().enumerate() {
                        if let Some((seed, tokens)) = next
                            && *seed == number
                        {
                            feeds.push(Feed {
                                sequence,
                                tokens,
                                wanted: true,
                            });
                            next = left.next();
                        }
                    }
                    let logits = inference.extend(&mut feeds, &mut work);
                    for ((seed, _), logits) in inputs.iter().zip(logits.chunks_exact(VOCABULARY)) {
                        found[*seed].push(logits.to_vec());
                    }
                }
                assert!(found == expected, "{settings} on {threads} threads");
            });
        }
    }
}

#[test]
fn a_copy_goes_on_by_itself() {
    for settings in settings() {
        let model = model(&settings);
        let source = source_of(&model);
        let Ok(inference) = model.compile() else { return };
        let mut work = Workspace::new();
        let mut first = inference.sequence(40, &source, &mut work);
        logits(&inference, &mut first, &tokens(18, 2), &mut work);
        let mut second = first.clone();
        let one = logits(&inference, &mut first, &[7, 8], &mut work);
        let other = logits(&inference, &mut second, &[9], &mut work);
        assert_ne!(one, other);
        let mut third = inference.sequence(40, &source, &mut work);
        let whole = [tokens(18, 2), vec![9]].concat();
        assert_eq!(logits(&inference, &mut third, &whole, &mut work), other, "{settings}");
        // as does a sequence in the memory of another
        inference.restart(&mut first, &source, &mut work);
        assert_eq!(logits(&inference, &mut first, &whole, &mut work), other, "{settings}");
    }
}

/// The token of the largest logit, the first of equal ones.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let most = logits::largest(logits);
    let at = logits.iter().position(|logit| *logit == most);
    at.filter(|_| most.is_finite()).map(|at| at as u32)
}

/// As the tests above: a prompt of which nothing is wanted yet, one that is read, and sequences that go on.
fn passes(inference: &Inference, source: &[u32], mut pass: impl FnMut(&mut [Feed<'_>], &mut Workspace)) {
    let mut work = Workspace::new();
    let mut sequences: Vec<_> = (0..5).map(|_| inference.sequence(60, source, &mut work)).collect();
    for round in 0..6 {
        let inputs: Vec<Vec<u32>> = (0..5)
            .map(|seed| tokens(if round == 0 { 3 + 2 * seed } else { 1 }, seed + 10 * round))
            .collect();
        let mut feeds: Vec<_> = sequences
            .iter_mut()
            .zip(&inputs)
            .enumerate()
            .map(|(number, (sequence, tokens))| Feed {
                sequence,
                tokens,
                wanted: (number + round) % 4 != 1,
            })
            .collect();
        pass(&mut feeds, &mut work);
    }
}

#[test]
fn the_likeliest_tokens_are_those_of_all_logits() {
    // of many tokens, where the processor has a screen for them
    let many = json!({"architecture": "llama", "layers": 2, "heads": 4, "width": 64, "context": 80});
    let few = settings().into_iter().map(|settings| (settings, VOCABULARY));
    let mut varied = 0;
    for (settings, vocabulary) in few.chain([(many, 3001)]) {
        let model = model_of(&settings, vocabulary);
        let source = source_of(&model);
        let Ok(inference) = model.compile() else { return };
        let mut expected = Vec::new();
        passes(&inference, &source, |feeds, work| {
            let logits = inference.extend(feeds, work);
            expected.extend(logits.chunks_exact(vocabulary).map(likeliest));
        });
        assert!(expected.iter().all(Option::is_some));
        varied += usize::from(expected.iter().any(|token| *token != expected[0]));
        for screened in [false, true] {
            if screened {
                inference.expect_likeliest(1_000_000);
                let there = inference.screen.get().is_some_and(Option::is_some);
                assert_eq!(
                    there,
                    Screen::bytes_of(inference.config.width, vocabulary) > 0,
                    "{settings}"
                );
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut found = Vec::new();
                pool.install(|| {
                    passes(&inference, &source, |feeds, work| {
                        let (tokens, logits) = inference.extend_to_likeliest(feeds, work);
                        let mut logits = logits.chunks_exact(vocabulary);
                        let open = |token: &Option<u32>| token.or_else(|| likeliest(logits.next().unwrap()));
                        found.extend(tokens.iter().map(open));
                        assert!(logits.next().is_none(), "logits of those that are open alone");
                    });
                });
                assert_eq!(found, expected, "{settings}, screened: {screened}, {threads} threads");
            }
        }
    }
    assert!(varied >= 10, "{varied} models that write more than one token");
}

#[test]
fn a_token_is_written_without_allocating() {
    for settings in settings() {
        let model = model_of(&settings, 2500);
        let source = source_of(&model);
        let Ok(inference) = model.compile() else { return };
        inference.expect_likeliest(1_000_000);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                // of all threads of the pool; to ask them allocates as well, always alike
                let allocations = || rayon::broadcast(|_| allocations()).into_iter().sum::<usize>();
                let mut work = Workspace::new();
                let mut sequences: Vec<_> = (0..10).map(|_| inference.sequence(60, &source, &mut work)).collect();
                let mut step = |greedy: bool| {
                    let [first, second, third, fourth, ..] = &mut sequences[..] else {
                        unreachable!("ten sequences")
                    };
                    let feed = |sequence| Feed {
                        sequence,
                        tokens: &[7],
                        wanted: true,
                    };
                    let mut feeds = [first, second, third, fourth].map(feed);
                    match greedy {
                        true => inference.extend_to_likeliest(&mut feeds, &mut work).0.len(),
                        false => inference.extend(&mut feeds, &mut work).len() / 2500,
                    }
                };
                for greedy in [true, false] {
                    (0..3).for_each(|_| assert_eq!(step(greedy), 4));
                    let (start, again) = (allocations(), allocations());
                    (0..20).for_each(|_| assert_eq!(step(greedy), 4));
                    let made = allocations() - again - (again - start);
                    assert!(made <= 2 * (threads - 1), "{settings}: {made} on {threads} threads"); // queues may grow
                }
            });
        }
    }
}
