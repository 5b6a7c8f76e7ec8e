//! The whole description of a model, and Hugging Face's `config.json` both ways.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::falcon::FalconLayout;
use super::llama::{Family, LlamaLayout};
use super::t5::T5Layout;
use super::transformer::TransformerLayout;
use super::{ModelError, falcon, gpt2, llama, palm, rnn, t5, transformer};
use crate::kernels::{Cell, Heads};

/// The architectures that can be trained and loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Learned positions, layer norm, GELU, biases (Radford et al. 2019).
    Gpt2,
    /// Rotary positions, RMS norm, SwiGLU, no biases, grouped-query attention (Touvron et al. 2023).
    #[default]
    Llama,
    /// Parallel blocks and one key/value head, or grouped ones, or ALiBi (Almazrouei et al. 2023).
    Falcon,
    /// Parallel SwiGLU blocks, one key/value head, no biases (Chowdhery et al. 2022).
    Palm,
    /// Encoder and decoder with relative positions (Raffel et al. 2020).
    T5,
    /// Encoder and decoder with sinusoidal positions (Vaswani et al. 2017).
    Transformer,
    /// Layers of LSTM or GRU (Hochreiter and Schmidhuber 1997; Cho et al. 2014).
    Rnn,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 7] = [
        Self::Gpt2,
        Self::Llama,
        Self::Falcon,
        Self::Palm,
        Self::T5,
        Self::Transformer,
        Self::Rnn,
    ];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Llama => "llama",
            Self::Falcon => "falcon",
            Self::Palm => "palm",
            Self::T5 => "t5",
            Self::Transformer => "transformer",
            Self::Rnn => "rnn",
        }
    }

    /// Whether it reads a source with an encoder before its decoder writes.
    pub fn encodes(self) -> bool {
        matches!(self, Self::T5 | Self::Transformer)
    }
}

/// An architecture with what only its models have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// GPT-2.
    Gpt2,
    /// Llama, Mistral, Qwen2.
    Llama(LlamaLayout),
    /// Falcon.
    Falcon(FalconLayout),
    /// PaLM.
    Palm,
    /// T5.
    T5(T5Layout),
    /// The Transformer of 2017.
    Transformer(TransformerLayout),
    /// A recurrent model.
    Rnn(Cell),
}

/// The ids of the tokenizer's special tokens, as `config.json` and `generation_config.json` name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// End a text; usually one.
    pub eos: Vec<u32>,
    /// Fills a batch.
    pub pad: Option<u32>,
}

/// The whole description of a model, whatever its architecture calls the numbers on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which layers it has, and what only its architecture has.
    pub layout: Layout,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Blocks; of the encoder, where there is one.
    pub layers: usize,
    /// Query heads of a block.
    pub heads: usize,
    /// Key/value heads of a block.
    pub kv_heads: usize,
    /// Elements of one head; width / heads in most models.
    pub head_width: usize,
    /// Elements of a token's vector.
    pub width: usize,
    /// Elements of a block's inner vector.
    pub mlp_width: usize,
    /// Tokens that the model sees at once; an encoder and its decoder as many each.
    pub context: usize,
    /// The share of activations that is zeroed while training.
    pub dropout: f64,
    /// Whether the output layer is the token embedding.
    pub tied_embeddings: bool,
    /// Added to the variance inside norms.
    pub norm_epsilon: f64,
    /// The base of the rotary frequencies, where positions are rotary.
    pub rope_theta: f64,
    /// Special tokens.
    pub special: SpecialIds,
}

