//! `uses: evaluate`: scores of generated texts, or the perplexity of a model.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::metrics::{
    self, BITS_PER_BYTE, BleuSettings, ChrfSettings, ExactMatchSettings, MetricName, PERPLEXITY, RougeSettings, Scorer,
    ScoresFile, Settings, Tercom, TokenF1Settings,
};
use crate::step::{
    ArtifactType, Context, Dataset, Derived, Generations, Input, Interrupted, Key, KeyError, Kind, Model, Needs,
    Problem, Ref, Step, parse_as, schema_of,
};

/// The kind.
pub const KIND: Kind = Kind {
    name: "evaluate",
    about: "Scores generated texts against their references, or measures a model's perplexity on a dataset.",
    version: 4,
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
    /// With `generations`: fields of the dataset's rows. The samples of each of their values are
    /// scored apart as well, so that a system that fails one group shows it.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    slices: Vec<String>,
    /// How ROUGE reads text.
    #[serde(default)]
    rouge: RougeSettings,
    /// How BLEU reads text and smooths.
    #[serde(default)]
    bleu: BleuSettings,
    /// What chrF counts.
    #[serde(default)]
    chrf: ChrfSettings,
    /// How TER reads text.
    #[serde(default)]
    ter: Tercom,
    /// What an exact match leaves aside.
    #[serde(default)]
    exact_match: ExactMatchSettings,
    /// How token F1 reads text.
    #[serde(default)]
    token_f1: TokenF1Settings,
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

    /// How the metrics of texts read and count.
    fn settings(&self) -> Settings {
        Settings {
            rouge: self.rouge,
            bleu: self.bleu,
            chrf: self.chrf,
            ter: self.ter,
            exact_match: self.exact_match,
            token_f1: self.token_f1,
        }
    }

    /// Scores the generations of an artifact as they are read, into the folder of another.
    fn score(&self, context: &Context, generations: &Ref<Generations>) -> anyhow::Result<()> {
        let scorer = Scorer::new(&self.names(), &self.settings()).sliced(&self.slices);
        let (mut scorer, before) = scorer.resuming(&context.checkpoints)?;
        if before > 0 {
            context.info(format!("{before} samples were scored before"));
        }
        let mut file = ScoresFile::create(&context.out)?;
        let mut done = 0;
        metrics::stream(context.path(generations), !self.slices.is_empty(), |samples, rows| {
            if context.stopping() {
                return Err(anyhow::Error::new(Interrupted));
            }
            done += samples.len();
            file.push(&scorer.add(samples, &rows)?)?;
            context.progress(done as u64, 0, "samples", "");
            Ok(())
        })?;
        context.info(format!("{done} samples"));
        file.finish(&scorer.finish(context.seed())?, &self.settings())?;
        Ok(())
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
            let of_model = [PERPLEXITY.name, BITS_PER_BYTE.name].contains(&name.0.as_str());
            match work {
                Work::Texts(_) if of_model => problems.push(
                    Problem::at(
                        &format!("metrics.{index}"),
                        format!("{} is a figure of a model, not of generated texts", name.0),
                    )
                    .help("measure it in a step of its own, with `model` and `data`"),
                ),
                Work::Perplexity(..) if !of_model => problems.push(
                    Problem::at(
                        &format!("metrics.{index}"),
                        format!("{} compares texts with references", name.0),
                    )
                    .help(
                        "score `generations` with it; of a `model` only `perplexity` and `bits_per_byte` are measured",
                    ),
                ),
                _ => {}
            }
        }
        for (setting, message) in self.settings().problems() {
            problems.push(Problem::at(setting, message));
        }
        if matches!(work, Work::Perplexity(..)) && !self.slices.is_empty() {
            problems.push(
                Problem::at("slices", "`slices` goes with `generations`, not with `model`")
                    .help("make a part of the dataset for each group, and a step that measures on it"),
            );
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
            slices,
            rouge,
            bleu,
            chrf,
            ter,
            exact_match,
            token_f1,
        } = self;
        if let Some(generations) = generations {
            key.artifact("generations", generations);
            key.set("slices", slices);
            key.set("rouge", rouge);
            key.set("bleu", bleu);
            key.set("chrf", chrf);
            key.set("ter", ter);
            key.set("exact_match", exact_match);
            key.set("token_f1", token_f1);
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
            Work::Texts(generations) => self.score(context, generations),
            Work::Perplexity(model, _) => {
                let scores = super::perplexity::measure(context, model, &self.names())?;
                metrics::write(&context.out, &scores)?;
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
    fn an_interrupted_evaluation_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..300)
            .map(|number| {
                let line = json!({"id": number, "prompt": "p", "output": format!("the cat {number} of {}", number % 7),
                    "references": [format!("the cat of {}", number % 5)], "finish": "eos", "prompt_tokens": 1,
                    "output_tokens": 2, "seed": 9, "row": {}});
                format!("{line}\n")
            })
            .collect();
        std::fs::write(folder.path().join("generations.jsonl"), lines).unwrap();
        let step = parsed(json!({"generations": "a", "metrics": ["rouge", "bleu", "ter", "accuracy", "distinct2"]}));
        let score = |checkpoints: &str, out: &str| {
            let (checkpoints, out) = (folder.path().join(checkpoints), folder.path().join(out));
            std::fs::create_dir_all(&checkpoints).unwrap();
            std::fs::create_dir_all(&out).unwrap();
            let scorer = Scorer::new(&step.names(), &step.settings());
            let (mut scorer, before) = scorer.resuming(&checkpoints).unwrap();
            let mut file = ScoresFile::create(&out).unwrap();
            metrics::stream(folder.path(), false, |samples, rows| {
                file.push(&scorer.add(samples, &rows)?)
            })
            .unwrap();
            file.finish(&scorer.finish(crate::seed::Seed::root(1)).unwrap(), &step.settings())
                .unwrap();
            let read = |name: &str| std::fs::read(out.join(name)).unwrap();
            (before, read("scores.json"), read("samples.jsonl"))
        };
        let (before, scores, samples) = score("one", "whole");
        assert_eq!(before, 0);
        // a kill cut the journal in its middle
        let journal = std::fs::read(folder.path().join("one/statistics.journal")).unwrap();
        std::fs::create_dir(folder.path().join("two")).unwrap();
        std::fs::write(
            folder.path().join("two/statistics.journal"),
            &journal[..journal.len() / 2],
        )
        .unwrap();
        let (before, again, of_samples) = score("two", "resumed");
        assert!((64..300).contains(&before), "{before}");
        assert!(again == scores && of_samples == samples);
        assert_eq!(score("two", "known").0, 300);
    }

    #[test]
    fn scores_are_written_for_any_tool() {
        let out = tempfile::tempdir().unwrap();
        let generations = out.path().join("generations.jsonl");
        let line = json!({"id": 3, "prompt": "p", "output": "the cat", "references": ["the cat"], "finish": "eos",
            "prompt_tokens": 1, "output_tokens": 2, "seed": 9, "row": {}});
        std::fs::write(&generations, format!("{line}\n")).unwrap();
        let step = parsed(json!({"generations": "a", "metrics": ["rouge1", "accuracy"]}));
        let mut scorer = Scorer::new(&step.names(), &step.settings());
        let mut file = ScoresFile::create(out.path()).unwrap();
        metrics::stream(out.path(), false, |samples, rows| {
            file.push(&scorer.add(samples, &rows)?)
        })
        .unwrap();
        let scores = scorer.finish(crate::seed::Seed::root(1)).unwrap();
        file.finish(&scores, &step.settings()).unwrap();
        let read = |name| std::fs::read_to_string(out.path().join(name)).unwrap();
        let file: Value = serde_json::from_str(&read("scores.json")).unwrap();
        assert_eq!(file["scores"][0]["metric"], "rouge1");
        assert_eq!(file["scores"][1]["value"], 1.0);
        let sample: Value = serde_json::from_str(&read("samples.jsonl")).unwrap();
        assert_eq!(sample["scores"], json!({"rouge1": 1.0, "accuracy": 1.0}));
        assert_eq!(sample["id"], "3");
    }
}
