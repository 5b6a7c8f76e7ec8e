//! The two halves of a Transformer's block, each with its norm and its residual connection: what
//! architectures with such blocks are made of. On the CPU each is one operation, which goes through the
//! memory of its activations once.

use burn::tensor::Tensor;

use super::activation::composed_activation;
use super::attention::Bias;
use super::attention_maps::watched;
use super::entry::Entry;
use super::exit::Exit;
use super::flex::{self, Precision};
use super::fused_mlp::Mlp;
use super::norm::Kind;
use super::rotary::Turn;
use super::self_attention::{Packed, SelfAttention};
use super::{
    Activation, Dropout, Heads, LowRank, Orientation, Rotation, Scoring, dropout, joined_linear, layer_norm, linear,
    low_rank_linear, rms_norm, rotary, scored_attention,
};

/// A norm with its weights, `[1, width]` each.
#[derive(Clone, Debug)]
pub struct RowNorm {
    /// Which.
    pub kind: Kind,
    /// Its weight.
    pub weight: Tensor<2>,
    /// Its bias, if the kind has one.
    pub bias: Option<Tensor<2>>,
}

/// Products of one input, side by side.
#[derive(Clone, Debug)]
pub struct Products {
    /// The weights.
    pub weights: Vec<Tensor<2>>,
    /// As many biases as weights, `[1, out]` each, or none.
    pub biases: Vec<Tensor<2>>,
    /// How the weights lie.
    pub orientation: Orientation,
    /// What is learned beside each weight, if anything is; none at all for weights without any.
    pub pairs: Vec<Option<LowRank>>,
}

impl RowNorm {
    /// The normal form of each row.
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.weight.clone();
        match self.kind {
            Kind::Rms { epsilon } => rms_norm(x, weight, epsilon),
            Kind::Layer { epsilon, .. } => {
                let bias = self.bias.clone();
                let bias = bias.unwrap_or_else(|| weight.clone().detach().zeros_like());
                layer_norm(x, weight, bias, epsilon)
            }
        }
    }

    fn inputs(&self, list: &mut Vec<Tensor<2>>) {
        list.push(self.weight.clone());
        list.extend(self.bias.clone());
    }
}

impl Products {
    /// All of them: `[rows, in] → [rows, Σ out]`.
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        if self.weights.len() == 1 {
            return self.one(x, 0);
        }
        if self.pairs.iter().any(Option::is_some) {
            let each = (0..self.weights.len()).map(|part| self.one(x.clone(), part));
            return Tensor::cat(each.collect(), 1);
        }
        let product = match (self.orientation, self.weights.as_slice()) {
            (Orientation::OutputInput, [a, b]) => joined_linear(x, [a.clone(), b.clone()]),
            (Orientation::OutputInput, [a, b, c]) => joined_linear(x, [a.clone(), b.clone(), c.clone()]),
            _ => {
                let one = |weight: &Tensor<2>| linear(x.clone(), weight.clone(), None, self.orientation);
                Tensor::cat(self.weights.iter().map(one).collect(), 1)
            }
        };
        match self.biases.is_empty() {
            true => product,
            false => product.add(Tensor::cat(self.biases.clone(), 1)),
        }
    }

    /// One of them.
    fn one(&self, x: Tensor<2>, part: usize) -> Tensor<2> {
        let (weight, bias) = (self.weights[part].clone(), self.biases.get(part).cloned());
        match self.pairs.get(part).and_then(Option::as_ref) {
            Some(pair) => low_rank_linear(x, weight, bias, self.orientation, pair),
            None => linear(x, weight, bias, self.orientation),
        }
    }

    fn inputs(&self, list: &mut Vec<Tensor<2>>) {
        list.extend(self.weights.iter().cloned());
        list.extend(self.biases.iter().cloned());
        list.extend(
            self.pairs
                .iter()
                .flatten()
                .flat_map(|pair| [pair.down.clone(), pair.up.clone()]),
        );
    }

    /// The scale of each pair, where there is one.
    fn scales(&self) -> [Option<f32>; 3] {
        std::array::from_fn(|part| Some(self.pairs.get(part)?.as_ref()?.scale))
    }
}