impl ModelConfig {
    /// Reads `config.json` in a model's folder.
    ///
    /// # Errors
    /// When it is missing, is not JSON, or asks for what fragua's forward pass does not do.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(ModelError::file(&path))?;
        let object: Map<String, Value> = serde_json::from_str(&text).map_err(|error| ModelError::Config {
            path: path.clone(),
            message: error.to_string(),
        })?;
        let fields = Fields { path, object };
        let config = Self::read(&fields)?;
        match config.layers.max(config.decoder_layers()) {
            ..=DEEPEST => Ok(config),
            layers => Err(fields.error(format!(
                "it asks for {layers} layers, and no model has more than {DEEPEST}"
            ))),
        }
    }

    /// A description that [`Self::to_json`] gave; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_json(object: Map<String, Value>, place: &Path) -> Result<Self, ModelError> {
        let path = place.to_owned();
        Self::read(&Fields { path, object })
    }

    fn read(fields: &Fields) -> Result<Self, ModelError> {
        match fields.text("model_type")?.as_str() {
            "gpt2" => gpt2::config(fields),
            "llama" => llama::config(fields, Family::Llama),
            "mistral" => llama::config(fields, Family::Mistral),
            "qwen2" => llama::config(fields, Family::Qwen2),
            "falcon" | "RefinedWeb" | "RefinedWebModel" => falcon::config(fields),
            "palm" => palm::config(fields),
            "t5" => t5::config(fields),
            "marian" => transformer::config(fields, false),
            "pegasus" => transformer::config(fields, true),
            "rnn" => rnn::config(fields),
            other => Err(fields.error(format!(
                "model_type `{other}` is not one that fragua computes; it has gpt2, llama, mistral, qwen2, falcon, \
                 t5, marian, pegasus, and its own palm and rnn"
            ))),
        }
    }

    /// Which layers it has.
    pub fn architecture(&self) -> Architecture {
        match self.layout {
            Layout::Gpt2 => Architecture::Gpt2,
            Layout::Llama(_) => Architecture::Llama,
            Layout::Falcon(_) => Architecture::Falcon,
            Layout::Palm => Architecture::Palm,
            Layout::T5(_) => Architecture::T5,
            Layout::Transformer(_) => Architecture::Transformer,
            Layout::Rnn(_) => Architecture::Rnn,
        }
    }

    /// The token that a decoder begins with, if a source is read by an encoder before it.
    pub fn decoder_start(&self) -> Option<u32> {
        match self.layout {
            Layout::T5(layout) => Some(layout.start),
            Layout::Transformer(layout) => Some(layout.start),
            Layout::Gpt2 | Layout::Llama(_) | Layout::Falcon(_) | Layout::Palm | Layout::Rnn(_) => None,
        }
    }

    /// Layers that a cache keeps something for: the decoder's.
    pub fn decoder_layers(&self) -> usize {
        match self.layout {
            Layout::T5(layout) => layout.decoder_layers,
            Layout::Transformer(layout) => layout.decoder_layers,
            Layout::Gpt2 | Layout::Llama(_) | Layout::Falcon(_) | Layout::Palm | Layout::Rnn(_) => self.layers,
        }
    }

    /// `config.json` as Hugging Face writes it; the numbers' type is added by whoever writes weights.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = match self.layout {
            Layout::Gpt2 => gpt2::to_json(self),
            Layout::Llama(layout) => llama::to_json(self, layout),
            Layout::Falcon(layout) => falcon::to_json(self, layout),
            Layout::Palm => palm::to_json(self),
            Layout::T5(layout) => t5::to_json(self, layout),
            Layout::Transformer(layout) => transformer::to_json(self, layout),
            Layout::Rnn(cell) => rnn::to_json(self, cell),
        };
        object.insert("vocab_size".into(), json!(self.vocab_size));
        object.insert("tie_word_embeddings".into(), json!(self.tied_embeddings));
        object.extend(self.special.to_json());
        object
    }

    /// `generation_config.json`: greedy decoding between the special tokens.
    pub fn generation_json(&self) -> Map<String, Value> {
        let mut object = self.special.to_json();
        object.insert("do_sample".into(), json!(false));
        if let Some(start) = self.decoder_start() {
            object.insert("decoder_start_token_id".into(), json!(start));
        }
        object
    }

    /// How attention is divided.
    pub fn attention_heads(&self) -> Heads {
        Heads {
            query: self.heads,
            key_value: self.kv_heads,
            width: self.head_width,
        }
    }
}

