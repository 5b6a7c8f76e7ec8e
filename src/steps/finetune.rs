//! `finetune`: a model goes on learning, from prompts and answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outlook;
use super::training::{Encoded, architecture, check_splits, finish, named_seed, taking};
use crate::models::memory::Shape;
use crate::models::{Architecture, Lora, Model};
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
    version: 3,
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
/// The same where pairs are learned: what is added to a weight is their product, which begins at zero.
const LORA_LEARNING_RATE: f64 = 1e-3;

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
    /// Which weights are trained. Default: `lora` where `lora:` is given, else `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    /// Low-rank adaptation (LoRA: Hu et al. 2021): all weights are held fast, and beside those that
    /// `targets` name a pair of small matrices is learned whose product is added to them. It takes less
    /// time, and a fraction of the memory for gradients and optimizer. The model that is made is whole; the
    /// pairs alone are in its folder `adapter`, as Hugging Face's peft writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora: Option<Lora>,
    /// What to do with an example that is longer than the model's context.
    #[serde(default)]
    overlong: Overlong,
    /// How it is trained.
    train: TrainSettings,
}

/// Which weights a finetuning trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    /// All of them.
    Full,
    /// Low-rank pairs beside them: see `lora`.
    Lora,
}

impl Finetune {
    fn method(&self) -> Method {
        self.method.unwrap_or(match self.lora {
            Some(_) => Method::Lora,
            None => Method::Full,
        })
    }

    /// How pairs are learned, if they are.
    fn pairs(&self) -> Option<Lora> {
        (self.method() == Method::Lora).then(|| self.lora.clone().unwrap_or_default())
    }

    /// What is wrong with `lora` for a model of this architecture, or of any while it is not known.
    fn lora_problem(&self, architecture: Option<&str>) -> Option<Problem> {
        if self.method() == Method::Full {
            self.lora.as_ref()?;
            let problem = Problem::at("lora", "`method: full` learns no pairs").also("method", "the method");
            return Some(problem.help("leave out one of them"));
        }
        let named = |one: &Architecture| architecture == Some(one.name());
        let architecture = Architecture::ALL.into_iter().find(named);
        let (target, fact, help) = self.pairs()?.problem(architecture)?;
        let place = match (target, &self.lora) {
            (Some(index), _) => format!("lora.targets.{index}"),
            (None, Some(_)) => "lora".into(),
            (None, None) => "method".into(),
        };
        Some(Problem::at(&place, fact).help(help))
    }
}

impl Step for Finetune {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            ..Needs::default()
        }
    }

    fn architecture(&self, inputs: &[Input]) -> Option<String> {
        architecture(self.model.text(), inputs)
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
        problems.extend(self.lora_problem(self.architecture(inputs).as_deref()));
        problems
    }

    fn beyond_cpu(&self) -> Vec<Problem> {
        self.train.beyond_cpu()
    }

    fn outlook(&self, prospects: &Prospects<'_>) -> Outlook {
        let config = outlook::config(prospects, self.model.text());
        outlook::of_model(config, |config| {
            let tokenizer = Some(self.model.text());
            let (both, sides) = outlook::longest(prospects, config, tokenizer, self.overlong);
            let sequences = self.train.sequences(both);
            Shape {
                pairs: self.pairs().map(|lora| lora.parameters(config)),
                ..outlook::shape(prospects, self.data.text(), &self.train, sequences, sides)
            }
        })
    }

    fn key(&self, key: &mut Key<'_>) -> Result<(), KeyError> {
        let Self {
            model,
            data: _,     // by its tokens,
            template: _, // which the template made
            method: _,   // with `lora`, by what they come to
            lora: _,
            overlong,
            train,
        } = self;
        key.artifact("model", model);
        key.derived("tokens");
        key.set("method", &self.method());
        if let Some(lora) = self.pairs() {
            lora.key(key);
        }
        key.set("overlong", overlong);
        train.key(key);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let folder = context.path(&self.model);
        let device = context.device().open()?.autodiff();
        let mut model = Model::load(folder, &device)?;
        let lora = self.pairs();
        match &lora {
            Some(lora) => {
                model.adapt(lora, named_seed(context, "lora"))?;
                let (learned, all) = (model.learned_parameters(), model.parameters());
                context.info(format!(
                    "{all} parameters, and {learned} in low-rank pairs that are learned"
                ));
            }
            None => context.info(format!("{} parameters", model.parameters())),
        }

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
            learning_rate: if lora.is_some() {
                LORA_LEARNING_RATE
            } else {
                LEARNING_RATE
            },
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
    fn pairs_are_learned_where_the_file_says_so_and_problems_have_their_places() {
        let step = |more: serde_json::Value| {
            let mut with =
                serde_json::json!({"model": "m", "data": "d", "template": "/none.jinja", "train": {"epochs": 1}});
            with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Finetune>(with).unwrap()
        };
        let rank = |more| step(more).pairs().map(|lora| lora.rank);
        assert_eq!(rank(serde_json::json!({})), None);
        assert_eq!(rank(serde_json::json!({"method": "full"})), None);
        assert_eq!(rank(serde_json::json!({"method": "lora"})), Some(8));
        assert_eq!(rank(serde_json::json!({"lora": {"rank": 2}})), Some(2));
        let place = |more, architecture| {
            let problem = step(more).lora_problem(architecture);
            problem.map(|problem| problem.path.join("."))
        };
        let targets = serde_json::json!({"lora": {"targets": ["q_proj", "c_attn"]}});
        assert_eq!(place(targets.clone(), None), None);
        assert_eq!(place(targets, Some("llama")).unwrap(), "lora.targets.1");
        assert_eq!(place(serde_json::json!({"lora": {}}), Some("rnn")).unwrap(), "lora");
        assert_eq!(
            place(serde_json::json!({"method": "lora"}), Some("rnn")).unwrap(),
            "method"
        );
        assert_eq!(
            place(serde_json::json!({"method": "full", "lora": {}}), None).unwrap(),
            "lora"
        );
    }

    #[test]
    fn a_missing_template_is_a_problem_of_the_file() {
        let step = serde_json::json!({"model": "m", "data": "d", "template": "/none.jinja", "train": {"epochs": 1}});
        let problems = (KIND.parse)(&step).unwrap().check(&[]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, ["template"]);
    }
}
