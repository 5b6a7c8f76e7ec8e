//! What stands beside a SentencePiece model: which of Hugging Face's tokenizers it belongs to, and the
//! tokens that this one adds to the pieces of the file.

use std::path::Path;

use serde_json::{Map, Value};

use crate::tokenizer::TokenizerError;

/// A token that is not a piece of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tokenizer) struct Added {
    pub id: u32,
    /// An entry of `added_tokens`, without its id.
    pub flags: Map<String, Value>,
}

/// What the files beside a model say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tokenizer) struct Surroundings {
    /// Whether a sequence begins with the piece for that.
    pub begins: bool,
    /// Whether a sequence ends with the piece for that.
    pub ends: bool,
    /// T5's `<extra_id_N>`, so many.
    pub sentinels: u32,
    /// Other added tokens, by id.
    pub added: Vec<Added>,
}

/// Hugging Face's tokenizers whose ids are those of the file.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    T5,
    Llama,
    Plain,
}

impl Class {
    fn of(folder: &Path, config: &Map<String, Value>) -> Result<Self, TokenizerError> {
        if let Some(class) = config.get("tokenizer_class").and_then(Value::as_str) {
            return match class.strip_suffix("Fast").unwrap_or(class) {
                "T5Tokenizer" | "MT5Tokenizer" => Ok(Self::T5),
                "LlamaTokenizer" | "CodeLlamaTokenizer" | "GemmaTokenizer" => Ok(Self::Llama),
                "PreTrainedTokenizer" | "TokenizersBackend" => Ok(Self::Plain),
                _ => Err(TokenizerError::file(
                    &folder.join("tokenizer_config.json"),
                    format!(
                        "the tokenizer is a `{class}`, which may number its tokens otherwise than its SentencePiece \
                         model: save it as tokenizer.json once, with transformers: \
                         AutoTokenizer.from_pretrained(..).save_pretrained(..)"
                    ),
                )),
            };
        }
        let model = object(&folder.join("config.json"))?;
        Ok(match model.get("model_type").and_then(Value::as_str) {
            Some("t5" | "mt5" | "umt5") => Self::T5,
            Some("llama" | "mistral" | "mixtral" | "gemma" | "gemma2") => Self::Llama,
            _ => Self::Plain,
        })
    }
}

impl Surroundings {
    /// Reads them; `config` is the folder's `tokenizer_config.json`.
    pub(in crate::tokenizer) fn read(folder: &Path, config: &Map<String, Value>) -> Result<Self, TokenizerError> {
        let class = Class::of(folder, config)?;
        let asked = |name: &str, default: bool| config.get(name).and_then(Value::as_bool).unwrap_or(default);
        let sentinels = match config.get("extra_ids").and_then(Value::as_u64) {
            None if class == Class::T5 => 100,
            None => 0,
            Some(count) => u32::try_from(count)
                .ok()
                .filter(|&count| count <= 10_000)
                .ok_or_else(|| {
                    TokenizerError::file(&folder.join("tokenizer_config.json"), format!("`extra_ids` is {count}"))
                })?,
        };
        Ok(Self {
            begins: asked("add_bos_token", class == Class::Llama),
            ends: asked("add_eos_token", class == Class::T5),
            sentinels,
            added: added(folder, config)?,
        })
    }
}

/// `added_tokens_decoder` of the configuration, and `added_tokens.json`.
fn added(folder: &Path, config: &Map<String, Value>) -> Result<Vec<Added>, TokenizerError> {
    let mut all: Vec<Added> = Vec::new();
    let number = |text: &str| text.parse().ok();
    for (id, token) in config
        .get("added_tokens_decoder")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let (Some(id), Some(flags), Some(_)) = (number(id), token.as_object(), token["content"].as_str()) else {
            let fact = format!("`added_tokens_decoder` has an entry that is none: {id:?}");
            return Err(TokenizerError::file(&folder.join("tokenizer_config.json"), fact));
        };
        all.push(Added {
            id,
            flags: flags.clone(),
        });
    }
    let file = folder.join("added_tokens.json");
    for (content, id) in object(&file)? {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            return Err(TokenizerError::file(&file, format!("{content:?} has no id")));
        };
        if !all.iter().any(|one| one.id == id) {
            let mut flags = Map::new();
            flags.insert("content".into(), content.into());
            all.push(Added { id, flags });
        }
    }
    all.sort_by_key(|one| one.id);
    Ok(all)
}

fn object(file: &Path) -> Result<Map<String, Value>, TokenizerError> {
    if !file.is_file() {
        return Ok(Map::new());
    }
    let text = std::fs::read(file).map_err(TokenizerError::io(file))?;
    serde_json::from_slice(&text).map_err(|error| TokenizerError::file(file, error.to_string()))
}
