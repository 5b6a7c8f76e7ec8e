//! The non-linear functions between two products.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flex::{self, Array, Fused, buffer, exp, sigmoid, vectorized};

/// `√(2/π)`
const SCALE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// A function of each element, by its Hugging Face name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// GELU by the error function.
    Gelu,
    /// GELU by its tanh form.
    GeluNew,
    /// `x · σ(x)`, also called swish.
    Silu,
}

impl Activation {
    /// By its name in a `config.json`, if it is one of these.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "relu" => Some(Self::Relu),
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluNew),
            "silu" | "swish" => Some(Self::Silu),
            _ => None,
        }
    }

    /// Its name in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::GeluNew => "gelu_new",
            Self::Silu => "silu",
        }
    }

    /// Each element's value.
    pub fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Relu => activation::relu(x),
            Self::Gelu => activation::gelu(x),
            Self::GeluNew => gelu(x),
            Self::Silu => activation::silu(x),
        }
    }
}

/// GELU by its tanh form, as GPT-2 has it (`gelu_new`; Hendrycks and Gimpel 2016):
/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    if flex::applies(&x) {
        flex::run(Gelu, [x])
    } else {
        composed_gelu(x)
    }
}

/// SwiGLU (Shazeer 2020): `[gate | up] → silu(gate) · up`, `[rows, 2·width] → [rows, width]`.
pub fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    if flex::applies(&gate_up) {
        flex::run(SwiGlu, [gate_up])
    } else {
        composed_swiglu(gate_up)
    }
}

/// `activation(x)`, or of rows `[gate | up]` `activation(gate) · up`.
pub(super) fn composed_activation(x: Tensor<2>, activation: Activation, gated: bool) -> Tensor<2> {
    if !gated {
        return activation.apply(x);
    }
    if activation == Activation::Silu {
        return swiglu(x);
    }
    let width = x.dims()[1] / 2;
    let gate = x.clone().narrow(1, 0, width);
    activation.apply(gate).mul(x.narrow(1, width, width))
}

pub(super) fn composed_gelu(x: Tensor<2>) -> Tensor<2> {
    let cube = x.clone().square().mul(x.clone());
    let inner = x.clone().add(cube.mul_scalar(CUBIC)).mul_scalar(SCALE);
    x.mul_scalar(0.5).mul(inner.tanh().add_scalar(1.0))
}

pub(super) fn composed_swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let width = gate_up.dims()[1] / 2;
    let gate = gate_up.clone().narrow(1, 0, width);
    let up = gate_up.narrow(1, width, width);
    activation::silu(gate).mul(up)
}

/// Values that one thread takes at a time.
const PIECE: usize = 1 << 14;

#[derive(Clone, Debug)]
struct Gelu;

impl Fused<1> for Gelu {
    type Saved = Array;

    fn forward(&self, [x]: [Array; 1], _tracked: bool) -> (Array, Array) {
        let mut out = buffer(x.values().len());
        let pieces = out.par_chunks_mut(PIECE).zip(x.values().par_chunks(PIECE));
        pieces.for_each(|(out, x)| gelu_forward(out, x));
        (Array::new(out, x.dims()), x)
    }

    fn backward(&self, x: Array, gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        let gradient = gradient.map_values(|gradient| {
            let pieces = gradient.par_chunks_mut(PIECE).zip(x.values().par_chunks(PIECE));
            pieces.for_each(|(gradient, x)| gelu_backward(gradient, x));
        });
        [Some(gradient)]
    }
}

vectorized! {
    fn gelu_forward(out: &mut [f32], x: &[f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = gelu_new_both(*x).0;
        }
    }
}

vectorized! {
    fn gelu_backward(gradient: &mut [f32], x: &[f32]) {
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient *= gelu_new_both(*x).1;
        }
    }
}

/// `√2/2` and `1/√(2π)`
const HALF_ROOT: f32 = std::f32::consts::FRAC_1_SQRT_2;
const DENSITY: f32 = 0.398_942_3;

/// The error function to about 1.5·10⁻⁷ (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let mut p = 1.061_405_4f32;
    p = p.mul_add(t, -1.453_152);
    p = p.mul_add(t, 1.421_413_8);
    p = p.mul_add(t, -0.284_496_74);
    p = p.mul_add(t, 0.254_829_6);
    (1.0 - p * t * exp(-x * x)).copysign(x)
}

/// A value of an activation and its derivative there.
#[inline(always)]
fn relu_both(x: f32) -> (f32, f32) {
    if x > 0.0 { (x, 1.0) } else { (0.0 * x, 0.0) } // keeps NaN
}

#[inline(always)]
fn gelu_both(x: f32) -> (f32, f32) {
    let share = 0.5 * (1.0 + erf(x * HALF_ROOT));
    (x * share, share + x * DENSITY * exp(-0.5 * x * x))
}

/// GELU by its tanh form, where `(1 + tanh u)/2` is the logistic function of `2u`: that keeps its digits where
/// tanh is near −1.
#[inline(always)]
fn gelu_new_both(x: f32) -> (f32, f32) {
    let square = x * x;
    let share = sigmoid(x * square.mul_add(2.0 * SCALE * CUBIC, 2.0 * SCALE));
    let slope = square.mul_add(6.0 * SCALE * CUBIC, 2.0 * SCALE);
    let value = x * share;
    (value, value.mul_add((1.0 - share) * slope, share))
}

#[inline(always)]
fn silu_both(x: f32) -> (f32, f32) {
    let share = sigmoid(x);
    let silu = x * share;
    (silu, share + silu * (1.0 - share))
}

