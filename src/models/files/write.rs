//! Writing `model.safetensors`.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::models::ModelError;

/// Writes `model.safetensors`: tensors by name, type, shape and little-endian bytes. The order on
/// disk follows from types and names alone, so that the same tensors give the same bytes.
///
/// # Errors
/// When a tensor's bytes do not fit its shape, or the file cannot be written.
pub fn write_weights(dir: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Result<(), ModelError> {
    write_tensors(&dir.join("model.safetensors"), tensors)
}

/// The same to a file of any name.
///
/// # Errors
/// As [`write_weights`].
pub(in crate::models) fn write_tensors(
    path: &Path,
    tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)],
) -> Result<(), ModelError> {
    let error = |message: String| ModelError::Format {
        path: path.to_owned(),
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
    std::fs::write(path, bytes).map_err(ModelError::file(path))
}
