//! What both halves of a block share on the CPU: rows in chunks that stay in a core's cache, the way
//! in (a norm and the products that read it) and the gradients of both.

use super::Orientation;
use super::flex::{Array, Block, Matrix, Panels, Plus, Precision, Right, Shared, Target, multiply};
use super::linear::add_columns;
use super::low_rank::Pair;
use super::norm::{Kind, gradient_rows, norm_rows, normal_form};
use super::summands::{Making, Summands, weight_gradient};

/// Rows that one thread takes through several operations: fixed, because sums of gradients over rows
/// are made chunk by chunk.
pub(super) const CHUNK: usize = 64;

/// A norm and the products that read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) norm: Option<Kind>,
    pub(super) orientation: Orientation,
    /// Products side by side.
    pub(super) parts: usize,
    pub(super) biased: bool,
    /// In which the products are computed.
    pub(super) precision: Precision,
    /// Of the pairs that are learned beside weights, where there are any.
    pub(super) scales: [Option<f32>; 3],
}

/// Its weights.
#[derive(Clone, Debug)]
pub(super) struct EntryWeights {
    /// The norm's weight and bias; zeros where it has none.
    norm: Option<[Vec<f32>; 2]>,
    weights: Vec<Array>,
    orientation: Orientation,
    /// All biases one after another.
    bias: Option<Vec<f32>>,
    /// What is learned beside each weight, if anything is.
    pairs: Vec<Option<Pair>>,
}

/// A weight as the right factor `[in, out]`.
pub(super) fn factor(weight: &Array, orientation: Orientation) -> Matrix<'_> {
    let [_, columns] = weight.dims();
    let matrix = Matrix::rows(weight.values(), columns);
    match orientation {
        Orientation::InputOutput => matrix,
        Orientation::OutputInput => matrix.transposed(),
    }
}

/// A weight's inputs and outputs.
pub(super) fn sides(weight: &Array, orientation: Orientation) -> [usize; 2] {
    let [rows, columns] = weight.dims();
    match orientation {
        Orientation::InputOutput => [rows, columns],
        Orientation::OutputInput => [columns, rows],
    }
}

/// A product of a chunk, on this thread.
pub(super) fn chunk_product(
    out: &mut [f32],
    stride: usize,
    shape: [usize; 3],
    a: Matrix<'_>,
    b: Right<'_>,
    plus: Plus<'_>,
    target: Target,
) {
    let block = Block {
        buffer: Shared::new(out),
        start: 0,
        stride,
    };
    // SAFETY: this thread has the chunk alone.
    unsafe { multiply(block, shape, a, b, plus, target) };
}

impl Entry {
    /// How many inputs of an operation are its weights.
    pub(super) fn count(&self) -> usize {
        let norm = self.norm.map_or(0, |norm| 1 + usize::from(norm.biased()));
        let pairs = self.scales.iter().flatten().count();
        norm + self.parts * (1 + usize::from(self.biased)) + 2 * pairs
    }

    /// The precision of what gradients are sums over, with or without a pair beside the weight out: pairs
    /// are learned from rows in f32, whose products with their few columns are cheap.
    pub(super) fn summed(&self, outer_scale: Option<f32>) -> Precision {
        match self.scales.iter().chain([&outer_scale]).any(Option::is_some) {
            true => Precision::F32,
            false => self.precision,
        }
    }

    /// Takes the weights out of an operation's inputs: the norm's, the products', the biases, the pairs.
    pub(super) fn weights(&self, inputs: &mut impl Iterator<Item = Array>) -> EntryWeights {
        let mut next = || inputs.next().expect("an input for each weight");
        let norm = self.norm.map(|kind| {
            let weight = next().values().to_vec();
            let bias = match kind.biased() {
                true => next().values().to_vec(),
                false => vec![0.0; weight.len()],
            };
            [weight, bias]
        });
        let weights: Vec<Array> = (0..self.parts).map(|_| next()).collect();
        let bias = self
            .biased
            .then(|| (0..self.parts).flat_map(|_| next().values().to_vec()).collect());
        let pairs = self.scales[..self.parts].iter();
        let pairs = pairs.map(|scale| Pair::next(*scale, inputs)).collect();
        EntryWeights {
            norm,
            weights,
            orientation: self.orientation,
            bias,
            pairs,
        }
    }

    /// Room for the statistics of rows; none without a norm.
    pub(super) fn statistics(&self, rows: usize) -> Vec<[f32; 2]> {
        vec![[0.0; 2]; if self.norm.is_some() { rows } else { 0 }]
    }

