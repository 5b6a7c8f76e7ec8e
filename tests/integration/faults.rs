//! Bad files, failing steps, killed processes: nothing is lost and nothing wrong is served.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Sandbox;
#[cfg(target_os = "linux")]
use crate::workers::{kill, workers};

/// Waits until a training has written a checkpoint.
pub fn wait_for_checkpoint(sandbox: &Sandbox, run: &mut Child) {
    let start = Instant::now();
    loop {
        let found = sandbox
            .files(".fragua/attempts")
            .iter()
            .any(|path| path.components().any(|part| part.as_os_str() == "checkpoints"));
        if found {
            return;
        }
        assert!(
            run.try_wait().unwrap().is_none(),
            "the run ended before its first checkpoint"
        );
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no checkpoint after two minutes"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A training long enough to be killed in its middle.
#[cfg(target_os = "linux")]
const LONG: [&str; 2] = ["--set", "updates=400"];

#[cfg(target_os = "linux")]
#[test]
fn a_killed_worker_fails_its_instance_and_the_next_run_gives_the_same_bytes() {
    let sandbox = Sandbox::tiny();
    let mut run = sandbox.spawn_run(&LONG);
    wait_for_checkpoint(&sandbox, &mut run);
    let pids = workers(&sandbox);
    assert!(!pids.is_empty(), "a worker process is running");
    pids.into_iter().for_each(kill);
    assert_eq!(run.wait().unwrap().code(), Some(1), "a killed worker fails the run");

    assert_eq!(sandbox.fragua(&["verify"]).code, Some(0), "the store is whole");
    let resumed = sandbox.run(&LONG);
    let whole = Sandbox::tiny();
    let uninterrupted = whole.run(&LONG);
    assert_eq!(sandbox.digests(&resumed), whole.digests(&uninterrupted));
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_coordinator_leaves_no_worker_and_a_whole_store() {
    let sandbox = Sandbox::tiny();
    let mut run = sandbox.spawn_run(&LONG);
    wait_for_checkpoint(&sandbox, &mut run);
    kill(run.id());
    run.wait().unwrap();
    let start = Instant::now();
    while !workers(&sandbox).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "an orphaned worker goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(sandbox.fragua(&["verify"]).code, Some(0));
    let run = sandbox.run(&LONG);
    assert_eq!(run["failed"], 0);
    assert_eq!(sandbox.fragua(&["verify"]).code, Some(0));
}

#[test]
fn a_damaged_object_is_a_miss_with_a_warning() {
    let sandbox = Sandbox::tiny();
    let first = sandbox.run(&[]);
    let weights = sandbox
        .files(".fragua/objects")
        .into_iter()
        .filter(|path| path.ends_with("model.safetensors"));
    for path in weights {
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a test's own folder")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&path, permissions).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let verified = sandbox.fragua(&["verify"]);
    assert_eq!(verified.code, Some(1), "{}", verified.out);
    let outcome = sandbox.try_run(&[]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
    assert!(
        outcome.out.contains("damaged") || outcome.err.contains("damaged"),
        "{}{}",
        outcome.out,
        outcome.err
    );
    assert_eq!(sandbox.digests(&first), sandbox.digests(&outcome.finished()));
}

#[test]
fn a_failing_step_blocks_what_depends_on_it_and_shows_why() {
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "rows.jsonl",
        "{\"dialogue\": \"a\", \"summary\": \"b\"}\n{\"dialogue\": oops}\n",
    );
    let outcome = sandbox.try_run(&[]);
    assert_eq!(outcome.code, Some(1));
    let finished = outcome.finished();
    assert_eq!(finished["failed"], 1, "{finished}");
    assert!(finished["blocked"].as_u64().unwrap() > 10);
    assert!(
        outcome.out.contains("rows.jsonl:2") || outcome.err.contains("rows.jsonl:2"),
        "{}{}",
        outcome.out,
        outcome.err
    );
}

#[test]
fn problems_of_a_file_end_with_2_and_as_json_on_request() {
    let sandbox = Sandbox::tiny();
    sandbox.edit("uses: quantize", "uses: quantise");
    sandbox.edit("vocab_size: 300", "vocab_sise: 300");
    let outcome = sandbox.fragua(&["validate", "pipeline.yaml"]);
    assert_eq!(outcome.code, Some(2));
    let all = format!("{}{}", outcome.out, outcome.err);
    assert!(all.contains("`quantize`") && all.contains("`vocab_size`"), "{all}");
    assert!(all.contains("pipeline.yaml:13:"), "{all}");
    let outcome = sandbox.fragua(&["run", "pipeline.yaml", "--json"]);
    assert_eq!(outcome.code, Some(2));
    let errors: Value = serde_json::from_str(outcome.out.trim()).unwrap();
    let errors = errors["errors"].as_array().unwrap();
    assert!(errors.len() >= 2);
    assert!(
        errors
            .iter()
            .all(|error| error["line"].as_u64().unwrap() > 0 && error["column"].as_u64().unwrap() > 0)
    );
    assert_eq!(sandbox.fragua(&["run", "nowhere.yaml"]).code, Some(2));
    assert_eq!(
        sandbox.fragua(&["run", "pipeline.yaml", "--device", "tpu"]).code,
        Some(2)
    );
    assert_eq!(sandbox.fragua(&["runn"]).code, Some(2));
}

#[test]
fn an_absent_device_is_an_error_that_says_what_was_found() {
    let sandbox = Sandbox::tiny();
    let outcome = sandbox.fragua(&["run", "pipeline.yaml", "--device", "gpu:99"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.err);
    assert!(outcome.err.contains("cpu"), "{}", outcome.err);
}

#[test]
fn a_failed_worker_does_not_hurt_the_cached_results() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&[]);
    let outcome = sandbox.try_run(&["--set", "rate=1"]);
    assert!(matches!(outcome.code, Some(0..=2)), "{}", outcome.err);
    assert_eq!(sandbox.run(&[])["executed"], 0);
}
