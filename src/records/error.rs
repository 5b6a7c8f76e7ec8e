//! What can go wrong with records.

use std::path::PathBuf;

use crate::store::StoreError;

/// A record that cannot be read, or a question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// The verb, for the message.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file in the store is not what its manifest says.
    #[error("{} is damaged: `fragua verify` says what that touches, and the next run makes it again", .0.display())]
    Damaged(PathBuf),
    /// What was asked for is not there, or not to be had: the fact and the next move.
    #[error("{0}")]
    Question(String),
}

impl RecordsError {
    /// For `map_err`: the operating system's refusal with its place.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
