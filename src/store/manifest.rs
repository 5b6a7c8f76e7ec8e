//! What an artifact consists of, and the digest that names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::step::Digest;

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Bytes.
    pub size: u64,
    /// The content's digest.
    pub digest: Digest,
}

/// The files of an artifact by their path from its root, `/` between folders on every system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files, in the order of their paths.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Reads and digests every file below a folder.
    ///
    /// # Errors
    /// When a file cannot be read, or an entry is neither a file nor a folder, or its name is not
    /// Unicode.
    pub fn of_folder(root: &Path) -> Result<Self, StoreError> {
        let mut manifest = Self::default();
        manifest.add_folder(root, "")?;
        Ok(manifest)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<(), StoreError> {
        for entry in fs::read_dir(folder).map_err(StoreError::file("read", folder))? {
            let entry = entry.map_err(StoreError::file("read", folder))?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                let fact = "has a name that is not Unicode";
                return Err(StoreError::Entry { path, fact });
            };
            let name = format!("{prefix}{name}");
            let meta = entry.metadata().map_err(StoreError::file("read", &path))?; // does not follow links
            if meta.is_dir() {
                self.add_folder(&path, &format!("{name}/"))?;
            } else if meta.is_file() {
                let digest = Digest::of_file(&path).map_err(StoreError::file("read", &path))?;
                let size = meta.len();
                self.files.insert(name, FileEntry { size, digest });
            } else {
                let fact = "is neither a file nor a folder";
                return Err(StoreError::Entry { path, fact });
            }
        }
        Ok(())
    }

    /// The artifact's name: the digest of the sorted list of files.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(&self.files).expect("a manifest is plain values"))
    }

    /// The part in one folder (`train`), with paths from that folder.
    pub fn folder(&self, name: &str) -> Self {
        let prefix = format!("{name}/");
        let files = self.files.iter();
        let inside = files.filter_map(|(path, entry)| Some((path.strip_prefix(&prefix)?.to_owned(), entry.clone())));
        Self {
            files: inside.collect(),
        }
    }

    /// The part that consists of some files at the root: those of them that are there.
    pub fn only(&self, names: &[&str]) -> Self {
        let files = self.files.iter();
        let named = files.filter(|(path, _)| names.contains(&path.as_str()));
        Self {
            files: named.map(|(path, entry)| (path.clone(), entry.clone())).collect(),
        }
    }

    /// All bytes.
    pub fn size(&self) -> u64 {
        self.files.values().map(|entry| entry.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_paths_make_the_digest_and_nothing_else_does() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, names) in [(&one, ["a", "b"]), (&two, ["b", "a"])] {
            fs::create_dir(folder.path().join("train")).unwrap();
            for name in names {
                fs::write(folder.path().join("train").join(name), name).unwrap();
            }
        }
        let manifest = Manifest::of_folder(one.path()).unwrap();
        assert_eq!(manifest.digest(), Manifest::of_folder(two.path()).unwrap().digest());
        assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["train/a", "train/b"]);
        fs::write(two.path().join("train/b"), "c").unwrap();
        assert_ne!(manifest.digest(), Manifest::of_folder(two.path()).unwrap().digest());
        // a part is named by its own content, wherever it lies
        let part = Manifest::of_folder(&one.path().join("train")).unwrap();
        assert_eq!(manifest.folder("train"), part);
        assert_eq!(part.only(&["a", "z"]).files.len(), 1);
        assert_eq!(part.size(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hosts", folder.path().join("link")).unwrap();
        let error = Manifest::of_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("neither a file nor a folder"), "{error}");
    }
}
