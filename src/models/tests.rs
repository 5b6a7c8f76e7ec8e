//! Models against PyTorch's numbers (`shared/fixtures`), and what every architecture must hold.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::Value;

use super::settings::{CellKind, FeedForward, NormPlace, Positions};
use super::{Architecture, Cache, Inputs, Model, ModelConfig, ModelSettings, Sources, SpecialIds};
use crate::data::shared_for_tests;
use crate::device::DeviceSpec;
use crate::seed::Seed;

pub(super) fn cpu() -> Device {
    DeviceSpec::CPU.open().unwrap()
}

fn fixture(name: &str) -> Option<(PathBuf, Value)> {
    let dir = shared_for_tests(&format!("fixtures/{name}"))?;
    let text = std::fs::read_to_string(dir.join("reference.json")).unwrap();
    Some((dir, serde_json::from_str(&text).unwrap()))
}

const FIXTURES: [&str; 7] = [
    "tiny-gpt2",
    "tiny-llama-gqa",
    "tiny-falcon-7b",
    "tiny-falcon-40b",
    "tiny-falcon-rw",
    "tiny-t5",
    "tiny-flan-t5",
];

fn fixtures() -> Vec<(PathBuf, Value)> {
    FIXTURES.iter().filter_map(|name| fixture(name)).collect()
}

fn settings(architecture: Architecture) -> ModelSettings {
    ModelSettings {
        architecture,
        layers: 2,
        heads: 4,
        kv_heads: (architecture == Architecture::Llama).then_some(2),
        width: 32,
        context: 24,
        ..ModelSettings::default()
    }
}

/// Every architecture, and what its settings choose between.
fn variants() -> Vec<ModelSettings> {
    let mut list: Vec<_> = Architecture::ALL.into_iter().map(settings).collect();
    let falcon = settings(Architecture::Falcon);
    list.extend([
        ModelSettings {
            attention_bias: Some(true),
            ..settings(Architecture::Llama)
        },
        ModelSettings {
            kv_heads: Some(2),
            ..falcon.clone()
        },
        ModelSettings {
            positions: Some(Positions::Alibi),
            ..falcon
        },
        ModelSettings {
            feed_forward: Some(FeedForward::Relu),
            decoder_layers: Some(1),
            ..settings(Architecture::T5)
        },
        ModelSettings {
            norm: Some(NormPlace::Pre),
            decoder_layers: Some(3),
            ..settings(Architecture::Transformer)
        },
        ModelSettings {
            cell: Some(CellKind::Gru),
            ..settings(Architecture::Rnn)
        },
    ]);
    list
}

pub(super) fn configs() -> Vec<ModelConfig> {
    let config = |settings: ModelSettings| {
        assert!(settings.validate().is_empty(), "{settings:?}");
        settings.config(61, SpecialIds::default())
    };
    variants().into_iter().map(config).collect()
}

/// Tokens with sources of different lengths where the model has an encoder.
pub(super) fn inputs(config: &ModelConfig, rows: &[Vec<i64>], device: &Device) -> Inputs {
    let tokens = tensor(rows, device);
    if config.architecture().encodes() {
        let sources: Vec<Vec<i64>> = (0..rows.len())
            .map(|row| random_tokens(1, 5 + row, 61).remove(0))
            .collect();
        (Sources::of(&sources, device), tokens).into()
    } else {
        tokens.into()
    }
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect()
}

pub(super) fn tensor(rows: &[Vec<i64>], device: &Device) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), device)
}

fn rows(value: &Value) -> Vec<Vec<i64>> {
    value.as_array().unwrap().iter().map(integers).collect()
}

/// Each row's labels one to the left: the target of a position is the next label.
pub(super) fn targets(labels: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let next = |row: &Vec<i64>| {
        let shifted = row[1..].iter().map(|label| if *label < 0 { -1 } else { *label });
        shifted.chain([-1]).collect()
    };
    labels.iter().map(next).collect()
}

pub(super) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

pub(super) fn random_tokens(batch: usize, seq: usize, vocab: i64) -> Vec<Vec<i64>> {
    let mut state = 7i64;
    let mut next = || {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        (state / 65_536) % vocab
    };
    (0..batch).map(|_| (0..seq).map(|_| next()).collect()).collect()
}

fn close(left: f64, right: f64, relative: f64) -> bool {
    (left - right).abs() <= relative * left.abs().max(right.abs()).max(1e-3)
}

