//! Writing `model.safetensors`.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::models::{ModelError, Weight};

/// A tensor on its way into a file.
pub(in crate::models) trait Written {
    /// Name, type and shape.
    fn described(&self) -> (&str, Dtype, Vec<usize>);

    /// Its numbers, little-endian: asked for when the file comes to them, so that a model is never there a
    /// second time.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

impl Written for (String, Dtype, Vec<usize>, Vec<u8>) {
    fn described(&self) -> (&str, Dtype, Vec<usize>) {
        (&self.0, self.1, self.2.clone())
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        self.3.as_slice().into()
    }
}

/// A weight under a name.
impl Written for (String, &Weight) {
    fn described(&self) -> (&str, Dtype, Vec<usize>) {
        (&self.0, Dtype::F32, self.1.shape())
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        let values = self.1.to_vec();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// Writes `model.safetensors`: tensors by name, type, shape and little-endian bytes. The order on
/// disk follows from types and names alone, so that the same tensors give the same bytes.
///
/// # Errors
/// When a tensor's bytes do not fit its shape, or the file cannot be written.
pub fn write_weights(dir: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Result<(), ModelError> {
    write_tensors(&dir.join("model.safetensors"), tensors)
}

/// The same to a file of any name, in safetensors' own order: larger types first, then by name.
///
/// # Errors
/// As [`write_weights`].
pub(in crate::models) fn write_tensors(path: &Path, tensors: &[impl Written]) -> Result<(), ModelError> {
    let error = |message: String| ModelError::Format {
        path: path.to_owned(),
        message,
    };
    let mut sorted: Vec<_> = tensors.iter().map(|tensor| (tensor.described(), tensor)).collect();
    sorted.sort_by(|((name, dtype, _), _), ((other, other_dtype, _), _)| {
        (Reverse(dtype), name).cmp(&(Reverse(other_dtype), other))
    });
    let mut end = 0;
    let placed = sorted.iter().map(|((name, dtype, shape), _)| {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = TensorInfo {
            dtype: *dtype,
            shape: shape.clone(),
            data_offsets: (start, end),
        };
        ((*name).to_owned(), info)
    });
    // transformers asks for the framework that the shapes are of
    let format = [("format".to_owned(), "pt".to_owned())].into();
    let metadata = Metadata::new(Some(format), placed.collect()).map_err(|problem| error(problem.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).expect("names and numbers serialize");
    header.resize(header.len().next_multiple_of(8), b' ');

    let io = ModelError::file(path);
    let write = || -> std::io::Result<Result<(), ModelError>> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for ((name, dtype, shape), tensor) in &sorted {
            let bytes = tensor.bytes();
            if bytes.len() != shape.iter().product::<usize>() * dtype.bitsize() / 8 {
                let found = format!(
                    "tensor `{name}` of shape {shape:?} has {} bytes of {dtype:?}",
                    bytes.len()
                );
                return Ok(Err(error(found)));
            }
            file.write_all(&bytes)?;
        }
        file.flush()?;
        Ok(Ok(()))
    };
    write().map_err(io)?
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn files_are_those_of_the_safetensors_crate() {
        let tensor = |name: &str, dtype, shape: &[usize], count: u8| {
            (name.to_owned(), dtype, shape.to_vec(), (0..count).collect::<Vec<u8>>())
        };
        let tensors = [
            tensor("b", Dtype::F32, &[2, 3], 24),
            tensor("z", Dtype::I8, &[5], 5),
            tensor("a", Dtype::F32, &[1], 4),
            tensor("none", Dtype::F32, &[0, 3], 0),
            tensor("a.half", Dtype::F16, &[2], 4),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        write_tensors(&path, &tensors).unwrap();
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        let format = [("format".to_owned(), "pt".to_owned())].into();
        let expected = safetensors::serialize(views, Some(format)).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);

        let wrong = [tensor("w", Dtype::F32, &[2, 2], 15)];
        let message = write_tensors(&path, &wrong).unwrap_err().to_string();
        assert!(message.contains("`w`") && message.contains("15 bytes"), "{message}");
    }
}
