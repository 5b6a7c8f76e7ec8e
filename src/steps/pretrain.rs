//! `pretrain`: a model from nothing, on running text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::training::{Encoded, check_splits, finish, named_seed};
use crate::models::{Model, ModelSettings, SpecialIds};
use crate::step::{
    ArtifactType, Context, Dataset, Derived, Input, Key, KeyError, Kind, Needs, Problem, Ref, Step, TokenizerOrModel,
    parse_as, schema_of,
};
use crate::tokenizer::Tokenizer;
use crate::train::examples::Overlong;
use crate::train::gradients::Place;
use crate::train::windows::Windows;
use crate::train::{Task, TrainSettings, run};

/// The kind.
pub const KIND: Kind = Kind {
    name: "pretrain",
    about: "Trains a language model from random weights on running text.",
    version: 1,
    output: ArtifactType::Model,
    example: "\
uses: pretrain
with:
  data: dialogues
  tokenizer: tokenizer
  model: {architecture: llama, layers: 4, heads: 4, width: 128, context: 256}
  train: {updates: 1500, batch_tokens: 4096, learning_rate: 1e-3, warmup: 100, schedule: cosine}
",
    schema: schema_of::<Pretrain>,
    parse: parse_as::<Pretrain>,
};

/// The learning rate when a file names none.
const LEARNING_RATE: f64 = 1e-3;

/// Trains a language model from random weights on running text.
///
/// The rows' texts follow each other as one stream of tokens, each ended by the tokenizer's end of
/// text if it declares one; an epoch cuts the stream into windows of the model's context. The
/// split `train` is learned from (the whole data set when it was not split). The split `validation`,
/// if there is one, is evaluated at intervals: the model's files then are those with the lowest
/// validation loss, and the folder `last/` has the weights after the last update.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// The dataset. Give the whole one (`dialogues`): its splits `train` and `validation` are found
    /// by name.
    data: Ref<Dataset>,
    /// The tokenizer, or a model for the one inside.
    tokenizer: Ref<TokenizerOrModel>,
    /// The fields of a row that are its text, joined by a newline. Default: every text field, in
    /// the row's order.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    /// What is learned.
    #[serde(default)]
    objective: Objective,
    /// The model's shape.
    #[serde(default)]
    model: ModelSettings,
    /// How it is trained.
    train: TrainSettings,
}

/// What a pretraining learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Objective {
    /// The next token from those before it.
    #[default]
    Causal,
}

impl Step for Pretrain {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            ..Needs::default()
        }
    }

    fn derived(&self) -> Vec<Derived> {
        let mut with = serde_json::json!({"data": self.data, "tokenizer": self.tokenizer});
        if let Some(fields) = &self.fields {
            with["fields"] = fields.as_slice().into();
        }
        vec![Derived {
            field: "tokens",
            kind: "encode",
            label: format!("encode({}, {})", self.data.text(), self.tokenizer.text()),
            with,
        }]
    }

    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .model
            .validate()
            .into_iter()
            .map(|mut problem| {
                problem.path.insert(0, "model".into());
                problem
            })
            .collect();
        problems.extend(self.train.problems());
        problems.extend(check_splits(self.data.text(), inputs));
        problems
    }

    fn key(&self, key: &mut Key<'_>) -> Result<(), KeyError> {
        let Self {
            data: _,   // by its tokens,
            fields: _, // which the fields chose
            tokenizer,
            objective,
            model,
            train,
        } = self;
        key.derived("tokens");
        key.artifact("tokenizer", tokenizer); // its files become the model's
        key.set("objective", objective);
        key.nest("model", |key| model.key(key));
        train.key(key);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let tokenizer_folder = context.path(&self.tokenizer);
        let tokenizer = Tokenizer::load(tokenizer_folder)?;
        let special = SpecialIds {
            bos: tokenizer.bos(),
            eos: tokenizer.eos().into_iter().collect(),
            pad: tokenizer.pad(),
        };
        let device = context.device().open()?.autodiff();
        let config = self.model.config(tokenizer.vocab_size(), special);
        let model = Model::init(&config, named_seed(context, "init"), &device);
        context.info(format!("{} parameters", model.parameters()));

        let encoded = Encoded::open(&context.derived("tokens").path)?;
        crate::train::evaluation::fits(&encoded.train, &encoded.name, &model)?;
        let validation = encoded.validation(&model, Overlong::Error)?;
        let source = Windows::new(
            &encoded.train,
            &encoded.name,
            config.context,
            self.train.sequences(config.context),
            self.train.accumulate,
            named_seed(context, "batches"),
        )?;
        let outcome = run(Task {
            place: Place::of(&device),
            model,
            settings: &self.train,
            learning_rate: LEARNING_RATE,
            source: Box::new(source),
            validation,
            context,
        });
        finish(outcome, context, tokenizer_folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses_and_its_settings_are_sound() {
        let step: serde_json::Value = serde_yaml::from_str(KIND.example).unwrap();
        let work = (KIND.parse)(&step["with"]).unwrap();
        assert!(work.check(&[]).is_empty());
        assert_eq!(work.derived()[0].label, "encode(dialogues, tokenizer)");
        assert_eq!(
            work.derived()[0].with,
            serde_json::json!({"data": "dialogues", "tokenizer": "tokenizer"})
        );
    }

    #[test]
    fn problems_of_model_and_training_are_reported_together() {
        let step = serde_json::json!({
            "data": "d", "tokenizer": "t", "model": {"heads": 3, "width": 128}, "train": {},
        });
        let problems = (KIND.parse)(&step).unwrap().check(&[]);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.join(".")).collect();
        assert_eq!(paths, ["model.heads", "train"]);
    }
}
