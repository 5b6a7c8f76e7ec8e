//! What a dataset is read from: files, in one heap or by split, and texts that are aligned by line.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::data::read::{Aligned, Format, Unit, parallel};
use crate::data::{DataError, Row, expand};
use crate::step::FilePath;

/// One path or pattern, or several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    /// `data/*.jsonl`
    One(FilePath),
    /// `[a.jsonl, b.jsonl]`
    Many(#[schemars(length(min = 1))] Vec<FilePath>),
}

impl Paths {
    /// Each with its place under the setting: nothing, or `.0`.
    fn each(&self) -> Vec<(String, &FilePath)> {
        match self {
            Self::One(path) => vec![(String::new(), path)],
            Self::Many(paths) => {
                let numbered = paths.iter().enumerate();
                numbered.map(|(number, path)| (format!(".{number}"), path)).collect()
            }
        }
    }

    /// All files, in order, each with the place of its pattern under the settings.
    fn files(&self, under: &str) -> Result<Vec<(String, PathBuf)>, Misread> {
        let mut files = Vec::new();
        for (place, pattern) in self.each() {
            let place = format!("{under}{place}");
            match expand(pattern.as_path()) {
                Ok(found) => files.extend(found.into_iter().map(|file| (place.clone(), file))),
                Err(error) => {
                    return Err(Misread {
                        place,
                        written: pattern.written().to_owned(),
                        error,
                    });
                }
            }
        }
        Ok(files)
    }
}

/// A pattern that names no files, with its place under the settings.
#[derive(Debug)]
pub struct Misread {
    /// Where: `files.train.0`.
    pub place: String,
    /// The pattern as it is written.
    pub written: PathBuf,
    /// Why.
    pub error: DataError,
}

/// Files, or files by split.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Files {
    /// Of one heap.
    All(Paths),
    /// As they were divided by others.
    Parts(Parts),
}

/// The files of each split.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Parts {
    /// Those to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Paths>,
    /// Those that training is evaluated on as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Paths>,
    /// Those that nothing sees before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Paths>,
}

/// A split's name; `None` for rows that are not divided yet.
pub type Part = Option<&'static str>;

impl Files {
    /// The paths of each part that there is, in order.
    pub fn parts(&self) -> Vec<(Part, &Paths)> {
        match self {
            Self::All(paths) => vec![(None, paths)],
            Self::Parts(Parts {
                train,
                validation,
                test,
            }) => [("train", train), ("validation", validation), ("test", test)]
                .into_iter()
                .filter_map(|(name, paths)| Some((Some(name), paths.as_ref()?)))
                .collect(),
        }
    }

    /// The names of the parts, if they are divided.
    pub fn names(&self) -> Vec<&'static str> {
        self.parts().into_iter().filter_map(|(part, _)| part).collect()
    }

    /// The files of each part, with the places of their patterns.
    fn found(&self, under: &str) -> Result<Vec<Found>, Misread> {
        let parts = self.parts().into_iter().map(|(part, paths)| {
            let place = part.map_or_else(|| under.to_owned(), |part| format!("{under}.{part}"));
            Ok((part, paths.files(&place)?))
        });
        parts.collect()
    }
}

/// A part's files, each with the place of its pattern.
type Found = (Part, Vec<(String, PathBuf)>);

/// Texts that are aligned by line, by the names of their fields in the order of the file.
#[derive(Clone, Debug)]
pub struct Parallel(Vec<(String, Files)>);

impl Parallel {
    /// The fields, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(field, _)| field.as_str()).collect()
    }

    /// The splits that the first field has.
    pub fn parts(&self) -> Vec<&'static str> {
        self.0.first().map_or_else(Vec::new, |(_, files)| files.names())
    }

    /// A field that is not divided as the first one is, and how both are.
    pub fn unlike(&self) -> Option<String> {
        let (first, parts) = (self.0.first()?, self.parts());
        let (field, files) = self.0.iter().find(|(_, files)| files.names() != parts)?;
        let listed = |names: Vec<&str>| match names.as_slice() {
            [] => "no parts".to_owned(),
            names => format!("the parts {}", names.join(", ")),
        };
        Some(format!(
            "`{field}` has {} and `{}` {}",
            listed(files.names()),
            first.0,
            listed(parts)
        ))
    }
}

impl Serialize for Parallel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, files)| (field, files)))
    }
}

impl<'de> Deserialize<'de> for Parallel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Parallel;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of fields to files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parallel, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = map.next_entry()? {
                    texts.push(text);
                }
                Ok(Parallel(texts))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

impl JsonSchema for Parallel {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parallel".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let files = generator.subschema_for::<Files>();
        json_schema!({"type": "object", "additionalProperties": files, "minProperties": 2})
    }
}

/// What one part of a dataset is read from.
pub enum Source {
    /// Files with their formats.
    Files(Vec<(PathBuf, Format)>),
    /// Texts that are aligned by line: the files of each field.
    Aligned(Vec<(String, Vec<PathBuf>)>),
}

impl Source {
    /// The sources of each part; `format` is that of all files, if it is said.
    pub fn of_files(files: &Files, format: Option<Format>) -> Result<Vec<(Part, Self)>, Misread> {
        let of = |(place, file): (String, PathBuf)| match format.map_or_else(|| Format::of(&file), Ok) {
            Ok(format) => Ok((file, format)),
            Err(error) => Err(Misread {
                place,
                written: file,
                error,
            }),
        };
        let sources = |(part, found): Found| {
            let files: Result<_, Misread> = found.into_iter().map(of).collect();
            Ok((part, Self::Files(files?)))
        };
        files.found("files")?.into_iter().map(sources).collect()
    }

    /// The sources of each part of aligned texts.
    pub fn of_texts(texts: &Parallel) -> Result<Vec<(Part, Self)>, Misread> {
        let mut parts: Vec<(Part, Vec<(String, Vec<PathBuf>)>)> = Vec::new();
        for (field, files) in &texts.0 {
            for (part, found) in files.found(&format!("parallel.{field}"))? {
                let found = found.into_iter().map(|(_, file)| file).collect();
                match parts.iter_mut().find(|(name, _)| *name == part) {
                    Some((_, fields)) => fields.push((field.clone(), found)),
                    None => parts.push((part, vec![(field.clone(), found)])),
                }
            }
        }
        Ok(parts
            .into_iter()
            .map(|(part, fields)| (part, Self::Aligned(fields)))
            .collect())
    }

    /// The rows; `tell` hears of each file that is read, and ends it all with its error.
    pub fn read(
        &self,
        unit: Unit,
        tell: &mut dyn FnMut(usize, usize, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<Aligned> {
        match self {
            Self::Files(sources) => {
                let mut rows: Vec<Row> = Vec::new();
                for (done, (file, format)) in (1..).zip(sources) {
                    rows.extend(format.read(file, unit)?);
                    tell(done, sources.len(), rows.len())?;
                }
                Ok(Aligned { rows, blank: 0 })
            }
            Self::Aligned(texts) => {
                let texts: Vec<_> = texts
                    .iter()
                    .map(|(field, files)| (field.as_str(), files.clone()))
                    .collect();
                let aligned = parallel(&texts)?;
                tell(1, 1, aligned.rows.len())?;
                Ok(aligned)
            }
        }
    }
}
