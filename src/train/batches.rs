//! A micro-batch, and where micro-batches come from.

use burn::tensor::{Device, Int, Tensor, TensorData};

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
    /// Positions that are not padding.
    pub tokens: u64,
}

impl Batch {
    /// A batch of sequences, each as its inputs and targets of equal length.
    pub fn of(sequences: &[(Vec<i32>, Vec<i32>)]) -> Self {
        let width = sequences.iter().map(|(inputs, _)| inputs.len()).max().unwrap_or(0);
        let mut batch = Self {
            sequences: sequences.len(),
            width,
            inputs: vec![0; sequences.len() * width],
            targets: vec![IGNORED; sequences.len() * width],
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
    pub fn tensors(&self, device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
        let tensor = |values: &[i32]| {
            let shape = [self.sequences, self.width];
            Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        (tensor(&self.inputs), tensor(&self.targets))
    }
}

/// Where a training's micro-batches come from.
pub trait Source {
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