impl SpecialIds {
    fn to_json(&self) -> Map<String, Value> {
        let eos = match self.eos.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let mut object = Map::new();
        object.insert("bos_token_id".into(), json!(self.bos));
        object.insert("eos_token_id".into(), eos);
        object.insert("pad_token_id".into(), json!(self.pad));
        object
    }
}

/// The base of rotary frequencies: transformers 5 nests what version 4 wrote flat.
pub(super) fn rope_theta(fields: &Fields) -> Result<f64, ModelError> {
    let nested = fields.get("rope_parameters").and_then(|rope| rope.get("rope_theta"));
    let theta = match nested.and_then(Value::as_f64) {
        Some(theta) => theta,
        None => fields.float_or("rope_theta", 10_000.0)?,
    };
    if theta.is_finite() && theta > 0.0 {
        Ok(theta)
    } else {
        Err(fields.error(format!("`rope_theta` is {theta}, not a number above 0")))
    }
}

/// No count of a model is as large: what is computed from two of them fits in 64 bits.
const LARGEST: usize = 1 << 31;
/// No model is as deep: a configuration that says so is damaged or hostile.
const DEEPEST: usize = 10_000;

/// The fields of one `config.json`, with errors that name it.
pub(super) struct Fields {
    path: PathBuf,
    object: Map<String, Value>,
}

impl Fields {
    pub(super) fn error(&self, message: impl Into<String>) -> ModelError {
        ModelError::Config {
            path: self.path.clone(),
            message: message.into(),
        }
    }

    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<String, ModelError> {
        match self.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.error(format!("`{name}` is {other}, not a text"))),
            None => Err(self.error(format!("`{name}` is missing"))),
        }
    }

    pub(super) fn count(&self, name: &str) -> Result<usize, ModelError> {
        self.count_or(name, None)
    }

    /// A count of at least 1, or `default` when the field is absent.
    pub(super) fn count_or(&self, name: &str, default: Option<usize>) -> Result<usize, ModelError> {
        match (self.get(name), default) {
            (Some(value), _) => value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number > 0 && *number < LARGEST)
                .ok_or_else(|| self.error(format!("`{name}` is {value}, not a count"))),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.error(format!("`{name}` is missing"))),
        }
    }

    pub(super) fn float_or(&self, name: &str, default: f64) -> Result<f64, ModelError> {
        match self.get(name) {
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.error(format!("`{name}` is {value}, not a number"))),
            None => Ok(default),
        }
    }

    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(name) {
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.error(format!("`{name}` is {value}, not true or false"))),
            None => Ok(default),
        }
    }

    /// Holds a field to the one value that the forward pass implements.
    pub(super) fn only(&self, name: &str, value: &Value) -> Result<(), ModelError> {
        match self.get(name) {
            Some(found) if found != value => Err(self.error(format!(
                "`{name}` is {found}; fragua computes this architecture only with {value}"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a field is there and null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(Value::is_null)
    }

    /// A token's id, if the field is there.
    pub(super) fn id(&self, name: &str) -> Result<Option<u32>, ModelError> {
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| self.error(format!("`{name}` is {value}, not a token")))
        };
        self.get(name).map(id).transpose()
    }

    pub(super) fn special(&self) -> Result<SpecialIds, ModelError> {
        Ok(SpecialIds {
            bos: self.id("bos_token_id")?,
            eos: match self.get("eos_token_id") {
                Some(Value::Array(ids)) => ids
                    .iter()
                    .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
                    .collect::<Option<_>>()
                    .ok_or_else(|| self.error("`eos_token_id` lists something that is not a token"))?,
                _ => self.id("eos_token_id")?.into_iter().collect(),
            },
            pad: self.id("pad_token_id")?,
        })
    }
}
