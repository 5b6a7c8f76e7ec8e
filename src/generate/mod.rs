//! Decoding: prompts in, outputs out.
//!
//! Reading order: [`Prompting`] makes a row's prompt, [`outputs()`] writes what follows it, by [`decode()`]
//! token by token or by a beam search; [`Sampling`] chooses each token, [`each`] spreads rows over threads, [`Generation`] is what is kept.
//! A row is decoded alone, in operations that know of one thread, so its output depends neither on
//! the other rows nor on the number of threads.

mod beams;
mod checkpoint;
mod choosing;
mod conversation;
mod decode;
mod each;
mod error;
mod generation;
mod model;
mod prompting;
mod sampling;
mod speech;
mod stopping;
mod watched;

pub use checkpoint::Finished;
pub use choosing::History;
pub use conversation::{Answer, Conversation, Manner, Opening};
pub use decode::{Output, decode, outputs};
pub use each::each;
pub use error::GenerateError;
pub use generation::{Alternative, Generation, ids, write};
pub use model::{Cached, end_tokens};
pub use prompting::{Overflow, Prompted, Prompter, Prompting, whole};
pub use sampling::{EarlyStopping, Sampling};
pub use stopping::{Finish, stop_at};

/// What decoding needs of a model: the logits of the next token.
pub trait NextToken {
    /// Appends tokens to those given before; returns the logits after the last, one a token of the
    /// vocabulary.
    ///
    /// # Errors
    /// When the model cannot compute them.
    fn extend(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError>;
}

#[cfg(test)]
mod tests;
