//! What ends generation.

use std::path::PathBuf;

use crate::data::DataError;
use crate::models::ModelError;
use crate::prompt::PromptError;
use crate::tokenizer::TokenizerError;

/// What ends generation. Inside [`GenerateError::Row`] it names the row.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Something about one row.
    #[error("row {id}: {source}")]
    Row {
        /// The row's name.
        id: String,
        /// What.
        source: Box<GenerateError>,
    },
    /// The prompt has no tokens and the model no token to begin with.
    #[error(
        "the prompt is empty and the tokenizer declares neither a bos nor an eos token to begin with: let the template \
         print some text"
    )]
    EmptyPrompt,
    /// Prompt and new tokens do not fit the model.
    #[error(
        "the prompt has {prompt} tokens and max_new_tokens is {new}, but the model's context is {context} tokens: \
         {help}"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// `max_new_tokens`.
        new: usize,
        /// The model's context.
        context: usize,
        /// The next move.
        help: &'static str,
    },
    /// The model's logits are unusable.
    #[error("the model's logits are not numbers: its weights are broken, look at the loss of its training")]
    NotANumber,
    /// The settings leave no token to choose.
    #[error(
        "no token is left to choose: suppress_tokens, begin_suppress_tokens, no_repeat_ngram_size or a forced token \
         that is not in the vocabulary forbid all of them"
    )]
    NoToken,
    /// The tokenizer writes tokens that the model does not have.
    #[error(
        "the tokenizer gives token {token}, but the model's vocabulary has {vocabulary} tokens: they do not belong together"
    )]
    Vocabulary {
        /// The token.
        token: u32,
        /// The size of the model's vocabulary.
        vocabulary: usize,
    },
    /// The output was ended while it was made, because someone asked for it.
    #[error("stopped")]
    Stopped,
    /// A template into which a message cannot go.
    #[error("{0}")]
    Field(String),
    /// A setting of a conversation that there is not, or a value that it does not take.
    #[error("{0}")]
    Setting(String),
    /// A reference is asked for that the row does not have.
    #[error("there is no text field `{field}` for its references; the row has {fields}")]
    Reference {
        /// The field.
        field: String,
        /// The row's fields.
        fields: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Text cannot be encoded or decoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The template does not fit the row.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The rows cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl GenerateError {
    /// The same, said of a row.
    pub fn of_row(self, id: &str) -> Self {
        Self::Row {
            id: id.to_owned(),
            source: Box::new(self),
        }
    }
}
