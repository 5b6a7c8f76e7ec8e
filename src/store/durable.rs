//! Files that appear whole or not at all, and stay after a power cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::StoreError;

/// Writes a file beside its place, flushes it to the disk and renames it into place.
///
/// # Errors
/// When the operating system refuses; the earlier file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(StoreError::file("write in", folder))?;
    file.write_all(bytes).map_err(StoreError::file("write", path))?;
    // a temporary file is private to its owner; a record is readable as any other file
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let readable = fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(readable)
            .map_err(StoreError::file("write", path))?;
    }
    file.as_file().sync_all().map_err(StoreError::file("write", path))?;
    file.persist(path)
        .map_err(|error| StoreError::file("write", path)(error.error))?;
    sync_folder(folder)
}

/// Writes a record as indented JSON, whole or not at all.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_json(path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec_pretty(record).map_err(StoreError::record(path))?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Flushes a folder and everything below it to the disk.
///
/// # Errors
/// When the operating system refuses.
pub fn sync_tree(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(StoreError::file("read", folder))? {
        let path = entry.map_err(StoreError::file("read", folder))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync_file(&path)?;
        }
    }
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::file("flush", path))
}

/// Windows flushes only what is open for writing.
#[cfg(not(unix))]
fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::file("flush", path))
}

/// A rename is durable once its folder is. Elsewhere than on Unix, folders cannot be opened; there
/// the file system's journal keeps the order.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(StoreError::file("flush", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write_atomic(&path, b"one").unwrap();
        write_json(&path, &serde_json::json!({"a": 1})).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 1\n}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_absent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(&folder.path().join("no/record.json"), b"").unwrap_err();
        assert!(error.to_string().contains("no"), "{error}");
    }
}
