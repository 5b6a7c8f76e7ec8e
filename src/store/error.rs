//! What can go wrong on disk.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the store, naming the place and what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// The verb, for the message: `read`, `write`, `rename`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is not what this version writes.
    #[error("{} is not a record that this version of fragua reads: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The store was written by another version of the layout.
    #[error(
        "{} is a store of layout {found}, and this fragua knows layout {known}: use the fragua that made it, or another --store", path.display()
    )]
    Layout {
        /// The store.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// An artifact holds what cannot be kept by content.
    #[error("{} {fact}", path.display())]
    Entry {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        fact: &'static str,
    },
    /// A run that is not there.
    #[error("no run `{wanted}` in {}; {help}", store.display())]
    NoRun {
        /// What was asked for.
        wanted: String,
        /// The store.
        store: PathBuf,
        /// The next move.
        help: String,
    },
}

impl StoreError {
    /// For `map_err`: the operating system's refusal with its place.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// For `map_err`: a record's misfit with its place.
    pub fn record(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Record { path, source }
    }
}
