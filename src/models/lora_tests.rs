//! Models with low-rank pairs, of every architecture that has matrices for them.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;

use super::lora::ends;
use super::tests::{configs, cpu, floats, inputs, random_tokens, targets, tensor};
use super::*;
use crate::kernels::Orientation;
use crate::seed::Seed;

/// The matrices of an architecture, by the end of their names.
fn matrices(architecture: Architecture) -> Vec<&'static str> {
    lora::matrices(architecture).concat()
}

fn adaptable() -> Vec<ModelConfig> {
    let mut configs = configs();
    configs.retain(|config| !matrices(config.architecture()).is_empty());
    configs
}

fn lora(targets: &[&str]) -> Lora {
    Lora {
        rank: 3,
        alpha: 4.5,
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
    }
}

/// A model of which every matrix has a pair that adds something.
fn adapted(config: &ModelConfig) -> Model {
    let mut model = Model::init(config, Seed::root(8), &cpu().autodiff());
    model.adapt(&lora(&["all"]), Seed::root(3)).unwrap();
    for weight in model.learned_mut() {
        let mut rng = Seed::root(4).child(weight.name()).rng();
        let [rows, columns] = weight.value().dims();
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-0.3f32..0.3)).collect();
        let device = weight.value().device();
        weight.set(Tensor::from_data(TensorData::new(values, [rows, columns]), &device));
    }
    model
}

/// The same model without pairs, its weights with what they added.
fn merged(model: &Model) -> Model {
    let mut plain = Model::init(model.config(), Seed::root(8), model.device());
    for (weight, adapted) in plain.weights_mut().into_iter().zip(model.weights()) {
        let data = TensorData::new(adapted.to_vec(), weight.value().dims());
        weight.set(Tensor::from_data(data, model.device()));
    }
    plain
}

fn near(what: &str, one: &[f32], other: &[f32]) {
    assert_eq!(one.len(), other.len(), "{what}");
    let largest = other.iter().fold(1e-4f32, |largest, x| largest.max(x.abs()));
    for (one, other) in one.iter().zip(other) {
        assert!((one - other).abs() <= 2e-5 * largest, "{what}: {one} for {other}");
    }
}

#[test]
fn every_matrix_of_a_block_is_one_of_its_architectures() {
    for architecture in Architecture::ALL {
        let mut unseen = matrices(architecture);
        for config in configs() {
            if config.architecture() != architecture || unseen.is_empty() && architecture == Architecture::Rnn {
                continue;
            }
            let model = Model::init(&config, Seed::root(8), &cpu());
            for weight in model.weights() {
                let name = weight.name().strip_suffix(".weight").unwrap_or_default();
                let is = matrices(architecture).into_iter().filter(|matrix| ends(name, matrix));
                let is: Vec<_> = is.collect();
                let expected = usize::from(matches!(weight.role(), Role::Matrix(_)));
                assert_eq!(is.len(), expected, "{}: {is:?}", weight.name());
                unseen.retain(|matrix| !is.contains(matrix));
            }
        }
        assert!(unseen.is_empty(), "{architecture:?} has no {unseen:?}");
    }
}

#[test]
fn new_pairs_change_no_bit_of_what_a_model_computes() {
    for config in adaptable() {
        let device = cpu();
        let mut model = Model::init(&config, Seed::root(8), &device);
        let inputs = inputs(&config, &random_tokens(2, 20, 61), &device);
        let before = floats(model.logits(inputs.clone(), None));
        model.adapt(&Lora::default(), Seed::root(3)).unwrap();
        assert_eq!(
            floats(model.logits(inputs, None)),
            before,
            "{:?}",
            config.architecture()
        );
        assert!(model.learned_parameters() < model.parameters());
        assert_eq!(
            Lora::default().parameters(&config),
            model.learned_parameters() as u64,
            "{:?}",
            config.layout
        );
    }
}

