//! Weights on disk: safetensors, one file or several with an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde_json::Value;

use super::init::{Source, Start};
use super::{ModelError, Role};

/// The weights of a model's folder, mapped into memory: `model.safetensors`, or the files that
/// `model.safetensors.index.json` lists.
pub struct WeightFile {
    dir: PathBuf,
    shards: Vec<Shard>,
    /// Which shard has a tensor.
    tensors: BTreeMap<String, usize>,
}

struct Shard {
    path: PathBuf,
    bytes: Mmap,
    data_start: usize,
    metadata: Metadata,
}

impl WeightFile {
    /// Opens the weights of a folder.
    ///
    /// # Errors
    /// When a file is missing or is not a whole safetensors file.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let index = dir.join("model.safetensors.index.json");
        let names = if index.exists() {
            indexed(&index)?
        } else {
            vec!["model.safetensors".to_owned()]
        };
        let shards = names
            .iter()
            .map(|name| Shard::open(dir.join(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tensors = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.metadata.offset_keys() {
                if tensors.insert(name.clone(), number).is_some() {
                    return Err(shard.error(format!("tensor `{name}` is there twice")));
                }
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            shards,
            tensors,
        })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor as it is stored.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let shard = &self.shards[*self.tensors.get(name)?];
        let info = shard.metadata.info(name)?;
        let (start, end) = info.data_offsets;
        let data = &shard.bytes[shard.data_start + start..shard.data_start + end];
        TensorView::new(info.dtype, info.shape.clone(), data).ok()
    }

    /// A tensor's numbers as f32 in row-major order: f32, f16 and bf16 as they are; int8 times the
    /// scales in `NAME_scale`, one for each index of `output_axis` or one for all.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn numbers(&self, name: &str, output_axis: usize) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name).ok_or_else(|| format!("missing `{name}`"))?;
        match tensor.dtype() {
            Dtype::I8 => {
                let scale_name = scale_name(name);
                let scale = self
                    .tensor(&scale_name)
                    .ok_or_else(|| format!("missing `{scale_name}`, the scales of the int8 tensor `{name}`"))?;
                let scale = floats(&scale).ok_or_else(|| format!("`{scale_name}` is {:?}, not f32", scale.dtype()))?;
                scaled(&tensor, &scale, output_axis)
                    .ok_or_else(|| format!("`{scale_name}` has {} scales, which do not fit `{name}`", scale.len()))
            }
            dtype => {
                floats(&tensor).ok_or_else(|| format!("`{name}` is {dtype:?}; fragua reads F32, F16, BF16 and I8"))
            }
        }
    }
}

/// The name under which the scales of an int8 tensor are stored.
fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, ModelError> {
        let file = File::open(&path).map_err(ModelError::file(&path))?;
        // SAFETY: artifacts are immutable once published; a file that another program truncates
        // meanwhile ends this process by a signal, as with any memory-mapped reader.
        let bytes = unsafe { Mmap::map(&file) }.map_err(ModelError::file(&path))?;
        match SafeTensors::read_metadata(&bytes) {
            Ok((header, metadata)) => Ok(Self {
                path,
                data_start: header + 8, // eight bytes before the header say how long it is
                metadata,
                bytes,
            }),
            Err(error) => Err(ModelError::Format {
                path,
                message: format!("not a whole safetensors file: {error}"),
            }),
        }
    }

    fn error(&self, message: String) -> ModelError {
        ModelError::Format {
            path: self.path.clone(),
            message,
        }
    }
}

