//! A packed run elsewhere: unpacked where its data are, and what came out held against what must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::archive::read;
use super::compare::{environment, values};
use super::difference::ValueDifference;
use super::packed::{Packed, PackedFile};
use super::{PastRun, RecordsError};
use crate::step::Digest;

/// How a repetition came out.
#[derive(Clone, Debug, Serialize)]
pub struct Repetition {
    /// The run that was packed.
    pub packed: String,
    /// The run that repeated it.
    pub run: String,
    /// Instances with the same artifact.
    pub same: usize,
    /// Instances with another.
    pub different: Vec<Other>,
    /// Instances that were not made.
    pub missing: Vec<String>,
    /// Facts of machine and program that differ, kinds' implementation versions among them.
    pub environment: Vec<ValueDifference>,
    /// The report's page.
    pub report: Option<String>,
}

/// An instance with another artifact.
#[derive(Clone, Debug, Serialize)]
pub struct Other {
    /// The instance.
    pub instance: String,
    /// What must come out.
    pub expected: String,
    /// What did.
    pub found: String,
    /// Whether everything that it depends on was the same: then it was made otherwise, and not from
    /// something else.
    pub same_key: bool,
}

/// Unpacks a run to a folder that is empty, does not exist, or holds the data that the archive lacks.
/// Nothing is put there unless every file is what the run read.
///
/// # Errors
/// When the archive is wrong, the folder holds something else, or data are absent or not what the run
/// read; all of these are named at once.
pub fn unpack(archive: &Path, to: &Path) -> Result<Packed, RecordsError> {
    let to = std::path::absolute(to).map_err(RecordsError::file("find", to))?;
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(RecordsError::file("make", parent))?;
    let aside = tempfile::Builder::new()
        .prefix(".fragua-repro-")
        .tempdir_in(parent)
        .map_err(RecordsError::file("write in", parent))?;
    let packed = read(archive, aside.path())?;
    let lacking: Vec<&PackedFile> = packed.files.iter().filter(|file| file.packed.is_none()).collect();
    let brought: BTreeSet<PathBuf> = lacking.iter().map(|file| to.join(&file.path)).collect();
    if let Some(other) = other_than(&to, &brought)? {
        return Err(RecordsError::Question(format!(
            "{} holds {}: name a folder that is empty, or that holds only the data of the run",
            to.display(),
            other.strip_prefix(&to).unwrap_or(&other).display()
        )));
    }
    let mut problems = Vec::new();
    for file in lacking {
        let path = to.join(&file.path); // an absolute one stays as it is
        if !path.is_file() {
            problems.push(format!(
                "  {} is not there (digest {})",
                path.display(),
                file.digest.short()
            ));
            continue;
        }
        let found = Digest::of_file(&path).map_err(RecordsError::file("read", &path))?;
        if found != file.digest {
            problems.push(format!(
                "  {} is not what the run read: digest {}, not {}",
                path.display(),
                found.short(),
                file.digest.short()
            ));
        }
    }
    if !problems.is_empty() {
        return Err(RecordsError::Question(format!(
            "{} does not hold the data of the run, and\n{}\nput the files there, or pack with `--with-data`",
            archive.display(),
            problems.join("\n")
        )));
    }
    for file in packed.files.iter().filter(|file| file.packed.is_some()) {
        let target = to.join(&file.path);
        let folder = target.parent().unwrap_or(&to);
        fs::create_dir_all(folder).map_err(RecordsError::file("make", folder))?;
        fs::rename(aside.path().join(&file.path), &target).map_err(RecordsError::file("write", &target))?;
    }
    Ok(packed)
}

/// A file below a folder that is none of those brought.
fn other_than(folder: &Path, brought: &BTreeSet<PathBuf>) -> Result<Option<PathBuf>, RecordsError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RecordsError::file("read", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(RecordsError::file("read", folder))?;
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let other = if is_folder {
            other_than(&path, brought)?
        } else {
            (!brought.contains(&path)).then_some(path)
        };
        if other.is_some() {
            return Ok(other);
        }
    }
    Ok(None)
}

