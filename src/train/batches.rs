//! A micro-batch, and where micro-batches come from.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::models::{Inputs, Sources};

/// The target of a position that is not learned from.
pub const IGNORED: i32 = -1;

/// Sequences side by side, padded at their ends to a common width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many sequences.
    pub sequences: usize,
    /// Tokens in each, padding included.
    pub width: usize,
    /// Token ids, `[sequences, width]` row by row; padding is 0.
    pub inputs: Vec<i32>,
    /// The token after each, `[sequences, width]`; [`IGNORED`] where nothing is learned.
    pub targets: Vec<i32>,
    /// What an encoder reads, one a sequence; none for a model without one.
    pub sources: Vec<Vec<i32>>,
    /// Positions that are not padding, those of sources included.
    pub tokens: u64,
}

/// One sequence to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What an encoder reads; empty for a model without one.
    pub source: Vec<i32>,
    /// What the decoder reads.
    pub inputs: Vec<i32>,
    /// The token after each, or [`IGNORED`].
    pub targets: Vec<i32>,
}

/// How a model reads two texts of which the second follows from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// One after the other.
    OneSequence,
    /// The first by its encoder; the decoder begins the second with this token.
    Encoder {
        /// The token.
        start: u32,
    },
}

impl Reading {
    /// How a model reads.
    pub fn of(model: &crate::models::Model) -> Self {
        Self::of_config(model.config())
    }

    /// How a model of this description reads.
    pub fn of_config(config: &crate::models::ModelConfig) -> Self {
        match config.decoder_start() {
            Some(start) => Self::Encoder { start },
            None => Self::OneSequence,
        }
    }

    /// An example whose `target` is learned, given its `source`, which has at least one token.
    pub fn example(self, mut source: Vec<i32>, target: Vec<i32>) -> Example {
        match self {
            Self::OneSequence => {
                let ignored = source.len() - 1;
                source.extend(&target);
                source.pop();
                let targets = std::iter::repeat_n(IGNORED, ignored).chain(target).collect();
                Example {
                    source: Vec::new(),
                    inputs: source,
                    targets,
                }
            }
            Self::Encoder { start } => Example {
                source,
                inputs: std::iter::once(id(start))
                    .chain(target[..target.len() - 1].iter().copied())
                    .collect(),
                targets: target,
            },
        }
    }
}

impl Batch {
    /// A batch of examples, all with a source or none.
    pub fn of_examples(examples: &[Example]) -> Self {
        let sequences: Vec<_> = examples
            .iter()
            .map(|example| (example.inputs.clone(), example.targets.clone()))
            .collect();
        let sources = examples.iter().map(|example| &example.source);
        let sources: Vec<Vec<i32>> = sources.filter(|source| !source.is_empty()).cloned().collect();
        let read: usize = sources.iter().map(Vec::len).sum();
        let batch = Self::of(&sequences);
        Self {
            tokens: batch.tokens + read as u64,
            sources,
            ..batch
        }
    }

    /// A batch of sequences, each as its inputs and targets of equal length.
    pub fn of(sequences: &[(Vec<i32>, Vec<i32>)]) -> Self {
        let width = sequences.iter().map(|(inputs, _)| inputs.len()).max().unwrap_or(0);
        let mut batch = Self {
            sequences: sequences.len(),
            width,
            inputs: vec![0; sequences.len() * width],
            targets: vec![IGNORED; sequences.len() * width],
            sources: Vec::new(),
            tokens: 0,
        };
        for (row, (inputs, targets)) in sequences.iter().enumerate() {
            // causal attention never looks ahead: padding after a sequence changes nothing in it
            let start = row * width;
            batch.inputs[start..start + inputs.len()].copy_from_slice(inputs);
            batch.targets[start..start + targets.len()].copy_from_slice(targets);
            batch.tokens += inputs.len() as u64;
        }
        batch
    }

    /// Positions that are learned from.
    pub fn counted(&self) -> u64 {
        self.targets.iter().filter(|&&target| target != IGNORED).count() as u64
    }

    /// Inputs and targets on a device, `[sequences, width]` each.
    pub fn tensors(&self, device: &Device) -> (Inputs, Tensor<2, Int>) {
        let tensor = |values: &[i32]| {
            let shape = [self.sequences, self.width];
            Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        let inputs = Inputs {
            sources: (!self.sources.is_empty()).then(|| Sources::of(&self.sources, device)),
            tokens: tensor(&self.inputs),
        };
        (inputs, tensor(&self.targets))
    }
}

/// Where a training's micro-batches come from.
pub trait Source: Send {
    /// Updates in which every part of the data is seen once; a fraction when it ends inside one.
    fn updates_an_epoch(&self) -> f64;

    /// The micro-batches of an update, counted from 0: a pure function of the seed and the number.
    fn update(&mut self, update: u64) -> Vec<Batch>;
}

/// A token id as tensors hold it.
pub(super) fn id(token: u32) -> i32 {
    i32::try_from(token).expect("a vocabulary has far fewer than 2^31 tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_padded_at_their_ends_and_padding_is_never_a_target() {
        let batch = Batch::of(&[(vec![5, 6, 7], vec![6, 7, 8]), (vec![9], vec![1])]);
        assert_eq!(
            (batch.sequences, batch.width, batch.tokens, batch.counted()),
            (2, 3, 4, 4)
        );
        assert_eq!(batch.inputs, [5, 6, 7, 9, 0, 0]);
        assert_eq!(batch.targets, [6, 7, 8, 1, IGNORED, IGNORED]);
    }
}
