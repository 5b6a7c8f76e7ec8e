//! The loop: batches → loss → gradients → update, with evaluations, metrics and checkpoints.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::batches::{Batch, Source};
use super::checkpoint;
use super::error::TrainError;
use super::evaluation::{Split, scalar, sequences};
use super::gradients::{Gradients, Place};
use super::optimizer::AdamW;
use super::pace::{Pace, thousands};
use super::record::{Progress, Summary};
use super::settings::{Plan, TrainSettings};
use crate::models::{Learning, Model, Weight};
use crate::profile;
use crate::step::{Context, Interrupted};

/// A training: what to train, on what, how.
pub struct Task<'a> {
    /// The model as it starts, on a device with autodiff.
    pub model: Model,
    /// Where the optimizer works.
    pub place: Place,
    /// How to train.
    pub settings: &'a TrainSettings,
    /// The learning rate when the settings name none.
    pub learning_rate: f64,
    /// What to learn from.
    pub source: Box<dyn Source + 'a>,
    /// What to choose the best weights by.
    pub validation: Option<Split<'a>>,
    /// Seed, checkpoints, events, stop requests.
    pub context: &'a Context,
}

/// A finished training.
pub struct Outcome {
    /// The model with the last weights, without autodiff.
    pub model: Model,
    /// The weights with the lowest validation loss, or the last ones without validation, in the
    /// model's order.
    pub best: Vec<Tensor<2>>,
    /// The weights after the last update.
    pub last: Vec<Tensor<2>>,
    /// `metrics.jsonl`.
    pub metrics: String,
    /// `training.json`.
    pub summary: Summary,
    /// Tokens a second in this process, evaluations and checkpoints left out; for the screen only.
    pub tokens_per_second: f64,
}

/// How often a checkpoint is made when the settings do not say.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Trains to the end, from the newest checkpoint if there is one.
///
/// # Errors
/// A diverged training, a failing device or disk, and [`Interrupted`] after a requested stop and
/// its checkpoint.
pub fn run(task: Task<'_>) -> Result<Outcome, TrainError> {
    // on one of rayon's own threads, which starts parallel work without handing it over first
    rayon::scope(|_| {
        // a thread that waits for another training's work may take up this one in between
        let _precision = crate::kernels::Precision::F32.enter();
        train(task)
    })
}

fn train(task: Task<'_>) -> Result<Outcome, TrainError> {
    let mut training = Training::start(task)?;
    loop {
        if training.task.context.stopping() {
            training.checkpoint()?;
            return Err(Interrupted.into());
        }
        if training.evaluation_is_due() {
            match training.evaluate() {
                Err(TrainError::Interrupted(_)) => continue, // it is made when the training goes on
                result => result?,
            }
        }
        if training.checkpoint_is_due() {
            training.checkpoint()?;
        }
        if training.progress.update >= training.plan.updates {
            break;
        }
        training.update()?;
    }
    Ok(training.finish())
}

/// A training under way.
struct Training<'a> {
    task: Task<'a>,
    plan: Plan,
    optimizer: AdamW,
    best: Option<Vec<Tensor<2>>>,
    progress: Progress,
    pace: Pace,
    last_checkpoint: Instant,
}

