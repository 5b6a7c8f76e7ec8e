//! Causal attention with grouped key/value heads.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation::softmax};

use super::attention_maps::{show, watched};
use super::flex;
use super::fused_attention::Attention;
use super::self_attention::{Cross, Packed, TermsKind};
use super::{Dropout, embedding};

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

    /// Of each column of a packed row, where it is in a row that [`regroup`] is given.
    pub fn regrouped(&self) -> Vec<usize> {
        let Self { key_value, width, .. } = *self;
        let each = self.group() + 2;
        let part = |start: usize, count: usize| {
            let heads =
                (0..key_value).flat_map(move |group| (start..start + count).map(move |head| group * each + head));
            heads.flat_map(move |head| head * width..(head + 1) * width)
        };
        let group = self.group();
        part(0, group).chain(part(group, 1)).chain(part(group + 1, 1)).collect()
    }

    /// `1 / √width`
    pub fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Causal self-attention of whole sequences.
///
/// `[batch·seq, (query + 2·key_value)·width]` rows `[queries | keys | values]` →
/// `[batch·seq, query·width]`. Dropout falls on the probabilities.
pub fn attention(packed: Tensor<2>, heads: Heads, seq: usize, dropout: Option<Dropout>) -> Tensor<2> {
    scored_attention(packed, heads, seq, &Scoring::causal(heads, 0), dropout)
}

pub(super) fn composed(
    packed: Tensor<2>,
    heads: Heads,
    seq: usize,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    let batch = packed.dims()[0] / seq;
    let (queries, keys, values) = unpack(packed, heads, batch, seq);
    attend(queries, keys, values, heads, scoring, dropout)
}

/// `[batch·seq, packed] → [batch, key_value, group·seq, width]` queries and
/// `[batch, key_value, seq, width]` keys and values.
pub(super) fn unpack(packed: Tensor<2>, heads: Heads, batch: usize, seq: usize) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
    let Heads {
        query,
        key_value,
        width,
    } = heads;
    let queries = group(packed.clone().narrow(1, 0, query * width), heads, batch, seq);
    let side = |start: usize| {
        let columns = packed.clone().narrow(1, start * width, key_value * width);
        by_head(columns, heads, batch)
    };
    (queries, side(query), side(query + key_value))
}

/// `[batch·seq, query·width]` queries → `[batch, key_value, group·seq, width]`.
fn group(queries: Tensor<2>, heads: Heads, batch: usize, seq: usize) -> Tensor<4> {
    let Heads { key_value, width, .. } = heads;
    queries
        .reshape([batch, seq, key_value, heads.group(), width])
        .permute([0, 2, 3, 1, 4])
        .reshape([batch, key_value, heads.group() * seq, width])
}

/// What the scores of attention are made of besides queries and keys.
#[derive(Clone, Debug)]
pub struct Scoring<'a> {
    /// What the products of queries and keys are multiplied by: `1 / √width` in most models.
    pub scale: f32,
    /// Added to the scores.
    pub bias: Option<Bias>,
    /// The position of the first query among the keys, if keys after a query are hidden from it.
    pub causal: Option<usize>,
    /// How many keys each sequence of the batch has; what follows is padding. All of them without it.
    pub lengths: Option<&'a [usize]>,
}

/// Terms that are added to scores.
#[derive(Clone, Debug)]
pub enum Bias {
    /// For each score: `[1, key_value, group·queries, keys]`.
    Whole(Tensor<4>),
    /// By how far a key is from its query: `[query heads, queries + keys − 1]`, from the last query's
    /// first key on, so that query `i` and key `j` have element `j − i + queries − 1`.
    Diagonals(Tensor<2>),
    /// By key: `[query heads, keys]`, without a gradient.
    Keys(Tensor<2>),
}

