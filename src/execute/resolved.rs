//! What a run was of, kept with its record: the pipeline's texts as they were read, and
//! `resolved.json`, the same with nothing left to expand. Both are written before anything runs, so
//! an interrupted run has them as well. No secrets (settings are as the file shows them) and no
//! absolute paths but those that the file itself has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::pipeline::{Instance, LeftOut, Pipeline, Policy};
use crate::step::{ArtifactType, Redaction, files_of};
use crate::store::{StoreError, write_atomic, write_json};

/// A pipeline as a run had it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Of this record's form.
    pub version: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// What it is for.
    pub about: String,
    /// The root of all randomness.
    pub seed: u64,
    /// The device, as the command line spells it: `cpu`, `gpu:0`.
    pub device: String,
    /// The parameters in force.
    pub params: Map<String, Value>,
    /// The last names of the pipeline's folder, as many as the paths below climb out of it: with
    /// `../datasets/a.jsonl` in `/home/ana/lab/pipelines` it is `pipelines`.
    pub folder: String,
    /// The files that the pipeline is written in, the named one first.
    pub sources: Vec<KeptSource>,
    /// What a `when:` left out.
    pub left_out: Vec<LeftOut>,
    /// The instances, in the order in which they could run.
    pub instances: Vec<ResolvedInstance>,
}

/// One file that a pipeline is written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSource {
    /// Its path from the pipeline's folder, `/` between names.
    pub path: String,
    /// Where its text is, below the run's folder.
    pub kept: String,
}

/// One instance as it was to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedInstance {
    /// `answers[model=tuned,shots=1]`
    pub name: String,
    /// `answers`
    pub step: String,
    /// Its kind.
    pub kind: String,
    /// The kind's implementation version.
    pub implementation: u32,
    /// Its artifact's type.
    #[serde(rename = "type")]
    pub artifact: ArtifactType,
    /// Matrix axes and values, in order.
    pub axes: Vec<(String, String)>,
    /// The settings: references by instance name, paths as the file has them.
    pub settings: Value,
    /// The root of its random numbers (hexadecimal), of a step that draws.
    pub seed: Option<String>,
    /// The instances that it reads, with the part if not the whole: `rows.train`.
    pub inputs: Vec<String>,
    /// The files that it reads, by the field under which the key has their content; paths from the
    /// pipeline's folder, or absolute where the file has them so.
    pub files: BTreeMap<String, String>,
    /// Whether a step had it added.
    pub derived: bool,
    /// How it was to be run.
    pub policy: Policy,
}

impl Resolved {
    /// Its file in the run's folder.
    pub const FILE: &str = "resolved.json";
    const VERSION: u32 = 1;

    fn of(pipeline: &Pipeline, device: String) -> Self {
        let file = std::path::absolute(&pipeline.file).unwrap_or_else(|_| pipeline.file.clone());
        let home = file.parent().unwrap_or(Path::new(""));
        let instances: Vec<_> = pipeline.instances.iter().map(|one| instance(one, home)).collect();
        let sources = pipeline.sources.iter().map(|(path, _)| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            relative(home, &path)
        });
        let sources: Vec<String> = sources.collect();
        let paths = || {
            let files = instances.iter().flat_map(|one: &ResolvedInstance| one.files.values());
            files.chain(&sources)
        };
        let folder = last_names(home, paths().map(|path| climbs(path)).max().unwrap_or(0));
        let kept = |path: &String| KeptSource {
            path: path.clone(),
            kept: format!("files/{}", within(&folder, path)),
        };
        Self {
            version: Self::VERSION,
            pipeline: pipeline.name.clone(),
            about: pipeline.about.clone(),
            seed: pipeline.seed,
            device,
            params: pipeline.params.clone(),
            sources: sources.iter().map(kept).collect(),
            left_out: pipeline.left_out.clone(),
            instances,
            folder,
        }
    }

    /// Reads what a run kept; `None` of a run by a version that kept nothing.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn read(run: &Path) -> Result<Option<Self>, StoreError> {
        let path = run.join(Self::FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(StoreError::record(&path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("read", &path)(error)),
        }
    }

    /// One instance by its name.
    pub fn instance(&self, name: &str) -> Option<&ResolvedInstance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// A path from the pipeline's folder as a path from the nearest folder that holds all files of
    /// the pipeline: `../datasets/a.jsonl` is `datasets/a.jsonl`, `lab.yaml` is `pipelines/lab.yaml`.
    pub fn place(&self, path: &str) -> String {
        within(&self.folder, path)
    }
}

