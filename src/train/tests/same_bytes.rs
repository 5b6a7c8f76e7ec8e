//! What must not change a bit of a training's artifact: interruptions, damage, threads.

use std::path::Path;

use serde_json::json;

use super::{context, counting, model, settings, tokenizer};
use crate::models::{Lora, Model};
use crate::seed::Seed;
use crate::train::evaluation::{self, Evaluation, Split};
use crate::train::examples::Overlong;
use crate::train::gradients::Place;
use crate::train::windows::Windows;
use crate::train::{Task, TrainError, run};

const UPDATES: u64 = 9;

/// Trains in `folder` (again, from its checkpoints) and gives the artifact's files.
fn train(folder: &Path, stop_after: Option<u64>) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    train_model(model("llama", 0.2), folder, stop_after)
}

fn train_model(model: Model, folder: &Path, stop_after: Option<u64>) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    let context = context(folder, stop_after);
    let tokens = counting(&folder.join("tokens"), 300);
    let settings = settings(json!({
        "updates": UPDATES, "batch_size": 2, "accumulate": 2, "learning_rate": 1e-2, "evaluate_every": 2,
        "checkpoint_every": 4,
    }));
    let mut outcome = run(Task {
        place: Place::Host,
        source: Box::new(Windows::new(&tokens, "train", 12, 2, 2, Seed::root(2))?),
        validation: Some(Split::of(&tokens, "validation", &model, 12, Overlong::Error)?),
        model,
        settings: &settings,
        learning_rate: 1e-3,
        context: &context,
    })?;
    outcome.write(&context.out, &tokenizer(folder))?;
    let mut files = Vec::new();
    let folders = ["", "last", "adapter", "last/adapter"].map(|folder| context.out.join(folder));
    for folder in folders.into_iter().filter(|folder| folder.exists()) {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(&context.out).unwrap().display().to_string();
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The same of low-rank pairs.
fn train_pairs(folder: &Path, stop_after: Option<u64>) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    let mut model = model("llama", 0.2);
    model.adapt(&Lora::default(), Seed::root(5)).unwrap();
    train_model(model, folder, stop_after)
}

#[test]
fn pairs_go_on_to_the_same_bytes_on_any_number_of_threads() {
    let whole = train_pairs(tempfile::tempdir().unwrap().path(), None).unwrap();
    let names: Vec<_> = whole.iter().map(|(name, _)| name.replace('\\', "/")).collect();
    for name in [
        "adapter/adapter_config.json",
        "last/adapter/adapter_model.safetensors",
        "last/model.safetensors",
    ] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is missing from {names:?}"
        );
    }
    for stop_after in [1, 6] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = train_pairs(folder.path(), Some(stop_after)).err().unwrap();
        assert!(matches!(stopped, TrainError::Interrupted(_)), "{stopped}");
        assert_same(&whole, &train_pairs(folder.path(), None).unwrap());
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
        let told = format!("going on after update {stop_after}");
        assert!(events.contains(&told), "{events}");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let threads = pool.install(|| train_pairs(tempfile::tempdir().unwrap().path(), None).unwrap());
    assert_same(&whole, &threads);
    // what is not learned is not in a checkpoint, and what is learned learns
    assert_ne!(whole, uninterrupted());
    let summary = whole.iter().find(|(name, _)| name == "training.json").unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary.1).unwrap();
    assert!(summary["learned_parameters"].as_u64() < summary["parameters"].as_u64());
    assert!(summary["best_validation_loss"].as_f64() < summary["initial_validation_loss"].as_f64());
}

fn uninterrupted() -> Vec<(String, Vec<u8>)> {
    train(tempfile::tempdir().unwrap().path(), None).unwrap()
}

fn assert_same(one: &[(String, Vec<u8>)], other: &[(String, Vec<u8>)]) {
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    for ((name, one), (_, other)) in one.iter().zip(other) {
        assert!(one == other, "{name} differs");
    }
}

