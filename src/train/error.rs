//! What can end a training.

use std::path::PathBuf;

use crate::step::Interrupted;

/// What can end a training or an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A precision that the device does not have.
    #[error("`precision: bf16` is for the CPU: leave it out, or give the step `resources: {{gpus: 0}}`")]
    Precision,
    /// What only the CPU computes a second time.
    #[error(
        "`gradient_checkpointing: true` is for the CPU: leave it out, or give the step `resources: {{gpus: 0}}`; a \
         smaller `batch_size` with `accumulate` takes less memory as well"
    )]
    Checkpointing,
    /// Stopped on request; a checkpoint is there.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Too little text for one prediction.
    #[error("{place} holds {tokens} tokens, and predicting one takes at least 2: give it more text")]
    TooFewTokens {
        /// Which split.
        place: String,
        /// How many tokens it holds.
        tokens: usize,
    },
    /// Nothing to learn from.
    #[error("{place} holds no example: check the split of the dataset")]
    NoExamples {
        /// Which split.
        place: String,
    },
    /// Running text for a model that reads a source first.
    #[error(
        "{place} is running text, and this model has an encoder that reads a source before its decoder writes: give \
         prompts and answers, by a template"
    )]
    NoSource {
        /// Which split.
        place: String,
    },
    /// Examples without marked answers.
    #[error("{place} marks no answer tokens: the template needs a block `answer` ({{% block answer %}}..)")]
    NoAnswers {
        /// Which split.
        place: String,
    },
    /// An answer of no tokens.
    #[error("row {row} of {place}: its answer has no tokens, so nothing can be learned from it: remove the row")]
    EmptyAnswer {
        /// Which split.
        place: String,
        /// Counted from 1, as lines of data.jsonl.
        row: usize,
    },
    /// An example that the model cannot read whole.
    #[error(
        "row {row} of {place}: prompt and answer are {tokens} tokens, and the model's context takes {context}: \
         shorten the row, use a model with a longer context, or set `overlong: drop_prompt_start`"
    )]
    Overlong {
        /// Which split.
        place: String,
        /// Counted from 1, as lines of data.jsonl.
        row: usize,
        /// Tokens of the example.
        tokens: usize,
        /// Tokens that fit: the context, and one target after it.
        context: usize,
    },
    /// An answer that alone is longer than the context.
    #[error(
        "row {row} of {place}: the answer alone is {tokens} tokens, and the model's context takes {context}: \
         shorten it, or use a model with a longer context"
    )]
    OverlongAnswer {
        /// Which split.
        place: String,
        /// Counted from 1, as lines of data.jsonl.
        row: usize,
        /// Tokens of the answer.
        tokens: usize,
        /// Tokens of answer that fit after one of prompt.
        context: usize,
    },
    /// A token that the model does not know.
    #[error("{place} holds token {token}, and the model knows {vocabulary}: encode it with the model's tokenizer")]
    UnknownToken {
        /// Which split.
        place: String,
        /// The token.
        token: u32,
        /// The size of the model's vocabulary.
        vocabulary: usize,
    },
    /// The loss or the gradient is no longer a number.
    #[error(
        "the {what} at update {update} is {value}: the training diverged. Lower `learning_rate` (it was {rate:.2e}), \
         lengthen `warmup`, or set `clip: 1`"
    )]
    Diverged {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Counted from 1.
        update: u64,
        /// NaN or infinity.
        value: f64,
        /// The learning rate of the update before.
        rate: f64,
    },
    /// A result could not be read from the device.
    #[error("cannot read {what} from the device: {why}")]
    Device {
        /// What was read.
        what: &'static str,
        /// The device's words.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint does not fit.
    #[error("checkpoint {}: {why}", path.display())]
    Checkpoint {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The model could not be read or written.
    #[error(transparent)]
    Model(#[from] crate::models::ModelError),
}

impl TrainError {
    /// An input or output error at a path.
    pub fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