fn entry(norm: Option<&RowNorm>, products: &Products) -> Entry {
    Entry {
        norm: norm.map(|norm| norm.kind),
        orientation: products.orientation,
        parts: products.weights.len(),
        biased: !products.biases.is_empty(),
        precision: Precision::now(),
        scales: products.scales(),
    }
}

fn exit(products: &Products, dropout: Option<Dropout>) -> Exit {
    Exit {
        orientation: products.orientation,
        biased: !products.biases.is_empty(),
        scale: products.scales()[0],
        dropout,
    }
}

fn inputs(x: Tensor<2>, norm: Option<&RowNorm>, inner: &Products, outer: &Products) -> Vec<Tensor<2>> {
    let mut list = vec![x];
    if let Some(norm) = norm {
        norm.inputs(&mut list);
    }
    inner.inputs(&mut list);
    outer.inputs(&mut list);
    list
}

/// `x + dropout(outer(activation(inner(norm(x)))))`: the second half of a block. With two inner
/// products, the activation of the first is multiplied by the second (Shazeer 2020).
pub fn mlp(
    x: Tensor<2>,
    norm: Option<&RowNorm>,
    inner: &Products,
    activation: Activation,
    outer: &Products,
    drop: Option<Dropout>,
) -> Tensor<2> {
    if !flex::applies(&x) {
        return composed_mlp(x, norm, inner, activation, outer, drop);
    }
    let operation = Mlp {
        entry: entry(norm, inner),
        activation,
        exit: exit(outer, drop),
    };
    flex::run_many(operation, inputs(x, norm, inner, outer))
}

pub(super) fn composed_mlp(
    x: Tensor<2>,
    norm: Option<&RowNorm>,
    inner: &Products,
    activation: Activation,
    outer: &Products,
    drop: Option<Dropout>,
) -> Tensor<2> {
    let normal = norm.map_or_else(|| x.clone(), |norm| norm.apply(x.clone()));
    let inside = composed_activation(inner.apply(normal), activation, inner.weights.len() == 2);
    x.add(dropout(outer.apply(inside), drop))
}

/// How sequences attend to themselves.
#[derive(Clone, Debug)]
pub struct Attending<'a> {
    /// How attention is divided.
    pub heads: Heads,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Rotary positions, if any.
    pub rotation: Option<Rotation>,
    /// What scores are made of.
    pub scoring: &'a Scoring<'a>,
    /// Of the probabilities.
    pub dropout: Option<Dropout>,
}

/// `x + dropout(outer(attention(inner(norm(x)))))`: the first half of a block. The inner products are
/// `[queries | keys | values]`, in one weight or three.
pub fn self_attention(
    x: Tensor<2>,
    norm: Option<&RowNorm>,
    inner: &Products,
    attending: &Attending<'_>,
    outer: &Products,
    drop: Option<Dropout>,
) -> Tensor<2> {
    let Attending {
        heads, seq, scoring, ..
    } = *attending;
    if !flex::applies(&x) || watched() || matches!(scoring.bias, Some(Bias::Whole(_))) {
        return composed_self_attention(x, norm, inner, attending, outer, drop);
    }
    let (terms, input) = Bias::terms(scoring.bias.as_ref());
    let operation = SelfAttention {
        entry: entry(norm, inner),
        turn: attending.rotation.map(|rotation| Turn::new(heads, seq, rotation)),
        packed: Packed {
            attention: scoring.attention(heads, [seq, seq], attending.dropout),
            terms,
        },
        exit: exit(outer, drop),
    };
    let mut inputs = inputs(x, norm, inner, outer);
    inputs.extend(input);
    flex::run_many(operation, inputs)
}

pub(super) fn composed_self_attention(
    x: Tensor<2>,
    norm: Option<&RowNorm>,
    inner: &Products,
    attending: &Attending<'_>,
    outer: &Products,
    drop: Option<Dropout>,
) -> Tensor<2> {
    let Attending { heads, seq, .. } = *attending;
    let normal = norm.map_or_else(|| x.clone(), |norm| norm.apply(x.clone()));
    let mut packed = inner.apply(normal);
    if let Some(rotation) = attending.rotation {
        packed = rotary(packed, heads, seq, rotation);
    }
    let mixed = scored_attention(packed, heads, seq, attending.scoring, attending.dropout);
    x.add(dropout(outer.apply(mixed), drop))
}
