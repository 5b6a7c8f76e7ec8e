//! Causal attention with grouped key/value heads.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation::softmax};

use super::Dropout;
use super::flex;
use super::fused_attention::Attention;

/// How attention is divided. Each key/value head serves `query / key_value` neighbouring query heads
/// (Ainslie et al. 2023); with as many of both it is plain multi-head attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The number of query heads; a multiple of `key_value`.
    pub query: usize,
    /// The number of key/value heads.
    pub key_value: usize,
    /// The elements of one head.
    pub width: usize,
}

impl Heads {
    /// Query heads for each key/value head.
    pub fn group(&self) -> usize {
        self.query / self.key_value
    }

    /// Columns of a packed row `[queries | keys | values]`.
    pub fn packed(&self) -> usize {
        (self.query + 2 * self.key_value) * self.width
    }

    /// `1 / √width`
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Causal self-attention of whole sequences.
///
/// `[batch·seq, (query + 2·key_value)·width]` rows `[queries | keys | values]` →
/// `[batch·seq, query·width]`. Dropout falls on the probabilities.
pub fn attention(packed: Tensor<2>, heads: Heads, seq: usize, dropout: Option<Dropout>) -> Tensor<2> {
    if flex::applies(&packed) {
        flex::run(Attention { heads, seq, dropout }, [packed])
    } else {
        composed(packed, heads, seq, dropout)
    }
}

fn composed(packed: Tensor<2>, heads: Heads, seq: usize, dropout: Option<Dropout>) -> Tensor<2> {
    let [rows, _] = packed.dims();
    let batch = rows / seq;
    let (queries, keys, values) = unpack(packed, heads, batch, seq);
    attend(queries, keys, values, heads, 0, dropout)
}

/// `[batch·seq, packed] → [batch, key_value, group·seq, width]` queries and
/// `[batch, key_value, seq, width]` keys and values.
pub(super) fn unpack(packed: Tensor<2>, heads: Heads, batch: usize, seq: usize) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
    let Heads {
        query,
        key_value,
        width,
    } = heads;
    let queries = packed
        .clone()
        .narrow(1, 0, query * width)
        .reshape([batch, seq, key_value, heads.group(), width])
        .permute([0, 2, 3, 1, 4])
        .reshape([batch, key_value, heads.group() * seq, width]);
    let side = |start: usize| {
        packed
            .clone()
            .narrow(1, start * width, key_value * width)
            .reshape([batch, seq, key_value, width])
            .swap_dims(1, 2)
    };
    (queries, side(query), side(query + key_value))
}

/// Attention of new queries over all keys so far: the `i`th new token sees the first
/// `start + i + 1` of them.
///
/// `[batch, key_value, group·new, width]` queries, `[batch, key_value, start + new, width]` keys and
/// values → `[batch·new, query·width]`.
pub(super) fn attend(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    heads: Heads,
    start: usize,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    let [batch, key_value, grouped, width] = queries.dims();
    let new = grouped / heads.group();
    let device = queries.device();
    let mut scores = queries.matmul(keys.transpose()).mul_scalar(heads.scale());
    if new > 1 {
        let hidden = future(new, start, heads.group(), &device).expand(scores.dims());
        scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    }
    let mut probabilities = softmax(scores, 3);
    if let Some(dropout) = dropout {
        let mask = dropout.mask(probabilities.dims(), &device);
        probabilities = probabilities.mul(mask);
    }
    // [batch, key_value, group·new, width] → [batch·new, query·width]
    probabilities
        .matmul(values)
        .reshape([batch, key_value, heads.group(), new, width])
        .permute([0, 3, 1, 2, 4])
        .reshape([batch * new, heads.query * width])
}

/// Where a key lies after its query: `[1, 1, group·new, start + new]`.
fn future(new: usize, start: usize, group: usize, device: &Device) -> Tensor<4, Bool> {
    let keys = start + new;
    let hidden: Vec<bool> = (0..group * new)
        .flat_map(|row| (0..keys).map(move |key| key > start + row % new))
        .collect();
    Tensor::from_data(TensorData::new(hidden, [1, 1, group * new, keys]), device)
}
