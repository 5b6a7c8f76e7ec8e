//! Which objects hold a content: a key names inputs by the digest of what was read, which may be a
//! part of an object (`rows.train`).

use std::collections::BTreeMap;

use super::actions::digest_of_name;
use super::layout::read_if_there;
use super::{Action, Manifest, Store, StoreError};
use crate::step::{ArtifactType, Digest};

/// Where a content is: an object, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object.
    pub object: Digest,
    /// The part, if not the whole.
    pub part: Option<String>,
}

/// All objects' manifests, and where each content is.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The manifests, by object.
    pub manifests: BTreeMap<Digest, Manifest>,
    places: BTreeMap<Digest, Vec<Place>>,
}

impl Contents {
    /// Where a content is: whole objects first, then parts, each in the order of digests.
    pub fn places(&self, content: &Digest) -> &[Place] {
        self.places.get(content).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, content: Digest, object: &Digest, part: Option<&str>) {
        let place = Place {
            object: object.clone(),
            part: part.map(str::to_owned),
        };
        let places = self.places.entry(content).or_default();
        if place.part.is_none() {
            places.insert(0, place);
        } else {
            places.push(place);
        }
    }
}

impl Manifest {
    /// The parts that steps can refer to, with their files: every folder at the root, and what all
    /// artifacts of a type have.
    pub fn parts(&self) -> BTreeMap<String, Self> {
        let folders = self.files.keys().filter_map(|path| Some(path.split_once('/')?.0));
        let mut parts: BTreeMap<String, Self> = folders.map(|name| (name.to_owned(), self.folder(name))).collect();
        for (name, files) in ArtifactType::Model.fixed_parts() {
            let part = self.only(files);
            if !part.files.is_empty() && part.files.len() < self.files.len() {
                parts.insert((*name).to_owned(), part);
            }
        }
        parts
    }
}

impl Store {
    /// The manifest of an object, its files unread; `None` without one that is its own.
    pub fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let bytes = read_if_there(&self.manifest_path(digest)).ok()??;
        let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
        (manifest.digest() == *digest).then_some(manifest)
    }

    /// The same by the digest that a record names.
    pub fn manifest_of(&self, digest: &str) -> Option<Manifest> {
        self.manifest(&digest_of_name(digest)?)
    }

    /// The action of a key that a record names.
    ///
    /// # Errors
    /// When the entry cannot be read or is not a record.
    pub fn action_of(&self, key: &str) -> Result<Option<Action>, StoreError> {
        digest_of_name(key).map_or(Ok(None), |key| self.action(&key))
    }

    /// What all objects hold, by their manifests.
    ///
    /// # Errors
    /// When a folder cannot be read. An object without a manifest holds nothing.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        let mut contents = Contents::default();
        for object in self.objects()? {
            let Some(manifest) = self.manifest(&object) else {
                continue;
            };
            contents.add(object.clone(), &object, None);
            for (name, part) in manifest.parts() {
                contents.add(part.digest(), &object, Some(&name));
            }
            contents.manifests.insert(object, manifest);
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_content_is_found_whole_and_as_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(out.join("train")).unwrap();
        fs::write(out.join("train/data.jsonl"), "{}").unwrap();
        fs::write(out.join("tokenizer.json"), "{}").unwrap();
        let manifest = Manifest::of_folder(&out).unwrap();
        let object = store.publish(&out, &manifest).unwrap().digest;
        let contents = store.contents().unwrap();
        let whole = Place {
            object: object.clone(),
            part: None,
        };
        assert_eq!(contents.places(&object), [whole]);
        let part = |name: &str| Place {
            object: object.clone(),
            part: Some(name.into()),
        };
        assert_eq!(contents.places(&manifest.folder("train").digest()), [part("train")]);
        let tokenizer = manifest.only(&["tokenizer.json"]).digest();
        assert_eq!(contents.places(&tokenizer), [part("tokenizer")]);
        assert!(contents.places(&Digest::of(b"nothing")).is_empty());
    }
}
