//! Weights on disk: safetensors or PyTorch's own format, one file or several with an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde_json::Value;

use super::torch::TorchFile;
use crate::models::ModelError;

/// The weights of a model, mapped into memory: `model.safetensors`, `pytorch_model.bin`, or the files
/// that the index of either lists.
pub struct WeightFile {
    place: PathBuf,
    shards: Vec<Shard>,
    /// Which shard has a tensor.
    tensors: BTreeMap<String, usize>,
}

/// What one file is.
enum Shard {
    Safetensors {
        path: PathBuf,
        bytes: Mmap,
        data_start: usize,
        metadata: Metadata,
    },
    Torch(TorchFile),
}

/// The names of weight files, and of indexes of several, in the order in which they are looked for.
const WHOLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const INDEXES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];

impl WeightFile {
    /// The files that hold the weights of a folder, the index first if there is one.
    ///
    /// # Errors
    /// When there is none, or an index is damaged.
    pub fn files_of(dir: &Path) -> Result<Vec<PathBuf>, ModelError> {
        for (index, whole) in INDEXES.into_iter().zip(WHOLE) {
            let index = dir.join(index);
            if index.exists() {
                let shards = indexed(&index)?.into_iter().map(|name| dir.join(name));
                return Ok(std::iter::once(index.clone()).chain(shards).collect());
            }
            if dir.join(whole).exists() {
                return Ok(vec![dir.join(whole)]);
            }
        }
        Err(ModelError::Format {
            path: dir.to_owned(),
            message: format!(
                "there are no weights: none of {} and {}",
                WHOLE.join(", "),
                INDEXES.join(", ")
            ),
        })
    }

    /// Opens the weights of a folder.
    ///
    /// # Errors
    /// When a file is missing, or is not a whole safetensors or PyTorch file.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let files = Self::files_of(dir)?;
        let shards: Vec<_> = files.into_iter().filter(|path| !is_index(path)).collect();
        Self::open_files(dir, &shards)
    }

    /// Opens the weights of one file, whatever its name.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Self::open_files(path, &[path.to_owned()])
    }

    /// `place` is what errors about the weights as a whole name.
    fn open_files(place: &Path, files: &[PathBuf]) -> Result<Self, ModelError> {
        let shards = files
            .iter()
            .map(|path| Shard::open(path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tensors = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.names() {
                if tensors.insert(name.clone(), number).is_some() {
                    return Err(shard.error(format!("tensor `{name}` is there twice")));
                }
            }
        }
        Ok(Self {
            place: place.to_owned(),
            shards,
            tensors,
        })
    }

    /// What was opened.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Whether there is a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Lets the system take back the memory into which a tensor was mapped; it is read again if it is
    /// asked for again.
    pub fn release(&self, name: &str) {
        if let Some(shard) = self.tensors.get(name).map(|shard| &self.shards[*shard]) {
            shard.release(name);
        }
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor as it is stored.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.shards[*self.tensors.get(name)?].tensor(name)
    }

    /// A tensor's numbers as f32 in row-major order: f32, f16 and bf16 as they are; int8 times the
    /// scales in `NAME_scale`, one for each index of `output_axis` or one for all.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn numbers(&self, name: &str, output_axis: usize) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name).ok_or_else(|| format!("missing `{name}`"))?;
        let [rows, _] = sides(&tensor);
        self.numbers_of_rows(name, output_axis, 0..rows)
    }

    /// The numbers of some rows of a matrix.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn numbers_of_rows(&self, name: &str, output_axis: usize, rows: Range<usize>) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name).ok_or_else(|| format!("missing `{name}`"))?;
        let [all, columns] = sides(&tensor);
        let row = tensor.data().len() / all.max(1); // bytes
        let part = tensor.data().get(rows.start * row..rows.end * row);
        let part = part.and_then(|data| TensorView::new(tensor.dtype(), vec![rows.len(), columns], data).ok());
        let part = part.ok_or_else(|| format!("`{name}` has no rows {rows:?}"))?;
        let dtype = tensor.dtype();
        if dtype != Dtype::I8 {
            let unread = || format!("`{name}` is {dtype:?}; fragua reads F32, F16, BF16 and I8");
            return floats(&part).ok_or_else(unread);
        }
        let scale = self.scales(name, &tensor, output_axis)?;
        let scale = if output_axis == 0 && scale.len() > 1 {
            &scale[rows]
        } else {
            &scale
        };
        Ok(scaled(&part, scale, output_axis))
    }
}

impl WeightFile {
    /// Why a tensor's numbers could not be read, without reading them.
    pub fn unreadable(&self, name: &str, output_axis: usize) -> Option<String> {
        let Some(tensor) = self.tensor(name) else {
            return Some(format!("missing `{name}`"));
        };
        match tensor.dtype() {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => None,
            Dtype::I8 => self.scales(name, &tensor, output_axis).err(),
            dtype => Some(format!("`{name}` is {dtype:?}; fragua reads F32, F16, BF16 and I8")),
        }
    }

