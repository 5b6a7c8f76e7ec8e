//! The whole description of a model, and Hugging Face's `config.json` both ways.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ModelError, gpt2, llama};
use crate::kernels::Heads;

/// The architectures that can be trained and loaded, under their `model_type` in `config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Learned positions, layer norm, GELU, biases (Radford et al. 2019).
    Gpt2,
    /// Rotary positions, RMS norm, SwiGLU, no biases, grouped-query attention (Touvron et al. 2023).
    #[default]
    Llama,
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
    /// Which layers it has.
    pub architecture: Architecture,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Blocks.
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
    /// Tokens that the model sees at once.
    pub context: usize,
    /// The share of activations that is zeroed while training.
    pub dropout: f64,
    /// Whether the output layer is the token embedding.
    pub tied_embeddings: bool,
    /// Added to the variance inside norms.
    pub norm_epsilon: f64,
    /// The base of the rotary frequencies (`llama`).
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
        match fields.text("model_type")?.as_str() {
            "gpt2" => gpt2::config(&fields),
            "llama" => llama::config(&fields),
            other => Err(fields.error(format!(
                "model_type `{other}` is not one that fragua computes; it has gpt2 and llama"
            ))),
        }
    }

    /// `config.json` as Hugging Face writes it; the numbers' type is added by whoever writes weights.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = match self.architecture {
            Architecture::Gpt2 => gpt2::to_json(self),
            Architecture::Llama => llama::to_json(self),
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
                .filter(|number| *number > 0)
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

    pub(super) fn special(&self) -> Result<SpecialIds, ModelError> {
        let id = |value: &Value| {
            value
                .as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| self.error(format!("a special token's id is {value}, not a token")))
        };
        Ok(SpecialIds {
            bos: self.get("bos_token_id").map(id).transpose()?,
            eos: match self.get("eos_token_id") {
                None => Vec::new(),
                Some(Value::Array(ids)) => ids.iter().map(id).collect::<Result<_, _>>()?,
                Some(one) => vec![id(one)?],
            },
            pad: self.get("pad_token_id").map(id).transpose()?,
        })
    }
}
