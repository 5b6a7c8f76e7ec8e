//! Runs from several terminals, and what a user does at one: Ctrl-C, `kill`, parts of a pipeline.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Sandbox;
use crate::workers::{kill, signal, workers};

/// A training long enough to be interrupted in its middle.
const LONG: [&str; 2] = ["--set", "updates=150"];

/// A run whose events are kept.
fn spawn(sandbox: &Sandbox, more: &[&str]) -> Child {
    let mut arguments = vec!["run", "pipeline.yaml", "--json", "--device", "cpu"];
    arguments.extend(more);
    let mut command = sandbox.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Its exit code and its events.
fn ended(mut run: Child) -> (Option<i32>, Vec<Value>) {
    let mut text = String::new();
    run.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (run.wait().unwrap().code(), events)
}

/// Waits until a training has written a checkpoint.
fn wait_for_checkpoint(sandbox: &Sandbox) {
    wait_until("checkpoint", || {
        let files = sandbox.files(".fragua/attempts");
        files.iter().any(|path| path.ends_with("state.json"))
    });
}

fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no {what} after two minutes"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}

#[test]
fn ctrl_c_and_sigterm_stop_after_a_checkpoint_and_the_same_command_goes_on_to_the_same_bytes() {
    let whole = Sandbox::tiny();
    let digests = whole.digests(&whole.run(&LONG));
    let sandbox = Sandbox::tiny();
    for name in ["INT", "TERM"] {
        let run = spawn(&sandbox, &LONG);
        wait_for_checkpoint(&sandbox);
        wait_until("worker", || !workers(&sandbox).is_empty());
        signal(run.id(), name);
        let (code, events) = ended(run);
        assert_eq!(code, Some(130), "{events:?}");
        assert_eq!(count(&events, "stopping"), 1);
        assert_eq!(count(&events, "interrupted"), 1);
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["failed"]), (&"finished".into(), &0.into()));
        assert!(workers(&sandbox).is_empty());
    }
    let outcome = sandbox.try_run(&LONG);
    assert!(outcome.out.contains("going on after update"), "{}", outcome.out);
    assert_eq!(sandbox.digests(&outcome.finished()), digests);
}