impl Bias {
    /// For each score, `[1, key_value, group·queries, keys]`.
    fn whole(&self, heads: Heads, queries: usize, keys: usize) -> Tensor<4> {
        let shape = [1, heads.key_value, heads.group() * queries, keys];
        match self {
            Self::Whole(whole) => whole.clone(),
            Self::Keys(by_key) => {
                let by_key = by_key.clone().reshape([1, heads.query, 1, keys]);
                by_key.expand([1, heads.query, queries, keys]).reshape(shape)
            }
            Self::Diagonals(diagonals) => {
                let places: Vec<i64> = (0..queries)
                    .flat_map(|query| (0..keys).map(move |key| (key + queries - 1 - query) as i64))
                    .collect();
                let places = TensorData::new(places, [queries * keys]);
                let places = Tensor::<1, Int>::from_data(places, &diagonals.device());
                let rows = embedding(places, diagonals.clone().transpose()); // [queries·keys, heads]
                let rows = rows.reshape([queries, keys, heads.query]).permute([2, 0, 1]);
                rows.reshape(shape)
            }
        }
    }

    /// As a fused operation takes it.
    pub(super) fn terms(bias: Option<&Self>) -> (TermsKind, Option<Tensor<2>>) {
        match bias {
            None => (TermsKind::Nothing, None),
            Some(Self::Diagonals(diagonals)) => (TermsKind::Diagonals, Some(diagonals.clone())),
            Some(Self::Keys(keys)) => (TermsKind::Keys, Some(keys.clone())),
            Some(Self::Whole(_)) => unreachable!("callers compose attention with a whole matrix of terms"),
        }
    }
}

impl Scoring<'_> {
    /// Attention of whole sequences with these scores.
    pub(super) fn attention(&self, heads: Heads, [queries, keys]: [usize; 2], dropout: Option<Dropout>) -> Attention {
        Attention {
            heads,
            queries,
            keys,
            causal: self.causal.is_some(),
            scale: self.scale,
            lengths: self.lengths.map(Into::into),
            dropout,
        }
    }

    /// Causal attention, the first query being at a position.
    pub fn causal(heads: Heads, start: usize) -> Self {
        Self {
            scale: heads.scale(),
            bias: None,
            causal: Some(start),
            lengths: None,
        }
    }
}

/// Self-attention of whole sequences with other scores than plain causal ones.
///
/// `[batch·seq, (query + 2·key_value)·width]` rows `[queries | keys | values]` →
/// `[batch·seq, query·width]`. Dropout falls on the probabilities.
pub fn scored_attention(
    packed: Tensor<2>,
    heads: Heads,
    seq: usize,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    if flex::applies(&packed) && !watched() && !matches!(scoring.bias, Some(Bias::Whole(_))) {
        assert!(
            scoring.causal.is_none_or(|start| start == 0),
            "whole sequences begin at 0"
        );
        let (terms, input) = Bias::terms(scoring.bias.as_ref());
        let attention = scoring.attention(heads, [seq, seq], dropout);
        let operation = Packed { attention, terms };
        return match input {
            Some(input) => flex::run(operation, [packed, input]),
            None => flex::run(operation, [packed]),
        };
    }
    composed(packed, heads, seq, scoring, dropout)
}

/// Attention of a decoder's queries, `[batch·queries, query·width]`, to rows `[keys | values]` of what
/// its encoder read, `[batch·source, 2·key_value·width]` → `[batch·queries, query·width]`.
pub fn source_attention(
    queries: Tensor<2>,
    keys_values: Tensor<2>,
    batch: usize,
    heads: Heads,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    if flex::applies(&queries) && !watched() {
        let side = |tensor: &Tensor<2>| tensor.dims()[0] / batch;
        let attention = scoring.attention(heads, [side(&queries), side(&keys_values)], dropout);
        return flex::run(Cross { attention }, [queries, keys_values]);
    }
    composed_source(queries, keys_values, batch, heads, scoring, dropout)
}

pub(super) fn composed_source(
    queries: Tensor<2>,
    keys_values: Tensor<2>,
    batch: usize,
    heads: Heads,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    let columns = heads.key_value * heads.width;
    let side = |start: usize| by_head(keys_values.clone().narrow(1, start, columns), heads, batch);
    cross_attention(queries, (side(0), side(columns)), heads, scoring, dropout)
}

