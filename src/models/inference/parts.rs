//! What blocks are made of.

use super::workspace::{each_row, room};
use crate::kernels::Activation;
use crate::kernels::inference::{Panels, Target, rows};

/// A norm of each row.
#[derive(Clone, Debug)]
pub(in crate::models) enum Norm {
    /// Layer norm; its biases are empty where it has none.
    Layer {
        weight: Vec<f32>,
        bias: Vec<f32>,
        epsilon: f32,
    },
    Rms {
        weight: Vec<f32>,
        epsilon: f32,
    },
}

impl Norm {
    /// Each row of `x` into one of `out`.
    pub(super) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let width = match self {
            Self::Layer { weight, .. } | Self::Rms { weight, .. } => weight.len(),
        };
        each_row(out, width, |row, out| {
            let x = &x[row * width..][..width];
            match self {
                Self::Layer { weight, bias, epsilon } => rows::layer_norm(out, x, weight, bias, *epsilon),
                Self::Rms { weight, epsilon } => rows::rms_norm(out, x, weight, *epsilon),
            }
        });
    }
}

/// A block: attention to itself, in a decoder with an encoder attention to its source, and an MLP.
#[derive(Clone, Debug)]
pub(in crate::models) struct Block {
    pub(in crate::models) attention_norm: Norm,
    /// `[queries | keys | values]`
    pub(in crate::models) attention_in: Panels,
    pub(in crate::models) attention_out: Panels,
    pub(in crate::models) cross: Option<Cross>,
    /// The MLP's, if it has one of its own.
    pub(in crate::models) mlp_norm: Option<Norm>,
    pub(in crate::models) mlp: Mlp,
}

impl Block {
    /// The bytes of the weights that a token needs.
    pub(super) fn bytes(&self) -> usize {
        let cross = self
            .cross
            .as_ref()
            .map_or(0, |cross| cross.queries.bytes() + cross.out.bytes());
        let mlp = self.mlp.inner.bytes() + self.mlp.out.bytes();
        self.attention_in.bytes() + self.attention_out.bytes() + cross + mlp
    }
}

/// Attention to what an encoder read.
#[derive(Clone, Debug)]
pub(in crate::models) struct Cross {
    pub(in crate::models) norm: Norm,
    pub(in crate::models) queries: Panels,
    /// `[keys | values]`
    pub(in crate::models) keys_values: Panels,
    pub(in crate::models) out: Panels,
}

/// Two products with a function between them.
#[derive(Clone, Debug)]
pub(in crate::models) struct Mlp {
    /// `[gate | up]` when it is gated.
    pub(in crate::models) inner: Panels,
    pub(in crate::models) activation: Activation,
    pub(in crate::models) gated: bool,
    pub(in crate::models) out: Panels,
}

impl Mlp {
    /// Adds its result to `x`. `inner` and `gated` are scratch.
    pub(super) fn add_to(&self, x: &mut [f32], normal: &[f32], inner: &mut Vec<f32>, gated: &mut Vec<f32>) {
        let rows = normal.len() / self.inner.inputs();
        let width = self.inner.outputs();
        let inner = room(inner, rows * width);
        self.inner.multiply(normal, inner, Target::Replace);
        if !self.gated {
            each_row(inner, width, |_, row| rows::activate(row, self.activation));
            self.out.multiply(inner, x, Target::Add);
            return;
        }
        let gated = room(gated, rows * width / 2);
        for (out, row) in gated.chunks_exact_mut(width / 2).zip(inner.chunks_exact_mut(width)) {
            rows::gate(out, row, self.activation);
        }
        self.out.multiply(gated, x, Target::Add);
    }
}
