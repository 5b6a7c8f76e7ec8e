//! What is between the products of a row, each function over one row or over values that stand alone.

use crate::kernels::Activation;
use crate::kernels::flex::{exp, sigmoid, sum, tanh, vectorized};

/// `√(2/π)`
const SCALE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

vectorized! {
    /// Layer norm of a row; a norm without biases is given none.
    pub fn layer_norm(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
        let width = weight.len();
        let mean = sum(x, |x| x) / width as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = (x - mean) * scale * weight;
        }
        for (out, bias) in out.iter_mut().zip(bias) {
            *out += bias;
        }
    }
}

vectorized! {
    /// RMS norm of a row.
    pub fn rms_norm(out: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
        let scale = 1.0 / (sum(x, |x| x * x) / weight.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

vectorized! {
    /// Turns each head of a row by the angles of its position: the pairs of elements `i` and
    /// `i + width/2`.
    pub fn turn(heads: &mut [f32], cosines: &[f32], sines: &[f32]) {
        let half = cosines.len();
        for head in heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for i in 0..half {
                let (x, y) = (first[i], second[i]);
                first[i] = x * cosines[i] - y * sines[i];
                second[i] = y * cosines[i] + x * sines[i];
            }
        }
    }
}

vectorized! {
    /// Adds values to others.
    pub fn add(values: &mut [f32], others: &[f32]) {
        for (value, other) in values.iter_mut().zip(others) {
            *value += other;
        }
    }
}

vectorized! {
    /// Multiplies values by a number.
    pub fn scale(values: &mut [f32], by: f32) {
        for value in values {
            *value *= by;
        }
    }
}

/// The function of each value.
pub fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Relu => relu(values),
        Activation::Gelu => gelu(values),
        Activation::GeluNew => gelu_new(values),
        Activation::Silu => silu(values),
    }
}

vectorized! {
    fn relu(values: &mut [f32]) {
        for value in values {
            *value = if *value < 0.0 { 0.0 } else { *value }; // keeps NaN
        }
    }
}

vectorized! {
    fn gelu(values: &mut [f32]) {
        for value in values {
            *value = 0.5 * *value * (1.0 + erf(*value * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

vectorized! {
    fn gelu_new(values: &mut [f32]) {
        for value in values {
            let x = *value;
            *value = x / (1.0 + exp(-x * (x * x).mul_add(2.0 * SCALE * CUBIC, 2.0 * SCALE)));
        }
    }
}

vectorized! {
    fn silu(values: &mut [f32]) {
        for value in values {
            *value /= 1.0 + exp(-*value);
        }
    }
}

vectorized! {
    fn open(gates: &mut [f32]) {
        for gate in gates {
            *gate = sigmoid(*gate);
        }
    }
}

/// `[gates | others]`: the function of the gates, in place, times the others, into half as many.
pub fn gate(out: &mut [f32], row: &mut [f32], activation: Activation) {
    let (gates, others) = row.split_at_mut(row.len() / 2);
    activate(gates, activation);
    multiply(out, gates, others);
}

vectorized! {
    fn multiply(out: &mut [f32], left: &[f32], right: &[f32]) {
        for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
            *out = left * right;
        }
    }
}

/// One step of an LSTM: its gates before their functions, `[input | forget | candidate | output]`, and
/// the state, which is changed.
pub fn lstm(gates: &mut [f32], hidden: &mut [f32], memory: &mut [f32]) {
    let width = hidden.len();
    let (writing, rest) = gates.split_at_mut(width);
    let (keeping, rest) = rest.split_at_mut(width);
    let (candidate, output) = rest.split_at_mut(width);
    open(writing);
    open(keeping);
    open(output);
    lstm_state(hidden, memory, [writing, keeping, candidate, output]);
}

vectorized! {
    fn lstm_state(hidden: &mut [f32], memory: &mut [f32], gates: [&mut [f32]; 4]) {
        let [writing, keeping, candidate, output] = gates;
        let width = hidden.len();
        let memory = &mut memory[..width];
        let (writing, keeping) = (&writing[..width], &keeping[..width]);
        let (candidate, output) = (&candidate[..width], &output[..width]);
        for i in 0..width {
            memory[i] = keeping[i] * memory[i] + writing[i] * tanh(candidate[i]);
            hidden[i] = output[i] * tanh(memory[i]);
        }
    }
}

/// One step of a GRU: the parts of its gates, `[reset | update | candidate]`, from the input and from
/// the state, which is changed.
pub fn gru(inputs: &mut [f32], recurrent: &[f32], hidden: &mut [f32]) {
    let width = hidden.len();
    add(&mut inputs[..2 * width], &recurrent[..2 * width]);
    open(&mut inputs[..2 * width]);
    gru_state(hidden, inputs, &recurrent[2 * width..]);
}

vectorized! {
    fn gru_state(hidden: &mut [f32], gates: &[f32], recurrent: &[f32]) {
        let width = hidden.len();
        let (reset, rest) = gates.split_at(width);
        let (update, candidate) = rest.split_at(width);
        let (candidate, recurrent) = (&candidate[..width], &recurrent[..width]);
        for i in 0..width {
            let new = tanh(candidate[i] + reset[i] * recurrent[i]);
            hidden[i] = new + update[i] * (hidden[i] - new);
        }
    }
}

/// The error function, to about 10⁻⁷: a quotient of polynomials of `x²` times `x` within ±4, where it is
/// 1 to the last bit but one.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    above = above * square + 2.770_681_4e-8;
    above = above * square - 2.101_024_1e-6;
    above = above * square - 5.692_506_4e-5;
    above = above * square - 7.349_906_3e-4;
    above = above * square - 2.954_6e-3;
    above = above * square - 1.609_603_3e-2;
    let mut below = -1.456_607_2e-5;
    below = below * square - 2.133_740_6e-4;
    below = below * square - 1.682_827e-3;
    below = below * square - 7.373_329e-3;
    below = below * square - 1.426_473_9e-2;
    x * above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_close_to_the_exact_ones() {
        // erf by its Maclaurin series in f64
        let exact = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        };
        for i in -400..=400 {
            let x = i as f32 / 100.0;
            let expected = exact(f64::from(x));
            assert!(
                (f64::from(erf(x)) - expected).abs() < 4e-7,
                "erf {x}: {} for {expected}",
                erf(x)
            );
        }
        let mut values = [-3.0f32, -0.5, 0.0, 1.0, f32::NAN];
        relu(&mut values);
        assert_eq!(values[..4], [0.0, 0.0, 0.0, 1.0]);
        assert!(values[4].is_nan());
        let mut row = [1.0f32, -1.0, 3.0, 2.0];
        let mut out = [0.0; 2];
        gate(&mut out, &mut row, Activation::Silu);
        assert!((out[0] - 3.0 * 0.731_058_6).abs() < 1e-6 && (out[1] + 2.0 * 0.268_941_4).abs() < 1e-6);
    }
}
