//! A model in the form that writes fastest on its device.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{GenerateError, NextToken};
use crate::device::is_cpu;
use crate::models::inference::{Feed, PIECE, Sequence, Workspace};
use crate::models::{Cache, Inference, Model, ModelConfig, ModelError, Sources};

/// A model that writes: on a CPU laid out for inference, elsewhere as it is.
pub struct Writer {
    form: Form,
}

enum Form {
    Compiled(Box<Inference>),
    Tensors(Box<Model>, Device),
}

/// A model and what it keeps of one sequence. A copy goes on by itself.
#[derive(Clone)]
pub struct Cached<'a> {
    vocabulary: usize,
    state: State<'a>,
}

#[derive(Clone)]
enum State<'a> {
    Compiled(&'a Inference, Sequence, Box<Workspace>),
    Tensors(&'a Model, Cache, &'a Device),
}

impl Writer {
    /// In the form that is there for its device.
    pub fn new(model: Model) -> Self {
        Self::of(model.compile())
    }

    /// A model's folder, in the form that is there for the device.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Ok(Self::of(Model::load_for_inference(folder, device)?))
    }

    fn of(form: Result<Inference, Box<Model>>) -> Self {
        let form = match form {
            Ok(inference) => Form::Compiled(Box::new(inference)),
            Err(model) => {
                let device = model.device().clone();
                Form::Tensors(model, device)
            }
        };
        Self { form }
    }

    /// In burn's form, which every device has.
    pub fn of_tensors(model: Model) -> Self {
        let device = model.device().clone();
        Self {
            form: Form::Tensors(Box::new(model), device),
        }
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        match &self.form {
            Form::Compiled(inference) => inference.config(),
            Form::Tensors(model, _) => model.config(),
        }
    }

    /// The number of its weights' elements.
    pub fn parameters(&self) -> usize {
        match &self.form {
            Form::Compiled(inference) => inference.parameters(),
            Form::Tensors(model, _) => model.parameters(),
        }
    }

    /// The form for inference, if it has that.
    pub(super) fn compiled(&self) -> Option<&Inference> {
        match &self.form {
            Form::Compiled(inference) => Some(inference),
            Form::Tensors(..) => None,
        }
    }

    /// Whether several sequences may be written by it at a time: tensors of a GPU are made on one
    /// thread only.
    pub fn shared(&self) -> bool {
        match &self.form {
            Form::Compiled(_) => true,
            Form::Tensors(_, device) => is_cpu(device),
        }
    }

    /// For a prompt and up to `new` tokens after it. Also gives the tokens that the output follows in
    /// the model: the prompt, or what a decoder begins with after its encoder has read the prompt.
    ///
    /// # Errors
    /// When the prompt is empty, or a token of it is not one of the model's.
    pub fn start(&self, prompt: &[u32], new: usize) -> Result<(Cached<'_>, Vec<u32>), GenerateError> {
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let vocabulary = self.config().vocab_size;
        known(prompt, vocabulary)?;
        let start = self.config().decoder_start();
        let (source, before) = match start {
            Some(start) => (prompt, vec![start]),
            None => (&[][..], prompt.to_vec()),
        };
        let capacity = before.len() + new;
        let state = match &self.form {
            Form::Compiled(inference) => {
                let mut work = Box::new(Workspace::new());
                let sequence = inference.sequence(capacity, source, &mut work);
                State::Compiled(inference, sequence, work)
            }
            Form::Tensors(model, device) => {
                let mut cache = Cache::new(model.config(), capacity, device);
                if start.is_some() {
                    model.begin(&Sources::of(&[prompt.to_vec()], device), &mut cache);
                }
                State::Tensors(model, cache, device)
            }
        };
        Ok((Cached { vocabulary, state }, before))
    }
}

/// An error for a token that is not one of the model's.
pub(super) fn known(tokens: &[u32], vocabulary: usize) -> Result<(), GenerateError> {
    match tokens.iter().find(|&&token| token as usize >= vocabulary) {
        Some(&token) => Err(GenerateError::Vocabulary { token, vocabulary }),
        None => Ok(()),
    }
}

/// Tokens into a model of tensors.
fn step(model: &Model, cache: &mut Cache, device: &Device, tokens: &[u32], logits: &mut Vec<f32>) {
    let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
    let ids = TensorData::new(ids, [1, tokens.len()]); // [1, new]
    let last = model.step(Tensor::<2, Int>::from_data(ids, device), cache); // [1, vocab]
    *logits = last
        .into_data()
        .convert::<f32>()
        .try_into_vec()
        .expect("logits are held as f32");
}

impl Cached<'_> {
    /// Appends tokens; the likeliest next one if it is `asked` for and found, or else the logits.
    fn read(
        &mut self,
        tokens: &[u32],
        logits: &mut Vec<f32>,
        asked: Option<usize>,
    ) -> Result<Option<u32>, GenerateError> {
        known(tokens, self.vocabulary)?;
        let (inference, sequence, work) = match &mut self.state {
            State::Compiled(inference, sequence, work) => (inference, sequence, work),
            State::Tensors(model, cache, device) => {
                step(model, cache, device, tokens, logits);
                return Ok(None);
            }
        };
        if let Some(more) = asked {
            inference.expect_likeliest(more);
        }
        // a long prompt in pieces, which the workspace is bounded by
        let mut pieces = tokens.chunks(PIECE).peekable();
        let mut likeliest = None;
        while let Some(tokens) = pieces.next() {
            let wanted = pieces.peek().is_none();
            let mut feed = [Feed {
                sequence,
                tokens,
                wanted,
            }];
            let last = match asked {
                Some(_) => {
                    let (tokens, last) = inference.extend_to_likeliest(&mut feed, work);
                    likeliest = tokens.first().copied().flatten();
                    last
                }
                None => inference.extend(&mut feed, work),
            };
            if wanted && likeliest.is_none() {
                logits.clear();
                logits.extend_from_slice(last);
            }
        }
        Ok(likeliest)
    }
}

impl NextToken for Cached<'_> {
    fn extend(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), GenerateError> {
        self.read(tokens, logits, None).map(|_| ())
    }

    fn extend_to_likeliest(
        &mut self,
        tokens: &[u32],
        more: usize,
        logits: &mut Vec<f32>,
    ) -> Result<Option<u32>, GenerateError> {
        self.read(tokens, logits, Some(more))
    }

    fn extend_all(all: &mut [(&mut Self, u32, &mut Vec<f32>)]) -> Result<(), GenerateError> {
        for (one, token, _) in &*all {
            known(&[*token], one.vocabulary)?;
        }
        let mut shared: Option<(&Inference, Box<Workspace>)> = None;
        let mut feeds = Vec::with_capacity(all.len());
        let mut targets = Vec::with_capacity(all.len());
        for (one, token, logits) in all {
            match &mut one.state {
                State::Tensors(model, cache, device) => step(model, cache, device, &[*token], logits),
                State::Compiled(inference, sequence, work) => {
                    shared.get_or_insert_with(|| (*inference, std::mem::take(work)));
                    feeds.push(Feed {
                        sequence,
                        tokens: std::slice::from_ref(token),
                        wanted: true,
                    });
                    targets.push((logits, work));
                }
            }
        }
        if let Some((inference, mut work)) = shared {
            let rows = inference.extend(&mut feeds, &mut work);
            for ((logits, _), row) in targets.iter_mut().zip(rows.chunks_exact(inference.config().vocab_size)) {
                logits.clear();
                logits.extend_from_slice(row);
            }
            *targets[0].1 = work; // for the next token
        }
        Ok(())
    }
}
