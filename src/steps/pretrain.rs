//! `pretrain`: a model from nothing, on running text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outlook;
use super::training::{Encoded, check_splits, finish, named_seed, taking};
use crate::models::{Model, ModelSettings, SpecialIds};
use crate::prompt::Template;
use crate::step::{
    ArtifactType, Context, Dataset, Derived, FilePath, Input, Key, KeyError, Kind, Needs, Outlook, Problem, Prospects,
    Ref, Step, TokenizerOrModel, parse_as, schema_of,
};
use crate::tokenizer::Tokenizer;
use crate::train::batches::{Reading, Source};
use crate::train::evaluation::Split;
use crate::train::examples::{Examples, Overlong, Shuffled};
use crate::train::gradients::Place;
use crate::train::objective::{Hiding, Objectives, Spans};
use crate::train::windows::Windows;
use crate::train::{Task, TrainSettings, run};

/// The kind.
pub const KIND: Kind = Kind {
    name: "pretrain",
    about: "Trains a language model from random weights on running text.",
    version: 3,
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

/// Trains a language model from random weights on running text, or with `objective: sequences` on
/// prompts and answers.
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
    /// Which spans are hidden, for `objective: span_corruption`; T5's without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spans: Option<Spans>,
    /// The prompt template for `objective: sequences`: a minijinja file with the blocks `prompt` (what
    /// is read) and `answer` (what is learned).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<FilePath>,
    /// The model's shape.
    #[serde(default)]
    model: ModelSettings,
    /// How it is trained.
    train: TrainSettings,
}

/// What a pretraining learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Objective {
    /// The next token from those before it.
    #[default]
    Causal,
    /// Spans that are hidden in a text and replaced by sentinels, as T5 is trained (Raffel et al.
    /// 2020). Sentinels are the tokenizer's `<extra_id_0>` and following, or a hundred ids after its
    /// vocabulary.
    SpanCorruption,
    /// What follows a place in a text that is drawn for each window, from what is before it.
    Prefix,
    /// A row's answer from its prompt, by a template: translation, for instance.
    Sequences,
}

/// Sentinels that a vocabulary gets which has none.
const SENTINELS: u32 = 100;

impl Pretrain {
    fn causal(&self) -> bool {
        self.objective == Objective::Causal
    }

    /// What does not fit the objective.
    fn objective_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.causal() && self.model.architecture.encodes() {
            let fact = format!(
                "{} reads a source with its encoder, and a causal objective has none",
                self.model.architecture.name()
            );
            let help = "set objective: span_corruption, prefix or sequences";
            problems.push(Problem::at("objective", fact).help(help));
        }
        if self.spans.is_some() && self.objective != Objective::SpanCorruption {
            problems.push(Problem::at("spans", "is for objective: span_corruption").help("leave it out"));
        }
        if let Some(spans) = self.spans {
            let Spans { density, mean_length } = spans;
            if !(density > 0.0 && density < 1.0) {
                problems.push(Problem::at(
                    "spans.density",
                    format!("{density} is not between 0 and 1"),
                ));
            }
            if !(mean_length >= 1.0 && mean_length.is_finite()) {
                problems.push(Problem::at(
                    "spans.mean_length",
                    format!("{mean_length} is not 1 or above"),
                ));
            }
        }
        match (&self.template, self.objective) {
            (None, Objective::Sequences) => problems.push(
                Problem::at("objective", "sequences are made by a template")
                    .help("add template: FILE with the blocks prompt and answer"),
            ),
            (Some(template), Objective::Sequences) => {
                if self.fields.is_some() {
                    problems.push(Problem::at(
                        "fields",
                        "is not used together with `template`, which names its fields",
                    ));
                }
                match Template::load(template.as_path()) {
                    Ok(template) if template.has_answer() => {}
                    Ok(_) => problems.push(Problem::at(
                        "template",
                        "has no `answer` block, so there is nothing to learn",
                    )),
                    Err(error) => problems.push(Problem::at("template", error.to_string())),
                }
            }
            (Some(_), _) => {
                problems.push(Problem::at("template", "is for objective: sequences").help("leave it out"));
            }
            (None, _) => {}
        }
        let smallest = match self.objective {
            Objective::Causal | Objective::Sequences => 1,
            Objective::SpanCorruption | Objective::Prefix => 8,
        };
        if self.model.context < smallest {
            let fact = format!("a context of {} leaves nothing to hide", self.model.context);
            problems.push(Problem::at("model.context", fact).help("take at least 8"));
        }
        problems
    }

    /// The ids that stand for hidden spans, and how large the vocabulary is with them.
    fn sentinels(&self, tokenizer: &Tokenizer) -> (Vec<u32>, usize) {
        let size = tokenizer.vocab_size();
        if self.objective != Objective::SpanCorruption {
            return (Vec::new(), size);
        }
        let named = (0..).map_while(|number| tokenizer.id(&format!("<extra_id_{number}>")));
        let named: Vec<u32> = named.collect();
        if named.len() >= 2 {
            return (named, size);
        }
        let first = u32::try_from(size).expect("a vocabulary has far fewer than 2^32 tokens");
        ((first..first + SENTINELS).collect(), size + SENTINELS as usize)
    }
}

