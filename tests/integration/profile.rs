//! Time lines, and memory: what a run measures of itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::Sandbox;

#[test]
fn a_run_writes_a_time_line_that_viewers_open_and_that_changes_nothing() {
    let digest = |sandbox: &Sandbox, run: &Value| {
        let shown = sandbox.fragua(&["show", run["run"].as_str().unwrap(), "--json"]).out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let instances = shown["instances"].as_array().unwrap();
        let base = instances.iter().find(|one| one["name"] == "base").unwrap();
        base["digest"].as_str().unwrap().to_owned()
    };
    let plain = Sandbox::tiny();
    let expected = digest(&plain, &plain.run(&["--until", "base"]));

    let sandbox = Sandbox::tiny();
    let run = sandbox.run(&["--until", "base", "--profile"]);
    assert_eq!(digest(&sandbox, &run), expected);
    let path = run["profile"].as_str().unwrap();
    let text = std::fs::read_to_string(sandbox.path().join(path)).unwrap();
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let named = |category: &str| -> BTreeSet<&str> {
        let of = events.iter().filter(|event| event["cat"] == category);
        of.map(|event| event["name"].as_str().unwrap()).collect()
    };
    let phases = ["backward", "checkpoint", "data", "evaluation", "forward", "optimizer"];
    assert_eq!(named("phase").into_iter().collect::<Vec<_>>(), phases);
    assert_eq!(
        named("step").into_iter().collect::<Vec<_>>(),
        ["dataset", "encode", "pretrain", "tokenize"]
    );
    let kernels = named("kernel");
    assert!(
        kernels.len() >= 5 && kernels.contains("self_attention::SelfAttention"),
        "{kernels:?}"
    );
    for event in events.iter().filter(|event| event["ph"] != "M") {
        assert!(
            event["ph"] == "X" && event["ts"].is_f64() && event["dur"].as_f64() >= Some(0.0),
            "{event}"
        );
        assert!(
            event["pid"].as_u64() >= Some(1) && event["tid"].as_u64() >= Some(1),
            "{event}"
        );
        let shaped = event["args"]["shapes"]
            .as_array()
            .is_some_and(|shapes| !shapes.is_empty());
        assert!(event["cat"] != "kernel" || shaped, "{event}");
    }
    let processes: BTreeSet<_> = events
        .iter()
        .filter(|event| event["name"] == "process_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    assert!(processes.contains("base"), "{processes:?}");

    // what is known is not run, and the user is told why there is nothing to see
    let again = sandbox.fragua(&[
        "run",
        "pipeline.yaml",
        "--device",
        "cpu",
        "--until",
        "base",
        "--profile",
    ]);
    assert!(
        again.out.contains("time line: none") && again.out.contains("--force"),
        "{}",
        again.out
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_training_says_how_fast_it_was_and_how_much_memory_it_took() {
    let sandbox = Sandbox::tiny();
    let outcome = sandbox.fragua(&["run", "pipeline.yaml", "--device", "cpu", "--until", "base"]);
    let line = |word: &str| outcome.err.lines().find(|line| line.contains(word)).unwrap_or_default();
    assert!(line("tok/s,").ends_with("MB at most"), "{}", outcome.err);
    assert!(line("done  base ").contains(" MB"), "{}", outcome.err);
}
