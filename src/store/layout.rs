//! Where things are in a store.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{StoreError, write_atomic, write_json};
use crate::step::Digest;

/// The layout that this version writes and reads.
const LAYOUT: u32 = 1;

/// A store on disk. Every path that it gives is absolute.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Stamp {
    layout: u32,
}

impl Store {
    /// Opens a store to read and write, and makes it when it is absent.
    ///
    /// # Errors
    /// When it cannot be written, or is of another layout.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::open_read_only(root)?;
        for folder in ["objects", "actions", "attempts", "runs"] {
            let path = store.root.join(folder);
            fs::create_dir_all(&path).map_err(StoreError::file("make", &path))?;
        }
        let stamp = store.root.join("store.json");
        if !stamp.exists() {
            // a store is no part of anybody's repository
            write_atomic(&store.root.join(".gitignore"), b"*\n")?;
            write_json(&stamp, &Stamp { layout: LAYOUT })?;
        }
        Ok(store)
    }

    /// Opens a store to look only: nothing is made, and one that is absent is empty.
    ///
    /// # Errors
    /// When it is of another layout.
    pub fn open_read_only(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::file("find", root))?;
        let stamp = root.join("store.json");
        if let Some(bytes) = read_if_there(&stamp)? {
            let Stamp { layout } = serde_json::from_slice(&bytes).map_err(StoreError::record(&stamp))?;
            if layout != LAYOUT {
                return Err(StoreError::Layout {
                    path: root,
                    found: layout,
                    known: LAYOUT,
                });
            }
        }
        Ok(Self { root })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the object of a digest, there or not.
    pub fn object_path(&self, digest: &Digest) -> PathBuf {
        self.shelf(digest).join(digest.as_str())
    }

    /// The folder of the object that a record names; `None` if the record names no digest.
    pub fn object_path_of(&self, digest: &str) -> Option<PathBuf> {
        is_digest(digest).then(|| self.root.join("objects").join(&digest[..2]).join(digest))
    }

    /// The manifest of the object of a digest, there or not.
    pub(super) fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.shelf(digest).join(format!("{digest}.json"))
    }

    /// When the large files of an object were last found whole.
    pub(super) fn seen_path(&self, digest: &Digest) -> PathBuf {
        self.shelf(digest).join(format!("{digest}.seen.json"))
    }

    pub(super) fn shelf(&self, digest: &Digest) -> PathBuf {
        self.root.join("objects").join(&digest.as_str()[..2])
    }

    pub(super) fn action_path(&self, key: &Digest) -> PathBuf {
        self.root.join("actions").join(format!("{key}.json"))
    }

    pub(super) fn attempts_path(&self, key: &Digest) -> PathBuf {
        self.root.join("attempts").join(key.as_str())
    }

    pub(super) fn runs_path(&self) -> PathBuf {
        self.root.join("runs")
    }
}

/// A digest from a record becomes a path, so it must be what it says: 64 hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The file's bytes, or `None` when there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_makes_nothing_and_opening_makes_a_store_that_git_ignores() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("s");
        Store::open_read_only(&root).unwrap();
        assert!(!root.exists());
        Store::open(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
        fs::write(root.join("store.json"), r#"{"layout": 9}"#).unwrap();
        let error = Store::open(&root).unwrap_err().to_string();
        assert!(error.contains("layout 9"), "{error}");
    }
}