/// What a reference's batch teaches a model: a decoder of its own gets the labels one later.
fn learned(model: &Model, reference: &Value, device: &Device) -> (Inputs, Vec<Vec<i64>>) {
    let (tokens, labels) = (rows(&reference["input_ids"]), rows(&reference["labels"]));
    let Some(start) = model.config().decoder_start() else {
        return (tensor(&tokens, device).into(), targets(&labels));
    };
    let unmasked = |(tokens, mask): (&Vec<i64>, Vec<i64>)| -> Vec<i64> {
        let kept = tokens.iter().zip(mask).filter(|(_, mask)| *mask == 1);
        kept.map(|(token, _)| *token).collect()
    };
    let sources: Vec<_> = tokens
        .iter()
        .zip(rows(&reference["attention_mask"]))
        .map(unmasked)
        .collect();
    let shifted = |labels: &Vec<i64>| -> Vec<i64> {
        let before = labels[..labels.len() - 1].iter().map(|label| (*label).max(0));
        std::iter::once(i64::from(start)).chain(before).collect()
    };
    let decoder: Vec<_> = labels.iter().map(shifted).collect();
    let labels = labels
        .iter()
        .map(|row| row.iter().map(|label| (*label).max(-1)).collect());
    (
        (Sources::of(&sources, device), tensor(&decoder, device)).into(),
        labels.collect(),
    )
}

