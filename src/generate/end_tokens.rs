//! What a model's folder says of generation.

use std::path::Path;

use serde_json::Value;

use super::GenerateError;
use crate::tokenizer::Tokenizer;

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