#[test]
fn ctrl_c_twice_stops_now() {
    let sandbox = Sandbox::tiny();
    let run = spawn(&sandbox, &LONG);
    wait_for_checkpoint(&sandbox);
    let start = Instant::now();
    // a worker that hears nothing
    let deaf = workers(&sandbox)[0];
    signal(deaf, "STOP");
    signal(run.id(), "INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(run.id(), "INT");
    let (code, events) = ended(run);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!((code, count(&events, "stopping")), (Some(130), 2));
    assert_eq!(sandbox.fragua(&["verify"]).code, Some(0));
}

#[test]
fn two_runs_of_the_same_file_do_each_instance_once() {
    let sandbox = Sandbox::tiny();
    let one = spawn(&sandbox, &["--jobs", "2", "--set", "updates=60"]);
    let two = spawn(&sandbox, &["--jobs", "2", "--set", "updates=60"]);
    let ((first, one), (second, two)) = (ended(one), ended(two));
    assert_eq!((first, second), (Some(0), Some(0)), "{one:?}{two:?}");
    let executed = |events: &[Value]| -> Vec<String> {
        let done = events.iter().filter(|event| event["event"] == "executed");
        done.map(|event| event["instance"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut all, others) = (executed(&one), executed(&two));
    assert!(!all.iter().any(|name| others.contains(name)), "{all:?} {others:?}");
    all.extend(others);
    all.sort();
    // every attempt that was begun was the first and came out
    let begun = count(&one, "running") + count(&two, "running");
    assert_eq!(begun, all.len());
    let whole = Sandbox::tiny();
    let alone = whole.run(&["--set", "updates=60"]);
    assert_eq!(all.len() as u64, alone["executed"].as_u64().unwrap());
    // the one that waited said for whom
    let waiting: Vec<_> = one
        .iter()
        .chain(&two)
        .filter(|event| event["event"] == "waiting")
        .collect();
    assert!(!waiting.is_empty(), "they began at the same time");
    for event in waiting {
        let message = event["message"].as_str().unwrap();
        assert!(
            message.starts_with("process ") && message.contains(" on ") && message.contains("(for "),
            "{message}"
        );
    }
}

#[test]
fn a_run_that_waits_does_its_other_work_and_takes_over_what_is_given_up() {
    let sandbox = Sandbox::tiny();
    // one run trains and is stopped in the middle of it; the other waits for that training
    let one = spawn(&sandbox, &LONG);
    wait_for_checkpoint(&sandbox);
    sandbox.edit(
        "  report:\n",
        "  other:\n    uses: dataset\n    with: {files: rows.jsonl, limit: 5}\n\n  report:\n",
    );
    let two = spawn(&sandbox, &LONG);
    wait_until("other work of the waiting run", || {
        let folder = sandbox.files(".fragua/actions");
        let of_other =
            |path: &std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"other\""));
        folder.iter().any(of_other)
    });
    kill(one.id());
    ended(one);
    let (code, events) = ended(two);
    assert_eq!(code, Some(0), "{events:?}");
    let waited = events.iter().filter(|event| event["event"] == "waiting");
    assert_eq!(
        waited
            .map(|event| event["instance"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["base"]
    );
    let resumed = events
        .iter()
        .any(|event| event["event"] == "running" && event["instance"] == "base" && event["attempt"] == 2);
    assert!(resumed, "{events:?}");
    // no lock was left to anybody: the next run needs nothing done by hand
    assert_eq!(sandbox.run(&LONG)["executed"], 0);
}

#[test]
fn a_worker_waits_for_an_earlier_one_and_says_for_whom() {
    let sandbox = Sandbox::tiny();
    // an earlier worker at the same key, whose coordinator is gone, is stuck: its lock is the kernel's
    let plan = sandbox.fragua(&["plan", "pipeline.yaml", "--device", "cpu", "--json"]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    let rows = plan["instances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "rows")
        .unwrap();
    let folder = sandbox
        .path()
        .join(".fragua/attempts")
        .join(rows["key"].as_str().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("worker.lock");
    let stuck = std::fs::File::create(&path).unwrap();
    stuck.lock().unwrap();
    std::fs::write(&path, r#"{"host": "castor", "process": 17, "since": 0}"#).unwrap();

    let run = spawn(&sandbox, &["--until", "rows"]);
    std::thread::sleep(Duration::from_millis(2600));
    assert_eq!(workers(&sandbox).len(), 1);
    drop(stuck); // it ends, however that is
    let (code, events) = ended(run);
    assert_eq!(code, Some(0), "{events:?}");
    let told = events.iter().any(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "warning"
            && message.starts_with("process 17 on castor (for ")
            && message.contains("not ended")
    });
    assert!(told, "{events:?}");
}

#[test]
fn a_timeout_is_a_failed_attempt_and_its_retry_goes_on_from_the_checkpoint() {
    let sandbox = Sandbox::tiny();
    sandbox.edit(
        "  base:\n    uses: pretrain\n",
        "  base:\n    uses: pretrain\n    timeout: 2s\n    retries: 2\n",
    );
    let endless = ["--set", "updates=100000000"];
    let outcome = sandbox.try_run(&endless);
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
    let events = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    let retries = events.iter().filter(|event| event["event"] == "retry");
    let retries: Vec<_> = retries
        .map(|retry| (retry["attempt"].clone(), retry["left"].clone()))
        .collect();
    assert_eq!(retries, [(1.into(), 1.into()), (2.into(), 0.into())]);
    let failed = events.iter().find(|event| event["event"] == "failed").unwrap();
    assert_eq!(
        failed["message"],
        "its timeout of 2 s was over: it stopped after a checkpoint"
    );
    assert!(outcome.out.contains("going on after update"), "{}", outcome.out);
    let again = sandbox.plan(&endless);
    assert_eq!(again["base"], "run");
}

#[test]
fn parts_of_a_pipeline() {
    let sandbox = Sandbox::tiny();
    let refused = sandbox.try_run(&["--only", "tuned"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused.err.contains("which is not known") && refused.err.contains("`--until tuned`"),
        "{}",
        refused.err
    );
    assert!(sandbox.files(".fragua/runs").is_empty(), "nothing began");
    let unknown = sandbox.fragua(&["plan", "pipeline.yaml", "--from", "tunned"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("did you mean `tuned`?"), "{}", unknown.err);
    assert_eq!(sandbox.try_run(&["--only", "base", "--until", "tuned"]).code, Some(2));

    let run = sandbox.run(&["--until", "tuned"]);
    assert!(
        run["executed"].as_u64().unwrap() >= 5 && run["skipped"].as_u64().unwrap() >= 13,
        "{run}"
    );
    let states = sandbox.plan(&["--only", "int8"]);
    assert_eq!((states["int8"].as_str(), states["report"].as_str()), ("run", "skipped"));
    // the report also needs the scores of `base`, which are not downstream of `tuned`
    let refused = sandbox.try_run(&["--from", "tuned"]);
    assert!(
        refused.err.contains("`report` reads `scores[model=base,shots=0]`"),
        "{}",
        refused.err
    );
    let between = sandbox.run(&["--from", "tuned", "--until", "scores"]);
    assert_eq!(between["failed"], 0);
    assert!(between["skipped"].as_u64().unwrap() >= 5, "{between}");
    sandbox.run(&[]);
    let forced = sandbox.try_run(&["--force", "answers[model=int8,shots=1]"]);
    assert_eq!(forced.code, Some(0), "{}", forced.err);
    assert_eq!(forced.finished()["executed"], 1, "{}", forced.out);
    assert!(!forced.out.contains("not reproducible"), "{}", forced.out);
}