impl Step for Pretrain {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            ..Needs::default()
        }
    }

    fn architecture(&self, _inputs: &[Input]) -> Option<String> {
        Some(self.model.architecture.name().into())
    }

    fn derived(&self) -> Vec<Derived> {
        let mut with = serde_json::json!({"data": self.data, "tokenizer": self.tokenizer});
        if let Some(fields) = &self.fields {
            with["fields"] = fields.as_slice().into();
        }
        if let Some(template) = &self.template {
            with["template"] = serde_json::json!(template);
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
        problems.extend(self.objective_problems());
        problems.extend(self.train.problems());
        problems.extend(check_splits(self.data.text(), inputs));
        problems
    }

    fn beyond_cpu(&self) -> Vec<Problem> {
        self.train.beyond_cpu()
    }

    fn outlook(&self, prospects: &Prospects<'_>) -> Outlook {
        let vocabulary = outlook::vocabulary(prospects, self.tokenizer.text());
        let config = vocabulary.map(|vocabulary| {
            // hidden spans may need a hundred tokens more, which only the tokenizer tells
            let sentinels = if self.objective == Objective::SpanCorruption {
                SENTINELS as usize
            } else {
                0
            };
            self.model.config(vocabulary + sentinels, SpecialIds::default())
        });
        outlook::of_model(config, |config| {
            let (length, reading) = (config.context, Reading::of_config(config));
            let hidden = |hiding: &Hiding| {
                let window = Objectives::window(hiding, reading, length);
                (self.train.sequences(window), Objectives::sides(hiding, reading, window))
            };
            let (sequences, sides) = match self.objective {
                Objective::Causal => (self.train.sequences(length), [0, length]),
                Objective::Prefix => hidden(&Hiding::Continuation),
                Objective::SpanCorruption => hidden(&Hiding::Spans {
                    spans: self.spans.unwrap_or_default(),
                    sentinels: Vec::new(),
                }),
                Objective::Sequences => {
                    let tokenizer = Some(self.tokenizer.text());
                    let (both, sides) = outlook::longest(prospects, config, tokenizer, Overlong::Error);
                    (self.train.sequences(both), sides)
                }
            };
            outlook::shape(prospects, self.data.text(), &self.train, sequences, sides)
        })
    }

    fn key(&self, key: &mut Key<'_>) -> Result<(), KeyError> {
        let Self {
            data: _,     // by its tokens,
            fields: _,   // which the fields chose
            template: _, // or the template made
            tokenizer,
            objective,
            spans,
            model,
            train,
        } = self;
        key.derived("tokens");
        key.artifact("tokenizer", tokenizer); // its files become the model's
        key.set("objective", objective);
        if *objective == Objective::SpanCorruption {
            key.set("spans", &spans.unwrap_or_default());
        }
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
        let (sentinels, vocab_size) = self.sentinels(&tokenizer);
        let config = self.model.config(vocab_size, special);
        let model = Model::init(&config, named_seed(context, "init"), &device);
        context.info(format!("{} parameters", model.parameters()));

        let encoded = Encoded::open(&context.derived("tokens").path)?;
        crate::train::evaluation::fits(&encoded.train, &encoded.name, &model)?;
        let length = config.context;
        let seed = named_seed(context, "batches");
        let hiding = match self.objective {
            Objective::SpanCorruption => Some(Hiding::Spans {
                spans: self.spans.unwrap_or_default(),
                sentinels,
            }),
            Objective::Prefix => Some(Hiding::Continuation),
            Objective::Causal | Objective::Sequences => None,
        };
        let (source, validation): (Box<dyn Source + '_>, Option<Split<'_>>) = match (self.objective, hiding) {
            (_, Some(hiding)) => {
                let reading = Reading::of(&model);
                let window = Objectives::window(&hiding, reading, length);
                let sequences = self.train.sequences(window);
                let hidden = |tokens, name: &str, accumulate, seed| -> anyhow::Result<_> {
                    let windows = Windows::new(tokens, name, window, sequences, accumulate, seed)?;
                    let end = tokenizer.eos();
                    Ok(Objectives::new(tokens, windows, hiding.clone(), reading, end, seed)?)
                };
                let validation = match encoded.validation_tokens() {
                    Some((tokens, name)) => {
                        crate::train::evaluation::fits(tokens, &name, &model)?;
                        Some(Split::Hidden(hidden(tokens, &name, 1, seed)?))
                    }
                    None => None,
                };
                let source = hidden(&encoded.train, &encoded.name, self.train.accumulate, seed)?;
                (Box::new(source), validation)
            }
            (Objective::Sequences, None) => {
                let taking = taking(&model, &tokenizer);
                let validation = encoded.validation(&model, &taking, Overlong::Error)?;
                let examples = Examples::of(&encoded.train, &encoded.name, taking, Overlong::Error)?;
                let sequences = self.train.sequences(examples.longest());
                let source = Shuffled::new(examples, sequences, self.train.accumulate, seed);
                (Box::new(source), validation)
            }
            (_, None) => {
                let validation = encoded.validation(&model, &length.into(), Overlong::Error)?;
                let sequences = self.train.sequences(length);
                let accumulate = self.train.accumulate;
                let source = Windows::new(&encoded.train, &encoded.name, length, sequences, accumulate, seed)?;
                (Box::new(source), validation)
            }
        };
        let outcome = run(Task {
            place: Place::of(&device),
            model,
            settings: &self.train,
            learning_rate: LEARNING_RATE,
            source,
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
    fn objectives_are_held_to_the_model_and_to_their_settings() {
        let paths = |extra: serde_json::Value| -> Vec<String> {
            let mut step = serde_json::json!({"data": "d", "tokenizer": "t", "train": {"updates": 1}});
            step.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let problems = (KIND.parse)(&step).unwrap().check(&[]);
            problems.iter().map(|problem| problem.path.join(".")).collect()
        };
        let t5 = serde_json::json!({"architecture": "t5"});
        assert_eq!(paths(serde_json::json!({"model": t5})), ["objective"]);
        assert!(paths(serde_json::json!({"model": t5, "objective": "prefix"})).is_empty());
        assert!(paths(serde_json::json!({"objective": "span_corruption"})).is_empty());
        assert_eq!(paths(serde_json::json!({"objective": "sequences"})), ["objective"]);
        assert_eq!(paths(serde_json::json!({"spans": {"density": 0.5}})), ["spans"]);
        let spans = serde_json::json!({"objective": "span_corruption", "spans": {"density": 0, "mean_length": 0.5}});
        assert_eq!(paths(spans), ["spans.density", "spans.mean_length"]);
        assert_eq!(paths(serde_json::json!({"template": "/none.jinja"})), ["template"]);
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