/// The files that an index lists, each once, sorted.
fn indexed(path: &Path) -> Result<Vec<String>, ModelError> {
    let text = std::fs::read_to_string(path).map_err(ModelError::file(path))?;
    let error = |message: String| ModelError::Format {
        path: path.to_owned(),
        message,
    };
    let index: Value = serde_json::from_str(&text).map_err(|source| error(source.to_string()))?;
    let map = index
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| error("there is no `weight_map`".into()))?;
    let mut names = map
        .values()
        .map(|name| match name.as_str() {
            // the index names files beside it, never elsewhere
            Some(name) if Path::new(name).file_name().is_some_and(|file| file == name) => Ok(name.to_owned()),
            _ => Err(error(format!("`weight_map` lists {name}, not a file beside it"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Some(
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        ),
        Dtype::F16 => Some(
            data.as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
                .collect(),
        ),
        Dtype::BF16 => Some(
            data.as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
        ),
        _ => None,
    }
}

fn scaled(tensor: &TensorView<'_>, scale: &[f32], output_axis: usize) -> Option<Vec<f32>> {
    let (rows, columns) = match *tensor.shape() {
        [columns] => (1, columns),
        [rows, columns] => (rows, columns),
        _ => return None,
    };
    let scale_of = |row: usize, column: usize| match scale {
        [one] => Some(*one),
        many if output_axis == 0 && many.len() == rows => Some(many[row]),
        many if output_axis == 1 && many.len() == columns => Some(many[column]),
        _ => None,
    };
    let data = tensor.data();
    (0..rows * columns)
        .map(|index| {
            let value = f32::from(i8::from_le_bytes([data[index]]));
            scale_of(index / columns, index % columns).map(|scale| value * scale)
        })
        .collect()
}

/// How the names of tensors end that are no weights: masks and positions that follow from the
/// configuration, and embeddings that are there once more under another name.
const CONSTANTS: [&str; 7] = [
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    ".embed_positions.weight",
    ".layer.1.EncDecAttention.relative_attention_bias.weight", // of the first T5: never read
];

/// Gives an architecture the weights of a file, and collects what does not fit.
pub(super) struct Loaded<'a> {
    file: WeightFile,
    device: &'a Device,
    /// Names that the architecture asked for, as the file has them.
    taken: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Loaded<'a> {
    pub(super) fn open(dir: &Path, device: &'a Device) -> Result<Self, ModelError> {
        Ok(Self {
            file: WeightFile::open(dir)?,
            device,
            taken: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Whether the second of two tensors stands for the first: it is not there, or has the same bytes.
    pub(super) fn same(&self, name: &str, other: &str) -> bool {
        match (self.file.tensor(name), self.file.tensor(other)) {
            (Some(tensor), Some(other)) => tensor.data() == other.data(),
            (tensor, _) => tensor.is_none(),
        }
    }

    /// The file's name for a weight: some checkpoints (the first GPT-2) leave out the first part.
    fn find(&self, name: &str) -> Option<String> {
        let short = name.split_once('.').map(|(_, rest)| rest);
        [Some(name), short]
            .into_iter()
            .flatten()
            .find(|name| self.file.tensors.contains_key(*name))
            .map(str::to_owned)
    }

    /// After all weights were asked for: an error if any did not fit or was left over.
    pub(super) fn finish(mut self, tied: bool) -> Result<(), ModelError> {
        for name in self.file.names() {
            let base = name.strip_suffix("_scale").unwrap_or(name);
            let taken = self.taken.iter().any(|taken| taken == base);
            // a tied output layer is sometimes stored again; old files store attention's constants
            let harmless =
                (tied && base == "lm_head.weight") || CONSTANTS.iter().any(|constant| name.ends_with(constant));
            if !taken && !harmless {
                self.problems.push(format!("  unexpected `{name}`"));
            }
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ModelError::Weights {
                path: self.file.dir,
                problems: self.problems,
            })
        }
    }
}

impl Source for Loaded<'_> {
    fn device(&self) -> &Device {
        self.device
    }

    fn values(&mut self, name: &str, role: Role, shape: &[usize], _start: Start) -> Vec<f32> {
        let count = shape.iter().product();
        let found = self.find(name).unwrap_or_else(|| name.to_owned());
        self.taken.push(found.clone());
        let values = match self.file.tensor(&found) {
            Some(tensor) if tensor.shape() != shape => {
                Err(format!("`{found}` has shape {:?}, not {shape:?}", tensor.shape()))
            }
            _ => self.file.numbers(&found, role.output_axis()),
        };
        values.unwrap_or_else(|problem| {
            self.problems.push(format!("  {problem}"));
            vec![0.0; count]
        })
    }
}

/// Writes `model.safetensors`: tensors by name, type, shape and little-endian bytes. The order on
/// disk follows from types and names alone, so that the same tensors give the same bytes.
///
/// # Errors
/// When a tensor's bytes do not fit its shape, or the file cannot be written.
pub fn write_weights(dir: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Result<(), ModelError> {
    let path = dir.join("model.safetensors");
    let error = |message: String| ModelError::Format {
        path: path.clone(),
        message,
    };
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
                .map_err(|problem| error(format!("tensor `{name}`: {problem}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // transformers asks for the framework that the shapes are of
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|problem| error(problem.to_string()))?;
    std::fs::write(&path, bytes).map_err(ModelError::file(&path))
}
