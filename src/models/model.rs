//! A language model of any architecture.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Gradients, Int, Tensor};
use serde_json::{Map, Value, json};

use super::falcon::Falcon;
use super::files::{Loaded, write_tensors};
use super::gpt2::Gpt2;
use super::init::{Drawn, Source};
use super::llama::Llama;
use super::palm::Palm;
use super::rnn::Rnn;
use super::t5::T5;
use super::transformer::Transformer;
use super::{
    Cache, Inference, Inputs, LanguageModel, Layout, Learning, Lora, ModelConfig, ModelError, Pass, Role, Sources,
    Weight, WeightFile,
};
use crate::device::{DeviceSpec, is_cpu};
use crate::kernels::{AttentionMap, Orientation, inference, linear, linear_cross_entropy, watch_attention};
use crate::seed::Seed;

/// A language model with its weights on one device: a decoder, with an encoder before it where the
/// architecture has one.
pub struct Model {
    config: ModelConfig,
    network: Box<dyn LanguageModel>,
    device: Device,
    /// How its pairs are used, if it has any.
    adaptation: Option<Lora>,
}

impl Model {
    /// A new model whose weights are drawn from `seed` by GPT-2's scheme. On a device with autodiff
    /// its weights collect gradients.
    pub fn init(config: &ModelConfig, seed: Seed, device: &Device) -> Self {
        Self::build(config, &mut Drawn { seed, device })
    }

