//! A model with its cache, as decoding sees it.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::Value;

use super::{GenerateError, NextToken};
use crate::models::{Cache, Model, Sources};
use crate::tokenizer::Tokenizer;

/// A model and what it keeps of one sequence. A copy goes on by itself.
#[derive(Clone)]
pub struct Cached<'a> {
    model: &'a Model,
    cache: Cache,
    device: &'a Device,
    vocabulary: usize,
}

impl<'a> Cached<'a> {
    /// With buffers for `capacity` tokens, prompt and new ones together.
    pub fn new(model: &'a Model, capacity: usize, device: &'a Device) -> Self {
        Self {
            cache: Cache::new(model.config(), capacity, device),
            vocabulary: model.config().vocab_size,
            model,
            device,
        }
    }

    /// For a prompt and up to `new` tokens after it. Also gives the tokens that the output follows in
    /// the model: the prompt, or what a decoder begins with after its encoder has read the prompt.
    ///
    /// # Errors
    /// When a token of the prompt is not one of the model's.
    pub fn start(
        model: &'a Model,
        prompt: &[u32],
        new: usize,
        device: &'a Device,
    ) -> Result<(Self, Vec<u32>), GenerateError> {
        let Some(start) = model.config().decoder_start() else {
            return Ok((Self::new(model, prompt.len() + new, device), prompt.to_vec()));
        };
        let mut cached = Self::new(model, 1 + new, device);
        cached.known(prompt)?;
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let sources = Sources::of(&[prompt.to_vec()], device);
        model.begin(&sources, &mut cached.cache);
        Ok((cached, vec![start]))
    }

    fn known(&self, tokens: &[u32]) -> Result<(), GenerateError> {
        match tokens.iter().find(|&&token| token as usize >= self.vocabulary) {
            Some(&token) => Err(GenerateError::Vocabulary {
                token,
                vocabulary: self.vocabulary,
            }),
            None => Ok(()),
        }
    }
}

impl NextToken for Cached<'_> {
    fn extend(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError> {
        self.known(tokens)?;
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let ids = TensorData::new(ids, [1, tokens.len()]); // [1, new]
        let logits = self
            .model
            .step(Tensor::<2, Int>::from_data(ids, self.device), &mut self.cache); // [1, vocab]
        let logits = logits
            .into_data()
            .convert::<f32>()
            .try_into_vec()
            .expect("logits are held as f32");
        Ok(logits)
    }
}

/// The tokens that end an output: `eos_token_id` of `generation_config.json` (one or a list), else
/// of `config.json`, else the tokenizer's.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn end_tokens(model: &Path, tokenizer: &Tokenizer) -> Result<Vec<u32>, GenerateError> {
    for name in ["generation_config.json", "config.json"] {
        let path = model.join(name);
        if !path.exists() {
            continue;
        }
        let failed = |source: std::io::Error| GenerateError::File {
            path: path.clone(),
            source,
        };
        let text = std::fs::read(&path).map_err(failed)?;
        let value: Value = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match value.get("eos_token_id") {
            Some(Value::Array(list)) => return Ok(list.iter().filter_map(id).collect()),
            Some(one) if id(one).is_some() => return Ok(id(one).into_iter().collect()),
            _ => {}
        }
    }
    Ok(tokenizer.eos().into_iter().collect())
}
