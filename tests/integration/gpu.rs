//! The GPU path, on Mesa's software Vulkan device (apt-get install mesa-vulkan-drivers libvulkan1).

use crate::support::Sandbox;

/// Whether a Vulkan driver is there; with CI=true its absence fails.
fn driver() -> bool {
    let found = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    assert!(found || std::env::var("CI").is_err(), "CI has no Vulkan driver");
    if !found {
        println!("skipped: no Vulkan driver");
    }
    found
}

#[cfg(feature = "gpu")]
#[test]
fn a_tiny_training_runs_on_the_software_gpu() {
    if !driver() {
        return;
    }
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "gpu.yaml",
        r#"pipeline: gpu
seed: 1
steps:
  rows: {uses: dataset, with: {files: rows.jsonl, split: {train: 0.8, validation: 0.2}}}
  words: {uses: tokenize, with: {data: rows.train, algorithm: byte}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {architecture: llama, layers: 1, heads: 2, width: 16, context: 32}
      train: {updates: 3, batch_size: 2, learning_rate: 1e-3, warmup: 0}
"#,
    );
    let outcome = sandbox.fragua(&["run", "gpu.yaml", "--json", "--device", "gpu"]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
    let gpu = outcome.finished();
    let on_cpu = sandbox
        .fragua(&["run", "gpu.yaml", "--json", "--device", "cpu"])
        .finished();
    assert_eq!(on_cpu["executed"], 1, "another numerics class is another key: {on_cpu}");
    let (gpu, cpu) = (sandbox.digests(&gpu), sandbox.digests(&on_cpu));
    assert_eq!(gpu["words"], cpu["words"]);

    // The same model to rounding: the validation losses agree.
    let losses: Vec<f64> = sandbox
        .files(".fragua/objects")
        .iter()
        .filter(|path| path.ends_with("training.json") && !path.to_string_lossy().contains("last"))
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
            facts["best_validation_loss"]
                .as_f64()
                .unwrap_or_else(|| panic!("{text}"))
        })
        .collect();
    assert_eq!(losses.len(), 2);
    assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
}

/// What only the CPU computes is refused where the device is known, at its place, before anything is opened.
#[test]
fn what_is_for_the_cpu_is_refused_when_the_file_is_read() {
    let sandbox = Sandbox::tiny();
    let file = |train: &str, more: &str| {
        let text = format!(
            "pipeline: again
steps:
  rows: {{uses: dataset, with: {{files: rows.jsonl}}}}
  words: {{uses: tokenize, with: {{data: rows, algorithm: bpe, vocab_size: 300}}}}
  base:
    uses: pretrain{more}
    with:
      data: rows
      tokenizer: words
      train: {{updates: 2, {train}}}
"
        );
        sandbox.write("pipeline.yaml", &text);
    };
    for (train, about) in [
        (
            "gradient_checkpointing: true",
            "`train.gradient_checkpointing` of step `base`: is for the CPU",
        ),
        (
            "precision: bf16",
            "`train.precision` of step `base`: bf16 is for the CPU",
        ),
    ] {
        file(train, "");
        for command in ["validate", "plan", "run"] {
            let refused = sandbox.fragua(&[command, "pipeline.yaml", "--device", "gpu"]);
            assert_eq!(refused.code, Some(2), "{command}: {}{}", refused.out, refused.err);
            let (place, next) = ("pipeline.yaml:10:", "resources: {gpus: 0}");
            for part in [place, about, "`gpu:0`", next] {
                assert!(refused.err.contains(part), "{command} says {part}: {}", refused.err);
            }
            assert!(!sandbox.path().join(".fragua/runs").exists(), "nothing began");
        }
        let on_cpu = sandbox.fragua(&["validate", "pipeline.yaml", "--device", "cpu"]);
        assert_eq!(on_cpu.code, Some(0), "{}", on_cpu.err);
        file(train, "\n    resources: {gpus: 0}");
        let beside = sandbox.fragua(&["validate", "pipeline.yaml", "--device", "gpu"]);
        assert_eq!(beside.code, Some(0), "{}", beside.err);
    }
}
