//! What can be wrong with a model's directory.

use std::path::PathBuf;

/// A model that cannot be read or written. Names the file, the fact and the next move.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `config.json` is not JSON or lacks what its architecture needs.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The fact and the next move.
        message: String,
    },
    /// The weight file is damaged or of an unknown kind.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The fact.
        message: String,
    },
    /// The weights are not those that `config.json` describes.
    #[error("{}: the weights do not fit config.json:\n{}", path.display(), problems.join("\n"))]
    Weights {
        /// The folder.
        path: PathBuf,
        /// Each missing, unexpected or misshapen weight by name.
        problems: Vec<String>,
    },
    /// Low-rank pairs have no place in it: the fact and the next move.
    #[error("{0}")]
    Adaptation(String),
}

impl ModelError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