/// Rows `[gate]` or `[gate | up]` into `activation(gate) (· up)`, `width` values each.
#[inline(always)]
fn each_row(out: &mut [f32], rows: &[f32], width: usize, value: impl Fn(f32) -> f32) {
    let both = rows.len() / (out.len() / width);
    for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(both)) {
        let (gate, up) = row.split_at(width);
        if up.is_empty() {
            for (out, gate) in out.iter_mut().zip(gate) {
                *out = value(*gate);
            }
        } else {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = value(*gate) * up;
            }
        }
    }
}

/// The way back: `rows` become their gradients, and the gradients of the results become the results.
#[inline(always)]
fn each_row_back(rows: &mut [f32], out: &mut [f32], width: usize, both: impl Fn(f32) -> (f32, f32)) {
    let columns = rows.len() / (out.len() / width);
    for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact_mut(columns)) {
        let (gate, up) = row.split_at_mut(width);
        if up.is_empty() {
            for (out, gate) in out.iter_mut().zip(gate) {
                let (value, slope) = both(*gate);
                *gate = *out * slope;
                *out = value;
            }
        } else {
            let (outs, out) = out.as_chunks_mut::<LANES>();
            let (gates, gate) = gate.as_chunks_mut::<LANES>();
            let (ups, up) = up.as_chunks_mut::<LANES>();
            for ((out, gate), up) in outs.iter_mut().zip(gates).zip(ups) {
                // by value: a compiler that must reckon with three slices overlapping does not vectorize
                (*gate, *up, *out) = gated_back(*gate, *up, *out, &both);
            }
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                ([*gate], [*up], [*out]) = gated_back([*gate], [*up], [*out], &both);
            }
        }
    }
}

/// Values that a vector register holds at most.
const LANES: usize = 16;

/// The gradients of gates and of what they are multiplied by, and the results, from the gradients of
/// the results.
#[inline(always)]
fn gated_back<const N: usize>(
    gate: [f32; N],
    up: [f32; N],
    gradient: [f32; N],
    both: impl Fn(f32) -> (f32, f32),
) -> ([f32; N], [f32; N], [f32; N]) {
    let (mut dgate, mut dup, mut out) = ([0.0; N], [0.0; N], [0.0; N]);
    for lane in 0..N {
        let (value, slope) = both(gate[lane]);
        dgate[lane] = gradient[lane] * up[lane] * slope;
        dup[lane] = gradient[lane] * value;
        out[lane] = value * up[lane];
    }
    (dgate, dup, out)
}

vectorized! {
    /// Rows `[gate]` or `[gate | up]` into `activation(gate) (· up)`, `width` values each, on this thread.
    pub(super) fn activate(activation: Activation, out: &mut [f32], rows: &[f32], width: usize) {
        match activation {
            Activation::Relu => each_row(out, rows, width, |x| relu_both(x).0),
            Activation::Gelu => each_row(out, rows, width, |x| gelu_both(x).0),
            Activation::GeluNew => each_row(out, rows, width, |x| gelu_new_both(x).0),
            Activation::Silu => each_row(out, rows, width, |x| silu_both(x).0),
        }
    }
}

vectorized! {
    /// The way back of [`activate`]: `rows` become their gradients, and `out`, the gradients of the
    /// results, the results.
    pub(super) fn activate_back(activation: Activation, rows: &mut [f32], out: &mut [f32], width: usize) {
        match activation {
            Activation::Relu => each_row_back(rows, out, width, relu_both),
            Activation::Gelu => each_row_back(rows, out, width, gelu_both),
            Activation::GeluNew => each_row_back(rows, out, width, gelu_new_both),
            Activation::Silu => each_row_back(rows, out, width, silu_both),
        }
    }
}

#[derive(Clone, Debug)]
struct SwiGlu;

/// Rows that one thread takes at a time.
const ROWS: usize = 16;

impl Fused<1> for SwiGlu {
    type Saved = Array;

    fn forward(&self, [gate_up]: [Array; 1], _tracked: bool) -> (Array, Array) {
        let [rows, both] = gate_up.dims();
        let width = both / 2;
        let mut out = buffer(rows * width);
        let pieces = out
            .par_chunks_mut(ROWS * width)
            .zip(gate_up.values().par_chunks(ROWS * both));
        pieces.for_each(|(out, gate_up)| swiglu_forward(out, gate_up, width));
        (Array::new(out, [rows, width]), gate_up)
    }

    fn backward(&self, gate_up: Array, gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        let [rows, both] = gate_up.dims();
        let width = both / 2;
        let mut out = buffer(rows * both);
        let inputs = gate_up
            .values()
            .par_chunks(ROWS * both)
            .zip(gradient.values().par_chunks(ROWS * width));
        let pieces = out.par_chunks_mut(ROWS * both).zip(inputs);
        pieces.for_each(|(out, (gate_up, gradient))| swiglu_backward(out, gate_up, gradient, width));
        [Some(Array::new(out, [rows, both]))]
    }
}

vectorized! {
    fn swiglu_forward(out: &mut [f32], gate_up: &[f32], width: usize) {
        for (out, row) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
            let (gate, up) = row.split_at(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        }
    }
}

vectorized! {
    fn swiglu_backward(out: &mut [f32], gate_up: &[f32], gradient: &[f32], width: usize) {
        let rows = out.chunks_exact_mut(2 * width).zip(gate_up.chunks_exact(2 * width));
        for ((out, row), gradient) in rows.zip(gradient.chunks_exact(width)) {
            let (gate, up) = row.split_at(width);
            let (gate_out, up_out) = out.split_at_mut(width);
            for i in 0..width {
                let share = sigmoid(gate[i]);
                let silu = gate[i] * share;
                up_out[i] = gradient[i] * silu;
                gate_out[i] = gradient[i] * up[i] * (share + silu * (1.0 - share));
            }
        }
    }
}
