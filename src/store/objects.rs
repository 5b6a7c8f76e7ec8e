//! Artifacts by the digest of their content.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::actions::digest_of_name;
use super::durable::sync_folder;
use super::layout::read_if_there;
use super::{Manifest, Store, StoreError, write_json};
use crate::step::Digest;

/// Files up to this size are digested on each look; of larger ones, size and modification time are
/// compared with those of the last full look.
const DIGEST_EACH_TIME: u64 = 64 << 20;

/// An artifact in the store, found whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its name.
    pub digest: Digest,
    /// Its folder.
    pub path: PathBuf,
    /// Its files.
    pub manifest: Manifest,
}

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Nothing of it is there.
    #[error("object {} is not in the store", .0.short())]
    Absent(Digest),
    /// It is not what its name says.
    #[error("object {} is damaged: {fact}", digest.short())]
    Broken {
        /// The object.
        digest: Digest,
        /// What is wrong.
        fact: String,
    },
}

/// How closely to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Usual,
    Full,
}

/// Size and modification time (nanoseconds since 1970) of a large file at the last full look.
type Seen = BTreeMap<String, (u64, u64)>;

impl Store {
    /// The object of a digest, if it is there, whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn object(&self, digest: &Digest) -> Result<Object, Damage> {
        self.look(digest, Look::Usual)
    }

    /// The same, with every file digested again, and noted as seen.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, digest: &Digest) -> Result<Object, Damage> {
        let object = self.look(digest, Look::Full)?;
        self.note_seen(&object).ok(); // only saves time later
        Ok(object)
    }

    fn look(&self, digest: &Digest, look: Look) -> Result<Object, Damage> {
        let broken = |fact: String| Damage::Broken {
            digest: digest.clone(),
            fact,
        };
        let path = self.object_path(digest);
        let record = match read_if_there(&self.manifest_path(digest)) {
            Ok(_) if !path.exists() => return Err(Damage::Absent(digest.clone())),
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(broken("its manifest is missing".into())),
            Err(error) => return Err(broken(error.to_string())),
        };
        let manifest: Manifest =
            serde_json::from_slice(&record).map_err(|error| broken(format!("its manifest cannot be read: {error}")))?;
        if manifest.digest() != *digest {
            return Err(broken("its manifest has another digest".into()));
        }
        let seen = match look {
            Look::Usual => self.seen(digest),
            Look::Full => Seen::new(),
        };
        for (name, entry) in &manifest.files {
            let file = path.join(name);
            let meta = fs::metadata(&file).map_err(|error| broken(format!("{name}: {error}")))?;
            if meta.len() != entry.size {
                return Err(broken(format!("{name} has {} bytes, not {}", meta.len(), entry.size)));
            }
            let known = seen.get(name) == Some(&(entry.size, modified(&meta)));
            if entry.size > DIGEST_EACH_TIME && known {
                continue;
            }
            let found = Digest::of_file(&file).map_err(|error| broken(format!("{name}: {error}")))?;
            if found != entry.digest {
                return Err(broken(format!("the content of {name} has changed")));
            }
        }
        Ok(Object {
            digest: digest.clone(),
            path,
            manifest,
        })
    }

    /// Takes a finished folder into the store under its manifest's digest, by one rename. A whole
    /// object of the same content is kept and the folder removed; a damaged one is replaced.
    ///
    /// # Errors
    /// When the operating system refuses; the folder is then where it was.
    pub fn publish(&self, folder: &Path, manifest: &Manifest) -> Result<Object, StoreError> {
        let digest = manifest.digest();
        let _publishing = self.lock_objects()?;
        if let Ok(object) = self.object(&digest) {
            fs::remove_dir_all(folder).map_err(StoreError::file("remove", folder))?;
            return Ok(object);
        }
        let (shelf, path) = (self.shelf(&digest), self.object_path(&digest));
        fs::create_dir_all(&shelf).map_err(StoreError::file("make", &shelf))?;
        if path.exists() {
            // damaged: out of sight first, so that nobody sees it go piece by piece
            let old = shelf.join(format!(".removing-{}", digest.short()));
            fs::remove_dir_all(&old).ok(); // of a process that was killed here
            fs::rename(&path, &old).map_err(StoreError::file("rename", &path))?;
            fs::remove_dir_all(&old).map_err(StoreError::file("remove", &old))?;
        }
        // the manifest first: a manifest alone is nothing yet, a folder alone would be damage
        write_json(&self.manifest_path(&digest), manifest)?;
        fs::rename(folder, &path).map_err(StoreError::file("rename", folder))?;
        sync_folder(&shelf)?;
        protect(&path, manifest);
        let object = Object {
            digest,
            path,
            manifest: manifest.clone(),
        };
        self.note_seen(&object)?;
        Ok(object)
    }

    /// Every object's digest, sorted.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn objects(&self) -> Result<Vec<Digest>, StoreError> {
        let root = self.root().join("objects");
        let mut digests = Vec::new();
        if !root.exists() {
            return Ok(digests);
        }
        for shelf in fs::read_dir(&root).map_err(StoreError::file("read", &root))? {
            let shelf = shelf.map_err(StoreError::file("read", &root))?.path();
            if !shelf.is_dir() {
                continue; // the lock
            }
            for entry in fs::read_dir(&shelf).map_err(StoreError::file("read", &shelf))? {
                let name = entry.map_err(StoreError::file("read", &shelf))?.file_name();
                digests.extend(name.to_str().and_then(digest_of_name));
            }
        }
        digests.sort();
        Ok(digests)
    }

    fn seen(&self, digest: &Digest) -> Seen {
        let bytes = read_if_there(&self.seen_path(digest)).ok().flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn note_seen(&self, object: &Object) -> Result<(), StoreError> {
        let mut seen = Seen::new();
        for (name, entry) in &object.manifest.files {
            if entry.size > DIGEST_EACH_TIME {
                let file = object.path.join(name);
                let meta = fs::metadata(&file).map_err(StoreError::file("read", &file))?;
                seen.insert(name.clone(), (entry.size, modified(&meta)));
            }
        }
        if seen.is_empty() {
            return Ok(());
        }
        write_json(&self.seen_path(&object.digest), &seen)
    }

    /// Held while an object is put in place, so that two runs do not replace the same one at once.
    fn lock_objects(&self) -> Result<fs::File, StoreError> {
        let path = self.root().join("objects").join("lock");
        let file = fs::File::create(&path).map_err(StoreError::file("open", &path))?;
        file.lock().map_err(StoreError::file("lock", &path))?;
        Ok(file)
    }
}

