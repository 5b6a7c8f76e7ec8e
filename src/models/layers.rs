//! What architectures are made of: norms, products, attention's projections.

use burn::tensor::Tensor;

use super::inference::{Cross, Norm};
use super::init::{Source, Start};
use super::{Encoded, Pass, Role, Weight};
use crate::kernels::inference::Panels;
use crate::kernels::{
    Attending, Dropout, Heads, NormKind, Orientation, Products, RowNorm, by_head, rotary, scored_cached_attention,
    self_attention,
};

/// Something with weights, in the order of their declaration.
pub(super) trait Layer {
    fn weights(&self) -> Vec<&Weight>;
    fn weights_mut(&mut self) -> Vec<&mut Weight>;
}

impl Layer for Weight {
    fn weights(&self) -> Vec<&Weight> {
        vec![self]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![self]
    }
}

impl<L: Layer> Layer for Option<L> {
    fn weights(&self) -> Vec<&Weight> {
        self.iter().flat_map(Layer::weights).collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}

impl<L: Layer> Layer for Vec<L> {
    fn weights(&self) -> Vec<&Weight> {
        self.iter().flat_map(Layer::weights).collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}

/// Says which fields of a layer have weights, in order.
macro_rules! parts {
    ($layer:ident { $($part:ident),* $(,)? }) => {
        impl $crate::models::layers::Layer for $layer {
            fn weights(&self) -> Vec<&$crate::models::Weight> {
                let mut list = Vec::new();
                $(list.extend($crate::models::layers::Layer::weights(&self.$part));)*
                list
            }

            fn weights_mut(&mut self) -> Vec<&mut $crate::models::Weight> {
                let mut list = Vec::new();
                $(list.extend($crate::models::layers::Layer::weights_mut(&mut self.$part));)*
                list
            }
        }
    };
}
pub(super) use parts;

/// Layer norm with its weight and, but for PaLM, its bias.
#[derive(Clone, Debug)]
pub(super) struct LayerNorm {
    weight: Weight,
    bias: Option<Weight>,
    epsilon: f32,
}

parts!(LayerNorm { weight, bias });

impl LayerNorm {
    pub(super) fn new(source: &mut dyn Source, name: &str, width: usize, epsilon: f64) -> Self {
        let bias = source.weight(format!("{name}.bias"), Role::Vector, &[width], Start::Zero);
        Self {
            bias: Some(bias),
            ..Self::without_bias(source, name, width, epsilon)
        }
    }

    pub(super) fn without_bias(source: &mut dyn Source, name: &str, width: usize, epsilon: f64) -> Self {
        Self {
            weight: source.weight(format!("{name}.weight"), Role::Vector, &[width], Start::One),
            bias: None,
            epsilon: epsilon as f32,
        }
    }

    pub(super) fn row_norm(&self) -> RowNorm {
        RowNorm {
            kind: NormKind::Layer {
                epsilon: self.epsilon,
                biased: self.bias.is_some(),
            },
            weight: self.weight.value(),
            bias: self.bias.as_ref().map(Weight::value),
        }
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.row_norm().apply(x)
    }

    pub(super) fn compile(&mut self) -> Norm {
        Norm::Layer {
            weight: self.weight.take(),
            bias: self.bias.as_mut().map(Weight::take).unwrap_or_default(),
            epsilon: self.epsilon,
        }
    }
}

/// RMS norm with its weight.
#[derive(Clone, Debug)]
pub(super) struct RmsNorm {
    weight: Weight,
    epsilon: f32,
}

parts!(RmsNorm { weight });

impl RmsNorm {
    pub(super) fn new(source: &mut dyn Source, name: &str, width: usize, epsilon: f64) -> Self {
        Self {
            weight: source.weight(format!("{name}.weight"), Role::Vector, &[width], Start::One),
            epsilon: epsilon as f32,
        }
    }

    pub(super) fn row_norm(&self) -> RowNorm {
        RowNorm {
            kind: NormKind::Rms { epsilon: self.epsilon },
            weight: self.weight.value(),
            bias: None,
        }
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.row_norm().apply(x)
    }

    pub(super) fn compile(&mut self) -> Norm {
        Norm::Rms {
            weight: self.weight.take(),
            epsilon: self.epsilon,
        }
    }
}

/// `x · W (+ b)` with a weight as torch's `Linear` has it, `[out, in]`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weight: Weight,
    bias: Option<Weight>,
}

parts!(Linear { weight, bias });

impl Linear {
    pub(super) fn new(source: &mut dyn Source, name: &str, shape: [usize; 2], deviation: f32, biased: bool) -> Self {
        let role = Role::Matrix(Orientation::OutputInput);
        Self {
            weight: source.weight(format!("{name}.weight"), role, &shape, Start::Normal(deviation)),
            bias: biased.then(|| source.weight(format!("{name}.bias"), Role::Vector, &shape[..1], Start::Zero)),
        }
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        Self::products([self]).apply(x)
    }

    /// Several products of one input side by side, all with a bias or none, for inference.
    pub(super) fn compile<const N: usize>(layers: [&mut Self; N]) -> Panels {
        let shapes = layers.each_ref().map(|layer| layer.weight.dims());
        let mut panels = Panels::new(shapes[0][1], shapes.iter().map(|[outputs, _]| outputs).sum());
        let mut biases = Vec::new();
        let mut first = 0;
        for (layer, [outputs, _]) in layers.into_iter().zip(shapes) {
            layer
                .weight
                .take_rows(|row, weights| panels.place(first + row, weights.iter().copied()));
            first += outputs;
            biases.extend(layer.bias.as_mut().map(Weight::take).unwrap_or_default());
        }
        panels.with_bias((!biases.is_empty()).then_some(biases))
    }

