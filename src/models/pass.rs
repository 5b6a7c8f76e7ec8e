//! One forward pass: what it is for, and what of it is kept.

use burn::tensor::Tensor;

use super::layers::{Layer, Projections};
use super::{Cache, Weight};
use crate::kernels::{Dropout, Heads, Part, Scoring, cross_attention, gathered, recomputed, source_attention};
use crate::seed::Seed;

/// What learning asks of a forward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learning {
    /// Where dropout's masks come from; there is none without it.
    pub dropout: Option<Seed>,
    /// Whether a block's insides are made again going backward instead of kept (gradient checkpointing).
    /// The numbers are the same.
    pub recomputes: bool,
}

impl Learning {
    /// Dropout and nothing else.
    pub(super) fn with_dropout(dropout: Option<Seed>) -> Self {
        Self {
            dropout,
            recomputes: false,
        }
    }
}

/// What an encoder read.
#[derive(Clone)]
pub(super) struct Encoded {
    /// `[batch·source, width]`
    pub(super) hidden: Tensor<2>,
    pub(super) batch: usize,
    /// Tokens of each source, padding not counted.
    pub(super) lengths: Vec<usize>,
}

/// What one forward pass is for.
pub(super) enum Pass<'a> {
    /// Whole sequences from their first token.
    Whole {
        learning: Learning,
        encoded: Option<Box<Encoded>>,
    },
    /// New tokens of one sequence, after those in the cache.
    Cached { cache: &'a mut Cache },
}

impl Pass<'_> {
    /// Whole sequences of a model, or of an encoder.
    pub(super) fn whole(learning: Learning) -> Self {
        Self::Whole {
            learning,
            encoded: None,
        }
    }

    /// The position of the first token.
    pub(super) fn start(&self) -> usize {
        match self {
            Self::Whole { .. } => 0,
            Self::Cached { cache } => cache.length(),
        }
    }

    /// Dropout at one place of a layer, if there is any.
    pub(super) fn drop(&self, site: &str, layer: usize, rate: f32) -> Option<Dropout> {
        match self {
            Self::Whole { learning, .. } => Dropout::new(rate, &learning.dropout.as_ref()?.child(site).child(layer)),
            Self::Cached { .. } => None,
        }
    }

    /// What a block makes of its inputs, the first of which comes from the block before it. `run` is
    /// given the block, its inputs and the pass; tensors that collect gradients reach it as one of these
    /// alone, because where the pass asks for it the block runs a second time, going backward.
    pub(super) fn through<const N: usize, B, R>(&mut self, block: &B, inputs: [Tensor<2>; N], run: R) -> Tensor<2>
    where
        B: Layer + Clone + Send + Sync + 'static,
        R: Fn(&B, [Tensor<2>; N], &mut Pass<'_>) -> Tensor<2> + Clone + Send + Sync + 'static,
    {
        let Self::Whole { learning, encoded } = self else {
            return run(block, inputs, self);
        };
        if !learning.recomputes {
            return run(block, inputs, self);
        }
        let (learning, mut inputs) = (*learning, Vec::from(inputs));
        let source = encoded.as_deref().map(|encoded| {
            inputs.push(encoded.hidden.clone());
            (encoded.batch, encoded.lengths.clone())
        });
        let again = Again {
            block: block.clone(),
            run: move |block: &B, mut inputs: Vec<Tensor<2>>| {
                let encoded = source.clone().map(|(batch, lengths)| {
                    let hidden = inputs.pop().expect("what an encoder read is the last input");
                    Box::new(Encoded { hidden, batch, lengths })
                });
                let inputs = inputs.try_into().expect("as many as went in");
                run(block, inputs, &mut Pass::Whole { learning, encoded })
            },
        };
        recomputed(again, inputs)
    }

    /// Attention of a layer's queries to the source: projected from what the encoder read, or as the
    /// cache remembers it.
    pub(super) fn attend_to_source(
        &self,
        queries: Tensor<2>,
        layer: usize,
        attention: &Projections,
        heads: Heads,
        scale: f32,
        drop: Option<Dropout>,
    ) -> Tensor<2> {
        let scoring = |lengths| Scoring {
            scale,
            bias: None,
            causal: None,
            lengths,
        };
        match self {
            Self::Whole { encoded, .. } => {
                let encoded = encoded.as_deref().expect("a decoder is given what its encoder read");
                let keys_values = attention.source(gathered(encoded.hidden.clone()));
                let scoring = scoring(Some(encoded.lengths.as_slice()));
                source_attention(queries, keys_values, encoded.batch, heads, &scoring, drop)
            }
            Self::Cached { cache } => cross_attention(queries, cache.remembered(layer), heads, &scoring(None), drop),
        }
    }
}

/// A block that runs again.
#[derive(Clone)]
struct Again<B, R> {
    block: B,
    run: R,
}

impl<B, R> Part for Again<B, R>
where
    B: Layer + Clone + Send + Sync + 'static,
    R: Fn(&B, Vec<Tensor<2>>) -> Tensor<2> + Clone + Send + Sync + 'static,
{
    fn weights(&self) -> Vec<Tensor<2>> {
        let weights = self.block.weights().into_iter().flat_map(Weight::with_pair);
        weights.map(Weight::value).collect()
    }

    fn with_weights(mut self, weights: Vec<Tensor<2>>) -> Self {
        let mut weights = weights.into_iter();
        for weight in self.block.weights_mut() {
            weight.stand_in(&mut weights);
        }
        self
    }

    fn run(&self, inputs: Vec<Tensor<2>>) -> Tensor<2> {
        (self.run)(&self.block, inputs)
    }
}
