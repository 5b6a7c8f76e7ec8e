//! Decoding: prompts in, outputs out.
//!
//! Reading order: [`Prompting`] makes a row's prompt; [`write_rows`] writes what follows the prompts of many rows
//! side by side, [`outputs()`] that of one prompt alone, by [`decode()`] token by token or by a beam search; [`Sampling`]
//! chooses each token, [`Writer`] is the model in the form that writes fastest, [`Generation`] is what is kept.
//! No number of a row depends on another row, so that its output depends neither on what is written
//! beside it nor on the number of threads.

mod batch;
mod beams;
mod checkpoint;
mod choosing;
mod conversation;
mod decode;
mod each;
mod end_tokens;
mod error;
mod filters;
mod generation;
mod penalties;
mod probabilities;
mod prompting;
mod sampling;
mod speech;
mod stopping;
mod watched;
mod writer;

pub use batch::{Begun, Prompt, Rows, Writing, write_rows};
pub use checkpoint::Finished;
pub use choosing::History;
pub use conversation::{Answer, Conversation, Manner, Opening};
pub use decode::{Output, decode, outputs};
pub use each::each;
pub use end_tokens::end_tokens;
pub use error::GenerateError;
pub use filters::Candidates;
pub use generation::{Alternative, Generation, ids, write};
pub use prompting::{Overflow, Prompted, Prompter, Prompting, whole};
pub use sampling::{EarlyStopping, Sampling};
pub use stopping::{Finish, stop_at};
pub use writer::{Cached, Writer};

/// What decoding needs of a model: the logits of the next token.
pub trait NextToken {
    /// Appends tokens to those given before; `logits` become those after the last, one a token of the
    /// vocabulary.
    ///
    /// # Errors
    /// When the model cannot compute them.
    fn extend(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), GenerateError>;

    /// The same for whoever takes the likeliest token, the first of equal ones, of up to `more` that are to
    /// follow: that token, or none where `logits` are to be looked at.
    ///
    /// # Errors
    /// As [`Self::extend`].
    fn extend_to_likeliest(
        &mut self,
        tokens: &[u32],
        more: usize,
        logits: &mut Vec<f32>,
    ) -> Result<Option<u32>, GenerateError> {
        let _ = more; // of use to a model that can prepare itself
        self.extend(tokens, logits)?;
        Ok(None)
    }

    /// Appends a token to each of several copies.
    ///
    /// # Errors
    /// As [`Self::extend`].
    fn extend_all(all: &mut [(&mut Self, u32, &mut Vec<f32>)]) -> Result<(), GenerateError>
    where
        Self: Sized,
    {
        all.iter_mut()
            .try_for_each(|(one, token, logits)| one.extend(&[*token], logits))
    }
}

#[cfg(test)]
mod tests;