    /// One product whose outputs are put in another order, for inference: the n-th is what `order` says
    /// there.
    pub(super) fn compile_as(&mut self, order: &[usize]) -> Panels {
        let [_, inputs] = self.weight.dims();
        let weights = self.weight.take();
        let mut panels = Panels::new(inputs, order.len());
        for (output, &row) in order.iter().enumerate() {
            panels.place(output, weights[row * inputs..][..inputs].iter().copied());
        }
        let bias = self.bias.as_mut().map(Weight::take);
        panels.with_bias(bias.map(|bias| order.iter().map(|&row| bias[row]).collect()))
    }

    /// Several products of one input side by side, all with a bias or none.
    pub(super) fn joined<const N: usize>(x: Tensor<2>, layers: [&Self; N]) -> Tensor<2> {
        Self::products(layers).apply(x)
    }

    /// The same as a half of a block takes them.
    pub(super) fn products<const N: usize>(layers: [&Self; N]) -> Products {
        Products {
            weights: layers.iter().map(|layer| layer.weight.value()).collect(),
            biases: layers
                .iter()
                .filter_map(|layer| Some(layer.bias.as_ref()?.value()))
                .collect(),
            orientation: Orientation::OutputInput,
            pairs: layers.iter().map(|layer| layer.weight.low_rank()).collect(),
        }
    }
}

/// The weights of a block's first half.
pub(super) struct Half {
    /// The norm before, if it is before.
    pub(super) norm: Option<RowNorm>,
    /// `[queries | keys | values]`
    pub(super) inner: Products,
    pub(super) outer: Products,
}

impl Half {
    /// `x + dropout(outer(attention(inner(norm(x)))))` of whole sequences, or of new tokens after those
    /// in a cache.
    pub(super) fn attend(
        &self,
        x: Tensor<2>,
        attending: &Attending<'_>,
        drop: Option<Dropout>,
        layer: usize,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let norm = self.norm.as_ref();
        match pass {
            Pass::Whole { .. } => self_attention(x, norm, &self.inner, attending, &self.outer, drop),
            Pass::Cached { cache } => {
                let normal = norm.map_or_else(|| x.clone(), |norm| norm.apply(x.clone()));
                let mut packed = self.inner.apply(normal);
                if let Some(rotation) = attending.rotation {
                    packed = rotary(packed, attending.heads, attending.seq, rotation);
                }
                let cache = cache.layer(layer);
                let mixed = scored_cached_attention(packed, attending.heads, cache, attending.scoring);
                x.add(self.outer.apply(mixed))
            }
        }
    }
}

/// The four projections of attention.
#[derive(Clone, Debug)]
pub(super) struct Projections {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

parts!(Projections {
    query,
    key,
    value,
    output
});

impl Projections {
    /// `names` are those of queries, keys, values and the way out; `deviations` those of the first
    /// three and of the last.
    pub(super) fn new(
        source: &mut dyn Source,
        names: [String; 4],
        width: usize,
        heads: Heads,
        deviations: [f32; 2],
        biased: bool,
    ) -> Self {
        let (queries, keys) = (heads.query * heads.width, heads.key_value * heads.width);
        let mut linear = |name: &str, shape, deviation| Linear::new(source, name, shape, deviation, biased);
        let [inside, out] = deviations;
        Self {
            query: linear(&names[0], [queries, width], inside),
            key: linear(&names[1], [keys, width], inside),
            value: linear(&names[2], [keys, width], inside),
            output: linear(&names[3], [width, queries], out),
        }
    }

    /// What a sequence attends to itself with, after a norm or without.
    pub(super) fn half(&self, norm: Option<RowNorm>) -> Half {
        Half {
            norm,
            inner: Linear::products([&self.query, &self.key, &self.value]),
            outer: Linear::products([&self.output]),
        }
    }

    pub(super) fn queries(&self, x: Tensor<2>) -> Tensor<2> {
        self.query.forward(x)
    }

    /// `[batch, key_value, source, width]` keys and values of what an encoder read.
    pub(super) fn keys_values(&self, encoded: &Encoded, heads: Heads) -> (Tensor<4>, Tensor<4>) {
        let by_head = |side: &Linear| by_head(side.forward(encoded.hidden.clone()), heads, encoded.batch);
        (by_head(&self.key), by_head(&self.value))
    }

    /// Rows `[keys | values]` of what an encoder read.
    pub(super) fn source(&self, hidden: Tensor<2>) -> Tensor<2> {
        Linear::joined(hidden, [&self.key, &self.value])
    }

    pub(super) fn out(&self, mixed: Tensor<2>) -> Tensor<2> {
        self.output.forward(mixed)
    }

    /// `[queries | keys | values]` and the way out, for inference.
    pub(super) fn compile(&mut self) -> [Panels; 2] {
        let packed = Linear::compile([&mut self.query, &mut self.key, &mut self.value]);
        [packed, Linear::compile([&mut self.output])]
    }

    /// Attention to what an encoder read, for inference.
    pub(super) fn compile_cross(&mut self, norm: Norm) -> Cross {
        Cross {
            norm,
            queries: Linear::compile([&mut self.query]),
            keys_values: Linear::compile([&mut self.key, &mut self.value]),
            out: Linear::compile([&mut self.output]),
        }
    }
}
