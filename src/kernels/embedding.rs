//! Rows of a table by token.

use burn::tensor::{Int, Tensor};

/// The table's row of each token: `[rows]` tokens, `[vocab, width]` table → `[rows, width]`.
pub fn embedding(tokens: Tensor<1, Int>, table: Tensor<2>) -> Tensor<2> {
    table.select(0, tokens)
}
