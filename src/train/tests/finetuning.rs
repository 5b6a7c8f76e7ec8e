//! Finetuning learns the answers and only those.

use serde_json::json;

use super::{context, cpu, model, settings, token_file};
use crate::seed::Seed;
use crate::train::evaluation;
use crate::train::examples::{Examples, Overlong, Shuffled};
use crate::train::gradients::Place;
use crate::train::{Outcome, Task, run};

/// Prompts of four tokens, the last of which decides the answer.
fn documents(noise: u32) -> Vec<(Vec<u32>, Option<usize>)> {
    let document = |row: u32| {
        (
            vec![row % 5, (row * 3 + noise) % 7, row % 3, row % 8, 8 + row % 8, 16],
            Some(4),
        )
    };
    (0..24).map(document).collect()
}

fn train(updates: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let tokens = token_file(&folder.path().join("tokens"), &documents(0));
    let examples = Examples::of(&tokens, "train", 12, Overlong::Error).unwrap();
    let settings = settings(json!({"updates": updates, "batch_size": 8, "learning_rate": 1e-2, "warmup": 3}));
    run(Task {
        place: Place::Host,
        source: Box::new(Shuffled::new(examples, 8, 1, Seed::root(4))),
        model: model("gpt2", 0.0),
        settings: &settings,
        learning_rate: 1e-4,
        validation: None,
        context: &context(folder.path(), None),
    })
    .unwrap()
}

#[test]
fn answers_are_learned() {
    let outcome = train(150);
    assert!(outcome.summary.train_loss < 0.1, "{}", outcome.summary.train_loss);
    assert_eq!(outcome.summary.tokens, 150 * 8 * 5);
    let folder = tempfile::tempdir().unwrap();
    // other prompts with the same rule
    let tokens = token_file(folder.path(), &documents(3));
    let evaluation = evaluation::loss(&outcome.into_best(), &tokens, 12, 8, &cpu()).unwrap();
    assert_eq!(evaluation.tokens, 24 * 2, "an answer and its end for each row");
    assert!(evaluation.mean() < 0.5, "{}", evaluation.mean());
}

#[test]
fn prompts_are_not_learned() {
    // the loss counts two targets a row: with prompts counted it would be five
    let folder = tempfile::tempdir().unwrap();
    let tokens = token_file(folder.path(), &documents(0));
    let examples = Examples::of(&tokens, "train", 12, Overlong::Error).unwrap();
    let counted: u64 = examples.by_length(7).map(|batch| batch.counted()).sum();
    assert_eq!(counted, 48);
    // and a token that only prompts hold is never made likelier than before by much
    let outcome = train(60);
    let model = outcome.into_best();
    let input = burn::tensor::Tensor::<2, burn::tensor::Int>::from_data([[0, 0]], &cpu());
    let logits = model.logits(input, None).try_into_vec_as::<f32>().unwrap();
    let last = &logits[logits.len() - super::VOCABULARY..];
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
    assert!(
        best >= 8,
        "after half a prompt it answers ({best}), for answers are all it learned"
    );
}
