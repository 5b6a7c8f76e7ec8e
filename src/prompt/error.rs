//! What can be wrong with a prompt.

use std::path::PathBuf;

/// What can be wrong with a prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A template's file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A template that cannot be compiled, or rendered for a row.
    #[error("{template}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Template {
        /// The template's name (its path).
        template: String,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and the next move.
        message: String,
    },
    /// Too few examples to choose from.
    #[error(
        "{shots} examples are asked for, and the pool of {pool} rows has only {found} that differ from the item \
         and from each other"
    )]
    TooFewExamples {
        /// How many are asked for.
        shots: usize,
        /// The rows of the pool.
        pool: usize,
        /// How many can be used.
        found: usize,
    },
    /// A prompt that does not fit.
    #[error(
        "the prompt of {sample} is {tokens} tokens{}, and {budget} are left in the context window: shorten the row, \
         take a larger context, or ask for fewer new tokens or shots",
        if *shots == 0 { " even without examples".into() } else { format!(" with {shots} examples") }
    )]
    Overflow {
        /// The sample, as the caller names it.
        sample: String,
        /// The prompt's tokens.
        tokens: usize,
        /// The tokens that there is room for.
        budget: usize,
        /// The examples in it.
        shots: usize,
    },
    /// Tokens that cannot be counted.
    #[error("the prompt of {sample}: {message}")]
    Count {
        /// The sample, as the caller names it.
        sample: String,
        /// Why.
        message: String,
    },
}
