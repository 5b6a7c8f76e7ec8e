//! What gradients of weights are sums over: rows that chunks make one after another, whole in f32, or in
//! pairs of bf16 numbers that are rounded while the chunk is in the cache.

use std::borrow::Cow;

use super::Orientation;
use super::entry::sides;
use super::flex::{
    Array, Block, Matrix, Paired, Pairing, Pairs, Precision, Shared, Target, buffer, summed_product,
    transposed_product_into,
};

/// Rows of matrices side by side.
#[derive(Debug)]
pub(super) enum Summands<'a> {
    /// With so many columns each.
    F32(Cow<'a, [f32]>, Vec<usize>),
    Bf16(Paired),
}

/// Where threads write their rows of [`Summands`].
#[derive(Clone, Copy)]
pub(super) enum Making<'a> {
    /// All rows, of so many values.
    F32(Shared<'a>, usize),
    /// They are there already.
    Made,
    /// Likewise of so many values.
    Bf16(Pairing<'a>, usize),
}

/// One factor of a weight's gradient.
#[derive(Clone, Copy)]
pub(super) enum Summand<'a> {
    F32(Matrix<'a>),
    Bf16(Pairs<'a>),
}

impl<'a> Summand<'a> {
    /// The rows themselves, where they are in f32.
    pub(super) fn in_f32(self) -> Matrix<'a> {
        match self {
            Self::F32(matrix) => matrix,
            Self::Bf16(_) => unreachable!("pairs are learned from rows in f32"),
        }
    }
}

impl<'a> Summands<'a> {
    /// Room for rows that are to be made.
    pub(super) fn new(precision: Precision, rows: usize, columns: Vec<usize>) -> Self {
        let values = || buffer(rows * columns.iter().sum::<usize>());
        match precision {
            Precision::F32 => Self::F32(Cow::Owned(values()), columns),
            Precision::Bf16 => Self::Bf16(Paired::new(rows, columns)),
        }
    }

    /// Rows that are there in f32: nothing is to be made of them but what they are rounded to.
    pub(super) fn of(precision: Precision, rows: usize, values: &'a [f32], columns: Vec<usize>) -> Self {
        match precision {
            Precision::F32 => Self::F32(Cow::Borrowed(values), columns),
            Precision::Bf16 => Self::Bf16(Paired::new(rows, columns)),
        }
    }

    /// Rows whose values in f32 are there and are changed chunk by chunk: in their place, or as they are
    /// copied from what is returned with the summands.
    pub(super) fn changed(
        precision: Precision,
        rows: usize,
        values: Vec<f32>,
        columns: Vec<usize>,
    ) -> (Self, Option<Vec<f32>>) {
        match precision {
            Precision::F32 => (Self::F32(Cow::Owned(values), columns), None),
            Precision::Bf16 => (Self::new(precision, rows, columns), Some(values)),
        }
    }

    /// For the threads that make them.
    pub(super) fn making(&mut self) -> Making<'_> {
        match self {
            Self::F32(Cow::Owned(values), columns) => Making::F32(Shared::new(values), columns.iter().sum()),
            Self::F32(Cow::Borrowed(_), _) => Making::Made,
            Self::Bf16(paired) => {
                let columns = paired.columns();
                Making::Bf16(paired.pairing(), columns)
            }
        }
    }

    /// The matrix of an index.
    pub(super) fn part(&self, index: usize) -> Summand<'_> {
        match self {
            Self::F32(values, columns) => {
                let start = columns[..index].iter().sum::<usize>();
                let from = start.min(values.len());
                Summand::F32(Matrix::rows(&values[from..], columns.iter().sum()))
            }
            Self::Bf16(paired) => Summand::Bf16(paired.part(index)),
        }
    }
}

impl Making<'_> {
    /// Where `count` rows from `first` on are to be made: in their place, or in a chunk that is then
    /// [kept](Self::keep).
    ///
    /// # Safety
    /// No other thread makes these rows.
    pub(super) unsafe fn room<'b>(&'b self, first: usize, count: usize, chunk: &'b mut Vec<f32>) -> &'b mut [f32] {
        match self {
            // SAFETY: by the caller's promise.
            Self::F32(values, columns) => unsafe { values.part(first * columns, count * columns) },
            Self::Made => unreachable!("rows that are there are not made"),
            Self::Bf16(_, columns) => {
                if chunk.len() < count * columns {
                    *chunk = buffer(count * columns);
                }
                &mut chunk[..count * columns]
            }
        }
    }

    /// Keeps rows from `first` on, an even one, that are made now.
    ///
    /// # Safety
    /// No other thread makes these rows.
    pub(super) unsafe fn keep(&self, first: usize, values: &[f32]) {
        if let Self::Bf16(pairing, columns) = self {
            // SAFETY: by the caller's promise.
            unsafe { pairing.write(first, values.len() / columns, Matrix::rows(values, *columns)) };
        }
    }
}

/// A weight's gradient from the inputs and the gradients of the outputs.
pub(super) fn weight_gradient(
    weight: &Array,
    orientation: Orientation,
    rows: usize,
    x: Summand<'_>,
    dy: Summand<'_>,
) -> Array {
    let [inputs, outputs] = sides(weight, orientation);
    let mut out = buffer(inputs * outputs);
    let (shape, a, b) = match orientation {
        Orientation::InputOutput => ([inputs, outputs, rows], x, dy),
        Orientation::OutputInput => ([outputs, inputs, rows], dy, x),
    };
    match (a, b) {
        (Summand::F32(a), Summand::F32(b)) => {
            let whole = Block {
                buffer: Shared::new(&mut out),
                start: 0,
                stride: shape[1],
            };
            // SAFETY: the only use of the buffer.
            unsafe { transposed_product_into(whole, shape, a.transposed(), b, Target::Replace) };
        }
        (Summand::Bf16(a), Summand::Bf16(b)) => summed_product(&mut out, a, b, Target::Replace),
        _ => unreachable!("both factors are in one precision"),
    }
    Array::new(out, weight.dims())
}
