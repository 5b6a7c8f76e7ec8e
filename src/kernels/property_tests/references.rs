//! What operations should compute, values and gradients, in f64 with bounds: plain loops that share no line
//! with them.

use super::exact::{Matrix, Near, sum};
use crate::kernels::{Dropout, Heads};

/// Attention of queries to keys and values.
pub(super) struct Attended<'a> {
    pub heads: Heads,
    /// Queries and keys of a sequence.
    pub seq: [usize; 2],
    pub scale: f32,
    /// Whether a query sees a key: of a sequence, a query, a key.
    pub sees: &'a dyn Fn(usize, usize, usize) -> bool,
    /// What is added to a score: of a head, a query, a key.
    pub term: &'a dyn Fn(usize, usize, usize) -> Near,
    pub dropout: Option<Dropout>,
}

/// What [`Attended::forward`] made: the result and all probabilities, `[batch·heads·queries, keys]`.
pub(super) struct Mixed {
    pub out: Matrix,
    probabilities: Matrix,
}

/// Gradients of queries, keys and values, and of scores as the probabilities lie.
pub(super) struct Gradients {
    pub queries: Matrix,
    pub keys: Matrix,
    pub values: Matrix,
    pub scores: Matrix,
}

impl Attended<'_> {
    /// Sequence, head and query of a row of probabilities.
    fn place(&self, row: usize) -> [usize; 3] {
        let queries = self.seq[0];
        let head = row / queries;
        [head / self.heads.query, head % self.heads.query, row % queries]
    }

    fn factor(&self, row: usize, key: usize) -> Near {
        let index = (row * self.seq[1] + key) as u64;
        Near::exact(self.dropout.map_or(1.0, |dropout| f64::from(dropout.factor(index))))
    }

    /// Where a head's columns begin, of queries and of the keys that it shares.
    fn columns(&self, head: usize) -> [usize; 2] {
        [head, head / self.heads.group()].map(|head| head * self.heads.width)
    }

    pub fn forward(&self, queries: &Matrix, keys: &Matrix, values: &Matrix) -> Mixed {
        let ([per, all], width) = (self.seq, self.heads.width);
        let rows = queries.rows() * self.heads.query;
        let mut probabilities = Matrix::zeros(rows, all);
        let mut out = Matrix::zeros(queries.rows(), queries.columns);
        for row in 0..rows {
            let [sequence, head, query] = self.place(row);
            let [of_query, of_key] = self.columns(head);
            let seen: Vec<usize> = (0..all).filter(|key| (self.sees)(sequence, query, *key)).collect();
            let at = sequence * per + query;
            let score = |key: usize| {
                let terms = (0..width).map(|i| {
                    let key = keys.at(sequence * all + key, of_key + i);
                    queries.at(at, of_query + i).times(key)
                });
                let scaled = sum(terms).times(Near::exact(f64::from(self.scale)));
                scaled.plus((self.term)(head, query, key))
            };
            let scores: Vec<Near> = seen.iter().map(|key| score(*key)).collect();
            // any number may be taken from all: it changes nothing
            let most = scores
                .iter()
                .fold(f64::NEG_INFINITY, |most, score| most.max(score.value));
            let shares: Vec<Near> = scores
                .into_iter()
                .map(|score| score.minus(Near::exact(most)).exp())
                .collect();
            let total = sum(shares.iter().copied());
            for (key, share) in seen.iter().zip(shares) {
                probabilities.set(row, *key, share.over(total).within(1.0));
            }
            for i in 0..width {
                let terms = seen.iter().map(|key| {
                    let kept = probabilities.at(row, *key).times(self.factor(row, *key));
                    kept.times(values.at(sequence * all + key, of_key + i))
                });
                out.set(at, of_query + i, sum(terms));
            }
        }
        Mixed { out, probabilities }
    }

    pub fn backward(
        &self,
        (queries, keys, values): (&Matrix, &Matrix, &Matrix),
        mixed: &Mixed,
        gradient: &Matrix,
    ) -> Gradients {
        let ([per, all], width) = (self.seq, self.heads.width);
        let zeros = |like: &Matrix| Matrix::zeros(like.rows(), like.columns);
        let mut into = Gradients {
            queries: zeros(queries),
            keys: zeros(keys),
            values: zeros(values),
            scores: zeros(&mixed.probabilities),
        };
        let scale = Near::exact(f64::from(self.scale));
        let sums = per * self.heads.group();
        for row in 0..mixed.probabilities.rows() {
            let [sequence, head, query] = self.place(row);
            let [of_query, of_key] = self.columns(head);
            let at = sequence * per + query;
            // the sum over keys of probabilities times their gradients
            let along = sum((0..width).map(|i| gradient.at(at, of_query + i).times(mixed.out.at(at, of_query + i))));
            for key in (0..all).filter(|key| (self.sees)(sequence, query, *key)) {
                let of_row = sequence * all + key;
                let (probability, factor) = (mixed.probabilities.at(row, key), self.factor(row, key));
                let through =
                    sum((0..width).map(|i| gradient.at(at, of_query + i).times(values.at(of_row, of_key + i))));
                let dscore = probability.times(through.times(factor).minus(along));
                into.scores.set(row, key, dscore);
                let dscaled = dscore.times(scale);
                for i in 0..width {
                    let (q, k) = (queries.at(at, of_query + i), keys.at(of_row, of_key + i));
                    into.queries.add(at, of_query + i, dscaled.times(k), all);
                    into.keys.add(of_row, of_key + i, dscaled.times(q), sums);
                    let dvalue = probability.times(factor).times(gradient.at(at, of_query + i));
                    into.values.add(of_row, of_key + i, dvalue, sums);
                }
            }
        }
        into
    }
}

