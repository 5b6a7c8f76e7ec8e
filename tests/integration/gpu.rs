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
