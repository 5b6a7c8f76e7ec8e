//! What a training must learn.

use serde_json::json;

use super::{VOCABULARY, context, counting, cpu, model, settings};
use crate::models::Model;
use crate::seed::Seed;
use crate::train::evaluation::{self, Split};
use crate::train::examples::Overlong;
use crate::train::gradients::Place;
use crate::train::windows::Windows;
use crate::train::{Outcome, Task, TrainError, TrainSettings, run};

fn train(settings: &TrainSettings, model: Model, place: Place) -> Result<Outcome, TrainError> {
    let folder = tempfile::tempdir().unwrap();
    let tokens = counting(&folder.path().join("tokens"), 200);
    let windows = Windows::new(
        &tokens,
        "train",
        model.config().context,
        settings.sequences(12),
        settings.accumulate,
        Seed::root(2),
    )?;
    run(Task {
        place,
        validation: Some(Split::of(&tokens, "validation", &model, 12, Overlong::Error)?),
        model,
        settings,
        learning_rate: 1e-3,
        source: Box::new(windows),
        context: &context(folder.path(), None),
    })
}

#[test]
fn the_first_loss_is_that_of_guessing_and_training_learns_a_rule() {
    for architecture in ["gpt2", "llama"] {
        let settings = settings(json!({"updates": 120, "batch_size": 8, "learning_rate": 1e-2, "warmup": 5}));
        let outcome = train(&settings, model(architecture, 0.0), Place::Host).unwrap();
        let initial = outcome.summary.initial_validation_loss.unwrap();
        let guessing = (VOCABULARY as f64).ln();
        assert!(
            (initial - guessing).abs() < 0.1,
            "{architecture}: {initial} is not ln {VOCABULARY}"
        );
        let best = outcome.summary.best_validation_loss.unwrap();
        assert!(best < 0.2, "{architecture} learned to {best}");
        assert_eq!(outcome.summary.tokens, 120 * 8 * 12);

        let (parameters, best_update) = (outcome.summary.parameters, outcome.summary.best_update);
        assert!(best_update > 0 && parameters > 5_000);
        let validations = outcome
            .metrics
            .lines()
            .filter(|line| line.contains("validation_loss"))
            .count();
        assert_eq!(validations, 11, "before the first update, and after each tenth");
    }
}

#[test]
fn the_best_weights_have_the_loss_that_is_told_of_them() {
    let settings =
        settings(json!({"updates": 30, "batch_size": 4, "learning_rate": 3e-2, "warmup": 2, "evaluate_every": 3}));
    let outcome = train(&settings, model("llama", 0.0), Place::Host).unwrap();
    let told = outcome.summary.best_validation_loss.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokens = counting(folder.path(), 200);
    let best = outcome.into_best();
    let measured = evaluation::loss(&best, &tokens, 12, evaluation::sequences(12), &cpu()).unwrap();
    assert_eq!(measured.mean().to_bits(), told.to_bits());
    assert_eq!(measured.tokens, 199);
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = counting(&folder.path().join("tokens"), 13); // a single window
    let model = model("gpt2", 0.0);
    let settings = settings(json!({"updates": 80, "batch_size": 1, "learning_rate": 2e-2, "warmup": 5}));
    let windows = Windows::new(&tokens, "train", 12, 1, 1, Seed::root(2)).unwrap();
    let outcome = run(Task {
        place: Place::Host,
        model,
        settings: &settings,
        learning_rate: 1e-3,
        source: Box::new(windows),
        validation: None,
        context: &context(folder.path(), None),
    });
    let summary = outcome.unwrap().summary;
    assert!(summary.train_loss < 0.02, "{}", summary.train_loss);
    assert_eq!(
        summary.best_update, 80,
        "without validation the last weights are the model"
    );
    assert_eq!(summary.best_validation_loss, None);
}

fn distance(one: &Outcome, other: &Outcome) -> f32 {
    let values = |outcome: &Outcome| -> Vec<f32> {
        let tensors = outcome.last.iter().cloned();
        tensors
            .flat_map(|tensor| tensor.try_into_vec_as::<f32>().unwrap())
            .collect()
    };
    let pairs = values(one).into_iter().zip(values(other));
    pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn accumulating_four_times_two_is_one_batch_of_eight() {
    let of = |size: usize, accumulate: usize| {
        let settings = settings(json!({
            "updates": 10, "batch_size": size, "accumulate": accumulate, "learning_rate": 1e-3, "warmup": 2, "clip": 0.5,
        }));
        train(&settings, model("llama", 0.0), Place::Host).unwrap()
    };
    let (whole, split) = (of(8, 1), of(2, 4));
    assert_eq!(whole.summary.tokens, split.summary.tokens);
    let apart = distance(&whole, &split);
    assert!(apart < 2e-5, "weights differ by {apart}");
    // and one batch of two is something else: the comparison can fail
    assert!(distance(&whole, &of(2, 1)) > 1e-4);
}

#[test]
fn the_optimizer_in_tensors_is_the_one_in_memory() {
    let settings =
        settings(json!({"updates": 10, "batch_size": 2, "accumulate": 2, "learning_rate": 1e-3, "clip": 0.5}));
    let on = |place| train(&settings, model("gpt2", 0.0), place).unwrap();
    let apart = distance(&on(Place::Host), &on(Place::Device));
    assert!(apart < 2e-5, "weights differ by {apart}");
}

#[test]
fn dropout_changes_training_and_not_evaluation() {
    let settings = settings(json!({"updates": 5, "batch_size": 2, "learning_rate": 1e-3}));
    let (with, without) = (
        train(&settings, model("gpt2", 0.3), Place::Host).unwrap(),
        train(&settings, model("gpt2", 0.0), Place::Host).unwrap(),
    );
    assert_eq!(
        with.summary.initial_validation_loss,
        without.summary.initial_validation_loss
    );
    assert!(distance(&with, &without) > 1e-5);
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_with_advice() {
    let mut broken = model("llama", 0.0);
    for weight in broken.weights_mut() {
        let value = weight.value().without_autodiff().mul_scalar(f32::NAN).autodiff();
        weight.set(value);
    }
    let settings = settings(json!({"updates": 5, "batch_size": 2}));
    let folder = tempfile::tempdir().unwrap();
    let tokens = counting(&folder.path().join("tokens"), 50);
    let error = run(Task {
        place: Place::Host,
        source: Box::new(Windows::new(&tokens, "train", 12, 2, 1, Seed::root(2)).unwrap()),
        model: broken,
        settings: &settings,
        learning_rate: 1e-3,
        validation: None,
        context: &context(folder.path(), None),
    })
    .err()
    .unwrap();
    let text = error.to_string();
    assert!(
        text.starts_with("the loss at update 1 is NaN") && text.contains("learning_rate"),
        "{text}"
    );
}

#[test]
fn bf16_learns_what_f32_learns_by_other_numbers() {
    let outcome = |precision: &str| {
        let settings = settings(
            json!({"updates": 120, "batch_size": 8, "learning_rate": 1e-2, "warmup": 5,
            "precision": precision}),
        );
        train(&settings, model("llama", 0.0), Place::Host).unwrap()
    };
    let (f32, bf16) = (outcome("f32"), outcome("bf16"));
    assert!(distance(&f32, &bf16) > 1e-4, "bf16 rounds");
    let best = |outcome: &Outcome| outcome.summary.best_validation_loss.unwrap();
    assert!(best(&bf16) < 0.2, "{} beside {}", best(&bf16), best(&f32));
    let again = outcome("bf16");
    assert_eq!(distance(&bf16, &again), 0.0);
}
