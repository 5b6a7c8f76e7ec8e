//! Recurrent layers: one product for all input projections before, and one recurrent product a step.

use burn::tensor::{Tensor, activation};

use super::flex::{self, Array, Fused, Matrix, Target, buffer, exp, product, tanh, vectorized};
use super::linear::column_sums;
use super::{Orientation, linear};

/// What a recurrent layer computes at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Hochreiter and Schmidhuber 1997, with a forget gate; gates in PyTorch's order: input, forget,
    /// candidate, output.
    Lstm,
    /// Cho et al. 2014; gates in PyTorch's order: reset, update, candidate.
    Gru,
}

impl Cell {
    /// Gates of a unit: how often the layer's width a projection is wide.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// What a recurrent layer carries from one token to the next, `[batch, width]` each.
#[derive(Clone, Debug)]
pub struct State {
    hidden: Tensor<2>,
    /// The LSTM's cell.
    memory: Option<Tensor<2>>,
}

impl Cell {
    /// The state before the first token.
    pub fn start(self, batch: usize, width: usize, device: &burn::tensor::Device) -> State {
        let zeros = || Tensor::zeros([batch, width], device);
        State {
            hidden: zeros(),
            memory: (self == Self::Lstm).then(zeros),
        }
    }

    /// One token: `[batch, gates·width]` projected inputs → the state after it.
    fn step(self, inputs: Tensor<2>, weight: &Tensor<2>, bias: &Tensor<2>, state: &State) -> State {
        let width = state.hidden.dims()[1];
        let hidden = state.hidden.clone();
        let recurrent = linear(
            hidden.clone(),
            weight.clone(),
            Some(bias.clone()),
            Orientation::OutputInput,
        );
        let gate = |of: &Tensor<2>, gate: usize| of.clone().narrow(1, gate * width, width);
        match &state.memory {
            Some(memory) => {
                let gates = inputs.add(recurrent);
                let keep = activation::sigmoid(gate(&gates, 1)).mul(memory.clone());
                let write = activation::sigmoid(gate(&gates, 0)).mul(gate(&gates, 2).tanh());
                let memory = keep.add(write);
                let hidden = activation::sigmoid(gate(&gates, 3)).mul(memory.clone().tanh());
                State {
                    hidden,
                    memory: Some(memory),
                }
            }
            None => {
                let reset = activation::sigmoid(gate(&inputs, 0).add(gate(&recurrent, 0)));
                let update = activation::sigmoid(gate(&inputs, 1).add(gate(&recurrent, 1)));
                let new = gate(&inputs, 2).add(reset.mul(gate(&recurrent, 2))).tanh();
                // (1 − z) · n + z · h
                State {
                    hidden: new.clone().add(update.mul(hidden.sub(new))),
                    memory: None,
                }
            }
        }
    }

    /// The states after each of some tokens of one sequence, `[tokens, gates·width]` projected inputs.
    pub fn states(self, projected: Tensor<2>, weight: &Tensor<2>, bias: &Tensor<2>, start: State) -> Vec<State> {
        let mut states: Vec<State> = Vec::new();
        for token in 0..projected.dims()[0] {
            let last = states.last().unwrap_or(&start);
            let next = self.step(projected.clone().narrow(0, token, 1), weight, bias, last);
            states.push(next);
        }
        states
    }
}

impl State {
    /// What the layer gives out.
    pub fn output(&self) -> Tensor<2> {
        self.hidden.clone()
    }
}

/// A recurrent layer over whole sequences, each from a state of zeros.
///
/// `[batch·seq, gates·width]` inputs, already projected, `[gates·width, width]` recurrent weight and
/// `[1, gates·width]` recurrent bias → `[batch·seq, width]`.
pub fn recurrence(projected: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, cell: Cell, seq: usize) -> Tensor<2> {
    if flex::applies(&projected) {
        flex::run(Layer { cell, seq }, [projected, weight, bias])
    } else {
        composed(projected, weight, bias, cell, seq)
    }
}

pub(super) fn composed(projected: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, cell: Cell, seq: usize) -> Tensor<2> {
    let [rows, columns] = projected.dims();
    let (batch, width) = (rows / seq, columns / cell.gates());
    let device = projected.device();
    let inputs: Tensor<3> = projected.reshape([batch, seq, columns]);
    let mut state = cell.start(batch, width, &device);
    let mut outputs = Vec::with_capacity(seq);
    for step in 0..seq {
        let inputs = inputs.clone().narrow(1, step, 1).reshape([batch, columns]);
        state = cell.step(inputs, &weight, &bias, &state);
        outputs.push(state.output().reshape([batch, 1, width]));
    }
    Tensor::cat(outputs, 1).reshape([rows, width])
}

#[derive(Clone, Debug)]
struct Layer {
    cell: Cell,
    seq: usize,
}

/// What backward needs: the weight, all outputs, and of each token the values of its gates followed
/// by the LSTM's cell or the GRU's recurrent part of the candidate, each `width` wide.
type Saved = (Array, Array, std::sync::Arc<[f32]>);

impl Layer {
    /// Columns of a token's saved values.
    fn saved(&self, width: usize) -> usize {
        (self.cell.gates() + 1) * width
    }
}

impl Fused<3> for Layer {
    type Saved = Saved;

