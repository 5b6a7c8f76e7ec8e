//! Which artifact is meant: `RUN:INSTANCE`, a digest or the beginning of one, or a path.

use std::fs;
use std::path::Path;

use super::trace::{Trace, Tracer};
use super::{RecordsError, find};
use crate::execute::without_facts;
use crate::step::Digest;
use crate::store::{Manifest, Place};

/// Fewer digits of a digest than this mean nothing.
const DIGITS: usize = 4;

impl Tracer<'_> {
    /// The history of what a text means.
    ///
    /// # Errors
    /// When it means nothing, or several things.
    pub fn trace_meant(&mut self, text: &str) -> Result<Trace, RecordsError> {
        let path = Path::new(text);
        if path.exists() {
            let place = self.of_path(path)?;
            return Ok(self.trace(&place.object, place.part, None, None));
        }
        if let Some((run, name)) = text.split_once(':') {
            let run = find(self.store, run)?;
            let (name, part) = match run.instance_or_step(name) {
                Ok(one) => (one.name.clone(), None),
                Err(error) => {
                    let (instance, part) = name.rsplit_once('.').ok_or(error)?;
                    (run.instance_or_step(instance)?.name.clone(), Some(part.to_owned()))
                }
            };
            let one = run
                .instance(&name)
                .and_then(|one| one.digest.clone().zip(one.key.clone()));
            let (digest, key) =
                one.ok_or_else(|| RecordsError::Question(format!("{name} was not made in run {}", run.record.run)))?;
            let digest = self.digest(&digest)?;
            if let Some(part) = &part {
                let manifest = self.contents.manifests.get(&digest);
                if manifest.is_some_and(|manifest| !manifest.parts().contains_key(part)) {
                    return Err(RecordsError::Question(format!("{name} has no part `{part}`")));
                }
            }
            return Ok(self.trace(&digest, part, Some(&key), Some(&run)));
        }
        let place = self.of_digits(text)?;
        Ok(self.trace(&place.object, place.part, None, None))
    }

    fn digest(&self, text: &str) -> Result<Digest, RecordsError> {
        let digest = serde_json::from_value(serde_json::Value::String(text.to_owned()));
        digest.map_err(|_| RecordsError::Question(format!("`{text}` is no digest")))
    }

    fn of_digits(&self, text: &str) -> Result<Place, RecordsError> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hexadecimal || text.len() < DIGITS {
            return Err(RecordsError::Question(format!(
                "`{text}` is no artifact: write RUN:INSTANCE, {DIGITS} or more digits of a digest, or a path"
            )));
        }
        let begins = |digest: &&Digest| digest.as_str().starts_with(&text.to_ascii_lowercase());
        let objects: Vec<_> = self.contents.manifests.keys().filter(begins).collect();
        match objects[..] {
            [object] => Ok(Place {
                object: object.clone(),
                part: None,
            }),
            [] => Err(RecordsError::Question(format!(
                "no artifact in the store begins with `{text}`"
            ))),
            _ => Err(RecordsError::Question(format!(
                "{} artifacts begin with `{text}`: write more digits",
                objects.len()
            ))),
        }
    }

    /// An artifact, a part of one or a file of one, where it is or copied: by its content.
    fn of_path(&self, path: &Path) -> Result<Place, RecordsError> {
        let absolute = fs::canonicalize(path).map_err(RecordsError::file("find", path))?;
        let root = fs::canonicalize(self.store.root()).unwrap_or_else(|_| self.store.root().to_owned());
        if let Ok(inside) = absolute.strip_prefix(root.join("objects")) {
            let name = inside
                .components()
                .nth(1)
                .map(|name| name.as_os_str().to_string_lossy());
            if let Some(name) = name {
                return self.of_digits(name.trim_end_matches(".seen.json").trim_end_matches(".json"));
            }
        }
        let place = if absolute.is_dir() {
            let mut manifest = Manifest::of_folder(&absolute)?;
            let page = absolute.join("index.html");
            if let Some(entry) = manifest.files.get_mut("index.html") {
                let bytes = fs::read(&page).map_err(RecordsError::file("read", page))?;
                let bytes = without_facts(bytes);
                entry.size = bytes.len() as u64;
                entry.digest = Digest::of(&bytes);
            }
            self.contents.places(&manifest.digest()).first().cloned()
        } else {
            let bytes = fs::read(&absolute).map_err(RecordsError::file("read", absolute))?;
            let digest = Digest::of(&without_facts(bytes));
            let holds = |manifest: &&Manifest| manifest.files.values().any(|entry| entry.digest == digest);
            let mut objects = self.contents.manifests.iter();
            let found = objects.find(|(_, manifest)| holds(manifest));
            found.map(|(object, _)| Place {
                object: object.clone(),
                part: None,
            })
        };
        place.ok_or_else(|| {
            RecordsError::Question(format!(
                "nothing in {} has the content of {}: was it changed, or made with another --store?",
                self.store.root().display(),
                path.display()
            ))
        })
    }
}