    /// The scales of an int8 tensor: one, or one for each output.
    fn scales(&self, name: &str, tensor: &TensorView<'_>, output_axis: usize) -> Result<Vec<f32>, String> {
        let scale_name = scale_name(name);
        let scale = self
            .tensor(&scale_name)
            .ok_or_else(|| format!("missing `{scale_name}`, the scales of the int8 tensor `{name}`"))?;
        let scale = floats(&scale).ok_or_else(|| format!("`{scale_name}` is {:?}, not f32", scale.dtype()))?;
        let [rows, columns] = sides(tensor);
        if scale.len() == 1 || scale.len() == [rows, columns][output_axis] {
            return Ok(scale);
        }
        Err(format!(
            "`{scale_name}` has {} scales, which do not fit `{name}`",
            scale.len()
        ))
    }
}

/// The name under which the scales of an int8 tensor are stored.
fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

impl Shard {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::file(path))?;
        // SAFETY: artifacts are immutable once published; a file that another program truncates
        // meanwhile ends this process by a signal, as with any memory-mapped reader.
        let bytes = unsafe { Mmap::map(&file) }.map_err(ModelError::file(path))?;
        let error = |message: String| ModelError::Format {
            path: path.to_owned(),
            message,
        };
        if bytes.starts_with(b"PK") {
            return TorchFile::open(path, bytes).map(Self::Torch).map_err(error);
        }
        if bytes.first() == Some(&0x80) && path.extension().is_some_and(|extension| extension == "bin") {
            return Err(error(
                "it was written by PyTorch before version 1.6, in a format that cannot be read without executing it: \
                 load and save it once with a newer PyTorch, as safetensors"
                    .into(),
            ));
        }
        match SafeTensors::read_metadata(&bytes) {
            Ok((header, metadata)) => Ok(Self::Safetensors {
                path: path.to_owned(),
                data_start: header + 8, // eight bytes before the header say how long it is
                metadata,
                bytes,
            }),
            Err(problem) => Err(error(format!("not a whole safetensors file: {problem}"))),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Safetensors { metadata, .. } => metadata.offset_keys(),
            Self::Torch(file) => file.names().map(str::to_owned).collect(),
        }
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        match self {
            Self::Safetensors {
                bytes,
                data_start,
                metadata,
                ..
            } => {
                let info = metadata.info(name)?;
                let (start, end) = info.data_offsets;
                TensorView::new(
                    info.dtype,
                    info.shape.clone(),
                    &bytes[data_start + start..data_start + end],
                )
                .ok()
            }
            Self::Torch(file) => file.tensor(name),
        }
    }

    fn release(&self, name: &str) {
        let (map, range) = match self {
            Self::Safetensors {
                bytes,
                data_start,
                metadata,
                ..
            } => {
                let Some(info) = metadata.info(name) else { return };
                let (start, end) = info.data_offsets;
                (bytes, data_start + start..data_start + end)
            }
            Self::Torch(file) => match file.range(name) {
                Some(range) => (file.map(), range),
                None => return,
            },
        };
        forget(map, range);
    }

    fn error(&self, message: String) -> ModelError {
        let path = match self {
            Self::Safetensors { path, .. } => path.clone(),
            Self::Torch(file) => file.path().to_owned(),
        };
        ModelError::Format { path, message }
    }
}

/// Gives the pages of a range back to the system: they are the file's, and unchanged.
#[cfg(unix)]
fn forget(map: &Mmap, range: Range<usize>) {
    // SAFETY: the map is shared and read only, so a page that is read again has the file's bytes.
    let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
}

#[cfg(not(unix))]
fn forget(_map: &Mmap, _range: Range<usize>) {}

/// Whether a file lists others.
fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
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

/// Rows and columns of a tensor; of one dimension it is a row.
fn sides(tensor: &TensorView<'_>) -> [usize; 2] {
    match *tensor.shape() {
        [columns] => [1, columns],
        [rows, columns] => [rows, columns],
        _ => [0, 0], // no weight has more: its shape does not fit
    }
}

fn scaled(tensor: &TensorView<'_>, scale: &[f32], output_axis: usize) -> Vec<f32> {
    let [rows, columns] = sides(tensor);
    let scale_of = |row: usize, column: usize| match (scale, output_axis) {
        ([one], _) => *one,
        (many, 0) => many[row],
        (many, _) => many[column],
    };
    let data = tensor.data();
    (0..rows * columns)
        .map(|index| f32::from(i8::from_le_bytes([data[index]])) * scale_of(index / columns, index % columns))
        .collect()
}