/// Rows divided by the root of their mean square, times a weight.
pub(super) struct RmsNorm<'a> {
    pub weight: &'a Matrix,
    pub epsilon: f64,
}

impl RmsNorm<'_> {
    /// One over the root of each row's mean square.
    fn scales(&self, x: &Matrix) -> Vec<Near> {
        let count = Near::exact(x.columns as f64);
        let of_row = |row: usize| {
            let squares = sum((0..x.columns).map(|column| x.at(row, column).times(x.at(row, column))));
            let mean = squares.over(count).plus(Near::exact(self.epsilon));
            let value = mean.value.powf(-0.5);
            mean.through(value, 0.5 * (mean.value - mean.off).max(self.epsilon).powf(-1.5))
        };
        (0..x.rows()).map(of_row).collect()
    }

    pub fn forward(&self, x: &Matrix) -> Matrix {
        let scales = self.scales(x);
        x.each(|row, column, x| x.times(scales[row]).times(self.weight.at(0, column)))
    }

    /// The gradients of the input and of the weight.
    pub fn backward(&self, x: &Matrix, gradient: &Matrix) -> [Matrix; 2] {
        let scales = self.scales(x);
        let normal = x.each(|row, _, x| x.times(scales[row]));
        let of_normal = gradient.each(|_, column, gradient| gradient.times(self.weight.at(0, column)));
        let count = Near::exact(x.columns as f64);
        let along = |row: usize| {
            let terms = (0..x.columns).map(|column| of_normal.at(row, column).times(normal.at(row, column)));
            sum(terms).over(count)
        };
        let along: Vec<Near> = (0..x.rows()).map(along).collect();
        let dx = of_normal.each(|row, column, gradient| {
            let rest = gradient.minus(normal.at(row, column).times(along[row]));
            rest.times(scales[row])
        });
        let weight = gradient.each(|row, column, gradient| gradient.times(normal.at(row, column)));
        [dx, weight.column_sums()]
    }
}

/// The first `turned` columns of rows turned by their positions, head by head: halves are the two sides of a
/// plane. `direction` is 1 or −1.
pub(super) fn rotated(
    x: &Matrix,
    [seq, width]: [usize; 2],
    (cosines, sines): (&[f32], &[f32]),
    direction: f64,
) -> Matrix {
    let half = width / 2;
    x.each(|row, column, number| {
        let (head, place) = (column / width * width, column % width);
        let angle = row % seq * half + place % half;
        let [cosine, sine] = [cosines[angle], sines[angle]].map(|value| Near::exact(f64::from(value)));
        let sine = sine.times(Near::exact(direction));
        match place < half {
            true => number.times(cosine).minus(x.at(row, head + half + place).times(sine)),
            false => number.times(cosine).plus(x.at(row, head + place - half).times(sine)),
        }
    })
}

/// Minus the logarithm of what a softmax gives each row's target, added up; `smoothing` is the share of the
/// target's probability that all tokens alike get. The loss, and its gradients by inputs and table.
pub(super) fn cross_entropy(hidden: &Matrix, table: &Matrix, targets: &[i64], smoothing: f32) -> [Matrix; 3] {
    let logits = hidden.product(&table.turned());
    let vocabulary = logits.columns;
    let smoothing = Near::exact(f64::from(smoothing));
    let rest = Near::exact(1.0).minus(smoothing);
    let spread = smoothing.over(Near::exact(vocabulary as f64));
    let mut through = Matrix::zeros(logits.rows(), vocabulary);
    let mut losses = Vec::new();
    for (row, target) in targets.iter().enumerate() {
        let Ok(target) = usize::try_from(*target) else { continue };
        let of_row: Vec<Near> = (0..vocabulary).map(|token| logits.at(row, token)).collect();
        let most = of_row
            .iter()
            .fold(f64::NEG_INFINITY, |most, logit| most.max(logit.value));
        let below: Vec<Near> = of_row.iter().map(|logit| logit.minus(Near::exact(most))).collect();
        let shares: Vec<Near> = below.iter().map(|below| below.exp()).collect();
        let total = sum(shares.iter().copied());
        let log = total.through(total.value.ln(), 1.0 / (total.value - total.off).max(f64::MIN_POSITIVE));
        let expected = rest.times(below[target]).plus(spread.times(sum(below.iter().copied())));
        losses.push(log.minus(expected));
        for (token, share) in shares.into_iter().enumerate() {
            let wanted = if token == target { rest.plus(spread) } else { spread };
            through.set(row, token, share.over(total).within(1.0).minus(wanted));
        }
    }
    let mut loss = Matrix::zeros(1, 1);
    loss.set(0, 0, sum(losses.into_iter()));
    [loss, through.product(table), through.turned().product(hidden)]
}
