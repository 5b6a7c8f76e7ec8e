//! The loss of a language model.

use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

use super::flex::{
    self, Array, Fused, Matrix, Panels, Precision, Right, Target, buffer, exp, largest, product_in, product_into,
    product_with, sum, vectorized,
};
use super::{Orientation, linear};

/// The sum of `−ln softmax(logits)[target]` over the rows whose target is counted, in nats.
///
/// `[rows, vocab]` logits, `[rows]` targets; a target of −1 is ignored. The caller divides by the
/// number of counted targets, which may span several calls; with none the sum is 0, not NaN.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    composed(logits, targets)
}

/// [`cross_entropy`] of `hidden · tableᵀ`, `[rows, width]` and `[vocab, width]`, or
/// [`smoothed_cross_entropy`] where `smoothing` is not 0.
///
/// On the CPU the logits are never there all at once: a piece of rows goes through the output layer,
/// the loss and their gradients while it is in the cache (as in Hsu et al. 2024, "Liger Kernel").
pub fn linear_cross_entropy(hidden: Tensor<2>, table: Tensor<2>, targets: Tensor<1, Int>, smoothing: f32) -> Tensor<1> {
    if flex::applies(&hidden) {
        let data = targets.into_data();
        let targets = data.iter::<i64>().map(|target| usize::try_from(target).ok()).collect();
        let loss = Loss {
            targets,
            smoothing,
            learns_table: table.is_tracked(),
            precision: Precision::now(),
        };
        flex::run(loss, [hidden, table])
    } else {
        let logits = linear(hidden, table, None, Orientation::OutputInput);
        match smoothing {
            0.0 => composed(logits, targets),
            _ => smoothed_cross_entropy(logits, targets, smoothing),
        }
    }
}

/// [`cross_entropy`] against targets that leave a share `smoothing` of their probability to the whole
/// vocabulary alike, themselves included (Szegedy et al. 2016).
pub fn smoothed_cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f32) -> Tensor<1> {
    let targets: Tensor<2, Int> = targets.unsqueeze_dim(1);
    let counted = targets.clone().greater_equal_elem(0).float();
    let maximum = logits.clone().detach().max_dim(1);
    let shifted = logits.sub(maximum);
    let log_sum = shifted.clone().exp().sum_dim(1).log();
    let mean = shifted.clone().mean_dim(1);
    let picked = shifted.gather(1, targets.clamp_min(0));
    let expected = picked.mul_scalar(1.0 - smoothing).add(mean.mul_scalar(smoothing));
    log_sum.sub(expected).mul(counted).sum()
}

pub(super) fn composed(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let targets: Tensor<2, Int> = targets.unsqueeze_dim(1);
    let counted = targets.clone().greater_equal_elem(0).float();
    // subtracting the maximum changes nothing but keeps exp in range; no gradient flows through it
    let maximum = logits.clone().detach().max_dim(1);
    let shifted = logits.sub(maximum);
    let log_sum = shifted.clone().exp().sum_dim(1).log();
    let picked = shifted.gather(1, targets.clamp_min(0));
    log_sum.sub(picked).mul(counted).sum()
}

#[derive(Clone, Debug)]
struct Loss {
    /// The target of each row, if it is counted.
    targets: Vec<Option<usize>>,
    /// The share of the targets that is spread over the vocabulary.
    smoothing: f32,
    /// Whether the table's gradient is wanted, should anything's be.
    learns_table: bool,
    /// Of the products.
    precision: Precision,
}

/// Logits that are there at once, but for a very large vocabulary.
const AT_ONCE: usize = 1 << 20;
/// Rows that are there at once at least: fewer would read the whole table too often.
const LEAST: usize = 256;
/// Rows that one thread takes at a time.
const ROWS: usize = 8;
/// Values that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// Values from one row of logits to the next. Rows whose distance is a power of two would lie in the same few
/// places of a cache, and a product that reads fourteen of them at once would wait for each.
fn stride(vocab: usize) -> usize {
    const LINE: usize = 16;
    if vocab.is_multiple_of(512) { vocab + LINE } else { vocab }
}

impl Fused<2> for Loss {
    /// The gradients of both inputs for a gradient of 1, made going forward where they are wanted.
    type Saved = [Option<Array>; 2];

