//! From text to instances, over small kinds.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use self::fakes::KINDS;
use super::check::tests::valid;
use super::check::{Mark, check};
use super::source::Span;
use super::tree::Node;
use super::{Diagnostics, LoadOptions, Pipeline, load_text, schema};
use crate::seed::Seed;
use crate::step as contract;

#[allow(dead_code, missing_docs)]
#[path = "../../tests/integration/fakes.rs"]
mod fakes;

mod anchors;
mod environment;
mod include;
mod matrix;
mod own_keys;
mod parameters;
mod when;

const LAB: &str = r#"
pipeline: lab
about: A test.
seed: 42
params: {width: 128, train: {updates: 100, rates: [0.1, 0.01]}}
steps:
  report:
    uses: report
    with: {scores: scores, baseline: {model: base, shots: 0}}
  dialogues:
    uses: dataset
    with: {files: data/d.jsonl, split: {test: 0.1, train: 0.9}}
  tokenizer:
    uses: tokenize
    with: {data: dialogues.train, algorithm: bpe, vocab_size: 2048}
  base:
    uses: pretrain
    with:
      data: dialogues
      tokenizer: tokenizer
      model: {architecture: llama, layers: 4, width: "${params.width}"}
      train: {updates: "${params.train.updates}", learning_rate: 1e-3}
  tuned:
    uses: finetune
    seed: 7
    matrix: {rate: "${params.train.rates}"}
    with:
      model: base
      data: dialogues.train
      template: ../t.jinja
      train: {updates: 5, learning_rate: "${matrix.rate}"}
  answers:
    uses: generate
    matrix: {model: [base, tuned], shots: [0, 1]}
    with:
      model: "${matrix.model}"
      data: dialogues.test
      prompt: {template: "../${matrix.model}-${matrix.shots}.jinja", shots: "${matrix.shots}", examples: dialogues.train}
  scores:
    uses: evaluate
    with: {generations: answers, metrics: [rouge]}
"#;

fn load(text: &str) -> Result<Pipeline, Diagnostics> {
    load_with(text, &[])
}

fn load_with(text: &str, set: &[(&str, &str)]) -> Result<Pipeline, Diagnostics> {
    let set = set
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    load_text(
        Path::new("/work/lab/lab.yaml"),
        text,
        &LoadOptions {
            set,
            ..LoadOptions::default()
        },
        KINDS,
    )
}

fn instance<'a>(pipeline: &'a Pipeline, name: &str) -> &'a super::Instance {
    let found = pipeline.instances.iter().find(|instance| instance.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(pipeline)))
}

fn names(pipeline: &Pipeline) -> Vec<&str> {
    pipeline
        .instances
        .iter()
        .map(|instance| instance.name.as_str())
        .collect()
}

