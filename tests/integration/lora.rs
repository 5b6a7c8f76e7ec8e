//! `method: lora` as a user has it: what is made, what a kill leaves, what a file is told.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Sandbox;

const TUNED: &str = "    with: {model: base, data: rows, template: prompt.jinja, train: {updates: 6, batch_size: 4, learning_rate: 1e-3}}";

/// A pipeline whose model is tuned by pairs, in so many updates, and nothing after it.
fn sandbox(lora: &str, updates: u32) -> Sandbox {
    let sandbox = Sandbox::tiny();
    let path = sandbox.path().join("pipeline.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("  int8:\n").unwrap();
    let tuned = format!(
        "    with:\n      model: base\n      data: rows\n      template: prompt.jinja\n      {lora}\n      train: {{updates: {updates}, \
         batch_size: 4, checkpoint_every: 1}}"
    );
    sandbox.write("pipeline.yaml", &before.replace(TUNED, &tuned));
    sandbox
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The folder of an instance's artifact.
fn artifact(sandbox: &Sandbox, run: &Value, name: &str) -> std::path::PathBuf {
    let digest = &sandbox.digests(run)[name];
    sandbox.path().join(".fragua/objects").join(&digest[..2]).join(digest)
}

#[test]
fn pairs_make_a_whole_model_and_are_there_alone() {
    let sandbox = sandbox("lora: {rank: 2, targets: [attention, down_proj]}", 6);
    let run = sandbox.run(&[]);
    assert_eq!(run["failed"], 0);
    let [base, tuned] = ["base", "tuned"].map(|name| artifact(&sandbox, &run, name));
    assert_eq!(json(&base.join("config.json")), json(&tuned.join("config.json")));
    let sizes = [&base, &tuned].map(|folder| std::fs::metadata(folder.join("model.safetensors")).unwrap().len());
    assert_eq!(sizes[0], sizes[1], "the model that is made is whole");
    for folder in [tuned.join("adapter"), tuned.join("last/adapter")] {
        let config = json(&folder.join("adapter_config.json"));
        assert_eq!((&config["r"], &config["lora_alpha"]), (&2.into(), &16.into()));
        assert_eq!(config["target_modules"].as_array().unwrap().len(), 5, "{config}");
        assert!(folder.join("adapter_model.safetensors").exists());
    }
    let training = json(&tuned.join("training.json"));
    // two blocks: the four products of attention, 32 to 32, and 32 from 96
    assert_eq!(training["learned_parameters"], 2 * 2 * (4 * (32 + 32) + (32 + 96)));
    assert!(json(&base.join("training.json")).get("learned_parameters").is_none());
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let (one, two) = (sandbox("method: lora", 60), sandbox("method: lora", 60));
    let whole = one.run(&["--threads", "1"]);
    let mut killed = two.spawn_run(&["--threads", "2"]);
    let attempts = two.path().join(".fragua/attempts");
    let checkpoint = || {
        let mut files = two.files(".fragua/attempts").into_iter();
        // of the pairs, not of the model before them
        files.any(|file| {
            file.ends_with("state.safetensors")
                && std::fs::read(&file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("lora_A"))
        })
    };
    let started = Instant::now();
    while !checkpoint() && killed.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(300), "{}", attempts.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = two.run(&[]);
    assert_eq!(one.digests(&whole)["tuned"], two.digests(&resumed)["tuned"]);
}

#[test]
fn what_cannot_be_adapted_is_told_at_its_place_before_anything_runs() {
    let told = |lora: &str, from: &str, to: &str| {
        let sandbox = sandbox(lora, 6);
        sandbox.edit(from, to);
        let outcome = sandbox.fragua(&["plan", "pipeline.yaml"]);
        assert_eq!(outcome.code, Some(2), "{}{}", outcome.out, outcome.err);
        outcome.err
    };
    let unknown = told("lora: {targets: [q_proj, c_attn]}", "seed: 7", "seed: 7");
    assert!(
        unknown.contains("`lora.targets.1` of step `tuned`") && unknown.contains("`self_attn.q_proj`"),
        "{unknown}"
    );
    let (llama, rnn) = (
        "architecture: llama, layers: 2, heads: 2",
        "architecture: rnn, layers: 2",
    );
    let none = told("method: lora", llama, rnn);
    assert!(
        none.contains("`rnn` has no matrices") && none.contains("method: full"),
        "{none}"
    );
    let both = told(
        "lora: {rank: 2}",
        "template: prompt.jinja\n      lora",
        "template: prompt.jinja\n      method: full\n      lora",
    );
    assert!(both.contains("`method: full` learns no pairs"), "{both}");
}