/// Keeps the texts of a pipeline and what they came to in a run's folder.
pub(super) fn keep(pipeline: &Pipeline, device: String, run: &Path) -> Result<(), StoreError> {
    let resolved = Resolved::of(pipeline, device);
    for (source, (_, text)) in resolved.sources.iter().zip(&pipeline.sources) {
        let path = run.join(&source.kept);
        let folder = path.parent().unwrap_or(run);
        fs::create_dir_all(folder).map_err(StoreError::file("make", folder))?;
        write_atomic(&path, text.as_bytes())?;
    }
    write_json(&run.join(Resolved::FILE), &resolved)
}

fn instance(one: &Instance, home: &Path) -> ResolvedInstance {
    let inputs = one.inputs.iter().map(|(_, input)| match &input.part {
        Some(part) => format!("{}.{part}", input.instance),
        None => input.instance.clone(),
    });
    // a pattern that matches nothing has no files; deciding about the instance tells why
    let files = files_of(one.work.as_ref()).unwrap_or_default();
    let redaction = Redaction::of(&one.settings);
    let files = files.into_iter().map(|(field, path)| {
        // what the environment gave is recorded by its name
        let named = redaction.clean(&slashes(&path));
        if named != slashes(&path) {
            return (field, named);
        }
        // what the file wrote relative begins with its folder (`…/pipelines/../datasets/a.jsonl`)
        let written_relative = path.strip_prefix(home).is_ok();
        let path = if written_relative {
            relative(home, &path)
        } else {
            slashes(&path)
        };
        (field, path)
    });
    ResolvedInstance {
        name: one.name.clone(),
        step: one.step.clone(),
        kind: one.kind.name.into(),
        implementation: one.kind.version,
        artifact: one.kind.output,
        axes: one.axes.clone(),
        settings: one.shown.clone(),
        seed: one.work.needs().seed.then(|| one.seed.to_hex()),
        inputs: inputs.collect(),
        files: files.collect(),
        derived: one.derived,
        policy: one.policy,
    }
}

/// A path without `.` and `..`, by its names alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// A path from a folder, both absolute.
fn relative(folder: &Path, path: &Path) -> String {
    let (folder, path) = (plain(folder), plain(path));
    let shared = folder.components().zip(path.components());
    let shared = shared.take_while(|(one, other)| one == other).count();
    if shared == 0 {
        return slashes(&path); // another drive
    }
    let up = folder.components().skip(shared).map(|_| "..".to_owned());
    let down = path.components().skip(shared);
    let down = down.map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

fn slashes(path: &Path) -> String {
    let text = path.to_string_lossy();
    if cfg!(windows) {
        text.replace('\\', "/")
    } else {
        text.into_owned()
    }
}

/// How many folders a relative path leaves.
fn climbs(path: &str) -> usize {
    path.split('/').take_while(|name| *name == "..").count()
}

fn last_names(folder: &Path, count: usize) -> String {
    let folder = plain(folder);
    let names = folder.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    names[names.len().saturating_sub(count)..].join("/")
}

/// A path from the pipeline's folder as a path from as far above it as `folder` has names.
fn within(folder: &str, path: &str) -> String {
    let names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    let up = climbs(path).min(names.len());
    let down = path.split('/').skip(climbs(path));
    let names = names[..names.len() - up].iter().copied();
    names.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_the_pipelines_folder_and_placed_below_what_holds_all() {
        let home = Path::new("/home/ana/lab/pipelines");
        let data = relative(home, Path::new("/home/ana/lab/pipelines/../datasets/a.jsonl"));
        assert_eq!(data, "../datasets/a.jsonl");
        assert_eq!(relative(home, Path::new("/home/ana/lab/pipelines/b/./c")), "b/c");
        assert_eq!((climbs(&data), climbs("a/../b")), (1, 0));
        let folder = last_names(home, 1);
        assert_eq!(folder, "pipelines");
        assert_eq!(within(&folder, &data), "datasets/a.jsonl");
        assert_eq!(within(&folder, "lab.yaml"), "pipelines/lab.yaml");
        assert_eq!(within("", "lab.yaml"), "lab.yaml");
        assert_eq!(within("lab/pipelines", "../x"), "lab/x");
        assert_eq!(last_names(Path::new("/"), 3), "");
    }
}