fn messages(text: &str) -> Vec<String> {
    let Err(problems) = load(text) else {
        panic!("it loads: {text}")
    };
    problems.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pipeline_expands_in_an_order_that_runs() {
    let pipeline = load(LAB).expect("loads");
    assert_eq!(
        names(&pipeline),
        [
            "dialogues",
            "tokenizer",
            "encode(dialogues, tokenizer)",
            "base",
            "encode(dialogues.train, base.tokenizer)",
            "tuned[rate=0.1]",
            "tuned[rate=0.01]",
            "answers[model=base,shots=0]",
            "answers[model=base,shots=1]",
            "answers[model=tuned,shots=0,rate=0.1]",
            "answers[model=tuned,shots=0,rate=0.01]",
            "answers[model=tuned,shots=1,rate=0.1]",
            "answers[model=tuned,shots=1,rate=0.01]",
            "scores[model=base,shots=0]",
            "scores[model=base,shots=1]",
            "scores[model=tuned,shots=0,rate=0.1]",
            "scores[model=tuned,shots=0,rate=0.01]",
            "scores[model=tuned,shots=1,rate=0.1]",
            "scores[model=tuned,shots=1,rate=0.01]",
            "report",
        ]
    );
    assert!(pipeline.warnings.is_empty(), "{:?}", pipeline.warnings);
    for (index, one) in pipeline.instances.iter().enumerate() {
        assert!(one.inputs.iter().all(|(input, _)| *input < index), "{}", one.name);
    }
    let (name, about, seed) = (pipeline.name.as_str(), pipeline.about.as_str(), pipeline.seed);
    assert_eq!((name, about, seed), ("lab", "A test.", 42));
}

#[test]
fn settings_are_final_and_shown_as_written() {
    let pipeline = load(LAB).expect("loads");
    let answers = instance(&pipeline, "answers[model=tuned,shots=1,rate=0.01]");
    assert_eq!(
        answers.settings,
        json!({
            "model": "tuned[rate=0.01]",
            "data": "dialogues.test",
            "prompt": {
                "template": "/work/lab/../tuned-1.jinja", "shots": 1, "examples": "dialogues.train"
            }
        })
    );
    assert_eq!(answers.shown["prompt"]["template"], "../tuned-1.jinja");
    assert_eq!(answers.step, "answers");
    let report = instance(&pipeline, "report");
    assert_eq!(report.settings["scores"].as_array().map(Vec::len), Some(6));
    assert_eq!(report.settings["baseline"], json!({"model": "base", "shots": 0}));
    let encode = instance(&pipeline, "encode(dialogues.train, base.tokenizer)");
    assert!(encode.derived);
    assert_eq!(encode.settings["template"], "/work/lab/../t.jinja");
    assert_eq!(encode.shown["template"], "../t.jinja");
    assert_eq!(instance(&pipeline, "tuned[rate=0.1]").seed, Seed::root(7));
    assert_eq!(instance(&pipeline, "base").seed, Seed::root(42));
    assert_eq!(instance(&pipeline, "base").at.line, 16);
}

#[test]
fn inputs_tell_what_they_are() {
    let pipeline = load(LAB).expect("loads");
    let tuned = instance(&pipeline, "tuned[rate=0.1]");
    let texts: Vec<_> = tuned.inputs.iter().map(|(_, input)| input.text.as_str()).collect();
    assert_eq!(texts, ["base", "dialogues.train", "@tokens"]);
    let (index, data) = &tuned.inputs[1];
    assert_eq!(pipeline.instances[*index].name, "dialogues");
    assert_eq!((data.part.as_deref(), data.kind.as_str()), (Some("train"), "dataset"));
    assert_eq!(data.parts, ["test", "train"]);
    assert_eq!(tuned.inputs[0].1.parts, ["tokenizer"]);
    let encode = instance(&pipeline, "encode(dialogues.train, base.tokenizer)");
    assert_eq!(encode.inputs[1].1.text, "base.tokenizer");
    assert_eq!(encode.inputs[1].1.part.as_deref(), Some("tokenizer"));
    let scores = instance(&pipeline, "scores[model=base,shots=1]");
    assert_eq!(
        scores.inputs[0].1.axes,
        [("model".into(), "base".into()), ("shots".into(), "1".into())]
    );
}

#[test]
fn parameters_are_set_from_outside() {
    let pipeline = load_with(
        LAB,
        &[("width", "256"), ("train.updates", "3"), ("train.rates", "[0.5]")],
    )
    .expect("loads");
    let base = instance(&pipeline, "base");
    assert_eq!(base.settings["model"]["width"], 256);
    assert_eq!(base.settings["train"]["updates"], 3);
    assert_eq!(pipeline.params["train"], json!({"updates": 3, "rates": [0.5]}));
    instance(&pipeline, "tuned[rate=0.5]");
    for (name, value, words) in [
        ("widht", "1", "did you mean `width`?"),
        ("train.update", "1", "did you mean `train.updates`?"),
        ("width", "wide", "--set width=wide"),
        ("width", "[", "--set width=["),
        ("width", "0", "at least 1"),
    ] {
        let problems = load_with(LAB, &[(name, value)]).expect_err("is refused").to_string();
        assert!(problems.contains(words), "{problems}");
    }
}

#[test]
fn placeholders_keep_types_and_escapes_stay() {
    let text = "pipeline: p\nparams: {n: 3, s: a}\nsteps:\n  d:\n    uses: dataset\n    \
        with: {files: 'x-${params.n}-${params.s}-$${n}', limit: '${params.n}'}\n";
    let pipeline = load(text).expect("loads");
    assert_eq!(pipeline.instances[0].shown, json!({"files": "x-3-a-${n}", "limit": 3}));
}

#[test]
fn a_derived_instance_is_made_once() {
    let twice = LAB.replace(
        "  tuned:\n",
        "  other:\n    uses: pretrain\n    with: {data: dialogues, tokenizer: tokenizer, model: {architecture: gpt2, layers: 1, \
         width: 8}, train: {updates: 1, learning_rate: 1}}\n  tuned:\n",
    );
    let pipeline = load(&twice).expect("loads");
    let encodes = pipeline
        .instances
        .iter()
        .filter(|one| one.name.starts_with("encode(dialogues, "));
    assert_eq!(encodes.count(), 1);
}

#[test]
fn instances_can_be_chosen_by_axes() {
    let chosen = LAB.replace("generations: answers", "generations: 'answers[model=base]'");
    let pipeline = load(&chosen);
    // the report's baseline names an axis that is now held, and so no longer one of the scores'
    let problems = pipeline.expect_err("the baseline is gone").to_string();
    assert!(problems.contains("no scores have an axis `model`"), "{problems}");
    let pipeline = load(&chosen.replace("model: base, shots: 0}", "shots: 0}")).expect("loads");
    instance(&pipeline, "scores[shots=1]");
    assert_eq!(instance(&pipeline, "report").inputs.len(), 2);
}

#[test]
fn one_mistake_is_told_once_however_often_it_expands() {
    let bad = LAB
        .replace("shots: [0, 1]", "shots: [0, 1, 2, 3], unused: [1, 2]")
        .replace("metrics: [rouge]", "metrics: [rogue]");
    let told = messages(&bad);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("did you mean `rouge`?"), "{told:?}");
}

