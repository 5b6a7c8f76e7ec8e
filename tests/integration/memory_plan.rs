//! What `fragua plan --memory` foretells beside what a run measures.

use serde_json::Value;

use crate::support::Sandbox;

/// The two of a training on the CPU: `fragua plan --memory`, then the peak that the run tells, which is all
/// that the worker's process held at once, the program itself included.
#[cfg(target_os = "linux")]
fn foretold_and_measured(sandbox: &Sandbox, sets: &[&str]) -> (Value, u64) {
    let with = |mut arguments: Vec<&'static str>| {
        arguments.extend(["--device", "cpu", "--threads", "2"]);
        let mut all: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        all.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let outcome = sandbox.fragua(&all);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
        outcome
    };
    let of_base = |list: &Value| -> Value {
        let all = list["instances"].as_array().unwrap();
        all.iter().find(|one| one["name"] == "base").unwrap().clone()
    };
    // the vocabulary is known once the tokenizer is made
    with(vec!["run", "pipeline.yaml", "--until", "words"]);
    let plan = with(vec!["plan", "pipeline.yaml", "--memory", "--json"]).out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    // what threads keep of freed blocks differs by a tenth from run to run: the middle one of three
    let mut measured: Vec<u64> = (0..3)
        .map(|_| {
            let again = vec!["run", "pipeline.yaml", "--until", "base", "--force", "base", "--json"];
            let run = with(again).finished();
            let shown = sandbox.fragua(&["show", run["run"].as_str().unwrap(), "--json"]).out;
            let shown: Value = serde_json::from_str(&shown).unwrap();
            of_base(&shown)["peak_bytes"].as_u64().unwrap()
        })
        .collect();
    measured.sort_unstable();
    (of_base(&plan)["memory"].clone(), measured[1])
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_a_training_is_foretold() {
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "pipeline.yaml",
        r#"pipeline: memory
seed: 7
params: {layers: 4, width: 256, context: 64, batch: 16, again: false}
steps:
  rows: {uses: dataset, with: {files: rows.jsonl, fields: [dialogue]}}
  words: {uses: tokenize, with: {data: rows, algorithm: bpe, vocab_size: 300}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {layers: "${params.layers}", heads: 4, width: "${params.width}", context: "${params.context}"}
      train: {updates: 2, batch_size: "${params.batch}", gradient_checkpointing: "${params.again}"}
"#,
    );
    // weights and activations make about as much of it; then many activations, kept and made again
    let configurations: [&[&str]; 3] = [
        &[],
        &["layers=24", "width=128", "batch=48"],
        &["layers=24", "width=128", "batch=48", "again=true"],
    ];
    let mut peaks = Vec::new();
    for sets in configurations {
        let (foretold, measured) = foretold_and_measured(&sandbox, sets);
        let all = foretold["terms"].as_array().unwrap();
        let sum: u64 = all.iter().map(|term| term["bytes"].as_u64().unwrap()).sum();
        let bytes = foretold["peak_bytes"].as_u64().unwrap();
        assert_eq!(sum, bytes, "the terms make up the peak");
        let off = bytes as f64 / measured as f64 - 1.0;
        assert!(
            off.abs() <= 0.15,
            "{sets:?}: {bytes} foretold, {measured} measured: {off:+.3}; {foretold}"
        );
        peaks.push(measured);
    }
    assert!(peaks[2] < peaks[1], "less with checkpointing: {peaks:?}");
}

#[test]
fn models_of_any_size_are_planned() {
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "pipeline.yaml",
        "pipeline: large
seed: 1
steps:
  rows: {uses: dataset, with: {files: rows.jsonl}}
  words: {uses: tokenize, with: {vocabulary: gpt2}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {architecture: falcon, layers: 80, heads: 232, kv_heads: 8, width: 14848, context: 2048, tied_embeddings: false}
      train: {updates: 2, batch_size: 1, gradient_checkpointing: true}
",
    );
    let outcome = sandbox.fragua(&["plan", "pipeline.yaml", "--memory", "--json", "--device", "cpu"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let plan: Value = serde_json::from_str(&outcome.out).unwrap();
    let all = plan["instances"].as_array().unwrap();
    let memory = &all.iter().find(|one| one["name"] == "base").unwrap()["memory"];
    assert!(memory["unknown"].is_null(), "{memory}");
    let parameters = memory["parameters"].as_u64().unwrap();
    assert!((178_000_000_000..181_000_000_000).contains(&parameters), "{parameters}");
    // weights, gradients and two moments of four bytes are 16 a parameter
    let peak = memory["peak_bytes"].as_u64().unwrap() as f64 / parameters as f64;
    assert!((16.0..17.0).contains(&peak), "{peak} bytes a parameter");
    let terms: Vec<&str> = memory["terms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|term| term["name"].as_str().unwrap())
        .collect();
    let expected = [
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "workspace",
        "allocator",
        "process",
    ];
    assert_eq!(terms, expected);
}