impl Training<'_> {
    fn start(mut task: Task<'_>) -> Result<Training<'_>, TrainError> {
        precision_is_had(&task)?;
        if task.settings.gradient_checkpointing && task.place == Place::Device {
            return Err(TrainError::Checkpointing);
        }
        let plan = task.settings.plan(task.source.updates_an_epoch(), task.learning_rate);
        let mut optimizer = AdamW::new(&task.model, task.settings, task.place);
        let folder = &task.context.checkpoints;
        let resumed = checkpoint::load(folder, &mut task.model, &mut optimizer, task.context)?;
        let (mut progress, mut best) = (Progress::default(), None);
        if let Some(resumed) = resumed {
            task.context
                .info(format!("going on after update {}", resumed.progress.update));
            (progress, best) = (resumed.progress, resumed.best);
        }
        Ok(Training {
            pace: Pace::new(),
            task,
            plan,
            optimizer,
            best,
            progress,
            last_checkpoint: Instant::now(),
        })
    }

    /// One update of the weights.
    fn update(&mut self) -> Result<(), TrainError> {
        let number = self.progress.update;
        let rate = self.plan.schedule.rate(number);
        let data = profile::span("phase", "data");
        let batches = self.task.source.update(number);
        drop(data);
        let counted: u64 = batches.iter().map(Batch::counted).sum();
        let tokens: u64 = batches.iter().map(|batch| batch.tokens).sum();
        let dropout = self.task.context.seed().child("dropout").child(number);

        let device = self.task.model.device().clone();
        let mut loss = 0.0;
        let mut gradients: Option<Gradients> = None;
        for (index, batch) in batches.iter().enumerate() {
            let forward = profile::span("phase", "forward");
            let (inputs, targets) = batch.tensors(&device);
            let smoothing = self.task.settings.label_smoothing;
            let learning = Learning {
                dropout: Some(dropout.child(index)),
                recomputes: self.task.settings.gradient_checkpointing,
            };
            let precision = self.task.settings.precision.of_products().enter();
            let summed = self.task.model.smoothed_loss(inputs, targets, smoothing, learning);
            drop(precision);
            // a share of the whole update's mean: micro-batches of unequal size weigh by their tokens
            let share = summed.div_scalar(counted as f64);
            drop(forward);
            let _backward = profile::span("phase", "backward");
            let backward = share.backward();
            loss += scalar("the loss", share.without_autodiff())?;
            let new = Gradients::take(&self.task.model, backward, self.task.place)?;
            gradients = Some(match gradients {
                Some(sum) => sum.plus(new),
                None => new,
            });
        }
        let gradients = gradients.expect("an update has a micro-batch");
        let optimizer = profile::span("phase", "optimizer");
        let norm = gradients.norm()?;
        self.must_be_finite("loss", loss)?;
        self.must_be_finite("gradient norm", norm)?;
        let clip = self.task.settings.clip;
        let scale = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        self.optimizer.update(&mut self.task.model, gradients, scale, rate)?;
        drop(optimizer);

        let progress = &mut self.progress;
        progress.update += 1;
        progress.tokens += tokens;
        progress.losses += loss;
        progress.losses_of += 1;
        self.pace.count(tokens);
        if self.progress.update == 1 || self.due(self.plan.record_every) {
            let mut values = self.progress.record_training(rate, norm);
            values.insert("tokens_per_second".into(), self.pace.rate().into());
            self.task.context.metric(self.progress.update, values);
        }
        let last = self.progress.update == self.plan.updates;
        if let Some(speed) = self.pace.tell(last) {
            let (done, total) = (self.progress.update, self.plan.updates);
            let message = format!("loss {loss:.3}, {} tok/s", thousands(speed));
            self.task.context.progress(done, total, "updates", message);
        }
        Ok(())
    }

    fn must_be_finite(&self, what: &'static str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let update = self.progress.update;
        Err(TrainError::Diverged {
            what,
            update: update + 1,
            value,
            rate: self.plan.schedule.rate(update.saturating_sub(1)),
        })
    }

    /// Whether something that is done every so many updates is done after this one; at the end always.
    fn due(&self, every: u64) -> bool {
        self.progress.update.is_multiple_of(every) || self.progress.update == self.plan.updates
    }

    /// Whether the validation loss is measured now: before the first update, after the last, and
    /// every so many.
    fn evaluation_is_due(&self) -> bool {
        self.task.validation.is_some()
            && self.progress.evaluated != Some(self.progress.update)
            && self.due(self.plan.evaluate_every)
    }

    /// Measures the validation loss and keeps the weights if it is the lowest.
    fn evaluate(&mut self) -> Result<(), TrainError> {
        let Some(split) = &self.task.validation else {
            return Ok(());
        };
        let _evaluation = profile::span("phase", "evaluation");
        let started = Instant::now();
        let (done, total) = (self.progress.update, self.plan.updates);
        self.task.context.progress(done, total, "updates", "validating");
        let device = self.task.model.device().clone().without_autodiff();
        track(&mut self.task.model, false);
        let stopping = || self.task.context.stopping();
        let evaluation = split.loss(&self.task.model, sequences(split.longest()), &device, &stopping);
        let weights = weights_of(&self.task.model);
        track(&mut self.task.model, true);
        let loss = evaluation?.mean();
        self.must_be_finite("validation loss", loss)?;
        let (best, values) = self.progress.record_validation(loss);
        if best {
            self.best = Some(weights);
        }
        self.task.context.metric(done, values);
        self.pace.skip(started.elapsed());
        Ok(())
    }

    fn checkpoint_is_due(&self) -> bool {
        match self.task.settings.checkpoint_every {
            _ if self.progress.update == 0 => false, // nothing is lost yet
            Some(every) => self.progress.update.is_multiple_of(every),
            None => self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY,
        }
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let _checkpoint = profile::span("phase", "checkpoint");
        let started = Instant::now();
        let folder = &self.task.context.checkpoints;
        let best = self.best.as_deref();
        checkpoint::save(folder, &self.progress, &self.task.model, &self.optimizer, best)?;
        self.last_checkpoint = Instant::now();
        self.pace.skip(started.elapsed());
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        track(&mut self.task.model, false);
        let last = weights_of(&self.task.model);
        Outcome {
            summary: self.progress.summary(&self.task.model),
            model: self.task.model,
            best: self.best.unwrap_or_else(|| last.clone()),
            last,
            metrics: self.progress.metrics,
            tokens_per_second: self.pace.average(),
        }
    }
}

/// Whether the device computes in the precision that is asked for; a warning where that is slow.
fn precision_is_had(task: &Task<'_>) -> Result<(), TrainError> {
    let precision = task.settings.precision.of_products();
    if precision != crate::kernels::Precision::F32 && task.place == Place::Device {
        return Err(TrainError::Precision);
    }
    if !precision.is_native() {
        task.context.warn(
            "this processor has no AVX512_BF16: products are rounded to bf16 and computed in f32, which is slower than \
             `precision: f32`",
        );
    }
    Ok(())
}

/// Lets a model's weights collect gradients, or compute without remembering how.
fn track(model: &mut Model, gradients: bool) {
    for weight in model.weights_mut() {
        weight.track(gradients);
    }
}

/// The weights of a model that are learned, without autodiff, shared with it.
fn weights_of(model: &Model) -> Vec<Tensor<2>> {
    model.learned().into_iter().map(Weight::value).collect()
}
