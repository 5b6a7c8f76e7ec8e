//! What a training leaves: its metrics line by line, its summary, and the model's files.

use std::path::Path;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::TrainError;
use super::run::Outcome;
use crate::models::Model;

/// `training.json`: what a training did. Losses are in nats a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The format's version.
    pub version: u32,
    /// Updates made.
    pub updates: u64,
    /// Input tokens seen, padding not counted.
    pub tokens: u64,
    /// Numbers in the model's weights.
    pub parameters: u64,
    /// Numbers that were learned, where they are not those: with `method: lora`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_parameters: Option<u64>,
    /// The mean training loss since the line of metrics before the last.
    pub train_loss: f64,
    /// Before the first update; null without a validation split, like the following.
    pub initial_validation_loss: Option<f64>,
    /// The lowest after an update.
    pub best_validation_loss: Option<f64>,
    /// After the last update.
    pub last_validation_loss: Option<f64>,
    /// The update of the weights at the artifact's root: the best, or the last.
    pub best_update: u64,
}

/// Everything besides weights that a training carries from update to update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Updates made.
    pub update: u64,
    /// Input tokens seen.
    pub tokens: u64,
    /// Nats a token of the updates since the last line of metrics.
    pub losses: f64,
    /// How many updates that are.
    pub losses_of: u64,
    /// The training loss of the last line of metrics.
    pub train_loss: f64,
    /// The update after which the validation loss was last measured.
    pub evaluated: Option<u64>,
    /// Before the first update.
    pub initial_validation: Option<f64>,
    /// After the last update that was evaluated.
    pub last_validation: Option<f64>,
    /// The lowest validation loss, and after which update.
    pub best: Option<(u64, f64)>,
    /// `metrics.jsonl` so far.
    pub metrics: String,
}

impl Progress {
    /// Adds a line of training metrics, and gives its values.
    pub fn record_training(&mut self, rate: f64, norm: f64) -> Map<String, Value> {
        self.train_loss = self.losses / self.losses_of.max(1) as f64;
        (self.losses, self.losses_of) = (0.0, 0);
        self.record(&[
            ("train_loss", self.train_loss),
            ("learning_rate", rate),
            ("gradient_norm", norm),
        ])
    }

    /// Adds a line with a validation loss; tells whether it is the lowest after an update.
    pub fn record_validation(&mut self, loss: f64) -> (bool, Map<String, Value>) {
        let values = self.record(&[("validation_loss", loss)]);
        self.evaluated = Some(self.update);
        self.last_validation = Some(loss);
        if self.update == 0 {
            self.initial_validation = Some(loss);
            return (false, values); // what nothing was learned for is not a result
        }
        let best = self.best.is_none_or(|(_, lowest)| loss < lowest);
        if best {
            self.best = Some((self.update, loss));
        }
        (best, values)
    }

    fn record(&mut self, values: &[(&str, f64)]) -> Map<String, Value> {
        let values: Map<_, _> = values
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.into()))
            .collect();
        let mut line = Map::new();
        line.insert("update".into(), self.update.into());
        line.insert("tokens".into(), self.tokens.into());
        line.extend(values.clone());
        self.metrics.push_str(&Value::Object(line).to_string());
        self.metrics.push('\n');
        values
    }

    /// The summary at the end.
    pub fn summary(&self, model: &Model) -> Summary {
        let (parameters, learned) = (model.parameters() as u64, model.learned_parameters() as u64);
        Summary {
            version: 1,
            updates: self.update,
            tokens: self.tokens,
            parameters,
            learned_parameters: (learned != parameters).then_some(learned),
            train_loss: self.train_loss,
            initial_validation_loss: self.initial_validation,
            best_validation_loss: self.best.map(|(_, loss)| loss),
            last_validation_loss: self.last_validation,
            best_update: self.best.map_or(self.update, |(update, _)| update),
        }
    }
}

/// A tokenizer's files, which every model carries.
const TOKENIZER_FILES: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

impl Outcome {
    /// Writes the model artifact: a Hugging Face directory with the best weights, the last ones in
    /// `last/`, `metrics.jsonl` and `training.json`. `tokenizer` is the folder of the tokenizer.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write(&mut self, out: &Path, tokenizer: &Path) -> Result<(), TrainError> {
        let last = out.join("last");
        std::fs::create_dir_all(&last).map_err(TrainError::io(&last))?;
        for (weights, folder) in [(&self.last, last.as_path()), (&self.best, out)] {
            put(&mut self.model, weights);
            self.model.save(folder)?;
            for name in TOKENIZER_FILES {
                let from = tokenizer.join(name);
                std::fs::copy(&from, folder.join(name)).map_err(TrainError::io(&from))?;
            }
        }
        let write = |name: &str, text: &str| {
            let path = out.join(name);
            std::fs::write(&path, text).map_err(TrainError::io(&path))
        };
        write("metrics.jsonl", &self.metrics)?;
        let summary = serde_json::to_string_pretty(&self.summary).expect("plain values");
        write("training.json", &(summary + "\n"))
    }

    /// The model with its best weights.
    pub fn into_best(mut self) -> Model {
        put(&mut self.model, &self.best);
        self.model
    }
}

fn put(model: &mut Model, weights: &[Tensor<2>]) {
    for (weight, value) in model.learned_mut().into_iter().zip(weights) {
        weight.set(value.clone());
    }
}
