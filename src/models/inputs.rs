//! What goes into a model at once.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// What an encoder reads: sequences side by side, padded at their ends.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `[batch, width]`
    pub tokens: Tensor<2, Int>,
    /// Tokens of each, padding not counted; at least one.
    pub lengths: Vec<usize>,
}

impl Sources {
    /// From token ids; padding is 0 and never attended to.
    ///
    /// # Panics
    /// When there is none, or one has no tokens: callers check that first.
    pub fn of<T: Copy + Into<i64>>(sequences: &[Vec<T>], device: &Device) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        assert!(lengths.iter().all(|length| *length > 0), "a source has tokens");
        let width = lengths.iter().copied().max().expect("there is a source");
        let mut tokens = vec![0i64; sequences.len() * width];
        for (row, sequence) in tokens.chunks_exact_mut(width).zip(sequences) {
            row.iter_mut()
                .zip(sequence)
                .for_each(|(place, token)| *place = (*token).into());
        }
        Self {
            tokens: Tensor::from_data(TensorData::new(tokens, [lengths.len(), width]), device),
            lengths,
        }
    }
}

/// What goes into a model at once: `[batch, seq]` tokens, and what an encoder reads before them.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What the encoder reads; `None` for a model without one.
    pub sources: Option<Sources>,
    /// What the decoder reads.
    pub tokens: Tensor<2, Int>,
}

impl From<Tensor<2, Int>> for Inputs {
    fn from(tokens: Tensor<2, Int>) -> Self {
        Self { sources: None, tokens }
    }
}

impl From<(Sources, Tensor<2, Int>)> for Inputs {
    fn from((sources, tokens): (Sources, Tensor<2, Int>)) -> Self {
        Self {
            sources: Some(sources),
            tokens,
        }
    }
}
