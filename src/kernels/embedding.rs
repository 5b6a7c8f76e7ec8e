//! Rows of a table by token.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use super::flex::{self, Array, Fused, buffer};

/// The table's row of each token: `[rows]` tokens, `[vocab, width]` table → `[rows, width]`.
pub fn embedding(tokens: Tensor<1, Int>, table: Tensor<2>) -> Tensor<2> {
    if flex::applies(&table) {
        flex::run(
            Lookup {
                tokens: indices(tokens),
            },
            [table],
        )
    } else {
        table.select(0, tokens)
    }
}

/// The tokens on the host; what is negative becomes larger than any table.
pub(super) fn indices(tokens: Tensor<1, Int>) -> Arc<[usize]> {
    let data = tokens.into_data();
    data.iter::<i64>()
        .map(|token| usize::try_from(token).unwrap_or(usize::MAX))
        .collect()
}

#[derive(Clone, Debug)]
struct Lookup {
    tokens: Arc<[usize]>,
}

impl Fused<1> for Lookup {
    type Saved = [usize; 2];

    fn forward(&self, [table]: [Array; 1], _tracked: bool) -> (Array, [usize; 2]) {
        let [vocab, width] = table.dims();
        let mut out = buffer(self.tokens.len() * width);
        for (row, token) in out.chunks_exact_mut(width).zip(self.tokens.iter()) {
            assert!(*token < vocab, "token {token} is not in a vocabulary of {vocab}");
            row.copy_from_slice(&table.values()[token * width..(token + 1) * width]);
        }
        (Array::new(out, [self.tokens.len(), width]), [vocab, width])
    }

    fn backward(&self, [vocab, width]: [usize; 2], gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        let mut out = vec![0.0; vocab * width];
        // one thread, in the order of the tokens: a token that comes twice is summed in that order
        for (row, token) in gradient.values().chunks_exact(width).zip(self.tokens.iter()) {
            let sum = &mut out[token * width..(token + 1) * width];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        [Some(Array::new(out, [vocab, width]))]
    }
}
