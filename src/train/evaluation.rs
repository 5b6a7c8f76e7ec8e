//! The loss of a model over a whole split.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::batches::{Batch, Reading};
use super::error::TrainError;
use super::examples::{Examples, Overlong, Taking};
use super::objective::Objectives;
use super::windows::side_by_side;
use crate::data::tokens::TokenFile;
use crate::models::Model;
use crate::step::Interrupted;

/// What a model loses on a split, or on the first batches of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The sum of -log p over all targets, in nats.
    pub nats: f64,
    /// How many targets.
    pub tokens: u64,
}

impl Evaluation {
    /// Nats a token.
    pub fn mean(&self) -> f64 {
        self.nats / self.tokens as f64
    }

    /// e to the mean: the number of equally likely tokens that would lose as much.
    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
    }
}

/// Tokens that an evaluation computes at once.
pub const TOKENS: usize = 4096;

/// Sequences of a length that an evaluation takes at once.
pub fn sequences(length: usize) -> usize {
    (TOKENS / length.max(1)).max(1)
}

/// The loss over a whole split. Without loss spans the file is cut into windows of `context` tokens
/// side by side, without overlap: every token but the first is predicted once, from the tokens
/// before it in its window. With loss spans (rows of a prompt template) each row is a sequence of
/// its own, and its answer is predicted. `batch` sequences are computed at once; [`sequences`] is
/// the number that fits. The sum's last bits depend on it, never on threads.
///
/// `model` and `device` are without autodiff.
///
/// # Errors
/// A split of fewer than two tokens, a token that the model does not know, a row longer than the
/// context, a device that fails.
pub fn loss(
    model: &Model,
    tokens: &TokenFile,
    context: usize,
    batch: usize,
    device: &Device,
) -> Result<Evaluation, TrainError> {
    let split = Split::of(tokens, "the evaluated split", model, context, Overlong::Error)?;
    split.loss(model, batch, device, &|| false)
}

/// The same, going on after the first `done` batches, which lost `so_far`. After each batch, `each`
/// is told how many are done and what they lost; what it returns ends the evaluation.
///
/// # Errors
/// As [`loss`], and those of `each`.
pub fn loss_from(
    model: &Model,
    tokens: &TokenFile,
    context: usize,
    batch: usize,
    device: &Device,
    (done, so_far): (usize, Evaluation),
    each: &mut dyn FnMut(usize, &Evaluation) -> Result<(), TrainError>,
) -> Result<Evaluation, TrainError> {
    let split = Split::of(tokens, "the evaluated split", model, context, Overlong::Error)?;
    split.loss_from(model, batch, device, (done, so_far), each)
}

/// A split to evaluate on, checked once.
pub enum Split<'a> {
    /// Running text.
    Text {
        /// The tokens.
        tokens: &'a TokenFile,
        /// Tokens in a window.
        context: usize,
    },
    /// Prompts and answers.
    Examples(Examples<'a>),
    /// Text of which something is hidden.
    Hidden(Objectives<'a>),
}

impl<'a> Split<'a> {
    /// A split for a model, in sequences of at most `context` tokens. `place` names it in errors.
    ///
    /// # Errors
    /// See [`loss`].
    pub fn of(
        tokens: &'a TokenFile,
        place: &str,
        model: &Model,
        taking: impl Into<Taking>,
        overlong: Overlong,
    ) -> Result<Self, TrainError> {
        fits(tokens, place, model)?;
        let taking = Taking {
            reading: Reading::of(model),
            ..taking.into()
        };
        let context = taking.context;
        if tokens.loss_spans().is_some() {
            return Ok(Self::Examples(Examples::of(tokens, place, taking, overlong)?));
        }
        if taking.reading != Reading::OneSequence {
            return Err(TrainError::NoSource { place: place.into() });
        }
        if tokens.len() < 2 {
            return Err(TrainError::TooFewTokens {
                place: place.into(),
                tokens: tokens.len(),
            });
        }
        Ok(Self::Text { tokens, context })
    }

    /// Tokens of its longest sequence.
    pub fn longest(&self) -> usize {
        match self {
            Self::Text { context, .. } => *context,
            Self::Examples(examples) => examples.longest(),
            Self::Hidden(objectives) => objectives.longest(),
        }
    }

    /// The loss over all of it, `batch` sequences at once. `stopping` is asked between batches.
    ///
    /// # Errors
    /// When the device fails, and [`Interrupted`] when `stopping` says so.
    pub fn loss(
        &self,
        model: &Model,
        batch: usize,
        device: &Device,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Evaluation, TrainError> {
        let stop = || if stopping() { Err(Interrupted.into()) } else { Ok(()) };
        stop()?;
        self.loss_from(model, batch, device, Default::default(), &mut |_, _| stop())
    }

    fn loss_from(
        &self,
        model: &Model,
        batch: usize,
        device: &Device,
        (done, so_far): (usize, Evaluation),
        each: &mut dyn FnMut(usize, &Evaluation) -> Result<(), TrainError>,
    ) -> Result<Evaluation, TrainError> {
        let mut over = |batches: &mut dyn Iterator<Item = Batch>| {
            let mut total = so_far;
            for (index, batch) in batches.enumerate().skip(done) {
                let (inputs, targets) = batch.tensors(device);
                total.nats += scalar("a loss", model.loss(inputs, targets, None))?;
                total.tokens += batch.counted();
                each(index + 1, &total)?;
            }
            Ok(total)
        };
        match self {
            Self::Text { tokens, context } => over(&mut side_by_side(tokens, *context, batch)),
            Self::Examples(examples) => over(&mut examples.by_length(batch)),
            Self::Hidden(objectives) => over(&mut objectives.side_by_side(batch)),
        }
    }
}

/// Whether a split was encoded for a model's vocabulary.
///
/// # Errors
/// When its tokens come from a larger one.
pub fn fits(tokens: &TokenFile, place: &str, model: &Model) -> Result<(), TrainError> {
    let vocabulary = model.config().vocab_size;
    if tokens.vocab_size() <= vocabulary {
        return Ok(());
    }
    // a larger vocabulary may still be used within the model's
    let unknown = (0..tokens.len())
        .map(|at| tokens.get(at))
        .find(|&token| token as usize >= vocabulary);
    match unknown {
        Some(token) => Err(TrainError::UnknownToken {
            place: place.into(),
            token,
            vocabulary,
        }),
        None => Ok(()),
    }
}

/// The only value of a tensor.
pub(super) fn scalar(what: &'static str, tensor: burn::tensor::Tensor<1>) -> Result<f64, TrainError> {
    let value = tensor.try_into_scalar::<f32>().map_err(|error| TrainError::Device {
        what,
        why: error.to_string(),
    })?;
    Ok(f64::from(value))
}
