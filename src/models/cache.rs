//! The state of one sequence while it is being generated.

use burn::tensor::Device;

use super::ModelConfig;
use crate::kernels::KeyValues;

/// The keys and values of all layers for one sequence, in preallocated buffers.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<KeyValues>,
    capacity: usize,
}

impl Cache {
    /// An empty cache for up to `capacity` tokens, prompt included.
    pub fn new(config: &ModelConfig, capacity: usize, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let layers = (0..config.layers)
            .map(|_| KeyValues::new(config.attention_heads(), capacity, &device))
            .collect();
        Self { layers, capacity }
    }

    /// Tokens seen so far.
    pub fn length(&self) -> usize {
        self.layers.first().map_or(0, KeyValues::length)
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens after the first `length`, as if they had never been seen.
    pub fn truncate(&mut self, length: usize) {
        for layer in &mut self.layers {
            layer.truncate(length);
        }
    }

    pub(super) fn layer(&mut self, layer: usize) -> &mut KeyValues {
        &mut self.layers[layer]
    }
}
