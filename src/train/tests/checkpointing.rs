//! Gradient checkpointing: not a bit of a training changes, whatever the architecture.

use serde_json::{Value, json};

use super::{VOCABULARY, context, cpu, settings};
use crate::models::{Architecture, Lora, Model, ModelSettings, SpecialIds, Weight};
use crate::seed::Seed;
use crate::train::batches::{Batch, Example, Source};
use crate::train::gradients::Place;
use crate::train::{Task, run};

/// Two micro-batches an update of sequences of unequal length.
struct Rows {
    encodes: bool,
}

impl Source for Rows {
    fn updates_an_epoch(&self) -> f64 {
        10.0
    }

    fn update(&mut self, number: u64) -> Vec<Batch> {
        let token = |place: usize| (place * place + number as usize) as i32 % VOCABULARY as i32;
        let row = |start: usize, length: usize| Example {
            source: match self.encodes {
                true => (start..start + 3 + length % 5).map(token).collect(),
                false => Vec::new(),
            },
            inputs: (start..start + length).map(token).collect(),
            targets: (start + 1..=start + length).map(token).collect(),
        };
        let batch = |start: usize| Batch::of_examples(&[row(start, 11), row(start + 2, 7), row(start + 4, 9)]);
        vec![batch(1), batch(5)]
    }
}

/// Each weight's name and bits after a few updates, and what was recorded of them.
fn trained(model: &Value, lora: Option<&Lora>, more: &Value) -> (Vec<(String, Vec<u32>)>, String) {
    let model: ModelSettings = serde_json::from_value(model.clone()).unwrap();
    let config = model.config(VOCABULARY, SpecialIds::default());
    let mut model = Model::init(&config, Seed::root(7), &cpu().autodiff());
    if let Some(lora) = lora {
        model.adapt(lora, Seed::root(8)).unwrap();
    }
    let mut train = json!({"updates": 3, "learning_rate": 1e-2, "warmup": 0, "label_smoothing": 0.1});
    train.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), None);
    let outcome = run(Task {
        place: Place::Host,
        source: Box::new(Rows {
            encodes: config.architecture().encodes(),
        }),
        validation: None,
        model,
        settings: &settings(train),
        learning_rate: 1e-3,
        context: &context,
    });
    let outcome = outcome.unwrap();
    let bits = |weight: &&Weight| weight.to_vec().into_iter().map(f32::to_bits).collect();
    let weights = outcome.model.weights();
    let weights = weights.iter().map(|weight| (weight.name().to_owned(), bits(weight)));
    (weights.collect(), outcome.metrics)
}

#[test]
fn every_architecture_learns_the_same_bits_with_and_without() {
    for architecture in Architecture::ALL {
        let name = architecture.name();
        let model = json!({"architecture": name, "layers": 3, "heads": 2, "width": 16, "context": 12, "dropout": 0.2});
        let variants = match name {
            "falcon" => vec![json!({}), json!({"positions": "alibi"}), json!({"kv_heads": 1})],
            "transformer" => vec![json!({"norm": "pre"}), json!({"norm": "post", "decoder_layers": 4})],
            "t5" => vec![json!({"decoder_layers": 4}), json!({"feed_forward": "relu"})],
            "rnn" => vec![json!({"cell": "lstm"}), json!({"cell": "gru"})],
            _ => vec![json!({}), json!({"tied_embeddings": false})],
        };
        for variant in variants {
            let mut model = model.clone();
            model
                .as_object_mut()
                .unwrap()
                .extend(variant.as_object().unwrap().clone());
            for precision in ["f32", "bf16"] {
                let with = |again: bool| {
                    trained(
                        &model,
                        None,
                        &json!({"gradient_checkpointing": again, "precision": precision}),
                    )
                };
                let ((kept, losses), (again, same_losses)) = (with(false), with(true));
                assert_eq!(losses.lines().count(), 3, "{losses}");
                assert_eq!(losses, same_losses, "{model} {precision}");
                for ((name, kept), (_, again)) in kept.iter().zip(&again) {
                    assert!(kept == again, "{name} of {model} in {precision}");
                }
            }
        }
    }
}

#[test]
fn low_rank_pairs_learn_the_same_bits_with_and_without() {
    let lora = Lora {
        rank: 2,
        ..Lora::default()
    };
    for architecture in ["llama", "gpt2", "palm", "falcon", "t5", "transformer"] {
        let mut model = json!({"architecture": architecture, "layers": 3, "heads": 2, "width": 16, "context": 12});
        if ["t5", "transformer"].contains(&architecture) {
            model["decoder_layers"] = 4.into(); // more than two that add to the gradient of what was read
        }
        let with = |again: bool| trained(&model, Some(&lora), &json!({"gradient_checkpointing": again}));
        let before = trained(&model, None, &json!({"learning_rate": 0.0}));
        let (kept, again) = (with(false), with(true));
        let differ = kept.0.iter().zip(&again.0).filter(|(kept, again)| kept != again);
        let differ: Vec<&String> = differ.map(|((name, _), _)| name).collect();
        assert_eq!(kept.1, again.1, "{architecture}");
        assert!(differ.is_empty(), "{architecture}: {differ:?}");
        assert_eq!(kept.1, again.1, "{architecture}");
        assert!(kept.0 != before.0, "{architecture} learned something");
    }
}