    /// The normal form of a chunk, or the chunk itself; `statistics` are written.
    pub(super) fn normal<'a>(
        &self,
        weights: &EntryWeights,
        out: &'a mut [f32],
        statistics: &mut [[f32; 2]],
        x: &'a [f32],
    ) -> &'a [f32] {
        let (Some(kind), Some([weight, bias])) = (self.norm, &weights.norm) else {
            return x;
        };
        let out = &mut out[..x.len()];
        norm_rows(kind, out, statistics, x, weight, bias);
        out
    }

    /// Values of the sums that a chunk adds to: the norm's weight and bias, and the products' biases.
    pub(super) fn shares(&self, weights: &EntryWeights) -> usize {
        let norm = weights.norm.as_ref().map_or(0, |[weight, _]| 2 * weight.len());
        norm + if self.biased { weights.outputs() } else { 0 }
    }

    /// What weights' gradients are sums over beside the gradients of the outputs: the rows that the products
    /// read, which are made again on the way back where there is a norm.
    pub(super) fn summands<'a>(&self, summed: Precision, x: &'a Array) -> Summands<'a> {
        let [rows, width] = x.dims();
        match self.norm {
            Some(_) => Summands::new(summed, rows, vec![width]),
            None => Summands::of(summed, rows, x.values(), vec![width]),
        }
    }

    /// For the threads that go backward; `shares` hold zeros for each chunk.
    pub(super) fn back<'a>(
        &'a self,
        weights: &'a EntryWeights,
        statistics: &'a [[f32; 2]],
        normals: &'a mut Summands<'_>,
        shares: &'a mut [f32],
    ) -> EntryBack<'a> {
        EntryBack {
            entry: self,
            weights,
            panels: weights.turned_panels(self.precision),
            statistics,
            normals: normals.making(),
            shares: Shared::new(shares),
        }
    }

    /// The gradients of the weights in the order of the inputs: `shares` are the sums of all chunks,
    /// `normal` and `dy` whole.
    pub(super) fn gradients(
        &self,
        weights: &EntryWeights,
        shares: &[f32],
        rows: usize,
        normal: &Summands<'_>,
        dy: &Summands<'_>,
        wanted: &[bool],
    ) -> Vec<Option<Array>> {
        let width = weights.width();
        let vector = |values: &[f32]| Some(Array::new(values.to_vec(), [1, values.len()]));
        let mut list = Vec::with_capacity(self.count());
        let (norm, mut biases) = shares.split_at(if self.norm.is_some() { 2 * width } else { 0 });
        if let Some(kind) = self.norm {
            list.push(vector(&norm[..width]));
            if kind.biased() {
                list.push(vector(&norm[width..]));
            }
        }
        let first = list.len();
        for (part, weight) in weights.weights.iter().enumerate() {
            let gradient = wanted[list.len()]
                .then(|| weight_gradient(weight, self.orientation, rows, normal.part(0), dy.part(part)));
            list.push(gradient);
        }
        if self.biased {
            for part in first..first + self.parts {
                let [_, outputs] = sides(&weights.weights[part - first], self.orientation);
                let (bias, rest) = biases.split_at(outputs);
                list.push(vector(bias));
                biases = rest;
            }
        }
        for (part, pair) in weights.pairs.iter().enumerate() {
            if let Some(pair) = pair {
                let wanted = [wanted[list.len()], wanted[list.len() + 1]];
                let (normal, dy) = (normal.part(0).in_f32(), dy.part(part).in_f32());
                list.extend(pair.gradients(rows, normal, dy, wanted));
            }
        }
        list
    }
}

/// What goes backward through an entry, chunk by chunk.
pub(super) struct EntryBack<'a> {
    entry: &'a Entry,
    weights: &'a EntryWeights,
    panels: Vec<Panels>,
    statistics: &'a [[f32; 2]],
    /// Where the rows that the products read are made or kept.
    normals: Making<'a>,
    /// Each chunk's sums for the norm and the biases.
    shares: Shared<'a>,
}

