//! Packs a run: the pipeline as the run kept it, the files that it read, and what came out.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::archive::{changed, write};
use super::packed::{Expected, Packed, PackedFile, Role};
use super::trace::contents_of;
use super::{Ending, PastRun, RecordsError};
use crate::execute::ResolvedInstance;
use crate::step::{ArtifactType, Digest, expanded};
use crate::store::Store;

/// Writes a run to an archive. Without `with_data` the archive has the digests of the data, and
/// whoever runs it brings the data.
///
/// # Errors
/// When the run is not done, a file is not what it read, or the archive cannot be written.
pub fn pack(store: &Store, run: &PastRun, to: &Path, with_data: bool) -> Result<Packed, RecordsError> {
    let question = |text: String| Err(RecordsError::Question(text));
    let record = &run.record;
    if run.ending() != Ending::Done {
        return question(format!(
            "run {} is not done ({}): pack one that is",
            record.run,
            run.ending().name()
        ));
    }
    let Some(resolved) = run.resolved()? else {
        return question(format!(
            "run {} was made by a fragua that did not keep the pipeline: run it again, and pack that run",
            record.run
        ));
    };
    if let Some(one) = record.instances.iter().find(|one| one.digest.is_none()) {
        return question(format!(
            "run {} was of a part of its pipeline ({} was not made): pack a run of the whole",
            record.run, one.name
        ));
    }
    if to.exists() {
        return question(format!("{} is there already: name another file", to.display()));
    }
    let mut reader = Reader {
        homes: homes(store, &record.file),
        places: BTreeMap::new(),
    };
    let mut files = BTreeMap::new();
    for source in &resolved.sources {
        let kept = run.folder.join(&source.kept);
        let digest = Digest::of_file(&kept).map_err(RecordsError::file("read", &kept))?;
        let path = resolved.place(&source.path);
        reader.insert(&mut files, path, Role::Pipeline, digest, Some(kept))?;
    }
    for instance in &resolved.instances {
        for (field, path, digest) in read_by(store, run, instance)? {
            let role = role(instance, &field);
            if Path::new(&path).is_absolute() {
                // the pipeline names it so: it can only be there
                reader.insert(&mut files, path, role, digest, None)?;
                continue;
            }
            let place = resolved.place(&path);
            let kept = (role != Role::Data || with_data)
                .then(|| reader.find(&path, &digest))
                .transpose()?;
            reader.insert(&mut files, place, role, digest, kept)?;
        }
    }
    let file = resolved.sources.first().map(|source| resolved.place(&source.path));
    let packed = Packed {
        version: 1,
        run: record.run.clone(),
        name: record.name.clone(),
        pipeline: record.pipeline.clone(),
        file: file.unwrap_or_default(),
        params: resolved.params.clone(),
        device: resolved.device.clone(),
        threads: record.threads,
        environment: record.environment.clone(),
        kinds: resolved
            .instances
            .iter()
            .map(|one| (one.kind.clone(), one.implementation))
            .collect(),
        files: files.into_values().collect(),
        instances: expected(run),
    };
    write(to, &packed, |file| {
        let path = reader.places.get(&file.path).expect("a packed file was found");
        let opened = File::open(path).map_err(RecordsError::file("read", path))?;
        Ok(Box::new(opened))
    })?;
    Ok(packed)
}

fn expected(run: &PastRun) -> Vec<Expected> {
    let instances = run.record.instances.iter();
    let made = instances.filter_map(|one| {
        Some(Expected {
            name: one.name.clone(),
            kind: one.kind.clone(),
            key: one.key.clone()?,
            digest: one.digest.clone()?,
        })
    });
    made.collect()
}

/// Rows may be large or private; what else a step reads belongs to the experiment's text.
fn role(instance: &ResolvedInstance, field: &str) -> Role {
    let of_files = field == "files" || field.starts_with("files.");
    if instance.artifact == ArtifactType::Dataset && of_files {
        Role::Data
    } else {
        Role::Template
    }
}

/// The files that an instance read: field, path, and the content that its key has.
fn read_by(
    store: &Store,
    run: &PastRun,
    instance: &ResolvedInstance,
) -> Result<Vec<(String, String, Digest)>, RecordsError> {
    if instance.files.is_empty() {
        return Ok(Vec::new());
    }
    let key = run.instance(&instance.name).and_then(|one| one.key.as_deref());
    let gone = || {
        RecordsError::Question(format!(
            "the store no longer says what {} read: run it again, and pack that run",
            instance.name
        ))
    };
    let action = key
        .map(|key| store.action_of(key))
        .transpose()?
        .flatten()
        .ok_or_else(gone)?;
    let contents: BTreeMap<String, Digest> = contents_of(&action)
        .into_iter()
        .filter(|(.., is_file)| *is_file)
        .map(|(field, digest, _)| (field, digest))
        .collect();
    let files = instance.files.iter().map(|(field, path)| {
        let digest = contents.get(field).cloned().ok_or_else(gone)?;
        Ok((field.clone(), path.clone(), digest))
    });
    files.collect()
}

/// Where the pipeline's folder may be: the record has its file as the command line named it, from the
/// folder where that ran, which is this one or the store's.
fn homes(store: &Store, file: &str) -> Vec<PathBuf> {
    let from = [Some(PathBuf::new()), store.root().parent().map(Path::to_owned)];
    let files = from.into_iter().flatten().map(|from| from.join(file));
    files.filter_map(|file| file.parent().map(Path::to_owned)).collect()
}

/// Finds files, and remembers where they are.
struct Reader {
    homes: Vec<PathBuf>,
    places: BTreeMap<String, PathBuf>,
}

impl Reader {
    /// Where a file is that is still what the run read.
    fn find(&self, path: &str, digest: &Digest) -> Result<PathBuf, RecordsError> {
        let mut there = false;
        // of the environment the record has the name only
        let written = expanded(path).map_err(|error| RecordsError::Question(format!("{path}: {error}")))?;
        for home in &self.homes {
            let place = home.join(&written);
            if !place.is_file() {
                continue;
            }
            there = true;
            if Digest::of_file(&place).map_err(RecordsError::file("read", &place))? == *digest {
                return Ok(place);
            }
        }
        if there {
            return Err(changed(path));
        }
        let homes: Vec<_> = self.homes.iter().map(|home| home.display().to_string()).collect();
        Err(RecordsError::Question(format!(
            "{path} is not below {}: run this where the pipeline ran",
            homes.join(" or ")
        )))
    }

    fn insert(
        &mut self,
        files: &mut BTreeMap<String, PackedFile>,
        path: String,
        role: Role,
        digest: Digest,
        kept: Option<PathBuf>,
    ) -> Result<(), RecordsError> {
        if let Some(earlier) = files.get(&path) {
            // as data of one step and template of another: what is needed most
            if earlier.digest != digest {
                return Err(changed(&path));
            }
            if earlier.packed.is_some() {
                return Ok(());
            }
        }
        let mut packed = None;
        if let Some(kept) = kept {
            let meta = kept.metadata().map_err(RecordsError::file("read", &kept))?;
            packed = Some(meta.len());
            self.places.insert(path.clone(), kept);
        }
        let file = PackedFile {
            path: path.clone(),
            role,
            digest,
            packed,
        };
        files.insert(path, file);
        Ok(())
    }
}
