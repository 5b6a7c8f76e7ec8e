//! `finetune`: a model goes on learning, from prompts and answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outlook;
use super::training::{Encoded, check_splits, finish, named_seed, taking};
use crate::models::Model;
use crate::prompt::Template;
use crate::step::{
    self, ArtifactType, Context, Dataset, Derived, FilePath, Input, Key, KeyError, Kind, Needs, Outlook, Problem,
    Prospects, Ref, Step, parse_as, schema_of,
};
use crate::tokenizer::Tokenizer;
use crate::train::evaluation::fits;
use crate::train::examples::{Examples, Overlong, Shuffled};
use crate::train::gradients::Place;
use crate::train::{Task, TrainSettings, run};

/// The kind.
pub const KIND: Kind = Kind {
    name: "finetune",
    about: "Trains a model further on prompts and answers, learning from the answers only.",
    version: 2,
    output: ArtifactType::Model,
    example: "\
uses: finetune
with:
  model: base
  data: dialogues
  template: ../prompts/summarize.jinja
  train: {epochs: 3, batch_size: 16, learning_rate: 3e-4}
",
    schema: schema_of::<Finetune>,
    parse: parse_as::<Finetune>,
};

/// The learning rate when a file names none.
const LEARNING_RATE: f64 = 1e-4;

/// Trains a model further on prompts and answers, learning from the answers only.
///
/// Each row becomes one example: the template's block `prompt`, its block `answer` and the end of
/// text. A model with an encoder (`t5`, `transformer`) reads the prompt there and its decoder learns
/// the answer. An epoch takes all examples once. The splits are used as in `pretrain`; the tokenizer is
/// the model's.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// The model to start from.
    model: Ref<step::Model>,
    /// The dataset. Give the whole one (`dialogues`): its splits `train` and `validation` are found
    /// by name.
    data: Ref<Dataset>,
    /// The prompt template: a minijinja file with the blocks `prompt` and `answer`.
    template: FilePath,
    /// Which weights are trained.
    #[serde(default)]
    method: Method,
    /// What to do with an example that is longer than the model's context.
    #[serde(default)]
    overlong: Overlong,
    /// How it is trained.
    train: TrainSettings,
}

/// Which weights a finetuning trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    /// All of them.
    #[default]
    Full,
}

impl Step for Finetune {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            ..Needs::default()
        }
    }

    fn derived(&self) -> Vec<Derived> {
        // the tokenizer alone: new weights with the same tokenizer do not encode again
        let tokenizer = format!("{}.tokenizer", self.model.text());
        vec![Derived {
            field: "tokens",
            kind: "encode",
            label: format!("encode({}, {tokenizer})", self.data.text()),
            with: serde_json::json!({"data": self.data, "tokenizer": tokenizer, "template": self.template}),
        }]
    }

    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let mut problems = self.train.problems();
        if let Err(error) = Template::load(self.template.as_path()) {
            problems.push(Problem::at("template", error.to_string()));
        }
        problems.extend(check_splits(self.data.text(), inputs));
        problems
    }

    fn outlook(&self, prospects: &Prospects<'_>) -> Outlook {
        let config = outlook::config(prospects, self.model.text());
        outlook::of_model(config, |config| {
            let tokenizer = Some(self.model.text());
            let (both, sides) = outlook::longest(prospects, config, tokenizer, self.overlong);
            let sequences = self.train.sequences(both);
            outlook::shape(prospects, self.data.text(), &self.train, sequences, sides)
        })
    }

    fn key(&self, key: &mut Key<'_>) -> Result<(), KeyError> {
        let Self {
            model,
            data: _,     // by its tokens,
            template: _, // which the template made
            method,
            overlong,
            train,
        } = self;
        key.artifact("model", model);
        key.derived("tokens");
        key.set("method", method);
        key.set("overlong", overlong);
        train.key(key);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let folder = context.path(&self.model);
        let device = context.device().open()?.autodiff();
        let model = Model::load(folder, &device)?;
        context.info(format!("{} parameters", model.parameters()));

        let encoded = Encoded::open(&context.derived("tokens").path)?;
        fits(&encoded.train, &encoded.name, &model)?;
        let taking = taking(&model, &Tokenizer::load(folder)?);
        let validation = encoded.validation(&model, &taking, self.overlong)?;
        let examples = Examples::of(&encoded.train, &encoded.name, taking, self.overlong)?;
        if examples.shortened() > 0 {
            let (shortened, all) = (examples.shortened(), examples.len());
            context.warn(format!(
                "the beginning of {shortened} of {all} prompts did not fit the context and is left out"
            ));
        }
        let sequences = self.train.sequences(examples.longest());
        let source = Shuffled::new(
            examples,
            sequences,
            self.train.accumulate,
            named_seed(context, "batches"),
        );
        let outcome = run(Task {
            place: Place::of(&device),
            model,
            settings: &self.train,
            learning_rate: LEARNING_RATE,
            source: Box::new(source),
            validation,
            context,
        });
        finish(outcome, context, folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses_and_encodes_with_the_models_tokenizer() {
        let step: serde_json::Value = serde_yaml::from_str(KIND.example).unwrap();
        let work = (KIND.parse)(&step["with"]).unwrap();
        let derived = &work.derived()[0];
        assert_eq!(derived.label, "encode(dialogues, base.tokenizer)");
        assert_eq!(derived.with["template"], "../prompts/summarize.jinja");
    }

    #[test]
    fn a_missing_template_is_a_problem_of_the_file() {
        let step = serde_json::json!({"model": "m", "data": "d", "template": "/none.jinja", "train": {"epochs": 1}});
        let problems = (KIND.parse)(&step).unwrap().check(&[]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, ["template"]);
    }
}
