//! The non-linear functions between two products.

use burn::tensor::{Tensor, activation::silu};

/// `√(2/π)`
const SCALE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// GELU by its tanh form, as GPT-2 has it (`gelu_new`; Hendrycks and Gimpel 2016):
/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    composed_gelu(x)
}

/// SwiGLU (Shazeer 2020): `[gate | up] → silu(gate) · up`, `[rows, 2·width] → [rows, width]`.
pub fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    composed_swiglu(gate_up)
}

fn composed_gelu(x: Tensor<2>) -> Tensor<2> {
    let cube = x.clone().square().mul(x.clone());
    let inner = x.clone().add(cube.mul_scalar(CUBIC)).mul_scalar(SCALE);
    x.mul_scalar(0.5).mul(inner.tanh().add_scalar(1.0))
}

fn composed_swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let width = gate_up.dims()[1] / 2;
    let gate = gate_up.clone().narrow(1, 0, width);
    let up = gate_up.narrow(1, width, width);
    silu(gate).mul(up)
}
