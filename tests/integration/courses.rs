//! The pipelines that students run, tiny: each goes through to its report.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Outcome, Sandbox};

fn pipeline(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
    path.to_str().unwrap().to_owned()
}

/// Runs a pipeline that ships with other parameters, to its end.
fn run(sandbox: &Sandbox, name: &str, settings: &[&str]) -> Outcome {
    let file = pipeline(name);
    let mut arguments = vec!["run", &file, "--json", "--device", "cpu"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let outcome = sandbox.fragua(&arguments);
    assert_eq!(outcome.code, Some(0), "{name}: {}{}", outcome.out, outcome.err);
    outcome
}

/// The rows of a run's `scores.csv`, by name of column.
fn scores(outcome: &Outcome) -> Vec<std::collections::BTreeMap<String, String>> {
    let report = PathBuf::from(outcome.finished()["report"].as_str().unwrap());
    let mut reader = csv::Reader::from_path(report.with_file_name("scores.csv")).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

const SMALL: [&str; 8] = [
    "rows=400",
    "vocabulary=300",
    "width=16",
    "heads=2",
    "layers=1",
    "epochs=0.5",
    "warmup=2",
    "new_tokens=8",
];

#[test]
fn translation_runs_on_its_own_sentences_both_ways() {
    let sandbox = Sandbox::tiny();
    for way in [["from=en", "to=es"], ["from=es", "to=en"]] {
        let outcome = run(&sandbox, "translation.yaml", &[&SMALL[..], &way].concat());
        let scores = scores(&outcome);
        for metric in ["bleu", "chrf", "exact_match"] {
            let of: Vec<_> = scores.iter().filter(|row| row["metric"] == metric).collect();
            assert_eq!(of.len(), 2, "greedy and four beams: {scores:?}");
            assert!(of.iter().all(|row| row["value"].parse::<f64>().unwrap().is_finite()));
        }
    }
}

#[test]
fn translation_reads_compressed_files_that_are_aligned_by_line() {
    let sandbox = Sandbox::tiny();
    let mut settings: Vec<String> = Vec::new();
    for (part, lines) in [("train", 60), ("validation", 8), ("test", 5)] {
        for (side, word) in [("source", "one dog and"), ("target", "ein Hund und")] {
            let name = format!("{part}.{side}.gz");
            let mut packed = fragua::gzip::Compressor::new(Vec::new()).unwrap();
            for line in 0..lines {
                writeln!(packed, "{word} {line}").unwrap();
            }
            std::fs::write(sandbox.path().join(&name), packed.finish().unwrap()).unwrap();
            settings.push(format!("{part}.{side}={name}"));
        }
    }
    let mut all: Vec<&str> = vec!["data=files"];
    all.extend(settings.iter().map(String::as_str));
    all.extend(&SMALL[1..]);
    let outcome = run(&sandbox, "translation.yaml", &all);
    let bleu: Vec<_> = scores(&outcome)
        .into_iter()
        .filter(|row| row["metric"] == "bleu")
        .collect();
    assert_eq!(bleu.len(), 2);
    assert!(
        bleu.iter().all(|row| row["n"] == "5"),
        "the rows of the test files: {bleu:?}"
    );
}

#[test]
fn an_lstm_and_a_transformer_of_equal_size_are_in_one_report() {
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "plays.txt",
        &"First Citizen: speak, speak.\nAll: we know it.\n".repeat(40),
    );
    let settings = ["data=plays", "text=plays.txt", "updates=2", "batch=2", "context=16"];
    let outcome = run(&sandbox, "rnn-vs-transformer.yaml", &settings);
    let perplexities = scores(&outcome);
    let of = |model: &str| perplexities.iter().filter(|row| row["model"] == model).count();
    assert_eq!((of("lstm"), of("transformer")), (1, 1), "{perplexities:?}");
    // their sizes, as the program counts them
    let sizes: Vec<f64> = outcome
        .out
        .lines()
        .filter_map(|line| line.split(" parameters").next()?.rsplit('"').next()?.parse().ok())
        .collect();
    assert_eq!(sizes.len(), 2, "{}", outcome.out);
    assert!((sizes[0] / sizes[1] - 1.0).abs() < 0.02, "{sizes:?}");
    let page = std::fs::read_to_string(outcome.finished()["report"].as_str().unwrap()).unwrap();
    assert!(page.contains("lstm") && page.contains("transformer") && page.contains("<svg"));
}

/// A FLAN-T5 in small, which `from=path` takes as any other folder.
const T5: &str = r#"pipeline: t5
steps:
  rows: {uses: dataset, with: {files: rows.jsonl}}
  words: {uses: tokenize, with: {data: rows, algorithm: bpe, vocab_size: 300}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      objective: span_corruption
      model: {architecture: t5, layers: 1, heads: 2, width: 16, context: 512}
      train: {updates: 2, batch_size: 1}
"#;

#[test]
fn flan_t5_summarizes_dialogues_at_every_temperature() {
    let sandbox = Sandbox::tiny();
    sandbox.write("pipeline.yaml", T5);
    sandbox.run(&[]);
    let got = sandbox.fragua(&["get", "last", "base", "t5"]);
    assert_eq!(got.code, Some(0), "{}", got.err);
    let row = |n: usize| {
        let dialogue = format!("#Person1#: Is it {n}?\n#Person2#: Yes.");
        serde_json::json!({"fname": n, "dialogue": dialogue, "summary1": format!("It is {n}."), "summary2": format!("{n}.")})
    };
    let rows: String = (0..12).map(|n| format!("{}\n", row(n))).collect();
    sandbox.write("dialogsum.jsonl", &rows);
    let settings = [
        "from=path",
        "model=t5",
        "dialogues=dialogsum.jsonl",
        "references=[summary1, summary2]",
        "shots=[0, 2]",
        "temperatures=[0, 0.9]",
        "new_tokens=4",
    ];
    let outcome = run(&sandbox, "flan-t5-dialogues.yaml", &settings);
    let scores = scores(&outcome);
    let rouge: Vec<_> = scores.iter().filter(|row| row["metric"] == "rougeL").collect();
    let mut axes: Vec<_> = rouge
        .iter()
        .map(|row| (row["shots"].as_str(), row["temperature"].as_str()))
        .collect();
    axes.sort_unstable();
    assert_eq!(axes, [("0", "0"), ("0", "0.9"), ("2", "0"), ("2", "0.9")]);
    let generations = sandbox.files(".fragua/objects");
    let line = generations
        .iter()
        .find(|path| path.ends_with("generations.jsonl"))
        .unwrap();
    let text = std::fs::read_to_string(line).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["references"].as_array().unwrap().len(),
        2,
        "held to both summaries: {first}"
    );
}