    fn forward(&self, [hidden, table]: [Array; 2], tracked: bool) -> (Array, Self::Saved) {
        let ([rows, width], [vocab, _]) = (hidden.dims(), table.dims());
        let in_vocabulary = |target: &Option<usize>| target.is_none_or(|target| target < vocab);
        assert!(
            self.targets.iter().all(in_vocabulary),
            "targets are in a vocabulary of {vocab}"
        );
        let at_once = (AT_ONCE / vocab).max(LEAST).min(rows.max(1));
        let stride = stride(vocab);
        let mut logits = buffer(at_once * stride);
        let mut losses = vec![0.0; rows];
        let (mut dhidden, mut dtable) = match tracked {
            true if !self.learns_table => (buffer(rows * width), Vec::new()),
            true if rows == 0 => (Vec::new(), vec![0.0; vocab * width]),
            true => (buffer(rows * width), buffer(vocab * width)),
            false => (Vec::new(), Vec::new()),
        };
        let by_row = Matrix::rows(table.values(), width);
        let panels = Panels::of(self.precision, &[(by_row.transposed(), vocab)], width);
        // f32 reads the table as it lies going backward
        let turned = (tracked && self.precision != Precision::F32)
            .then(|| Panels::of(self.precision, &[(by_row, width)], vocab));
        let mut target = Target::Replace;
        for start in (0..rows).step_by(at_once) {
            let end = (start + at_once).min(rows);
            let count = end - start;
            let logits = &mut logits[..count * stride];
            let hidden = Matrix::rows(&hidden.values()[start * width..end * width], width);
            let shape = [count, vocab, width];
            product_into(logits, stride, shape, hidden, panels.right(), None, Target::Replace);
            let inputs = losses[start..end]
                .par_chunks_mut(ROWS)
                .zip(self.targets[start..end].par_chunks(ROWS));
            let pieces = logits.par_chunks_mut(ROWS * stride).zip(inputs);
            pieces.for_each(|(logits, (losses, targets))| row_losses(logits, vocab, losses, targets, self.smoothing));
            if tracked {
                let dlogits = Matrix::rows(logits, stride);
                let dhidden = &mut dhidden[start * width..end * width];
                let shape = [count, width, vocab];
                let through = turned.as_ref().map_or(Right::Rows(by_row), Panels::right);
                product_with(dhidden, shape, dlogits, through, Target::Replace);
                if self.learns_table {
                    let shape = [vocab, width, count];
                    product_in(self.precision, &mut dtable, shape, dlogits.transposed(), hidden, target);
                    target = Target::Add;
                }
            }
        }
        let total = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        let saved = match tracked {
            true => [
                Some(Array::new(dhidden, [rows, width])),
                self.learns_table.then(|| Array::new(dtable, [vocab, width])),
            ],
            false => [None, None],
        };
        (Array::scalar(total as f32), saved)
    }

    fn backward(&self, saved: Self::Saved, gradient: Array, _wanted: [bool; 2]) -> [Option<Array>; 2] {
        let factor = gradient.values()[0];
        let scaled = |array: Array| {
            array.map_values(|values| values.par_chunks_mut(PIECE).for_each(|values| scale(values, factor)))
        };
        saved.map(|array| array.map(scaled))
    }
}

vectorized! {
    fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

vectorized! {
    /// Each row's loss, and its logits into their gradient `softmax − target`; both are 0 where the
    /// target is not counted.
    fn row_losses(
        logits: &mut [f32], vocab: usize, losses: &mut [f32], targets: &[Option<usize>], smoothing: f32,
    ) {
        let stride = logits.len() / losses.len();
        for ((logits, loss), target) in logits.chunks_exact_mut(stride).zip(losses).zip(targets) {
            let logits = &mut logits[..vocab];
            let Some(target) = *target else {
                logits.fill(0.0);
                *loss = 0.0;
                continue;
            };
            let maximum = largest(logits);
            let picked = logits[target] - maximum;
            let spread = smoothing / vocab as f32;
            let expected = match smoothing {
                0.0 => picked,
                _ => (1.0 - smoothing) * picked + spread * sum(logits, |x| x - maximum),
            };
            for logit in logits.iter_mut() {
                *logit = exp(*logit - maximum);
            }
            let total = sum(logits, |x| x);
            *loss = total.ln() - expected;
            let share = 1.0 / total;
            for logit in logits.iter_mut() {
                *logit = *logit * share - spread;
            }
            logits[target] -= 1.0 - smoothing;
        }
    }
}
