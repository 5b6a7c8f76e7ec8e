//! `uses: evaluate`: scores of generated texts, or the perplexity of a model.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::metrics::{self, Metric, MetricName, PERPLEXITY, RougeWords};
use crate::step::{
    ArtifactType, Context, Dataset, Derived, Generations, Input, Key, KeyError, Kind, Model, Needs, Problem, Ref, Step,
    parse_as, schema_of,
};

/// The kind.
pub const KIND: Kind = Kind {
    name: "evaluate",
    about: "Scores generated texts against their references, or measures a model's perplexity on a dataset.",
    version: 1,
    output: ArtifactType::Scores,
    example: "uses: evaluate\nwith: {generations: answers, metrics: [rouge, bleu, chrf, exact_match]}\n",
    schema: schema_of::<Evaluate>,
    parse: parse_as::<Evaluate>,
};

/// Scores generated texts against their references (`generations`), or measures the perplexity of a
/// model on a dataset (`model` and `data`). Every score carries the number of samples or tokens that
/// it is over and a signature of everything that it depends on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// The texts to score: what a `generate` step wrote.
    #[serde(default)]
    generations: Option<Ref<Generations>>,
    /// The model whose perplexity to measure, instead of `generations`.
    #[serde(default)]
    model: Option<Ref<Model>>,
    /// The text to measure perplexity on: a dataset without parts, or one part (`stories.test`).
    #[serde(default)]
    data: Option<Ref<Dataset>>,
    /// With `data`: the fields of a row that are its text. Default: every text field, in order.
    #[serde(default)]
    fields: Option<Vec<String>>,
    /// What to compute. Default: `[rouge, bleu, chrf, exact_match]` for generations, `[perplexity]`
    /// for a model. The order does not matter.
    #[serde(default)]
    #[schemars(length(min = 1))]
    metrics: Option<Vec<MetricName>>,
    /// How ROUGE reads text.
    #[serde(default)]
    rouge: RougeSettings,
}

/// How ROUGE reads text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RougeSettings {
    /// What a word is. `ascii` gives the figures of the rouge-score package, which cut words at
    /// accents; `unicode` is right for Spanish.
    #[serde(default)]
    words: RougeWords,
}

/// The metrics of generations when none are named.
const DEFAULT: &[&str] = &["rouge", "bleu", "chrf", "exact_match"];

/// What is evaluated, once the settings are known to fit together.
enum Work<'a> {
    Texts(&'a Ref<Generations>),
    Perplexity(&'a Ref<Model>, &'a Ref<Dataset>),
}

impl Evaluate {
    fn work(&self) -> Result<Work<'_>, Problem> {
        match (&self.generations, &self.model, &self.data) {
            (Some(generations), None, None) => Ok(Work::Texts(generations)),
            (None, Some(model), Some(data)) => Ok(Work::Perplexity(model, data)),
            (None, None, None) => Err(Problem::at("", "there is nothing to evaluate")
                .help("give `generations` for scores of texts, or `model` and `data` for perplexity")),
            (Some(_), Some(_), _) => Err(Problem::at(
                "model",
                "`generations` and `model` are two different evaluations",
            )
            .also("generations", "the other one")
            .help("make two steps: one with `generations`, one with `model` and `data`")),
            (Some(_), None, Some(_)) => Err(Problem::at("data", "`data` goes with `model`, not with `generations`")
                .also("generations", "these are scored")
                .help("generations bring their references along; remove `data`")),
            (None, Some(_), None) => Err(Problem::at("model", "perplexity needs a text to measure on")
                .help("add `data`, for example `data: stories.test`")),
            (None, None, Some(_)) => Err(Problem::at("data", "perplexity needs a model").help("add `model`")),
        }
    }

    /// The names of the metrics, without groups, in alphabetical order.
    fn names(&self) -> Vec<String> {
        let default = || {
            let names: &[&str] = if self.generations.is_some() {
                DEFAULT
            } else {
                &[PERPLEXITY.name]
            };
            names.iter().map(|name| MetricName((*name).to_owned())).collect()
        };
        let chosen = self.metrics.clone().unwrap_or_else(default);
        let mut names: Vec<_> = chosen.iter().flat_map(MetricName::members).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The chosen metrics of texts, in the order of the registry.
    fn metrics(&self) -> Vec<Box<dyn Metric>> {
        let names = self.names();
        let all = metrics::all(self.rouge.words).into_iter();
        all.filter(|metric| names.iter().any(|name| name == metric.facts().name))
            .collect()
    }
}

impl Step for Evaluate {
    fn needs(&self) -> Needs {
        Needs {
            seed: self.generations.is_some(), // for the intervals
            device: self.model.is_some(),
            lineage: false,
        }
    }