#[test]
fn pairs_compute_and_learn_what_their_product_in_the_weights_would() {
    for config in adaptable() {
        let config = ModelConfig { dropout: 0.1, ..config };
        let model = adapted(&config);
        let plain = merged(&model);
        let tokens = random_tokens(3, 20, 61);
        let results = |model: &Model| {
            let inputs = inputs(&config, &tokens, model.device());
            let targets = tensor(&targets(&tokens), model.device());
            let logits = floats(model.logits(inputs.clone(), None));
            let loss = model.loss(inputs, targets, Some(Seed::root(9)));
            let mut backward = loss.backward();
            let gradients = model.gradients(&mut backward);
            for weight in model.weights() {
                assert!(weight.value().grad_remove(&mut backward).is_none(), "{}", weight.name());
            }
            (logits, gradients)
        };
        let ((logits, gradients), (plain_logits, plain_gradients)) = (results(&model), results(&plain));
        let name = format!("{:?}", config.architecture());
        near(&name, &logits, &plain_logits);
        assert_eq!(gradients.len(), model.learned().len());
        let mut gradients = gradients.into_iter();
        let scale = 1.5; // 4.5 / 3
        for (weight, whole) in model.weights().into_iter().zip(plain_gradients) {
            let (Some(pair), Role::Matrix(orientation)) = (weight.low_rank(), weight.role()) else {
                continue;
            };
            // [out, in]
            let whole = match orientation {
                Orientation::OutputInput => whole,
                Orientation::InputOutput => whole.transpose(),
            };
            let [down, up] = [pair.down, pair.up].map(Tensor::without_autodiff);
            let of_down = up.transpose().matmul(whole.clone()).mul_scalar(scale);
            let of_up = whole.matmul(down.transpose()).mul_scalar(scale);
            for expected in [of_down, of_up] {
                let what = format!("{name}: {}", weight.name());
                near(&what, &floats(gradients.next().unwrap()), &floats(expected));
            }
        }
        assert!(gradients.next().is_none());
    }
}

#[test]
fn an_adapted_model_is_written_whole_and_its_pairs_beside_it() {
    for config in adaptable() {
        let model = adapted(&config);
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let loaded = Model::load(folder.path(), &cpu()).unwrap();
        for (weight, loaded) in model.weights().into_iter().zip(loaded.weights()) {
            assert_eq!(weight.to_vec(), loaded.to_vec(), "{}", weight.name());
        }
        let adapter = folder.path().join("adapter");
        let bytes = std::fs::read(adapter.join("adapter_model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), model.learned().len());
        for weight in model.learned() {
            let tensor = tensors.tensor(&format!("base_model.model.{}", weight.name())).unwrap();
            assert_eq!(tensor.shape(), weight.shape());
        }
        let text = std::fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&said["r"], &said["lora_alpha"]), (&3.into(), &4.5.into()));
        // peft finds the same matrices by these names
        let targets: Vec<_> = said["target_modules"].as_array().unwrap().iter().collect();
        for weight in model.weights() {
            let name = weight.name().strip_suffix(".weight").unwrap_or_default();
            let found = targets.iter().any(|target| ends(name, target.as_str().unwrap()));
            assert_eq!(found, weight.low_rank().is_some(), "{}", weight.name());
        }
    }
}

#[test]
fn targets_choose_matrices_and_others_are_told_of() {
    let config = |architecture: Architecture| {
        let found = configs()
            .into_iter()
            .find(|config| config.architecture() == architecture);
        found.unwrap()
    };
    let adapt = |architecture, targets: &[&str]| {
        let mut model = Model::init(&config(architecture), Seed::root(8), &cpu());
        model
            .adapt(&lora(targets), Seed::root(3))
            .map(|()| model.learned().len())
    };
    assert_eq!(adapt(Architecture::Gpt2, &["c_proj"]).unwrap(), 2 * 2 * 2);
    assert_eq!(adapt(Architecture::Gpt2, &["mlp.c_proj"]).unwrap(), 2 * 2);
    assert_eq!(adapt(Architecture::Llama, &["q_proj", "v_proj"]).unwrap(), 2 * 2 * 2);
    assert_eq!(adapt(Architecture::Llama, &["attention", "q_proj"]).unwrap(), 2 * 4 * 2);
    let told = |architecture, targets: &[&str]| adapt(architecture, targets).unwrap_err().to_string();
    let unknown = told(Architecture::Llama, &["proj"]);
    assert!(
        unknown.contains("`proj`") && unknown.contains("`self_attn.q_proj`"),
        "{unknown}"
    );
    let rnn = told(Architecture::Rnn, &["all"]);
    assert!(
        rnn.contains("`rnn` has no matrices") && rnn.contains("method: full"),
        "{rnn}"
    );
    // of T5s, but not of this one
    let other = told(Architecture::T5, &["wi"]);
    assert!(
        other.contains("`wi`") && other.contains("`DenseReluDense.wi_0`"),
        "{other}"
    );
    let of_any = lora(&["wi", "nothing"]).problem(None).unwrap();
    assert!(
        of_any.0 == Some(1) && of_any.2.contains("llama: self_attn.q_proj"),
        "{of_any:?}"
    );
}
