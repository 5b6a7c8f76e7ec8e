//! The way out of both halves of a block on the CPU: a product with its bias, dropout, and the residual
//! connection, chunk by chunk.

use super::dropout::multiply_from;
use super::entry::{CHUNK, chunk_product, panels_of, sides, turned_panels};
use super::flex::{Array, Matrix, Panels, Plus, Precision, Shared, Target};
use super::linear::add_columns;
use super::low_rank::Pair;
use super::norm::add;
use super::summands::{Making, Summands, weight_gradient};
use super::{Dropout, Orientation};

/// `x + dropout(outer(rows))`
#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) orientation: Orientation,
    pub(super) biased: bool,
    /// Of the pair that is learned beside the weight, if there is one.
    pub(super) scale: Option<f32>,
    pub(super) dropout: Option<Dropout>,
}

/// Its weights.
#[derive(Clone, Debug)]
pub(super) struct ExitWeights {
    weight: Array,
    orientation: Orientation,
    bias: Option<Array>,
    pair: Option<Pair>,
}

/// What goes backward through it, chunk by chunk.
pub(super) struct ExitBack<'a> {
    exit: &'a Exit,
    sides: [usize; 2],
    panels: Panels,
    /// Where the gradients of the product's outputs are made or kept.
    douts: Making<'a>,
    /// Each chunk's sums for the bias.
    shares: Shared<'a>,
}

impl ExitWeights {
    /// Elements of a row that goes in and of one that comes out.
    pub(super) fn sides(&self) -> [usize; 2] {
        sides(&self.weight, self.orientation)
    }

    /// The weight that products take: with its pair merged with it.
    fn merged(&self) -> Array {
        Pair::merged(self.pair.as_ref(), &self.weight, self.orientation)
    }

    /// The product's right factor.
    pub(super) fn panels(&self, precision: Precision) -> Panels {
        panels_of(precision, &self.merged(), self.orientation)
    }
}

impl Exit {
    /// Takes the weights out of an operation's inputs: the product's, its bias, its pair.
    pub(super) fn weights(&self, inputs: &mut impl Iterator<Item = Array>) -> ExitWeights {
        let weight = inputs.next().expect("an outer weight");
        let bias = self.biased.then(|| inputs.next().expect("an outer bias"));
        ExitWeights {
            weight,
            orientation: self.orientation,
            bias,
            pair: Pair::next(self.scale, inputs),
        }
    }

    /// A chunk from its first row on: `rows` go through the product, and `x` is added.
    pub(super) fn chunk(
        &self,
        weights: &ExitWeights,
        panels: &Panels,
        first: usize,
        out: &mut [f32],
        rows: &[f32],
        x: &[f32],
    ) {
        let [inputs, width] = weights.sides();
        let plus = Plus {
            bias: weights.bias.as_ref().map(Array::values),
            rows: self.dropout.is_none().then(|| Matrix::rows(x, width)),
        };
        let shape = [x.len() / width, width, inputs];
        let rows = Matrix::rows(rows, inputs);
        chunk_product(out, width, shape, rows, panels.right(), plus, Target::Replace);
        if let Some(dropout) = &self.dropout {
            multiply_from(out, dropout, (first * width) as u64);
            add(out, x);
        }
    }

    /// What the weight's gradient is a sum over beside the product's inputs: `gradient`, or where dropout
    /// changes it, room for what it becomes.
    pub(super) fn summands<'a>(&self, summed: Precision, gradient: &'a Array) -> Summands<'a> {
        let [rows, width] = gradient.dims();
        match &self.dropout {
            Some(_) => Summands::new(summed, rows, vec![width]),
            None => Summands::of(summed, rows, gradient.values(), vec![width]),
        }
    }

    /// Values of the sums that a chunk adds to: the bias's.
    pub(super) fn shares(&self, weights: &ExitWeights) -> usize {
        if self.biased { weights.sides()[1] } else { 0 }
    }

    /// For the threads that go backward; `shares` hold zeros for each chunk.
    pub(super) fn back<'a>(
        &'a self,
        weights: &ExitWeights,
        precision: Precision,
        douts: &'a mut Summands<'_>,
        shares: &'a mut [f32],
    ) -> ExitBack<'a> {
        ExitBack {
            exit: self,
            sides: weights.sides(),
            panels: turned_panels(precision, &weights.merged(), self.orientation),
            douts: douts.making(),
            shares: Shared::new(shares),
        }
    }

    /// The gradients of the weights in the order of the inputs: `shares` is the sum of all chunks', `inputs`
    /// and `douts` are whole.
    pub(super) fn gradients(
        &self,
        weights: &ExitWeights,
        shares: &[f32],
        rows: usize,
        inputs: &Summands<'_>,
        douts: &Summands<'_>,
        wanted: &[bool],
    ) -> Vec<Option<Array>> {
        let (inputs, dout) = (inputs.part(0), douts.part(0));
        let weight = wanted[0].then(|| weight_gradient(&weights.weight, self.orientation, rows, inputs, dout));
        let mut list = vec![weight];
        if self.biased {
            list.push(Some(Array::new(shares.to_vec(), [1, shares.len()])));
        }
        if let Some(pair) = &weights.pair {
            let wanted = [wanted[list.len()], wanted[list.len() + 1]];
            list.extend(pair.gradients(rows, inputs.in_f32(), dout.in_f32(), wanted));
        }
        list
    }
}

impl ExitBack<'_> {
    /// Writes the gradients of a chunk's `rows` that went into the product, from those of its outputs and
    /// the number of its first row.
    ///
    /// # Safety
    /// No other thread has this chunk.
    pub(super) unsafe fn chunk(&self, first: usize, drows: &mut [f32], gradient: &[f32], scratch: &mut Vec<f32>) {
        let [inputs, width] = self.sides;
        let dout = match &self.exit.dropout {
            Some(dropout) => {
                // SAFETY: by the caller's promise, here and below.
                let dropped = unsafe { self.douts.room(first, gradient.len() / width, scratch) };
                dropped.copy_from_slice(gradient);
                multiply_from(dropped, dropout, (first * width) as u64);
                &*dropped
            }
            None => gradient,
        };
        let shape = [gradient.len() / width, inputs, width];
        let (rows, plus) = (Matrix::rows(dout, width), Plus::default());
        chunk_product(drows, inputs, shape, rows, self.panels.right(), plus, Target::Replace);
        if self.exit.biased {
            // SAFETY: as above.
            let share = unsafe { self.shares.part(first / CHUNK * width, width) };
            add_columns(share, dout, 0, width);
        }
        // SAFETY: as above.
        unsafe { self.douts.keep(first, dout) };
    }
}
