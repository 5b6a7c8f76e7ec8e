//! What `fragua plan --memory` foretells beside what a run measures.

use serde_json::Value;

use crate::support::Sandbox;

/// A pipeline in which `base` is trained on running text or as `objective` says, and `tuned` after it.
#[cfg(target_os = "linux")]
fn pipeline(model: &str, objective: &str, train: &str, tune: &str) -> String {
    format!(
        "pipeline: memory
seed: 7
steps:
  rows: {{uses: dataset, with: {{files: rows.jsonl, fields: [dialogue, summary]}}}}
  words: {{uses: tokenize, with: {{data: rows, algorithm: bpe, vocab_size: 300}}}}
  base:
    uses: pretrain
    with: {{data: rows, tokenizer: words, {objective}model: {{{model}}}, train: {{updates: 2, {train}}}}}
  tuned:
    uses: finetune
    with: {{model: base, data: rows, template: prompt.jinja, {tune}}}
"
    )
}

/// The two of a training on the CPU: `fragua plan --memory`, then the peak that the run tells, which is all
/// that the worker's process held at once, the program itself included.
#[cfg(target_os = "linux")]
fn foretold_and_measured(sandbox: &Sandbox, step: &str) -> (Value, u64) {
    let with = |arguments: &[&str]| {
        let outcome = sandbox.fragua(&[arguments, &["--device", "cpu", "--threads", "2"]].concat());
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
        outcome
    };
    let of_step = |list: &Value| -> Value {
        let all = list["instances"].as_array().unwrap();
        all.iter().find(|one| one["name"] == step).unwrap().clone()
    };
    let measured = |more: &[&str]| {
        let run = with(&[&["run", "pipeline.yaml", "--until", step, "--json"], more].concat()).finished();
        let shown = sandbox.fragua(&["show", run["run"].as_str().unwrap(), "--json"]).out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        of_step(&shown)["peak_bytes"].as_u64().unwrap()
    };
    let first = measured(&[]);
    // the vocabulary is known once the tokenizer is made, and the longest example once rows are encoded
    let plan = with(&["plan", "pipeline.yaml", "--memory", "--json"]).out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    // what threads keep of freed blocks differs by a tenth from run to run: the middle one of three
    let again = ["--force", step];
    let mut measured = [first, measured(&again), measured(&again)];
    measured.sort_unstable();
    (of_step(&plan)["memory"].clone(), measured[1])
}

/// A model whose memory is its own, and how it is trained.
#[cfg(target_os = "linux")]
struct Trained {
    model: String,
    objective: &'static str,
    train: String,
    /// How it is finetuned, if that is what is measured.
    tune: Option<String>,
}

#[cfg(target_os = "linux")]
impl Trained {
    fn pretrained(model: &str, train: &str) -> Self {
        Self {
            model: model.into(),
            objective: "",
            train: train.into(),
            tune: None,
        }
    }

    /// The measured peak, which the plan foretold.
    fn peak(&self) -> u64 {
        let sandbox = Sandbox::tiny();
        let tune = self.tune.as_deref().unwrap_or("train: {updates: 1}");
        sandbox.write(
            "pipeline.yaml",
            &pipeline(&self.model, self.objective, &self.train, tune),
        );
        let step = if self.tune.is_some() { "tuned" } else { "base" };
        let (foretold, measured) = foretold_and_measured(&sandbox, step);
        let all = foretold["terms"].as_array().unwrap();
        let sum: u64 = all.iter().map(|term| term["bytes"].as_u64().unwrap()).sum();
        let bytes = foretold["peak_bytes"].as_u64().unwrap();
        assert_eq!(sum, bytes, "the terms make up the peak");
        let off = bytes as f64 / measured as f64 - 1.0;
        let told = format!(
            "{} {}: {bytes} foretold, {measured} measured: {off:+.3}",
            self.model, self.train
        );
        assert!(off.abs() <= 0.15, "{told}; {foretold}");
        measured
    }
}

#[cfg(target_os = "linux")]
const DEEP: &str = "layers: 24, heads: 4, width: 128, context: 64";

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_a_training_is_foretold() {
    // weights and activations make about as much of it
    Trained::pretrained("layers: 4, heads: 4, width: 256, context: 64", "batch_size: 16").peak();
    // many activations: kept, kept in half the bytes where products take them, made again
    let peaks = ["", ", precision: bf16", ", gradient_checkpointing: true"]
        .map(|more| Trained::pretrained(DEEP, &format!("batch_size: 48{more}")).peak());
    assert!(peaks[1] < peaks[0] && peaks[2] < peaks[1], "less each time: {peaks:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_is_foretold_of_recurrent_models_and_of_those_with_an_encoder() {
    let recurrent = "architecture: rnn, layers: 6, width: 128, context: 64";
    let t5 = "architecture: t5, layers: 8, decoder_layers: 8, heads: 4, width: 128, context: 64";
    for cell in ["lstm", "gru"] {
        Trained::pretrained(&format!("{recurrent}, cell: {cell}"), "batch_size: 96").peak();
    }
    Trained {
        objective: "objective: prefix, ",
        ..Trained::pretrained(t5, "batch_size: 48")
    }
    .peak();
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_a_low_rank_finetuning_is_foretold() {
    // many weights that are held fast, then many activations
    let sizes = [
        (
            "layers: 6, heads: 8, width: 512, context: 128",
            "train: {updates: 2, batch_size: 4}",
        ),
        (
            "layers: 24, heads: 4, width: 128, context: 128",
            "train: {updates: 2, batch_size: 48}",
        ),
    ];
    for (model, tune) in sizes {
        Trained {
            tune: Some(format!("lora: {{rank: 4}}, {tune}")),
            ..Trained::pretrained(model, "batch_size: 1")
        }
        .peak();
    }
}

#[test]
fn models_of_any_size_are_planned() {
    // layers and widths as published of GPT-3, LLaMA-65B and Falcon-180B, with a vocabulary of 50,257
    let models = [
        ("gpt2, layers: 96, heads: 96, width: 12288", 174.6),
        (
            "llama, layers: 80, heads: 64, width: 8192, mlp_width: 22016, tied_embeddings: false",
            65.6,
        ),
        (
            "falcon, layers: 80, heads: 232, kv_heads: 8, width: 14848, tied_embeddings: false",
            179.1,
        ),
    ];
    for (model, billions) in models {
        let sandbox = Sandbox::tiny();
        sandbox.write(
            "pipeline.yaml",
            &format!(
                "pipeline: large
seed: 1
steps:
  rows: {{uses: dataset, with: {{files: rows.jsonl}}}}
  words: {{uses: tokenize, with: {{vocabulary: gpt2}}}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {{architecture: {model}, context: 2048}}
      train: {{updates: 2, batch_size: 1, gradient_checkpointing: true}}
"
            ),
        );
        let outcome = sandbox.fragua(&["plan", "pipeline.yaml", "--memory", "--json", "--device", "cpu"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let plan: Value = serde_json::from_str(&outcome.out).unwrap();
        let all = plan["instances"].as_array().unwrap();
        let memory = &all.iter().find(|one| one["name"] == "base").unwrap()["memory"];
        assert!(memory["unknown"].is_null(), "{memory}");
        let parameters = memory["parameters"].as_u64().unwrap() as f64;
        assert!((parameters * 1e-9 - billions).abs() < 0.1, "{model}: {parameters}");
        // weights, gradients and two moments of four bytes are 16 a parameter
        let peak = memory["peak_bytes"].as_u64().unwrap() as f64 / parameters;
        assert!((16.0..17.0).contains(&peak), "{model}: {peak} bytes a parameter");
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
}