    /// Reads a Hugging Face directory: `config.json` and safetensors in f32, f16, bf16 or fragua's
    /// int8, all computed in f32.
    ///
    /// # Errors
    /// When a file is missing or damaged, asks for what fragua does not compute, or its weights are
    /// not those of its configuration; each missing, unexpected or misshapen one is named.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        let mut config = ModelConfig::load(dir)?;
        let mut source = Loaded::new(WeightFile::open(dir)?, device);
        config.settle(&source);
        let model = Self::build(&config, &mut source);
        source.finish(config.tied_embeddings)?;
        Ok(model)
    }

    /// The same in the form for inference, where there is one (see [`Self::compile`]): its weights are read
    /// one by one, each right into that form, so that no other copy of the model is ever there.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_for_inference(dir: &Path, device: &Device) -> Result<Result<Inference, Box<Self>>, ModelError> {
        if !compiles(device) {
            return Ok(Err(Box::new(Self::load(dir, device)?)));
        }
        let mut config = ModelConfig::load(dir)?;
        let mut source = Loaded::later(WeightFile::open(dir)?, device);
        config.settle(&source);
        let model = Self::build(&config, &mut source);
        source.finish(config.tied_embeddings)?;
        Ok(model.compile())
    }

    /// Holds weights to a `config.json` without reading their numbers. Gives the tensors that the
    /// model is made of, by their names in the file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn check(config_dir: &Path, weights: WeightFile) -> Result<(Arc<WeightFile>, Vec<String>), ModelError> {
        let mut config = ModelConfig::load(config_dir)?;
        let device = DeviceSpec::CPU.open().map_err(|error| ModelError::Config {
            path: config_dir.to_owned(),
            message: error.to_string(),
        })?;
        let mut source = Loaded::checking(weights, &device);
        config.settle(&source);
        Self::build(&config, &mut source);
        source.finish(config.tied_embeddings)
    }

    /// Its form for inference, which takes its weights: of a model on a CPU with fused multiply-add.
    ///
    /// # Errors
    /// The model as it was, where there is no such form.
    pub fn compile(mut self) -> Result<Inference, Box<Self>> {
        if !compiles(&self.device) {
            return Err(Box::new(self));
        }
        let parameters = self.parameters();
        let network = self.network.compile(&self.config);
        Ok(Inference::new(&self.config, parameters, network))
    }

    fn build(config: &ModelConfig, source: &mut dyn Source) -> Self {
        let device = source.device().clone();
        let network: Box<dyn LanguageModel> = match config.layout {
            Layout::Gpt2 => Box::new(Gpt2::new(config, source)),
            Layout::Llama(layout) => Box::new(Llama::new(config, layout, source)),
            Layout::Falcon(layout) => Box::new(Falcon::new(config, layout, source)),
            Layout::Palm => Box::new(Palm::new(config, source)),
            Layout::T5(layout) => Box::new(T5::new(config, layout, source)),
            Layout::Transformer(layout) => Box::new(Transformer::new(config, layout, source)),
            Layout::Rnn(cell) => Box::new(Rnn::new(config, cell, source)),
        };
        Self {
            config: config.clone(),
            network,
            device,
            adaptation: None,
        }
    }

    /// Writes `config.json`, `model.safetensors` (f32) and `generation_config.json`; the tokenizer's
    /// files are the caller's. Pairs are part of the weights beside which they stand, and are written alone as
    /// well, in the folder `adapter` as Hugging Face's peft writes it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), ModelError> {
        let weights = self.weights().into_iter();
        let weights: Vec<_> = weights.map(|weight| (weight.name().to_owned(), weight)).collect();
        write_tensors(&dir.join("model.safetensors"), &weights)?;
        let mut config = self.config.to_json();
        config.insert("dtype".into(), json!("float32"));
        config.insert("torch_dtype".into(), json!("float32")); // the name before transformers 5
        write_json(&dir.join("config.json"), config)?;
        write_json(&dir.join("generation_config.json"), self.config.generation_json())?;
        match &self.adaptation {
            Some(lora) => self.save_adapter(lora, dir),
            None => Ok(()),
        }
    }

    /// Its description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device of its weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number of its weights' elements; a tied output layer counts once.
    pub fn parameters(&self) -> usize {
        self.weights()
            .iter()
            .map(|weight| weight.shape().iter().product::<usize>())
            .sum()
    }

    /// The number of the elements that are [learned](Self::learned).
    pub fn learned_parameters(&self) -> usize {
        self.learned()
            .iter()
            .map(|weight| weight.shape().iter().product::<usize>())
            .sum()
    }

    /// All weights, in an order that depends on the architecture alone.
    pub fn weights(&self) -> Vec<&Weight> {
        self.network.weights()
    }

    /// The same, to be changed in place.
    pub fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.network.weights_mut()
    }

    /// The weights that are learned: all of them, or the pairs of a model that was [adapted](Self::adapt).
    pub fn learned(&self) -> Vec<&Weight> {
        self.weights().into_iter().flat_map(Weight::learned).collect()
    }

    /// The same, to be changed in place.
    pub fn learned_mut(&mut self) -> Vec<&mut Weight> {
        self.weights_mut().into_iter().flat_map(Weight::learned_mut).collect()
    }

    /// Says how the pairs that its weights have are used.
    pub(super) fn set_adaptation(&mut self, lora: Lora) {
        self.adaptation = Some(lora);
    }

    /// The gradient of each weight that is learned after a backward pass, in the order of [`Self::learned`] and with
    /// a weight's in-memory shape (vectors are `[1, n]`); zeros where none flowed.
    pub fn gradients(&self, gradients: &mut Gradients) -> Vec<Tensor<2>> {
        let take = |weight: &Weight| {
            let value = weight.value();
            value
                .grad_remove(gradients)
                .unwrap_or_else(|| value.without_autodiff().zeros_like())
        };
        self.learned().into_iter().map(take).collect()
    }

    /// The logits after each token: `[batch, seq]` → `[batch, seq, vocab]`. Dropout acts when a seed
    /// is given and the configuration has a rate.
    pub fn logits(&self, inputs: impl Into<Inputs>, dropout: Option<Seed>) -> Tensor<3> {
        let inputs = inputs.into();
        let [batch, seq] = inputs.tokens.dims();
        let hidden = self.hidden(inputs, Learning::with_dropout(dropout));
        self.head(hidden).reshape([batch, seq, self.config.vocab_size])
    }

    /// The sum of −ln p over the targets that are counted, in nats: `[batch, seq]` tokens and
    /// `[batch, seq]` targets, −1 where none is. The caller divides by their number.
    pub fn loss(&self, inputs: impl Into<Inputs>, targets: Tensor<2, Int>, dropout: Option<Seed>) -> Tensor<1> {
        let hidden = self.hidden(inputs.into(), Learning::with_dropout(dropout));
        linear_cross_entropy(hidden, self.network.output().value(), targets.flatten(0, 1), 0.0)
    }

    /// [`Self::loss`] while learning, against targets a share `smoothing` of which is spread over the whole
    /// vocabulary.
    pub fn smoothed_loss(
        &self,
        inputs: impl Into<Inputs>,
        targets: Tensor<2, Int>,
        smoothing: f64,
        learning: Learning,
    ) -> Tensor<1> {
        let hidden = self.hidden(inputs.into(), learning);
        let table = self.network.output().value();
        linear_cross_entropy(hidden, table, targets.flatten(0, 1), smoothing as f32)
    }

    /// [`Self::logits`], and what each layer attends to: see [`watch_attention`].
    pub fn watched_logits(&self, inputs: impl Into<Inputs>) -> (Tensor<3>, Vec<AttentionMap>) {
        let inputs = inputs.into();
        watch_attention(|| self.logits(inputs, None))
    }

    /// The vectors of the vocabulary's tokens, `[vocab, width]`: what a model reads in their place.
    pub fn embeddings(&self) -> &Weight {
        let tables = self
            .weights()
            .into_iter()
            .filter(|weight| weight.role() == Role::Embedding);
        tables.into_iter().next().expect("every model embeds its tokens")
    }

    fn hidden(&self, inputs: Inputs, learning: Learning) -> Tensor<2> {
        let encoded = inputs
            .sources
            .map(|sources| Box::new(self.network.encode(&sources, learning)));
        self.network.hidden(inputs.tokens, Pass::Whole { learning, encoded })
    }

    /// Reads the source of one sequence before its decoder begins, for architectures that encode.
    pub fn begin(&self, sources: &Sources, cache: &mut Cache) {
        let encoded = self.network.encode(sources, Learning::default());
        self.network.begin(&encoded, cache);
    }

    /// Continues one sequence: `[1, n]` new tokens, which enter the cache → `[1, vocab]` logits after
    /// the last of them.
    ///
    /// # Panics
    /// When the cache or the context has no room for them: callers count tokens first.
    pub fn step(&self, tokens: Tensor<2, Int>, cache: &mut Cache) -> Tensor<2> {
        let [batch, new] = tokens.dims();
        assert_eq!(batch, 1, "a cache is of one sequence");
        let total = cache.length() + new;
        assert!(
            total <= self.config.context,
            "{total} tokens in a context of {}",
            self.config.context
        );
        let hidden = self.network.hidden(tokens, Pass::Cached { cache });
        self.head(hidden.narrow(0, new - 1, 1))
    }

    /// `[rows, width] → [rows, vocab]`
    fn head(&self, hidden: Tensor<2>) -> Tensor<2> {
        linear(hidden, self.network.output().value(), None, Orientation::OutputInput)
    }
}

impl ModelConfig {
    /// What only the weights tell: transformers 5 calls every T5 tied, and unties one whose file has
    /// another output layer.
    fn settle(&mut self, weights: &Loaded<'_>) {
        if matches!(self.layout, Layout::T5(_)) {
            self.tied_embeddings &= weights.same("lm_head.weight", "shared.weight");
        }
    }
}

pub(super) fn write_json(path: &Path, object: Map<String, Value>) -> Result<(), ModelError> {
    let mut sorted: Vec<_> = object.into_iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0)); // as Hugging Face sorts them
    let object: Map<String, Value> = sorted.into_iter().collect();
    let mut text = serde_json::to_string_pretty(&object).expect("plain values serialize");
    text.push('\n');
    std::fs::write(path, text).map_err(ModelError::file(path))
}

/// Whether models on a device have a form for inference.
fn compiles(device: &Device) -> bool {
    is_cpu(device) && inference::available()
}