fn modified(meta: &fs::Metadata) -> u64 {
    let since = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// An object never changes: an editor that opens one should not save by accident. Where this is
/// refused nothing is lost, since every look checks the content.
fn protect(path: &Path, manifest: &Manifest) {
    if !cfg!(unix) {
        return; // Windows could not remove the folder any more
    }
    for name in manifest.files.keys() {
        let file = path.join(name);
        if let Ok(meta) = fs::metadata(&file) {
            let mut permissions = meta.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&file, permissions).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(folder: &Path, text: &str) -> (PathBuf, Manifest) {
        let out = folder.join("out");
        fs::create_dir_all(out.join("train")).unwrap();
        fs::write(out.join("train/data.jsonl"), text).unwrap();
        let manifest = Manifest::of_folder(&out).unwrap();
        (out, manifest)
    }

    /// Writes over a file that is protected.
    fn damage(path: &Path, text: &str) {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn published_once_found_whole_and_a_second_copy_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (out, manifest) = artifact(folder.path(), "{}\n");
        let object = store.publish(&out, &manifest).unwrap();
        assert!(!out.exists());
        assert_eq!(store.object(&object.digest).unwrap(), object);
        let (out, manifest) = artifact(folder.path(), "{}\n");
        assert_eq!(store.publish(&out, &manifest).unwrap().digest, object.digest);
        assert!(!out.exists());
        assert_eq!(store.objects().unwrap(), [object.digest]);
    }

    #[test]
    fn damage_is_found_and_healed_by_publishing_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (out, manifest) = artifact(folder.path(), "{}\n");
        let digest = manifest.digest();
        assert_eq!(store.object(&digest), Err(Damage::Absent(digest.clone())));
        let object = store.publish(&out, &manifest).unwrap();
        let file = object.path.join("train/data.jsonl");
        damage(&file, "{]\n");
        let error = store.object(&digest).unwrap_err().to_string();
        assert!(error.contains("content of train/data.jsonl"), "{error}");
        damage(&file, "longer");
        let error = store.verify(&digest).unwrap_err().to_string();
        assert!(error.contains("6 bytes, not 3"), "{error}");
        fs::remove_file(&file).unwrap();
        assert!(store.object(&digest).is_err());
        let (out, manifest) = artifact(folder.path(), "{}\n");
        store.publish(&out, &manifest).unwrap();
        assert!(store.verify(&digest).is_ok());
        fs::remove_file(store.manifest_path(&digest)).unwrap();
        assert!(matches!(store.object(&digest), Err(Damage::Broken { .. })));
    }

    #[test]
    fn a_process_that_ends_between_manifest_and_folder_leaves_nothing_to_see() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (out, manifest) = artifact(folder.path(), "{}\n");
        let digest = manifest.digest();
        fs::create_dir_all(store.shelf(&digest)).unwrap();
        write_json(&store.manifest_path(&digest), &manifest).unwrap();
        assert_eq!(store.object(&digest), Err(Damage::Absent(digest.clone())));
        assert!(store.objects().unwrap().is_empty());
        store.publish(&out, &manifest).unwrap();
        assert!(store.verify(&digest).is_ok());
    }
}