#[test]
fn the_artifact_has_its_files() {
    let files = uninterrupted();
    let names: Vec<_> = files.iter().map(|(name, _)| name.replace('\\', "/")).collect();
    for name in [
        "config.json",
        "generation_config.json",
        "last/model.safetensors",
        "last/tokenizer.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer_config.json",
        "training.json",
    ] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is missing from {names:?}"
        );
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let whole = uninterrupted();
    for stop_after in [1, 3, 6] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = train(folder.path(), Some(stop_after)).err().unwrap();
        assert!(matches!(stopped, TrainError::Interrupted(_)), "{stopped}");
        assert_same(&whole, &train(folder.path(), None).unwrap());
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
        assert!(
            events.contains(&format!("going on after update {stop_after}")),
            "{events}"
        );
    }
}

#[test]
fn a_training_that_was_killed_goes_on_from_its_last_checkpoint() {
    let whole = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), None).unwrap();
    // what a kill leaves: the checkpoint of update 8, half of a newer one, no artifact
    let checkpoints = folder.path().join("checkpoints");
    std::fs::create_dir(checkpoints.join("new")).unwrap();
    std::fs::write(checkpoints.join("new/state.safetensors"), b"half").unwrap();
    assert_same(&whole, &train(folder.path(), None).unwrap());
    let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
    assert!(events.contains("going on after update 8"), "{events}");
}

#[test]
fn a_damaged_checkpoint_is_told_of_and_not_used() {
    let whole = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), Some(5)).err().unwrap();
    let file = folder.path().join("checkpoints/update-0000000005/state.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_same(&whole, &train(folder.path(), None).unwrap());
    let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
    assert!(events.contains("is not what state.json says"), "{events}");
}

#[test]
fn when_the_newest_checkpoint_is_lost_the_one_before_it_counts() {
    let whole = uninterrupted();
    for damage in ["truncated", "changed", "state"] {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), Some(6)).err().unwrap();
        let checkpoints = folder.path().join("checkpoints");
        let kept = |update: u64| checkpoints.join(format!("update-{update:010}"));
        assert!(kept(4).exists() && kept(6).exists(), "the newest and the one before it");
        let newest = kept(6).join("state.safetensors");
        let mut bytes = std::fs::read(&newest).unwrap();
        match damage {
            "truncated" => bytes.truncate(bytes.len() / 2),
            "changed" => *bytes.last_mut().unwrap() ^= 1,
            _ => std::fs::write(kept(6).join("state.json"), b"{\"version\":1").unwrap(),
        }
        std::fs::write(&newest, bytes).unwrap();
        // stopped again at the very update whose checkpoint is damaged: it is written anew
        train(folder.path(), Some(6)).err().unwrap();
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
        assert!(
            events.contains("going on after update 4") && events.contains("going on without it"),
            "{events}"
        );
        assert_same(&whole, &train(folder.path(), None).unwrap());
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
        assert!(events.contains("going on after update 6"), "{damage}: {events}");
    }
}

#[test]
fn an_evaluation_goes_on_after_any_batch_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = counting(&folder.path().join("tokens"), 300);
    let model = model("llama", 0.0);
    let device = model.device().clone().without_autodiff();
    let whole = evaluation::loss(&model, &tokens, 12, 4, &device).unwrap();
    let mut passed = vec![(0, Evaluation::default())];
    let mut keep = |done: usize, so_far: &Evaluation| {
        passed.push((done, *so_far));
        Ok(())
    };
    let start = Default::default();
    evaluation::loss_from(&model, &tokens, 12, 4, &device, start, &mut keep).unwrap();
    assert!(passed.len() > 5);
    for from in passed {
        let resumed = evaluation::loss_from(&model, &tokens, 12, 4, &device, from, &mut |_, _| Ok(())).unwrap();
        assert_eq!(
            (resumed.nats.to_bits(), resumed.tokens),
            (whole.nats.to_bits(), whole.tokens)
        );
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(uninterrupted)
    };
    assert_same(&with(1), &with(3));
}
