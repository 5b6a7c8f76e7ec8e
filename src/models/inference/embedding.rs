//! From tokens to rows.

use crate::kernels::inference::{Panels, rows};
use crate::models::Weight;

/// The vectors of tokens, and of positions where they are added.
#[derive(Clone, Debug)]
pub(in crate::models) struct Embedding {
    /// `[vocabulary, width]`; without it the rows of the output layer are a token's vector.
    pub(in crate::models) table: Option<Vec<f32>>,
    /// What a token's vector is multiplied by.
    pub(in crate::models) scale: f32,
    /// `[context, width]`
    pub(in crate::models) positions: Option<Vec<f32>>,
}

impl Embedding {
    /// The vectors of tokens and the output layer; of one weight where they are tied.
    pub(in crate::models) fn with_output(tokens: &mut Weight, output: Option<&mut Weight>) -> (Self, Panels) {
        let [rows, columns] = tokens.dims();
        let panels = |weight: &mut Weight| {
            let mut panels = Panels::new(columns, rows);
            weight.take_rows(|row, values| panels.place(row, values.iter().copied()));
            panels
        };
        let (table, output) = match output {
            Some(output) => (Some(tokens.take()), panels(output)),
            None => (None, panels(tokens)),
        };
        let embedding = Self {
            table,
            scale: 1.0,
            positions: None,
        };
        (embedding, output)
    }

    /// The vector of a token at a position.
    pub(super) fn row(&self, token: u32, position: usize, output: &Panels, into: &mut [f32]) {
        let width = into.len();
        match &self.table {
            Some(table) => into.copy_from_slice(&table[token as usize * width..][..width]),
            None => output.row(token as usize, into),
        }
        if self.scale != 1.0 {
            rows::scale(into, self.scale);
        }
        if let Some(positions) = &self.positions {
            rows::add(into, &positions[position * width..][..width]);
        }
    }
}