impl EntryBack<'_> {
    /// A chunk from its first row on: `dy` are the gradients of the products' outputs, `dx` becomes that of
    /// the input, which `gradient` reaches directly as well.
    ///
    /// # Safety
    /// No other thread has this chunk.
    pub(super) unsafe fn chunk(
        &self,
        first: usize,
        dx: &mut [f32],
        dy: &[f32],
        [x, gradient]: [&[f32]; 2],
        scratch: &mut Vec<f32>,
    ) {
        let Self { entry, weights, .. } = self;
        let (width, outputs) = (weights.width(), weights.outputs());
        let rows = x.len() / width;
        let mut start = 0;
        for (index, panels) in self.panels.iter().enumerate() {
            let dy = Matrix::rows(&dy[start..], outputs);
            // the residual connection is added as the first product is written, if no norm is between
            let (plus, target) = match (index, entry.norm) {
                (0, None) => (
                    Plus {
                        rows: Some(Matrix::rows(gradient, width)),
                        bias: None,
                    },
                    Target::Replace,
                ),
                (0, Some(_)) => (Plus::default(), Target::Replace),
                _ => (Plus::default(), Target::Add),
            };
            chunk_product(dx, width, [rows, width, panels.k()], dy, panels.right(), plus, target);
            start += panels.k();
        }
        let each = entry.shares(weights);
        // SAFETY: by the caller's promise, here and below.
        let share = unsafe { self.shares.part(first / CHUNK * each, each) };
        let (norm_share, bias_share) = share.split_at_mut(if entry.norm.is_some() { 2 * width } else { 0 });
        let read = match (entry.norm, &weights.norm) {
            (Some(kind), Some([weight, bias])) => {
                let statistics = &self.statistics[first..first + rows];
                // SAFETY: as above.
                let normal = unsafe { self.normals.room(first, rows, scratch) };
                normal_form(kind, normal, statistics, x, weight, bias);
                gradient_rows(kind, dx, norm_share, statistics, x, weight, gradient);
                normal
            }
            _ => x,
        };
        // SAFETY: as above.
        unsafe { self.normals.keep(first, read) };
        if entry.biased {
            add_columns(bias_share, dy, 0, outputs);
        }
    }
}

impl EntryWeights {
    /// Elements of a row that goes in.
    pub(super) fn width(&self) -> usize {
        sides(&self.weights[0], self.orientation)[0]
    }

    /// Elements of a row that comes out of each product.
    pub(super) fn columns(&self) -> Vec<usize> {
        let sides = self.weights.iter().map(|weight| sides(weight, self.orientation));
        sides.map(|[_, outputs]| outputs).collect()
    }

    /// Elements of a row that comes out of all products.
    pub(super) fn outputs(&self) -> usize {
        self.columns().iter().sum()
    }

    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// The weights that products take: those with pairs merged with them.
    fn merged(&self) -> Vec<Array> {
        let weights = self.weights.iter().zip(&self.pairs);
        weights
            .map(|(weight, pair)| Pair::merged(pair.as_ref(), weight, self.orientation))
            .collect()
    }

    /// All products as one right factor.
    pub(super) fn panels(&self, precision: Precision) -> Panels {
        let merged = self.merged();
        if let [weight] = merged.as_slice() {
            return panels_of(precision, weight, self.orientation);
        }
        let parts: Vec<_> = merged
            .iter()
            .map(|weight| (factor(weight, self.orientation), sides(weight, self.orientation)[1]))
            .collect();
        Panels::of(precision, &parts, self.width())
    }

    /// Each product's factor for going backward.
    pub(super) fn turned_panels(&self, precision: Precision) -> Vec<Panels> {
        self.merged()
            .iter()
            .map(|weight| turned_panels(precision, weight, self.orientation))
            .collect()
    }
}

/// A product's factor, `[in, out]`.
pub(super) fn panels_of(precision: Precision, weight: &Array, orientation: Orientation) -> Panels {
    match orientation {
        Orientation::InputOutput => Panels::of_rows(precision, weight),
        Orientation::OutputInput => {
            let [inputs, outputs] = sides(weight, orientation);
            Panels::of(precision, &[(factor(weight, orientation), outputs)], inputs)
        }
    }
}

/// A product's factor for going backward, `[out, in]`.
pub(super) fn turned_panels(precision: Precision, weight: &Array, orientation: Orientation) -> Panels {
    let turned = match orientation {
        Orientation::InputOutput => Orientation::OutputInput,
        Orientation::OutputInput => Orientation::InputOutput,
    };
    panels_of(precision, weight, turned)
}

/// Sums that chunks have added up, each its own, in the order of the chunks.
pub(super) fn total(shares: &[f32], each: usize) -> Vec<f32> {
    let mut total = vec![0.0; each];
    if each > 0 {
        for share in shares.chunks_exact(each) {
            total.iter_mut().zip(share).for_each(|(total, share)| *total += share);
        }
    }
    total
}
