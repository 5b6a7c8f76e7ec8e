//! What can go wrong on disk.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the store, naming the place and what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}{}", path.display(), advice(doing, source))]
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
        "{} is a store of layout {found}, and this fragua ({}) knows layout {known}: {}", path.display(),
        env!("CARGO_PKG_VERSION"), layout_advice(*found, *known)
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

/// What to do about a full disk.
const MAKE_ROOM: &str = ": make room (`fragua gc` tells what nothing needs) and run again; what is finished is kept";

/// The next move after a refusal of the operating system, where there is one.
fn advice(doing: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        _ if disk_is_full(error) => MAKE_ROOM,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied if doing != "read" => {
            ": `run` writes to the store, so it needs one that may be written (`--store DIR`); `plan`, `show` and \
             `validate` only read"
        }
        _ => "",
    }
}

/// Whether there is no room: on the disk, within a quota, or within the limit on a file's size.
fn disk_is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// What to do when an error comes from a full disk, for messages that do not say so yet.
pub fn advice_on_room(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<StoreError>() {
            Some(StoreError::File { .. }) => return None, // it says so itself
            _ if error.downcast_ref::<io::Error>().is_some_and(disk_is_full) => return Some(MAKE_ROOM),
            _ => next = error.source(),
        }
    }
    None
}

fn layout_advice(found: u32, known: u32) -> &'static str {
    if found > known {
        "it was written by a newer one: update fragua, or use another store (`--store DIR`)"
    } else {
        "it was written by an older one: use that, or another store (`--store DIR`)"
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(doing: &'static str, kind: io::ErrorKind) -> StoreError {
        StoreError::file(doing, Path::new("there"))(kind.into())
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::FileTooLarge,
        ] {
            assert!(refused("write", kind).to_string().contains("make room"));
        }
        assert!(
            refused("make", io::ErrorKind::ReadOnlyFilesystem)
                .to_string()
                .contains("--store")
        );
        assert!(
            !refused("read", io::ErrorKind::PermissionDenied)
                .to_string()
                .contains("--store")
        );
        assert!(
            !refused("write", io::ErrorKind::NotFound)
                .to_string()
                .contains("make room")
        );
    }

    #[test]
    fn room_is_spoken_of_once() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(advice_on_room(&full()).is_some());
        assert!(advice_on_room(&refused("write", io::ErrorKind::StorageFull)).is_none());
        assert!(advice_on_room(&io::Error::other("else")).is_none());
    }

    #[test]
    fn a_newer_store_asks_for_a_newer_fragua() {
        let error = |found| StoreError::Layout {
            path: "s".into(),
            found,
            known: 1,
        };
        assert!(error(9).to_string().contains("update fragua"));
        assert!(error(0).to_string().contains("older"));
    }
}