    fn forward(&self, [projected, weight, bias]: [Array; 3], _tracked: bool) -> (Array, Saved) {
        let [rows, columns] = projected.dims();
        let (seq, gates) = (self.seq, self.cell.gates());
        let (batch, width) = (rows / seq, columns / gates);
        let mut out = vec![0.0; rows * width];
        let each = self.saved(width);
        let mut saved = buffer(rows * each);
        let mut recurrent = buffer(batch * columns);
        let by_gate = Matrix::rows(weight.values(), width).transposed();
        for step in 0..seq {
            for row in recurrent.chunks_exact_mut(columns) {
                row.copy_from_slice(bias.values());
            }
            if step > 0 {
                let before = Matrix::rows(&out[(step - 1) * width..], seq * width);
                product(&mut recurrent, [batch, columns, width], before, by_gate, Target::Add);
            }
            for sequence in 0..batch {
                let row = sequence * seq + step;
                let recurrent = &recurrent[sequence * columns..][..columns];
                let inputs = &projected.values()[row * columns..][..columns];
                let (earlier, now) = out[..(row + 1) * width].split_at_mut(row * width);
                let (saved_earlier, saved) = saved[..(row + 1) * each].split_at_mut(row * each);
                match self.cell {
                    Cell::Lstm => {
                        let memory = (step > 0).then(|| &saved_earlier[row * each - width..]);
                        lstm_forward(now, saved, inputs, recurrent, memory);
                    }
                    Cell::Gru => {
                        let hidden = (step > 0).then(|| &earlier[(row - 1) * width..]);
                        gru_forward(now, saved, inputs, recurrent, hidden);
                    }
                }
            }
        }
        let out = Array::new(out, [rows, width]);
        (out.clone(), (weight, out, saved.into()))
    }

