//! The types of artifacts, as values and as markers for typed references.

use serde::{Deserialize, Serialize};

/// The type of an artifact. What is on disk for each is in `docs/artifacts.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactType {
    /// Rows: a folder a split with `data.jsonl` and `info.json`.
    Dataset,
    /// `tokenizer.json`, `tokenizer_config.json`.
    Tokenizer,
    /// Encoded rows: a folder a split with `tokens.bin` and `index.json`.
    Tokens,
    /// A Hugging Face model directory.
    Model,
    /// `generations.jsonl`.
    Generations,
    /// `scores.json`, `samples.jsonl`.
    Scores,
    /// `index.html`, `scores.csv`, `samples.csv` and more tables.
    Report,
}

impl ArtifactType {
    /// The word for messages: `model`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Tokenizer => "tokenizer",
            Self::Tokens => "tokens",
            Self::Model => "model",
            Self::Generations => "generations",
            Self::Scores => "scores",
            Self::Report => "report",
        }
    }

    /// Parts that every artifact of this type has, so that a step may refer to them
    /// (`base.tokenizer`), as file names at its root or a folder.
    pub fn fixed_parts(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Model => &[("tokenizer", &["tokenizer.json", "tokenizer_config.json"])],
            _ => &[],
        }
    }
}

impl std::fmt::Display for ArtifactType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The artifact types that a reference accepts, as a type.
pub trait Typed {
    /// Accepted types.
    const TYPES: &'static [ArtifactType];
}

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident = [$($kind:ident),+];)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;
        impl Typed for $name {
            const TYPES: &'static [ArtifactType] = &[$(ArtifactType::$kind),+];
        }
    )+};
}

markers! {
    /// Accepts a dataset.
    Dataset = [Dataset];
    /// Accepts a tokenizer.
    Tokenizer = [Tokenizer];
    /// Accepts a tokenizer, or a model for the one inside.
    TokenizerOrModel = [Tokenizer, Model];
    /// Accepts encoded tokens.
    Tokens = [Tokens];
    /// Accepts a model.
    Model = [Model];
    /// Accepts generations.
    Generations = [Generations];
    /// Accepts scores.
    Scores = [Scores];
    /// Accepts a report.
    Report = [Report];
}
