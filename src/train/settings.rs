//! What a pipeline file says under `train:`, shared by pretrain and finetune.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule::{Schedule, ScheduleKind};
use crate::kernels;
use crate::step::{Key, Problem};

/// How a model is trained: AdamW over micro-batches, with a schedule, evaluations and checkpoints.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// How many updates of the weights to make. Give this or `epochs`.
    #[schemars(range(min = 1))]
    pub updates: Option<u64>,
    /// How often to go through the training data; a fraction is fine. Give this or `updates`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epochs: Option<f64>,
    /// Tokens in a micro-batch: as many sequences as fit (in finetune, sequences as long as the
    /// longest example), at least one. Give this or `batch_size`; 4096 without either.
    #[schemars(range(min = 1))]
    pub batch_tokens: Option<usize>,
    /// Sequences in a micro-batch. Give this or `batch_tokens`.
    #[schemars(range(min = 1))]
    pub batch_size: Option<usize>,
    /// Micro-batches in an update: their gradients are summed and divided by all their tokens, so
    /// that `batch_size: 2, accumulate: 4` learns what `batch_size: 8` learns, in less memory.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub accumulate: usize,
    /// The highest learning rate. Default: 1e-3 in pretrain and in finetune with `lora`, 1e-4 in finetune
    /// without.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub learning_rate: Option<f64>,
    /// Where the cosine schedule ends. Default: a tenth of the learning rate.
    #[schemars(range(min = 0, max = 1))]
    pub minimum_learning_rate: Option<f64>,
    /// Updates over which the learning rate grows from near zero. Default: a tenth of all updates,
    /// at most 100.
    pub warmup: Option<u64>,
    /// How the learning rate goes on after the warm-up.
    #[serde(default)]
    pub schedule: ScheduleKind,
    /// AdamW's decoupled weight decay; norms and biases are never decayed.
    #[serde(default = "weight_decay")]
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
    /// AdamW's decay of the gradient's mean.
    #[serde(default = "beta1")]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// AdamW's decay of the gradient's square. With few tokens an update, 0.99 is steadier.
    #[serde(default = "beta2")]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// The highest norm of the gradient over all weights; a larger gradient is scaled down to it.
    /// 0 switches it off.
    #[serde(default = "clip")]
    #[schemars(range(min = 0))]
    pub clip: f64,
    /// The share of each target's probability that is spread over the whole vocabulary (Szegedy et al.
    /// 2016); 0.1 for the first Transformer. Validation losses are without it.
    #[serde(default)]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub label_smoothing: f64,
    /// Updates between evaluations on the validation split. Default: a tenth of all updates. The
    /// first and the last update are always evaluated.
    #[schemars(range(min = 1))]
    pub evaluate_every: Option<u64>,
    /// Updates between checkpoints, from which an interrupted training goes on. Default: one a
    /// minute. It does not change the result.
    #[schemars(range(min = 1))]
    pub checkpoint_every: Option<u64>,
    /// Keeps of each block only what goes into it for the backward pass, and computes the block again
    /// there (gradient checkpointing, Chen et al. 2016): activations take a fraction of the memory, an
    /// update a third more time. It does not change the result, not in a bit. On the CPU only.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The number format of arithmetic. Weights, gradients and the optimizer's moments are f32 in both.
    #[serde(default)]
    pub precision: Precision,
}

/// A number format for training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// The products with weights, those of the output layer too, take bf16 factors, which are rounded from
    /// f32, and sum in f32; what a block keeps of its inside for the way back is in bf16 as well. Faster and
    /// smaller on a CPU with AVX512_BF16, slower on one without. Attention, norms and the loss stay f32.
    /// On the CPU only.
    Bf16,
}

impl Precision {
    /// How products are computed.
    pub fn of_products(self) -> kernels::Precision {
        match self {
            Self::F32 => kernels::Precision::F32,
            Self::Bf16 => kernels::Precision::Bf16,
        }
    }
}

fn one() -> usize {
    1
}

fn weight_decay() -> f64 {
    0.1
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.95
}

fn clip() -> f64 {
    1.0
}

/// Tokens in a micro-batch when a file names no size.
const BATCH_TOKENS: usize = 4096;

impl Default for TrainSettings {
    /// What a file gets that says nothing under `train:`; neither `updates` nor `epochs` is set.
    fn default() -> Self {
        serde_json::from_value(serde_json::json!({})).expect("every field has a default")
    }
}

/// How long and how fast a training goes, once its data are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Updates in all.
    pub updates: u64,
    /// The learning rate of each update.
    pub schedule: Schedule,
    /// Updates between evaluations.
    pub evaluate_every: u64,
    /// Updates between lines of metrics: about 500 in a training.
    pub record_every: u64,
}

