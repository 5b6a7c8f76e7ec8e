//! Copies an artifact out of the store, each file verified while it is copied.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{PastRun, RecordsError};
use crate::step::Digest;
use crate::store::{FileEntry, Manifest, Store};

/// An artifact, or a part of one, that a run made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The instance.
    pub instance: String,
    /// Its kind.
    pub kind: String,
    /// The part, if not the whole.
    pub part: Option<String>,
    /// The object.
    pub object: Digest,
    /// The files that are wanted.
    pub manifest: Manifest,
    /// What stands before their names in the object.
    prefix: String,
}

impl Wanted {
    /// Where it is in the store, to be read in place. A part that is not a folder of its own is where the
    /// whole is.
    pub fn place(&self, store: &Store) -> PathBuf {
        store.object_path(&self.object).join(&self.prefix)
    }
}

/// What a run made under a name: an instance, a step with one instance, or a part of one
/// (`rows.train`, `base.tokenizer`).
///
/// # Errors
/// When there is no such thing, or it is not in the store.
pub fn wanted(store: &Store, run: &PastRun, name: &str) -> Result<Wanted, RecordsError> {
    let (one, part) = match (run.instance_or_step(name), name.rsplit_once('.')) {
        (Ok(one), _) => (one, None),
        (Err(error), None) => return Err(error),
        (Err(error), Some((instance, part))) => match run.instance_or_step(instance) {
            Ok(one) => (one, Some(part.to_owned())),
            Err(_) => return Err(error),
        },
    };
    let question = |text: String| Err(RecordsError::Question(text));
    let Some(digest) = &one.digest else {
        return question(format!("{} was not made in run {}", one.name, run.record.run));
    };
    let object = store.objects()?.into_iter().find(|object| object.as_str() == digest);
    let Some((object, manifest)) = object.and_then(|object| Some((object.clone(), store.manifest(&object)?))) else {
        return question(format!(
            "the artifact of {} is no longer in the store: `fragua run {}` makes it again",
            one.name, run.record.file
        ));
    };
    let mut wanted = Wanted {
        instance: one.name.clone(),
        kind: one.kind.clone(),
        prefix: String::new(),
        part,
        object,
        manifest,
    };
    if let Some(part) = &wanted.part {
        let parts = wanted.manifest.parts();
        let Some(files) = parts.get(part) else {
            let names: Vec<_> = parts.keys().map(String::as_str).collect();
            let has = if names.is_empty() {
                "no parts".into()
            } else {
                names.join(", ")
            };
            return question(format!("{} has no part `{part}`; it has {has}", one.name));
        };
        if wanted.manifest.folder(part) == *files {
            wanted.prefix = format!("{part}/");
        }
        wanted.manifest = files.clone();
    }
    Ok(wanted)
}

/// Copies it to a folder, which must not exist or be empty. The folder appears whole or not at all;
/// its files can be written.
///
/// # Errors
/// When the folder holds something, a file is damaged, or the system refuses.
pub fn copy(store: &Store, wanted: &Wanted, to: &Path) -> Result<(), RecordsError> {
    empty_or_absent(to)?;
    let absolute = std::path::absolute(to).map_err(RecordsError::file("find", to))?;
    let parent = absolute.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(RecordsError::file("make", parent))?;
    let aside = tempfile::Builder::new()
        .prefix(".fragua-get-")
        .tempdir_in(parent)
        .map_err(RecordsError::file("write in", parent))?;
    let from = store.object_path(&wanted.object);
    let whole = aside.path().join("whole"); // a temporary folder is private; this one is as any other
    for (name, entry) in &wanted.manifest.files {
        let target = whole.join(name);
        let folder = target.parent().unwrap_or(&whole);
        fs::create_dir_all(folder).map_err(RecordsError::file("make", folder))?;
        copy_verified(&from.join(format!("{}{name}", wanted.prefix)), &target, entry)?;
    }
    if to.exists() {
        fs::remove_dir(to).map_err(RecordsError::file("replace", to))?;
    }
    fs::rename(&whole, to).map_err(RecordsError::file("make", to))
}

/// Copies a file if it is what its entry says.
///
/// # Errors
/// When it is not, or the system refuses.
pub(super) fn copy_verified(from: &Path, to: &Path, entry: &FileEntry) -> Result<(), RecordsError> {
    let mut source = File::open(from).map_err(RecordsError::file("read", from))?;
    let mut target = File::create_new(to).map_err(RecordsError::file("write", to))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = source.read(&mut buffer).map_err(RecordsError::file("read", from))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        target
            .write_all(&buffer[..count])
            .map_err(RecordsError::file("write", to))?;
    }
    if hasher.finalize().to_hex().as_str() != entry.digest.as_str() {
        return Err(RecordsError::Damaged(from.to_owned()));
    }
    Ok(())
}

/// Whether a folder can be filled.
///
/// # Errors
/// When it holds something, or is no folder.
pub fn empty_or_absent(folder: &Path) -> Result<(), RecordsError> {
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RecordsError::file("write to", folder)(error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    Err(RecordsError::Question(format!(
        "{} is not empty: name a folder that is, or that does not exist",
        folder.display()
    )))
}
