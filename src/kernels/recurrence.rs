//! Recurrent layers: one product for all input projections before, and one recurrent product a step.

use burn::tensor::{Tensor, activation};

use super::fused_recurrence::Layer;
use super::{Orientation, flex, linear};

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
        flex::run(Layer::new(cell, seq), [projected, weight, bias])
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
