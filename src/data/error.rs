//! What can be wrong with data.

use std::path::{Path, PathBuf};

/// What can be wrong with data: each names the file (and line) and the fact.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A row that is not what the format says.
    #[error("{}:{line}: {message}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and the next move.
        message: String,
    },
    /// A file that as a whole is not what it should be.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and the next move.
        message: String,
    },
    /// Settings that do not fit the rows.
    #[error("{0}")]
    Unfit(String),
}

impl DataError {
    /// For `map_err` after an operation on a file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// A fact about a whole file.
    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    /// A fact about one line of a file, from 1.
    pub(crate) fn row(path: &Path, line: u64, message: impl Into<String>) -> Self {
        Self::Row {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}
