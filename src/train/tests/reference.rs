//! Five updates as PyTorch makes them: `adamw_losses` of the reference checkpoints.

use serde_json::{Value, json};

use super::{context, cpu, settings};
use crate::data::shared_for_tests;
use crate::models::Model;
use crate::train::batches::{Batch, Example, IGNORED, Reading, Source};
use crate::train::gradients::Place;
use crate::train::{Task, run};

/// The same batch in every update.
struct Fixed(Batch);

impl Source for Fixed {
    fn updates_an_epoch(&self) -> f64 {
        1.0
    }

    fn update(&mut self, _update: u64) -> Vec<Batch> {
        vec![self.0.clone()]
    }
}

fn ids(value: &Value) -> Vec<Vec<i32>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The same five losses by PyTorch in f64, of the models for which f32 does not settle them.
///
/// Adam's first update of a weight is the sign of its gradient, however small. The T5s attend without
/// scaling over random weights, and their gradient's norm (24 and 169) is clipped to 1: a few weights
/// have gradients near 1e-8, whose signs are rounding's, and each moves by the whole learning rate.
/// `benches/peers/training/exact.py` measures it: an error of 1e-6 of the clipped norm in the first
/// gradient alone, of which f32 makes two or three, spreads the fifth loss over 2.7e-2 of itself. (PyTorch's f64,
/// given our first gradient of tiny-t5, loses 3.795, 3.565 in the end, as we do, and not 3.812, 3.581; the fixture of
/// tiny-flan-t5 itself is 2.2e-3 from f64.) So the loss after one update is held closely, and the others as
/// far as they are determined.
fn exact(name: &str) -> Option<[f64; 5]> {
    match name {
        "tiny-t5" => Some([
            5.315_903_247,
            4.620_235_221,
            4.132_870_509,
            3.812_363_982,
            3.580_633_395,
        ]),
        "tiny-flan-t5" => Some([
            13.458_179_351,
            11.032_320_309,
            9.007_771_037,
            7.087_276_539,
            5.620_868_639,
        ]),
        _ => None,
    }
}

#[test]
fn five_updates_lose_what_pytorch_loses() {
    for name in [
        "tiny-gpt2",
        "tiny-llama-gqa",
        "tiny-falcon-7b",
        "tiny-falcon-40b",
        "tiny-falcon-rw",
        "tiny-t5",
        "tiny-flan-t5",
    ] {
        let Some(folder) = shared_for_tests(&format!("fixtures/{name}")) else {
            continue;
        };
        let reference: Value = serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
        let reading = Reading::of(&Model::load(&folder, &cpu()).unwrap());
        let example = |((inputs, labels), mask): ((Vec<i32>, Vec<i32>), Vec<i32>)| match reading {
            Reading::OneSequence => {
                let targets = labels[1..].iter().map(|&label| if label < 0 { IGNORED } else { label });
                Example {
                    source: Vec::new(),
                    inputs: inputs[..inputs.len() - 1].to_vec(),
                    targets: targets.collect(),
                }
            }
            Reading::Encoder { .. } => {
                let source = inputs.iter().zip(mask).filter(|(_, mask)| *mask == 1);
                let target = labels.into_iter().filter(|label| *label >= 0);
                reading.example(source.map(|(token, _)| *token).collect(), target.collect())
            }
        };
        let masks = match &reference["attention_mask"] {
            Value::Null => vec![Vec::new(); 2],
            masks => ids(masks),
        };
        let sequences: Vec<_> = ids(&reference["input_ids"])
            .into_iter()
            .zip(ids(&reference["labels"]))
            .zip(masks)
            .map(example)
            .collect();
        let expected: Vec<f64> = serde_json::from_value(reference["adamw_losses"].clone()).unwrap();
        let settings = settings(json!({
            "updates": expected.len(), "learning_rate": 1e-3, "schedule": "constant", "warmup": 0, "clip": 1.0,
            "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95,
        }));
        for place in [Place::Host, Place::Device] {
            let work = tempfile::tempdir().unwrap();
            let outcome = run(Task {
                place,
                model: Model::load(&folder, &cpu().autodiff()).unwrap(),
                settings: &settings,
                learning_rate: 1e-3,
                source: Box::new(Fixed(Batch::of_examples(&sequences))),
                validation: None,
                context: &context(work.path(), None),
            });
            let metrics = outcome.unwrap().metrics;
            let losses = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let losses: Vec<f64> = losses.map(|line| line["train_loss"].as_f64().unwrap()).collect();
            let exact = exact(name);
            let expected = exact.map_or_else(|| expected.clone(), |exact| exact.to_vec());
            for (update, (ours, theirs)) in losses.iter().zip(&expected).enumerate() {
                let tolerance = match (exact, update) {
                    (None, _) => 1e-5,
                    (Some(_), 0..2) => 3e-4, // PyTorch's own f32: 1.6e-4
                    (Some(_), _) => 7e-3,
                };
                assert!(
                    (ours / theirs - 1.0).abs() < tolerance,
                    "{name}, {place:?}, update {update}: {losses:?}, PyTorch {expected:?}"
                );
            }
            assert_eq!(losses.len(), expected.len());
        }
    }
}
