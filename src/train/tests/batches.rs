//! What batches hold, and that they are functions of the seed and the update.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{VOCABULARY, token_file};
use crate::data::tokens::TokenFile;
use crate::seed::Seed;
use crate::train::TrainError;
use crate::train::batches::{Batch, IGNORED, Source};
use crate::train::examples::{Examples, Overlong, Shuffled};
use crate::train::windows::{Windows, side_by_side};

/// A file whose tokens tell their positions, as far as the vocabulary goes.
fn positions(folder: &std::path::Path, length: usize) -> TokenFile {
    token_file(
        folder,
        &[((0..length).map(|at| (at % VOCABULARY) as u32).collect(), None)],
    )
}

fn sequences(batches: &[Batch]) -> Vec<Vec<i32>> {
    let rows = batches
        .iter()
        .flat_map(|batch| batch.inputs.chunks(batch.width).map(<[i32]>::to_vec));
    rows.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_epoch_of_windows_never_overlaps_and_accumulation_draws_the_same(
        length in 2usize..300, context in 1usize..20, size in 1usize..4, accumulate in 1usize..4, seed in 0u64..100,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = positions(folder.path(), length);
        let seed = Seed::root(seed);
        let mut split = Windows::new(&file, "train", context, size, accumulate, seed).unwrap();
        let mut whole = Windows::new(&file, "train", context, size * accumulate, 1, seed).unwrap();
        let late = split.update(5);
        for update in 0..6 {
            let (split, whole) = (split.update(update), whole.update(update));
            prop_assert_eq!(split.len(), accumulate);
            prop_assert_eq!(sequences(&split), sequences(&whole));
            for batch in &split {
                // each target is the token after its input
                for (input, target) in batch.inputs.iter().zip(&batch.targets) {
                    prop_assert_eq!((input + 1) % VOCABULARY as i32, *target);
                }
            }
        }
        // asked for out of order, an update is the same
        prop_assert_eq!(late, split.update(5));
    }

    #[test]
    fn evaluation_predicts_every_token_but_the_first_once(
        length in 2usize..200, context in 1usize..20, size in 1usize..5,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = positions(folder.path(), length);
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        let mut counted = 0;
        for batch in side_by_side(&file, context, size) {
            counted += batch.counted();
            for &target in batch.targets.iter().filter(|&&target| target != IGNORED) {
                *counts.entry(target).or_default() += 1;
            }
        }
        prop_assert_eq!(counted, length as u64 - 1);
        let mut expected: BTreeMap<i32, usize> = BTreeMap::new();
        for token in file.slice(1..length) {
            *expected.entry(token as i32).or_default() += 1;
        }
        prop_assert_eq!(counts, expected);
    }
}

#[test]
fn an_epoch_covers_the_file_and_the_next_one_differs() {
    let folder = tempfile::tempdir().unwrap();
    let tokens: Vec<u32> = (0..VOCABULARY as u32).collect();
    let file = token_file(folder.path(), &[(tokens, None)]);
    // 17 tokens hold 4 windows of 4 at most; one is left to move the offset
    let mut windows = Windows::new(&file, "train", 4, 3, 1, Seed::root(3)).unwrap();
    assert!((windows.updates_an_epoch() - 1.0).abs() < 1e-12);
    let epochs: Vec<_> = (0..4).map(|update| sequences(&windows.update(update))).collect();
    for epoch in &epochs {
        let mut seen: Vec<i32> = epoch.concat();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 12, "windows do not overlap");
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[test]
fn one_token_is_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let file = positions(folder.path(), 1);
    let error = Windows::new(&file, "split `train`", 4, 1, 1, Seed::root(0))
        .err()
        .unwrap();
    assert!(matches!(error, TrainError::TooFewTokens { tokens: 1, .. }), "{error}");
}

#[test]
fn only_answers_are_targets_and_an_epoch_takes_each_example_once() {
    let folder = tempfile::tempdir().unwrap();
    let documents = vec![
        (vec![1, 2, 3, 4, 5], Some(3)),
        (vec![6, 7], Some(1)),
        (vec![8, 9, 10], Some(0)), // a whole answer: its first token has nothing before it
        (vec![11, 12, 13, 14], Some(3)),
    ];
    let file = token_file(folder.path(), &documents);
    let examples = Examples::of(&file, "train", 12, Overlong::Error).unwrap();
    let mut source = Shuffled::new(examples, 2, 1, Seed::root(5));
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for update in 0..2 {
        for batch in source.update(update) {
            for row in 0..batch.sequences {
                let range = row * batch.width..(row + 1) * batch.width;
                inputs.push(batch.inputs[range.clone()].to_vec());
                targets.extend(batch.targets[range].iter().copied().filter(|&target| target != IGNORED));
            }
        }
    }
    targets.sort_unstable();
    assert_eq!(targets, [4, 5, 7, 9, 10, 14]);
    let mut firsts: Vec<i32> = inputs.iter().map(|row| row[0]).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, [1, 6, 8, 11]);
}

#[test]
fn an_epoch_ends_with_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let documents: Vec<_> = (0..5).map(|row| (vec![row, row + 1], Some(1))).collect();
    let file = token_file(folder.path(), &documents);
    let examples = Examples::of(&file, "train", 12, Overlong::Error).unwrap();
    let mut source = Shuffled::new(examples, 2, 2, Seed::root(5));
    assert!((source.updates_an_epoch() - 2.0).abs() < 1e-12);
    let sizes = |batches: Vec<Batch>| batches.iter().map(|batch| batch.sequences).collect::<Vec<_>>();
    assert_eq!(sizes(source.update(0)), [2, 2]);
    assert_eq!(sizes(source.update(1)), [1]);
    assert_eq!(sizes(source.update(2)), [2, 2]);
}

#[test]
fn overlong_examples_are_an_error_that_names_the_row_or_lose_their_prompts_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let documents = vec![(vec![1, 2], Some(1)), (vec![1, 2, 3, 4, 5, 6, 7], Some(5))];
    let file = token_file(folder.path(), &documents);
    let error = Examples::of(&file, "split `train`", 4, Overlong::Error).err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("row 2 of split `train`: prompt and answer are 7 tokens"),
        "{error}"
    );
    let examples = Examples::of(&file, "train", 4, Overlong::DropPromptStart).unwrap();
    assert_eq!((examples.shortened(), examples.longest()), (1, 4));
    let batch = examples.by_length(2).next().unwrap();
    assert_eq!(batch.inputs, [1, 0, 0, 0, 3, 4, 5, 6]);
    assert_eq!(batch.targets, [2, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, 6, 7]);
    // an answer longer than the context loses targets if cut: never done
    let error = Examples::of(&file, "train", 1, Overlong::DropPromptStart)
        .err()
        .unwrap();
    assert!(
        matches!(error, TrainError::OverlongAnswer { row: 2, tokens: 2, .. }),
        "{error}"
    );
}

#[test]
fn an_empty_answer_and_a_file_without_answers_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(folder.path(), &[(vec![1, 2], Some(1)), (vec![3, 4], Some(2))]);
    let error = Examples::of(&file, "train", 8, Overlong::Error).err().unwrap();
    assert!(matches!(error, TrainError::EmptyAnswer { row: 2, .. }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(folder.path(), &[(vec![1, 2], None)]);
    let error = Examples::of(&file, "train", 8, Overlong::Error).err().unwrap();
    assert!(matches!(error, TrainError::NoAnswers { .. }), "{error}");
}