/// Attention of a decoder's queries, `[batch·new, query·width]`, to what an encoder read:
/// `[batch, key_value, source, width]` keys and values → `[batch·new, query·width]`.
pub fn cross_attention(
    queries: Tensor<2>,
    (keys, values): (Tensor<4>, Tensor<4>),
    heads: Heads,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    let batch = keys.dims()[0];
    let new = queries.dims()[0] / batch;
    attend(group(queries, heads, batch, new), keys, values, heads, scoring, dropout)
}

/// `[batch·seq, key_value·width]` keys or values → `[batch, key_value, seq, width]`.
pub fn by_head(rows: Tensor<2>, heads: Heads, batch: usize) -> Tensor<4> {
    let seq = rows.dims()[0] / batch;
    rows.reshape([batch, seq, heads.key_value, heads.width]).swap_dims(1, 2)
}

/// Rows that hold, for each key/value head, its queries, its key and its value →
/// `[queries | keys | values]`: from Falcon's order to that of [`attention`].
pub fn regroup(grouped: Tensor<2>, heads: Heads) -> Tensor<2> {
    let [rows, _] = grouped.dims();
    let Heads { key_value, width, .. } = heads;
    let grouped: Tensor<4> = grouped.reshape([rows, key_value, heads.group() + 2, width]);
    let part = |start: usize, count: usize| {
        let part = grouped.clone().narrow(2, start, count);
        part.reshape([rows, key_value * count * width])
    };
    let queries = part(0, heads.group());
    Tensor::cat(vec![queries, part(heads.group(), 1), part(heads.group() + 1, 1)], 1)
}

/// Attention of queries over keys.
///
/// `[batch, key_value, group·new, width]` queries, `[batch, key_value, keys, width]` keys and
/// values → `[batch·new, query·width]`.
pub(super) fn attend(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    heads: Heads,
    scoring: &Scoring<'_>,
    dropout: Option<Dropout>,
) -> Tensor<2> {
    let [batch, key_value, grouped, width] = queries.dims();
    let new = grouped / heads.group();
    let device = queries.device();
    let mut scores = queries.matmul(keys.transpose());
    if scoring.scale != 1.0 {
        scores = scores.mul_scalar(scoring.scale);
    }
    if let Some(bias) = &scoring.bias {
        let [_, _, _, keys] = scores.dims();
        scores = scores.add(bias.whole(heads, new, keys));
    }
    if let Some(start) = scoring.causal
        && new > 1
    {
        let hidden = future(new, start, heads.group(), &device).expand(scores.dims());
        scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    }
    if let Some(lengths) = scoring.lengths {
        let seq = scores.dims()[3];
        if lengths.iter().any(|length| *length < seq) {
            let hidden = padding(lengths, seq, &device).expand(scores.dims());
            scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
        }
    }
    let mut probabilities = softmax(scores, 3);
    show(&probabilities, heads.group());
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

/// Where a key is padding: `[batch, 1, 1, seq]`.
fn padding(lengths: &[usize], seq: usize, device: &Device) -> Tensor<4, Bool> {
    let hidden: Vec<bool> = lengths
        .iter()
        .flat_map(|length| (0..seq).map(move |key| key >= *length))
        .collect();
    Tensor::from_data(TensorData::new(hidden, [lengths.len(), 1, 1, seq]), device)
}

/// Where a key lies after its query: `[1, 1, group·new, start + new]`.
fn future(new: usize, start: usize, group: usize, device: &Device) -> Tensor<4, Bool> {
    let keys = start + new;
    let hidden: Vec<bool> = (0..group * new)
        .flat_map(|row| (0..keys).map(move |key| key > start + row % new))
        .collect();
    Tensor::from_data(TensorData::new(hidden, [1, 1, group * new, keys]), device)
}