#[test]
fn logits_loss_and_gradients_are_pytorchs() {
    for (dir, reference) in fixtures() {
        let device = cpu().autodiff();
        let model = Model::load(&dir, &device).unwrap();
        let expected: Vec<f64> = reference["logits"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .flat_map(|position| position.as_array().unwrap())
            .map(|x| x.as_f64().unwrap())
            .collect();
        let (inputs, targets) = learned(&model, &reference, &device);
        let logits = floats(model.logits(inputs.clone(), None));
        assert_eq!(logits.len(), expected.len());
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        for (logit, expected) in logits.iter().zip(&expected) {
            assert!(
                (f64::from(*logit) - expected).abs() < 2e-5 * largest.max(1.0),
                "{dir:?}: {logit} for {expected}"
            );
        }

        let counted = targets.iter().flatten().filter(|target| **target >= 0).count();
        let loss = model
            .loss(inputs, tensor(&targets, &device), None)
            .div_scalar(counted as f64);
        let value: f64 = f64::from(floats(loss.clone())[0]);
        assert!(
            close(value, reference["loss"].as_f64().unwrap(), 1e-6),
            "{dir:?}: loss {value}"
        );

        let gradients = model.gradients(&mut loss.backward());
        let norms = reference["grad_norms"].as_object().unwrap();
        assert_eq!(gradients.len(), norms.len(), "{dir:?}: {:?}", norms.keys());
        for (weight, gradient) in model.weights().into_iter().zip(gradients) {
            assert_eq!(gradient.dims(), weight.value().dims());
            let norm = floats(gradient)
                .iter()
                .map(|x| f64::from(*x).powi(2))
                .sum::<f64>()
                .sqrt();
            let expected = norms[weight.name()].as_f64().unwrap();
            assert!(
                close(norm, expected, 1e-4),
                "{dir:?} {}: {norm} for {expected}",
                weight.name()
            );
        }
    }
}

#[test]
fn greedy_decoding_is_pytorchs() {
    for (dir, reference) in fixtures() {
        let device = cpu();
        let model = Model::load(&dir, &device).unwrap();
        let expected = integers(&reference["greedy"]);
        let mut prompt = rows(&reference["input_ids"])[0].clone();
        let mut cache = Cache::new(model.config(), 64, &device);
        if let Some(start) = model.config().decoder_start() {
            model.begin(&Sources::of(&[prompt], &device), &mut cache);
            prompt = vec![i64::from(start)];
        }
        let mut sequence = prompt.clone();
        let mut new = prompt;
        while sequence.len() < expected.len() {
            let logits = floats(model.step(tensor(&[new], &device), &mut cache));
            let best = (0..logits.len())
                .max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
                .unwrap();
            sequence.push(best as i64);
            new = vec![best as i64];
        }
        assert_eq!(sequence, expected, "{dir:?}");
    }
}

#[test]
fn a_published_model_loads_and_predicts_its_stories() {
    let Some(dir) = shared_for_tests("fixtures/stories260k") else {
        return;
    };
    let device = cpu();
    let model = Model::load(&dir, &device).unwrap();
    assert_eq!(model.config().kv_heads, 4);
    assert!(
        (250_000..270_000).contains(&model.parameters()),
        "{}",
        model.parameters()
    );
    // "<s> Once upon a time" begins nearly every story
    let tokenizer = tokenizers::Tokenizer::from_file(dir.join("tokenizer.json")).unwrap();
    let mut cache = Cache::new(model.config(), 16, &device);
    let mut ids = vec![1u32];
    for _ in 0..8 {
        let new = vec![i64::from(*ids.last().unwrap())];
        let logits = floats(model.step(tensor(&[new], &device), &mut cache));
        let best = (0..logits.len())
            .max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
            .unwrap();
        ids.push(u32::try_from(best).unwrap());
    }
    let text = tokenizer.decode(&ids, true).unwrap();
    assert!(
        "Once upon a time, there was".contains(text.trim()) || text.contains("Once upon a time"),
        "{text}"
    );
}

#[test]
fn tokens_to_come_do_not_change_logits() {
    let device = cpu();
    for config in configs() {
        let model = Model::init(&config, Seed::root(1), &device);
        let mut tokens = random_tokens(2, 20, 61);
        let before = floats(model.logits(inputs(&config, &tokens, &device), None));
        for row in &mut tokens {
            row[12..].iter_mut().for_each(|token| *token = (*token + 17) % 61);
        }
        let after = floats(model.logits(inputs(&config, &tokens, &device), None));
        for row in 0..2 {
            let start = row * 20 * 61;
            assert_eq!(before[start..start + 12 * 61], after[start..start + 12 * 61]);
            assert_ne!(
                before[start + 12 * 61..start + 20 * 61],
                after[start + 12 * 61..start + 20 * 61]
            );
        }
    }
}

#[test]
fn a_cache_continues_as_the_whole_would() {
    let device = cpu();
    for config in configs() {
        let architecture = config.architecture();
        let model = Model::init(&config, Seed::root(2), &device);
        let tokens = random_tokens(1, 20, 61).remove(0);
        let inputs = inputs(&config, std::slice::from_ref(&tokens), &device);
        let mut cache = Cache::new(model.config(), 20, &device);
        if let Some(sources) = &inputs.sources {
            model.begin(sources, &mut cache);
        }
        let whole = floats(model.logits(inputs, None));
        let mut start = 0;
        for end in [7, 8, 9, 14, 20] {
            let new = tokens[start..end].to_vec();
            let last = floats(model.step(tensor(&[new], &device), &mut cache));
            for (cached, whole) in last.iter().zip(&whole[(end - 1) * 61..end * 61]) {
                assert!(
                    (cached - whole).abs() < 1e-5,
                    "{architecture:?} after {end}: {cached} for {whole}"
                );
            }
            start = end;
        }
        // a truncated cache has forgotten
        cache.truncate(9);
        let again = floats(model.step(tensor(&[tokens[9..14].to_vec()], &device), &mut cache));
        for (cached, whole) in again.iter().zip(&whole[13 * 61..14 * 61]) {
            assert!((cached - whole).abs() < 1e-5);
        }
    }
}

#[test]
fn a_new_model_knows_nothing() {
    let device = cpu();
    for config in configs() {
        let model = Model::init(&config, Seed::root(3), &device);
        let tokens = random_tokens(4, 24, 61);
        let inputs = inputs(&config, &tokens, &device);
        let loss = model.loss(inputs, tensor(&targets(&tokens), &device), None);
        let mean = floats(loss)[0] / (4.0 * 23.0);
        assert!((mean - 61f32.ln()).abs() < 0.1, "{:?}: {mean}", config.layout);
    }
}

#[test]
fn ignored_targets_count_nothing() {
    let device = cpu().autodiff();
    let config = settings(Architecture::Llama).config(61, SpecialIds::default());
    let model = Model::init(&config, Seed::root(3), &device);
    let tokens = random_tokens(2, 8, 61);
    let none = vec![vec![-1; 8]; 2];
    let loss = model.loss(tensor(&tokens, &device), tensor(&none, &device), None);
    assert_eq!(floats(loss.clone())[0], 0.0);
    let gradients = model.gradients(&mut loss.backward());
    assert!(
        gradients
            .into_iter()
            .all(|gradient| floats(gradient).iter().all(|x| *x == 0.0))
    );
}

#[test]
fn dropout_is_a_function_of_its_seed() {
    let device = cpu();
    for config in configs() {
        let dropping = ModelConfig { dropout: 0.3, ..config };
        let model = Model::init(&dropping, Seed::root(4), &device);
        let inputs = inputs(&dropping, &random_tokens(2, 20, 61), &device);
        let pass = |seed: Option<u64>| floats(model.logits(inputs.clone(), seed.map(Seed::root)));
        assert_eq!(pass(Some(1)), pass(Some(1)));
        assert_ne!(pass(Some(1)), pass(Some(2)));
        assert_ne!(pass(Some(1)), pass(None));
    }
}

fn same_bytes(left: &Path, right: &Path, name: &str) {
    assert_eq!(
        std::fs::read(left.join(name)).unwrap(),
        std::fs::read(right.join(name)).unwrap(),
        "{name}"
    );
}

#[test]
fn a_saved_model_loads_to_the_same_bits() {
    let device = cpu();
    for config in configs() {
        for tied_embeddings in [true, false] {
            let config = ModelConfig {
                tied_embeddings,
                special: SpecialIds {
                    bos: None,
                    eos: vec![3],
                    pad: Some(0),
                },
                ..config.clone()
            };
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let model = Model::init(&config, Seed::root(5), &device);
            model.save(first.path()).unwrap();
            let loaded = Model::load(first.path(), &device).unwrap();
            assert_eq!(*loaded.config(), config);
            for (weight, loaded) in model.weights().into_iter().zip(loaded.weights()) {
                assert_eq!(weight.to_vec(), loaded.to_vec(), "{}", weight.name());
            }
            loaded.save(second.path()).unwrap();
            for name in ["config.json", "generation_config.json", "model.safetensors"] {
                same_bytes(first.path(), second.path(), name);
            }
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_all_named() {
    let device = cpu();
    let dir = tempfile::tempdir().unwrap();
    let config = settings(Architecture::Llama).config(61, SpecialIds::default());
    Model::init(&config, Seed::root(6), &device).save(dir.path()).unwrap();
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    let text = text.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    std::fs::write(
        &path,
        text.replace("\"intermediate_size\": 96", "\"intermediate_size\": 64"),
    )
    .unwrap();
    let error = Model::load(dir.path(), &device).err().unwrap().to_string();
    for part in [
        "missing `lm_head.weight`",
        "unexpected `model.layers.1.mlp.up_proj.weight`",
        "`model.layers.0.mlp.up_proj.weight` has shape [96, 32], not [64, 32]",
    ] {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    let good = settings(Architecture::Llama);
    assert!(good.validate().is_empty());
    let bad = [
        ModelSettings {
            heads: 5,
            kv_heads: None,
            ..good.clone()
        },
        ModelSettings {
            kv_heads: Some(3),
            ..good.clone()
        },
        ModelSettings {
            architecture: Architecture::Gpt2,
            ..good.clone()
        },
        ModelSettings {
            width: 12,
            kv_heads: None,
            ..good
        },
    ];
    for settings in bad {
        assert_eq!(settings.validate().len(), 1, "{settings:?}");
    }
}

#[test]
fn threads_do_not_change_bits() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = cpu().autodiff();
            let one = |settings: ModelSettings| {
                let settings = ModelSettings {
                    dropout: 0.1,
                    width: 96,
                    mlp_width: (settings.architecture != Architecture::Rnn).then_some(200),
                    context: 80,
                    ..settings
                };
                let config = settings.config(301, SpecialIds::default());
                let model = Model::init(&config, Seed::root(8), &device);
                let tokens = random_tokens(6, 80, 301);
                let targets = tensor(&targets(&tokens), &device);
                let loss = model.loss(inputs(&config, &tokens, &device), targets, Some(Seed::root(9)));
                let value = floats(loss.clone());
                let gradients = model.gradients(&mut loss.backward());
                (value, gradients.into_iter().map(floats).collect::<Vec<_>>())
            };
            variants().into_iter().map(one).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

/// Runs where `FRAGUA_TEST_DEVICE` names a device (`gpu:0`): shader compilation makes it slow.
#[test]
fn another_device_gives_what_the_cpu_gives() {
    let Ok(name) = std::env::var("FRAGUA_TEST_DEVICE") else {
        println!("skipped: FRAGUA_TEST_DEVICE names no device");
        return;
    };
    let other = DeviceSpec::parse(&name).unwrap().open().unwrap();
    for config in configs() {
        let architecture = config.architecture();
        let config = ModelConfig { dropout: 0.1, ..config };
        let run = |device: &Device| {
            let model = Model::init(&config, Seed::root(8), &device.clone().autodiff());
            let tokens = random_tokens(2, 20, 61);
            let targets = tensor(&targets(&tokens), model.device());
            let inputs = inputs(&config, &tokens, model.device());
            let logits = floats(model.logits(inputs.clone(), None));
            let loss = model.loss(inputs, targets, Some(Seed::root(9)));
            let gradients = model.gradients(&mut loss.backward());
            let gradients: Vec<_> = gradients.into_iter().map(floats).collect();
            let model = Model::init(&config, Seed::root(8), device);
            let mut cache = Cache::new(&config, 20, device);
            let first = random_tokens(1, 6, 61);
            if config.architecture().encodes() {
                model.begin(&Sources::of(&first, device), &mut cache);
            }
            model.step(tensor(&first, device), &mut cache);
            let next = floats(model.step(tensor(&[vec![5]], device), &mut cache));
            let mut all = vec![logits, next];
            all.extend(gradients);
            all
        };
        for (cpu, other) in run(&cpu()).iter().zip(&run(&other)) {
            let largest = cpu.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
            for (cpu, other) in cpu.iter().zip(other) {
                assert!(
                    (cpu - other).abs() < 2e-4 * largest,
                    "{architecture:?}: {other} for {cpu}"
                );
            }
        }
    }
}