impl TrainSettings {
    /// What the schema cannot say. Paths are relative to `train`'s parent: `train.updates`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (self.updates, self.epochs) {
            (None, None) => problems.push(
                Problem::at("train", "neither `updates` nor `epochs` is given")
                    .help("say how long to train: `updates: 1000`, or `epochs: 3` to go through the data three times"),
            ),
            (Some(_), Some(_)) => problems.push(
                Problem::at("train.epochs", "`updates` and `epochs` are both given")
                    .also("train.updates", "the other one")
                    .help("keep one of them"),
            ),
            _ => {}
        }
        if self.batch_size.is_some() && self.batch_tokens.is_some() {
            problems.push(
                Problem::at("train.batch_tokens", "`batch_size` and `batch_tokens` are both given")
                    .also("train.batch_size", "the other one")
                    .help("keep one of them"),
            );
        }
        match (self.schedule, self.minimum_learning_rate, self.learning_rate) {
            (ScheduleKind::Constant | ScheduleKind::InverseSquareRoot, Some(_), _) => problems.push(
                Problem::at(
                    "train.minimum_learning_rate",
                    match self.schedule {
                        ScheduleKind::Constant => "a constant schedule has no minimum learning rate",
                        _ => "this schedule has no minimum learning rate",
                    },
                )
                .also("train.schedule", "the schedule")
                .help("remove it, or use `schedule: cosine`"),
            ),
            (ScheduleKind::Cosine, Some(low), Some(high)) if low > high => problems.push(
                Problem::at(
                    "train.minimum_learning_rate",
                    format!("the minimum learning rate {low} is above the learning rate {high}"),
                )
                .also("train.learning_rate", "the learning rate")
                .help("a tenth of the learning rate is usual"),
            ),
            _ => {}
        }
        if let (Some(warmup), Some(updates)) = (self.warmup, self.updates)
            && warmup >= updates
        {
            problems.push(
                Problem::at(
                    "train.warmup",
                    format!("a warm-up of {warmup} updates leaves nothing of {updates}"),
                )
                .also("train.updates", "all updates")
                .help("a tenth of the updates is usual"),
            );
        }
        problems
    }

    /// What only the CPU computes, with paths as those of [`Self::problems`].
    pub fn beyond_cpu(&self) -> Vec<Problem> {
        const ELSEWHERE: &str = "leave it out, or give the step `resources: {gpus: 0}`";
        let again = self.gradient_checkpointing.then(|| {
            let help = format!("{ELSEWHERE}; a smaller `batch_size` with `accumulate` takes less memory as well");
            Problem::at("train.gradient_checkpointing", "is for the CPU").help(help)
        });
        let half = (self.precision == Precision::Bf16)
            .then(|| Problem::at("train.precision", "bf16 is for the CPU").help(ELSEWHERE));
        again.into_iter().chain(half).collect()
    }

    /// Sequences in a micro-batch of sequences of `length` tokens.
    pub fn sequences(&self, length: usize) -> usize {
        match (self.batch_size, self.batch_tokens) {
            (Some(size), _) => size,
            (None, tokens) => (tokens.unwrap_or(BATCH_TOKENS) / length.max(1)).max(1),
        }
    }

    /// How long and how fast to train, when going through the data once takes `updates_an_epoch`
    /// updates and a file that names no learning rate means `learning_rate`.
    pub fn plan(&self, updates_an_epoch: f64, learning_rate: f64) -> Plan {
        let updates = match (self.updates, self.epochs) {
            (Some(updates), _) => updates,
            // far below 2^53 updates: the conversion is exact
            (None, epochs) => (epochs.unwrap_or(1.0) * updates_an_epoch).ceil().max(1.0) as u64,
        };
        let highest = self.learning_rate.unwrap_or(learning_rate);
        Plan {
            updates,
            schedule: Schedule {
                kind: self.schedule,
                highest,
                lowest: self.minimum_learning_rate.unwrap_or(highest / 10.0),
                warmup: self.warmup.unwrap_or((updates / 10).min(100)),
                updates,
            },
            evaluate_every: self.evaluate_every.unwrap_or(updates.div_ceil(10)),
            record_every: updates.div_ceil(500),
        }
    }

    /// What the result depends on, under `train.`.
    pub fn key(&self, key: &mut Key<'_>) {
        let Self {
            updates,
            epochs,
            batch_tokens,
            batch_size,
            accumulate,
            learning_rate,
            minimum_learning_rate,
            warmup,
            schedule,
            weight_decay,
            beta1,
            beta2,
            clip,
            label_smoothing,
            evaluate_every,            // chooses the best weights
            checkpoint_every: _,       // a resumed training gives the same bytes
            gradient_checkpointing: _, // so does a block that is computed again
            precision,
        } = self;
        key.nest("train", |key| {
            key.set("updates", updates);
            key.set("epochs", epochs);
            key.set("batch_tokens", batch_tokens);
            key.set("batch_size", batch_size);
            key.set("accumulate", accumulate);
            key.set("learning_rate", learning_rate);
            key.set("minimum_learning_rate", minimum_learning_rate);
            key.set("warmup", warmup);
            key.set("schedule", schedule);
            key.set("weight_decay", weight_decay);
            key.set("beta1", beta1);
            key.set("beta2", beta2);
            key.set("clip", clip);
            if *label_smoothing > 0.0 {
                key.set("label_smoothing", label_smoothing); // without, keys are those before it was a setting
            }
            key.set("evaluate_every", evaluate_every);
            key.set("precision", precision);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Digest, Known};

    fn settings(json: serde_json::Value) -> TrainSettings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_contradiction_is_reported_at_its_place() {
        let paths = |json| -> Vec<String> {
            let problems = settings(json).problems();
            problems.iter().map(|problem| problem.path.join(".")).collect()
        };
        assert_eq!(paths(serde_json::json!({})), ["train"]);
        assert_eq!(
            paths(serde_json::json!({
                "updates": 10, "epochs": 1, "batch_size": 2, "batch_tokens": 64, "warmup": 10,
                "schedule": "constant", "minimum_learning_rate": 1e-4,
            })),
            [
                "train.epochs",
                "train.batch_tokens",
                "train.minimum_learning_rate",
                "train.warmup"
            ]
        );
        assert_eq!(
            paths(serde_json::json!({"updates": 10, "learning_rate": 1e-4, "minimum_learning_rate": 1e-3})),
            ["train.minimum_learning_rate"]
        );
        assert!(paths(serde_json::json!({"epochs": 0.5})).is_empty());
    }

    #[test]
    fn epochs_and_sizes_follow_the_data() {
        let plan = settings(serde_json::json!({"epochs": 1.5})).plan(100.0, 1e-4);
        assert_eq!((plan.updates, plan.schedule.warmup, plan.evaluate_every), (150, 15, 15));
        assert!((plan.schedule.highest - 1e-4).abs() < 1e-12 && (plan.schedule.lowest - 1e-5).abs() < 1e-12);
        assert_eq!(settings(serde_json::json!({"batch_tokens": 1000})).sequences(256), 3);
        assert_eq!(settings(serde_json::json!({"batch_tokens": 100})).sequences(256), 1);
        assert_eq!(settings(serde_json::json!({})).sequences(256), 16);
    }

    #[test]
    fn the_key_holds_every_setting_that_changes_a_result() {
        let known = |_: &str| Known::Digest(Digest::of(b""));
        let fields = |json| {
            let mut key = Key::new(&known);
            settings(json).key(&mut key);
            key.finish().0
        };
        let plain = fields(serde_json::json!({"updates": 10}));
        assert_eq!(plain, fields(serde_json::json!({"updates": 10, "checkpoint_every": 3})));
        assert_eq!(
            plain,
            fields(serde_json::json!({"updates": 10, "gradient_checkpointing": true}))
        );
        let changes = [
            serde_json::json!({"updates": 11}),
            serde_json::json!({"updates": 10, "batch_size": 3}),
            serde_json::json!({"updates": 10, "batch_tokens": 3}),
            serde_json::json!({"updates": 10, "accumulate": 3}),
            serde_json::json!({"updates": 10, "learning_rate": 0.5}),
            serde_json::json!({"updates": 10, "minimum_learning_rate": 0.5}),
            serde_json::json!({"updates": 10, "warmup": 3}),
            serde_json::json!({"updates": 10, "schedule": "constant"}),
            serde_json::json!({"updates": 10, "weight_decay": 0}),
            serde_json::json!({"updates": 10, "beta1": 0.8}),
            serde_json::json!({"updates": 10, "beta2": 0.8}),
            serde_json::json!({"updates": 10, "clip": 3}),
            serde_json::json!({"updates": 10, "label_smoothing": 0.1}),
            serde_json::json!({"updates": 10, "evaluate_every": 3}),
            serde_json::json!({"updates": 10, "precision": "bf16"}),
        ];
        for change in changes {
            assert_ne!(plain, fields(change.clone()), "{change}");
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_value::<TrainSettings>(serde_json::json!({"update": 3})).is_err());
    }
}