/// Holds a run against the packed one. `kinds` are the implementation versions of this program.
pub fn repetition(packed: &Packed, run: &PastRun, kinds: &BTreeMap<String, u32>) -> Repetition {
    let mut came = Repetition {
        packed: packed.run.clone(),
        run: run.record.run.clone(),
        same: 0,
        different: Vec::new(),
        missing: Vec::new(),
        environment: values(&expected_environment(packed), &found_environment(run, packed, kinds)),
        report: run.record.report.clone(),
    };
    for expected in &packed.instances {
        let found = run.instance(&expected.name);
        match found.and_then(|found| found.digest.clone()) {
            None => came.missing.push(expected.name.clone()),
            Some(digest) if digest == expected.digest => came.same += 1,
            Some(digest) => came.different.push(Other {
                instance: expected.name.clone(),
                same_key: found.and_then(|found| found.key.as_ref()) == Some(&expected.key),
                expected: expected.digest.clone(),
                found: digest,
            }),
        }
    }
    came
}

/// What of a machine and a program can make another result.
const FACTS: [&str; 6] = ["fragua", "os", "arch", "cpu", "simd", "device"];

fn expected_environment(packed: &Packed) -> BTreeMap<String, Value> {
    let facts = serde_json::to_value(&packed.environment).unwrap_or_default();
    let facts = FACTS.iter().map(|name| ((*name).to_owned(), facts[*name].clone()));
    let kinds = packed
        .kinds
        .iter()
        .map(|(kind, version)| (format!("{kind} implementation"), Value::from(*version)));
    facts.chain(kinds).collect()
}

fn found_environment(run: &PastRun, packed: &Packed, kinds: &BTreeMap<String, u32>) -> BTreeMap<String, Value> {
    let mut facts = environment(&run.record);
    facts.retain(|name, _| FACTS.contains(&name.as_str()));
    let version = |kind: &String| kinds.get(kind).map_or(Value::Null, |version| Value::from(*version));
    let kinds = packed
        .kinds
        .keys()
        .map(|kind| (format!("{kind} implementation"), version(kind)));
    facts.extend(kinds);
    facts
}

#[cfg(test)]
mod tests {
    use super::super::archive::{LIST, check_inside};
    use super::*;

    /// An archive of entries as somebody might forge them.
    fn forged(folder: &Path, entries: &[(&str, tar::EntryType, &[u8])]) -> PathBuf {
        let path = folder.join("forged.tar");
        let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    fn list(path: &str, content: &[u8]) -> Vec<u8> {
        let facts = serde_json::json!({"fragua": "0", "commit": null, "dirty": null, "os": "", "arch": "",
            "cpu": "", "simd": "", "cores": 1, "memory": 1, "device": "cpu"});
        let file = serde_json::json!({"path": path, "role": "template", "digest": Digest::of(content),
            "packed": content.len()});
        let list = serde_json::json!({"version": 1, "run": "r", "name": null, "pipeline": "p", "file": "p.yaml",
            "params": {}, "device": "cpu", "threads": 1, "environment": facts, "kinds": {}, "files": [file],
            "instances": []});
        list.to_string().into_bytes()
    }

    #[test]
    fn a_forged_archive_writes_nothing() {
        use tar::EntryType::{Regular, Symlink};
        let text = b"text".as_slice();
        let good = list("a/b.txt", text);
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        let refused = |entries: &[(&str, tar::EntryType, &[u8])]| {
            let path = forged(folder.path(), entries);
            let error = unpack(&path, &to).unwrap_err().to_string();
            assert!(!to.exists(), "{error}");
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                1,
                "nothing is left: {error}"
            );
            error
        };
        assert!(refused(&[("a/b.txt", Regular, text)]).contains("does not begin with"));
        assert!(refused(&[(LIST, Regular, &good)]).contains("lacks a/b.txt"));
        assert!(refused(&[(LIST, Regular, &good), ("a/b.txt", Regular, b"next")]).contains("damaged"));
        assert!(refused(&[(LIST, Regular, &good), ("a/b.txt", Regular, b"longer")]).contains("not so in its list"));
        assert!(refused(&[(LIST, Regular, &good), ("a/b.txt", Symlink, text)]).contains("not so in its list"));
        assert!(refused(&[(LIST, Regular, &good), ("other", Regular, text)]).contains("not so in its list"));
        for path in ["../x", "/etc/x", "a/../../x", "", "a\\b"] {
            assert!(check_inside(path).is_err(), "{path}");
            let wrong = list(path, text);
            assert!(
                refused(&[(LIST, Regular, &wrong), (path, Regular, text)]).contains("leaves"),
                "{path}"
            );
        }
        let path = forged(folder.path(), &[(LIST, Regular, &good), ("a/b.txt", Regular, text)]);
        unpack(&path, &to).unwrap();
        assert_eq!(fs::read(to.join("a/b.txt")).unwrap(), text);
    }
}
