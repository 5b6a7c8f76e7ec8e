//! A model directory in, a smaller model directory out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tensor::Quantized;
use super::{ErrorSums, Format, Granularity, WeightError};

/// The files of a model directory beside weights and configuration, copied as they are.
const COMPANIONS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// What is wrong with a model that is to be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `config.json` is not a JSON object.
    #[error("{}: not a model's configuration: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The weights are not safetensors, or cannot be written.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// The model is quantized already.
    #[error("the model is already {0}: quantize the model that it was made from")]
    Already(String),
    /// A tensor is of a type that holds no weights.
    #[error("tensor {name} is {dtype:?}: only F32, F16 and BF16 weights can be quantized")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// A weight is infinite or not a number.
    #[error("tensor {0} holds a value that is infinite or not a number: the model's training went wrong")]
    NotFinite(String),
    /// A weight is too large for the format.
    #[error("tensor {0} holds a value beyond what fp16 can hold (65,504): use bf16 or int8")]
    TooLarge(String),
}

/// What quantizing did: `quantization.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// The version of this file's layout.
    pub version: u32,
    /// The format.
    pub format: Format,
    /// The granularity of the scales; only int8 has scales.
    pub granularity: Option<Granularity>,
    /// Bytes of `model.safetensors` before.
    pub bytes_before: u64,
    /// Bytes of `model.safetensors` after.
    pub bytes_after: u64,
    /// The part of the bytes that was saved: 1 - after / before.
    pub saving: f64,
    /// The error over all weights that are stored in the format: what stays f32 is not in it.
    pub error: WeightError,
    /// Each tensor, by name.
    pub tensors: Vec<TensorQuantization>,
}

/// What quantizing did to one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorQuantization {
    /// Hugging Face's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type that it is stored in now, in safetensors' word: `I8`, `F16`, `BF16`, `F32`.
    pub dtype: String,
    /// Its error.
    #[serde(flatten)]
    pub error: WeightError,
}

/// Writes a smaller model under `target` (which exists) and tells what that cost.
///
/// # Errors
/// When the model cannot be read, is quantized already, or does not fit the format.
pub fn quantize(
    source: &Path,
    target: &Path,
    format: Format,
    granularity: Granularity,
) -> Result<Quantization, QuantizeError> {
    let mut config = read_config(&source.join("config.json"))?;
    let weights_path = source.join("model.safetensors");
    let bytes = std::fs::read(&weights_path).map_err(file_error(&weights_path))?;
    let weights_error = |path: &Path| {
        let path = path.to_owned();
        move |source| QuantizeError::Weights { path, source }
    };
    let weights = SafeTensors::deserialize(&bytes).map_err(weights_error(&weights_path))?;
    let mut views = weights.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));

    let conv1d = config["model_type"] == "gpt2";
    let tensors: Vec<Quantized> = views
        .par_iter()
        .map(|(name, view)| Quantized::new(name, view, format, granularity, conv1d))
        .collect::<Result<_, _>>()?;

    let stored = tensors.iter().flat_map(|tensor| &tensor.stored);
    let stored = stored.map(|(name, tensor)| (name.as_str(), tensor));
    // the mark by which Hugging Face's loader knows that the names are PyTorch's
    let mark = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let target_path = target.join("model.safetensors");
    let file = safetensors::serialize(stored, Some(mark)).map_err(weights_error(&target_path))?;
    std::fs::write(&target_path, &file).map_err(file_error(&target_path))?;

    describe(&mut config, format, granularity);
    write_json(&target.join("config.json"), &config)?;
    for name in COMPANIONS {
        let (from, to) = (source.join(name), target.join(name));
        if from.exists() {
            // content only: the source may be read-only
            let content = std::fs::read(&from).map_err(file_error(&from))?;
            std::fs::write(&to, content).map_err(file_error(&to))?;
        }
    }

    let sums = tensors.iter().filter(|tensor| tensor.smaller);
    let sums = sums.fold(ErrorSums::default(), |sums, tensor| sums.and(tensor.sums));
    let quantization = Quantization {
        version: 1,
        format,
        granularity: (format == Format::Int8).then_some(granularity),
        bytes_before: bytes.len() as u64,
        bytes_after: file.len() as u64,
        saving: 1.0 - file.len() as f64 / bytes.len() as f64,
        error: sums.error(),
        tensors: tensors.into_iter().map(|tensor| tensor.report).collect(),
    };
    let value = serde_json::to_value(&quantization).expect("a record of plain values");
    write_json(&target.join("quantization.json"), &value)?;
    Ok(quantization)
}

/// The configuration of a model that is not quantized yet.
fn read_config(path: &Path) -> Result<Value, QuantizeError> {
    let text = std::fs::read(path).map_err(file_error(path))?;
    let wrong = |reason: String| QuantizeError::Config {
        path: path.to_owned(),
        reason,
    };
    let config: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if !config.is_object() {
        return Err(wrong("it is no JSON object".into()));
    }
    if let Some(before) = config.get("quantization_config") {
        let format = before.get("format").or_else(|| before.get("quant_method"));
        let format = format.and_then(Value::as_str).unwrap_or("quantized");
        return Err(QuantizeError::Already(format.to_owned()));
    }
    Ok(config)
}

/// Notes the format in the configuration.
fn describe(config: &mut Value, format: Format, granularity: Granularity) {
    config["torch_dtype"] = json!(format.dtype());
    if config.get("dtype").is_some() {
        config["dtype"] = json!(format.dtype()); // the name since transformers 5
    }
    if format == Format::Int8 {
        config["quantization_config"] =
            json!({"quant_method": "fragua", "format": format.name(), "granularity": granularity.name()});
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), QuantizeError> {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value");
    text.push('\n');
    std::fs::write(path, text).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> QuantizeError + use<> {
    let path = path.to_owned();
    move |source| QuantizeError::File { path, source }
}