    fn derived(&self) -> Vec<Derived> {
        let Ok(Work::Perplexity(model, data)) = self.work() else {
            return Vec::new();
        };
        // the tokenizer alone: another model with the same one reads the same tokens
        let tokenizer = format!("{}.tokenizer", model.text());
        let mut with = json!({"data": data, "tokenizer": tokenizer});
        if let Some(fields) = &self.fields {
            with["fields"] = json!(fields);
        }
        vec![Derived {
            field: "tokens",
            kind: "encode",
            label: format!("encode({}, {tokenizer})", data.text()),
            with,
        }]
    }

    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let work = match self.work() {
            Ok(work) => work,
            Err(problem) => return vec![problem],
        };
        let mut problems = Vec::new();
        for (index, name) in self.metrics.iter().flatten().enumerate() {
            let of_model = name.0 == PERPLEXITY.name;
            match work {
                Work::Texts(_) if of_model => problems.push(
                    Problem::at(
                        &format!("metrics.{index}"),
                        "perplexity is a figure of a model, not of generated texts",
                    )
                    .help("measure it in a step of its own, with `model` and `data`"),
                ),
                Work::Perplexity(..) if !of_model => problems.push(
                    Problem::at(
                        &format!("metrics.{index}"),
                        format!("{} compares texts with references", name.0),
                    )
                    .help("score `generations` with it; of a `model` only `perplexity` is measured"),
                ),
                _ => {}
            }
        }
        match work {
            Work::Texts(_) if self.fields.is_some() => {
                problems.push(Problem::at(
                    "fields",
                    "`fields` goes with `data`, not with `generations`",
                ));
            }
            Work::Texts(_) => {}
            Work::Perplexity(_, data) => {
                let input = inputs.iter().find(|input| input.text == data.text());
                if let Some(input) = input.filter(|input| input.part.is_none() && input.parts.len() > 1) {
                    let parts = input.parts.join(", ");
                    let first = &input.parts[input.parts.len() - 1];
                    problems.push(
                        Problem::at(
                            "data",
                            format!("`{}` is split into {parts}; perplexity is over one part", data.text()),
                        )
                        .help(format!("write `{}.{first}`", data.text())),
                    );
                }
            }
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            generations,
            model,
            data: _,   // through the tokens that are derived from it
            fields: _, // the same
            metrics: _,
            rouge: RougeSettings { words },
        } = self;
        if let Some(generations) = generations {
            key.artifact("generations", generations);
            key.set("rouge.words", words);
        }
        if let Some(model) = model {
            key.artifact("model", model);
            key.derived("tokens");
        }
        key.set("metrics", &self.names());
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self.work().map_err(|problem| anyhow::anyhow!(problem.message))? {
            Work::Texts(generations) => {
                let samples = metrics::read(context.path(generations))?;
                context.info(format!("{} samples", samples.len()));
                let scores = metrics::score(samples, &self.metrics(), context.seed())?;
                metrics::write(&context.out, &scores.scores, &scores.samples)?;
                Ok(())
            }
            Work::Perplexity(model, _) => {
                let score = super::perplexity::measure(context, model)?;
                metrics::write(&context.out, &[score], &[])?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::step::{Digest, Known};

    fn parsed(with: Value) -> Evaluate {
        serde_json::from_value(with).unwrap()
    }

    fn key_of(step: &Evaluate) -> Value {
        let known = |text: &str| Known::Digest(Digest::of(text.as_bytes()));
        let mut key = Key::new(&known);
        step.key(&mut key).unwrap();
        json!(key.finish().0)
    }

    #[test]
    fn the_order_of_metrics_is_without_meaning() {
        let one = parsed(json!({"generations": "a", "metrics": ["bleu", "rouge"]}));
        let other = parsed(json!({"generations": "a", "metrics": ["rouge1", "rouge", "bleu"]}));
        assert_eq!(key_of(&one), key_of(&other));
        let more = parsed(json!({"generations": "a", "metrics": ["bleu", "rouge", "chrf"]}));
        assert_ne!(key_of(&one), key_of(&more));
        let words = parsed(json!({"generations": "a", "metrics": ["bleu", "rouge"], "rouge": {"words": "unicode"}}));
        assert_ne!(key_of(&one), key_of(&words));
    }

    #[test]
    fn settings_that_do_not_fit_together_are_named() {
        let problem = |with: Value| parsed(with).check(&[])[0].clone();
        assert!(problem(json!({})).help.unwrap().contains("generations"));
        assert_eq!(problem(json!({"generations": "a", "model": "m"})).path, ["model"]);
        assert_eq!(problem(json!({"model": "m"})).path, ["model"]);
        assert_eq!(
            problem(json!({"generations": "a", "metrics": ["bleu", "perplexity"]})).path,
            ["metrics", "1"]
        );
        assert_eq!(
            problem(json!({"model": "m", "data": "d", "metrics": ["bleu"]})).path,
            ["metrics", "0"]
        );
        assert!(parsed(json!({"model": "m", "data": "d"})).check(&[]).is_empty());
    }

    #[test]
    fn perplexity_encodes_with_the_models_tokenizer() {
        let derived = parsed(json!({"model": "m", "data": "d.test", "fields": ["text"]})).derived();
        assert_eq!(derived[0].label, "encode(d.test, m.tokenizer)");
        assert_eq!(
            derived[0].with,
            json!({"data": "d.test", "tokenizer": "m.tokenizer", "fields": ["text"]})
        );
    }

    #[test]
    fn scores_are_written_for_any_tool() {
        let out = tempfile::tempdir().unwrap();
        let generations = out.path().join("generations.jsonl");
        let line = json!({"id": 3, "prompt": "p", "output": "the cat", "references": ["the cat"], "finish": "eos",
            "prompt_tokens": 1, "output_tokens": 2, "seed": 9, "row": {}});
        std::fs::write(&generations, format!("{line}\n")).unwrap();
        let samples = metrics::read(out.path()).unwrap();
        let step = parsed(json!({"generations": "a", "metrics": ["rouge1", "accuracy"]}));
        let scores = metrics::score(samples, &step.metrics(), crate::seed::Seed::root(1)).unwrap();
        metrics::write(out.path(), &scores.scores, &scores.samples).unwrap();
        let read = |name| std::fs::read_to_string(out.path().join(name)).unwrap();
        let file: Value = serde_json::from_str(&read("scores.json")).unwrap();
        assert_eq!(file["scores"][0]["metric"], "rouge1");
        assert_eq!(file["scores"][1]["value"], 1.0);
        let sample: Value = serde_json::from_str(&read("samples.jsonl")).unwrap();
        assert_eq!(sample["scores"], json!({"rouge1": 1.0, "accuracy": 1.0}));
        assert_eq!(sample["id"], "3");
    }
}