#[test]
fn what_nothing_uses_is_a_warning() {
    let text = LAB
        .replace("params: {", "params: {lr: 1, ")
        .replace("shots: [0, 1]}", "shots: [0, 1], turn: [1, 2]}");
    let pipeline = load(&text).expect("loads");
    let warnings: Vec<_> = pipeline
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(
        warnings,
        [
            "nothing uses the parameter `lr`",
            "nothing in step `answers` uses its axis `turn`"
        ]
    );
}

#[test]
fn the_schema_for_editors_takes_what_loads_and_refuses_what_does_not() {
    let schema = schema(KINDS);
    let value: serde_json::Value = serde_yaml::from_str(LAB).expect("yaml");
    assert!(valid(&schema, &schema, &value));
    for (from, to) in [
        ("uses: tokenize", "uses: tokenise"),
        ("layers: 4", "layers: 0"),
        ("layers: 4", "layer: 4"),
        ("layers: 4", "layers: four"),
        ("algorithm: bpe", "algorithm: bep"),
        ("architecture: llama", "architecture: lama"),
        ("data: dialogues\n", "dta: dialogues\n"),
        ("pipeline: lab", "pipelines: lab"),
        ("metrics: [rouge]", "metrics: []"),
        ("    seed: 7\n", "    sed: 7\n"),
    ] {
        assert!(LAB.contains(from), "{from}");
        let value: serde_json::Value = serde_yaml::from_str(&LAB.replacen(from, to, 1)).expect("yaml");
        assert!(!valid(&schema, &schema, &value), "{to} is taken");
        assert!(load(&LAB.replacen(from, to, 1)).is_err(), "{to} loads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Cutting, doubling or blotting lines of a good file never panics, and every problem has a place in it.
    #[test]
    fn mangled_files_give_diagnostics(cuts in prop::collection::vec((0usize..40, 0u8..4), 1..4)) {
        let mut lines: Vec<String> = LAB.lines().map(str::to_owned).collect();
        for (line, how) in cuts {
            let line = line % lines.len();
            match how {
                0 => { lines.remove(line); }
                1 => lines.insert(line, lines[line].clone()),
                2 => lines[line] = lines[line].replace(['a', ':'], "b"),
                _ => lines[line] = lines[line].chars().take(12).collect(),
            }
        }
        let text = lines.join("\n");
        if let Err(problems) = load(&text) {
            prop_assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                prop_assert!(problem.at.line <= text.lines().count() + 1, "{}", problem);
                prop_assert!(!problem.render(true).is_empty());
            }
        }
    }
}

#[test]
fn the_example_of_every_kind_fits_its_schema_and_parses() {
    for kind in crate::steps::KINDS {
        let step: serde_json::Value = serde_yaml::from_str(kind.example).expect(kind.name);
        assert_eq!(step["uses"], kind.name);
        let with = Node::from_value(&step["with"], Span::default());
        let outcome = check(&(kind.schema)().to_value(), &with, &|path| path.join("."));
        assert!(outcome.faults.is_empty(), "{}: {:?}", kind.name, outcome.faults);
        let references = outcome
            .findings
            .iter()
            .filter(|finding| matches!(finding.mark, Mark::Artifact { .. }));
        assert_eq!(
            references.count() > 0,
            !["dataset", "model"].contains(&kind.name),
            "{}: references are found",
            kind.name
        );
        assert!((kind.parse)(&step["with"]).is_ok(), "{}", kind.name);
    }
}

#[test]
fn the_schema_for_editors_takes_the_example_of_every_kind() {
    let schema = schema(crate::steps::KINDS);
    for kind in crate::steps::KINDS {
        let step: serde_json::Value = serde_yaml::from_str(kind.example).expect(kind.name);
        let file = json!({"pipeline": "p", "steps": {"one": step}});
        assert!(valid(&schema, &schema, &file), "{}", kind.name);
        let mut wrong = file.clone();
        wrong["steps"]["one"]["with"]["no_such_setting"] = json!(1);
        assert!(!valid(&schema, &schema, &wrong), "{}", kind.name);
    }
}

/// The kinds that the checker must understand: these, and all that the program has.
pub(super) fn kinds() -> impl Iterator<Item = &'static contract::Kind> {
    KINDS.iter().chain(crate::steps::KINDS)
}