    fn backward(&self, (weight, out, saved): Saved, gradient: Array, _wanted: [bool; 3]) -> [Option<Array>; 3] {
        let [rows, width] = out.dims();
        let (seq, gates) = (self.seq, self.cell.gates());
        let (batch, columns, each) = (rows / seq, gates * width, self.saved(width));
        // the gradients of the projected inputs, and of the recurrent products with their bias
        let (mut inputs, mut recurrent) = (buffer(rows * columns), buffer(rows * columns));
        let mut hidden = vec![0.0; batch * width];
        let mut carried = vec![0.0; batch * width];
        for step in (0..seq).rev() {
            for sequence in 0..batch {
                let row = sequence * seq + step;
                let at = sequence * width..(sequence + 1) * width;
                let (hidden, carried) = (&mut hidden[at.clone()], &mut carried[at]);
                for (hidden, gradient) in hidden.iter_mut().zip(&gradient.values()[row * width..]) {
                    *hidden += gradient;
                }
                let inputs = &mut inputs[row * columns..][..columns];
                let recurrent = &mut recurrent[row * columns..][..columns];
                let now = &saved[row * each..][..each];
                match self.cell {
                    Cell::Lstm => {
                        let memory = (step > 0).then(|| &saved[row * each - width..][..width]);
                        lstm_backward(inputs, carried, hidden, now, memory);
                        recurrent.copy_from_slice(inputs);
                    }
                    Cell::Gru => {
                        let before = (step > 0).then(|| &out.values()[(row - 1) * width..][..width]);
                        gru_backward(inputs, recurrent, carried, hidden, now, before);
                    }
                }
            }
            if step > 0 {
                let through = Matrix::rows(&recurrent[step * columns..], seq * columns);
                let by_unit = Matrix::rows(weight.values(), width);
                product(&mut hidden, [batch, width, columns], through, by_unit, Target::Replace);
                if self.cell == Cell::Gru {
                    // what the update gate let pass
                    hidden
                        .iter_mut()
                        .zip(&carried)
                        .for_each(|(hidden, carried)| *hidden += carried);
                }
            }
        }
        // each token's output before it, zeros before the first
        let mut before = vec![0.0; rows * width];
        for (before, out) in before
            .chunks_exact_mut(seq * width)
            .zip(out.values().chunks_exact(seq * width))
        {
            before[width..].copy_from_slice(&out[..(seq - 1) * width]);
        }
        let mut dweight = buffer(columns * width);
        let through = Matrix::rows(&recurrent, columns).transposed();
        let before = Matrix::rows(&before, width);
        product(&mut dweight, [columns, width, rows], through, before, Target::Replace);
        let recurrent = Array::new(recurrent, [rows, columns]);
        [
            Some(Array::new(inputs, [rows, columns])),
            Some(Array::new(dweight, [columns, width])),
            Some(column_sums(&recurrent)),
        ]
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

vectorized! {
    fn lstm_forward(out: &mut [f32], saved: &mut [f32], inputs: &[f32], recurrent: &[f32], memory: Option<&[f32]>) {
        let width = out.len();
        for unit in 0..width {
            let gate = |gate: usize| inputs[gate * width + unit] + recurrent[gate * width + unit];
            let (write, keep) = (sigmoid(gate(0)), sigmoid(gate(1)));
            let (candidate, show) = (tanh(gate(2)), sigmoid(gate(3)));
            let before = memory.map_or(0.0, |memory| memory[unit]);
            let cell = keep * before + write * candidate;
            for (place, value) in [write, keep, candidate, show, cell].into_iter().enumerate() {
                saved[place * width + unit] = value;
            }
            out[unit] = show * tanh(cell);
        }
    }
}

vectorized! {
    fn lstm_backward(inputs: &mut [f32], carried: &mut [f32], hidden: &[f32], saved: &[f32], memory: Option<&[f32]>) {
        let width = hidden.len();
        for unit in 0..width {
            let value = |place: usize| saved[place * width + unit];
            let (write, keep, candidate, show) = (value(0), value(1), value(2), value(3));
            let cell = tanh(value(4));
            let dcell = carried[unit] + hidden[unit] * show * (1.0 - cell * cell);
            let before = memory.map_or(0.0, |memory| memory[unit]);
            inputs[unit] = dcell * candidate * write * (1.0 - write);
            inputs[width + unit] = dcell * before * keep * (1.0 - keep);
            inputs[2 * width + unit] = dcell * write * (1.0 - candidate * candidate);
            inputs[3 * width + unit] = hidden[unit] * cell * show * (1.0 - show);
            carried[unit] = dcell * keep;
        }
    }
}

vectorized! {
    fn gru_forward(out: &mut [f32], saved: &mut [f32], inputs: &[f32], recurrent: &[f32], hidden: Option<&[f32]>) {
        let width = out.len();
        for unit in 0..width {
            let reset = sigmoid(inputs[unit] + recurrent[unit]);
            let update = sigmoid(inputs[width + unit] + recurrent[width + unit]);
            let inner = recurrent[2 * width + unit];
            let new = tanh(inputs[2 * width + unit] + reset * inner);
            for (place, value) in [reset, update, new, inner].into_iter().enumerate() {
                saved[place * width + unit] = value;
            }
            let before = hidden.map_or(0.0, |hidden| hidden[unit]);
            out[unit] = new + update * (before - new);
        }
    }
}

vectorized! {
    fn gru_backward(
        inputs: &mut [f32], recurrent: &mut [f32], carried: &mut [f32], hidden: &[f32], saved: &[f32],
        before: Option<&[f32]>,
    ) {
        let width = hidden.len();
        for unit in 0..width {
            let value = |place: usize| saved[place * width + unit];
            let (reset, update, new, inner) = (value(0), value(1), value(2), value(3));
            let before = before.map_or(0.0, |before| before[unit]);
            let dnew = hidden[unit] * (1.0 - update) * (1.0 - new * new);
            inputs[unit] = dnew * inner * reset * (1.0 - reset);
            inputs[width + unit] = hidden[unit] * (before - new) * update * (1.0 - update);
            inputs[2 * width + unit] = dnew;
            recurrent[unit] = inputs[unit];
            recurrent[width + unit] = inputs[width + unit];
            recurrent[2 * width + unit] = dnew * reset;
            carried[unit] = hidden[unit] * update;
        }
    }
}
