//! What can be wrong with a tokenizer, or with a text for it.

use std::path::{Path, PathBuf};

/// What can be wrong with a tokenizer, or with a text for it.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not a tokenizer.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A tokenizer that cannot be made.
    #[error("{0}")]
    Unfit(String),
    /// A character that the vocabulary does not have, in a tokenizer without an unknown token.
    #[error(
        "the character {character:?} (U+{:04X}) is not in the vocabulary; train the tokenizer on text that has it, \
         or declare `special_tokens: {{unk: ..}}`",
        u32::from(*character)
    )]
    UnknownCharacter {
        /// The first such character of the text.
        character: char,
    },
    /// A text that the tokenizer refuses.
    #[error("cannot encode the text: {0}")]
    Encode(String),
}

impl TokenizerError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
