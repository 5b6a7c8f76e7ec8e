//! The state of one sequence while it is being generated.

use burn::tensor::{Device, Tensor};

use super::{Layout, ModelConfig};
use crate::kernels::{Cell, KeyValues, State};

/// What all layers keep of one sequence: keys and values in preallocated buffers, or the states of
/// recurrent layers; and for a decoder the keys and values of its source.
#[derive(Clone, Debug)]
pub struct Cache {
    layers: Vec<Kept>,
    /// Of the source, by layer.
    sources: Vec<(Tensor<4>, Tensor<4>)>,
    capacity: usize,
}

#[derive(Clone, Debug)]
enum Kept {
    Attention(KeyValues),
    /// The state before the first token, and after each.
    Recurrent {
        start: State,
        states: Vec<State>,
    },
}

impl Cache {
    /// An empty cache for up to `capacity` tokens, prompt included (of a decoder: its own tokens).
    pub fn new(config: &ModelConfig, capacity: usize, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let kept = |_| match config.layout {
            Layout::Rnn(cell) => Kept::recurrent(cell, config.width, &device),
            _ => Kept::Attention(KeyValues::new(config.attention_heads(), capacity, &device)),
        };
        Self {
            layers: (0..config.decoder_layers()).map(kept).collect(),
            sources: Vec::new(),
            capacity,
        }
    }

    /// Tokens seen so far.
    pub fn length(&self) -> usize {
        match self.layers.first() {
            Some(Kept::Attention(layer)) => layer.length(),
            Some(Kept::Recurrent { states, .. }) => states.len(),
            None => 0,
        }
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens after the first `length`, as if they had never been seen.
    pub fn truncate(&mut self, length: usize) {
        for layer in &mut self.layers {
            match layer {
                Kept::Attention(layer) => layer.truncate(length),
                Kept::Recurrent { states, .. } => states.truncate(length),
            }
        }
    }

    /// The keys and values of an attention layer.
    pub(super) fn layer(&mut self, layer: usize) -> &mut KeyValues {
        match &mut self.layers[layer] {
            Kept::Attention(layer) => layer,
            Kept::Recurrent { .. } => unreachable!("recurrent models have no attention"),
        }
    }

    /// Adds the states that a recurrent layer has after new tokens, and gives its outputs,
    /// `[new, width]`.
    pub(super) fn recur(&mut self, layer: usize, states: impl FnOnce(State) -> Vec<State>) -> Tensor<2> {
        match &mut self.layers[layer] {
            Kept::Recurrent { start, states: kept } => {
                let new = states(kept.last().unwrap_or(start).clone());
                let outputs = new.iter().map(State::output).collect();
                kept.extend(new);
                Tensor::cat(outputs, 0)
            }
            Kept::Attention(_) => unreachable!("a model with attention has no recurrent layers"),
        }
    }

    /// Keeps the keys and values of the source, layer after layer.
    pub(super) fn remember(&mut self, layer: usize, source: (Tensor<4>, Tensor<4>)) {
        self.sources.truncate(layer);
        self.sources.push(source);
    }

    /// The keys and values of the source for a layer.
    pub(super) fn remembered(&self, layer: usize) -> (Tensor<4>, Tensor<4>) {
        self.sources
            .get(layer)
            .expect("a source is read before a decoder begins")
            .clone()
    }
}

impl Kept {
    fn recurrent(cell: Cell, width: usize, device: &Device) -> Self {
        Self::Recurrent {
            start: cell.start(1, width, device),
            states: Vec::new(),
        }
    }
}
