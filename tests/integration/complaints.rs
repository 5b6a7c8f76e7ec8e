//! What users of other systems complain about, designed out: one test a complaint, in the order of
//! the house's list. Where a complaint has a campaign of its own (kills, keys of every setting,
//! secrets), the test here is the short form of it and names the long one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::Sandbox;

/// What a plan would not take from the store.
fn not_cached(sandbox: &Sandbox, more: &[&str]) -> Vec<String> {
    let states = sandbox.plan(more).into_iter();
    states
        .filter(|(_, state)| state != "cached")
        .map(|(name, _)| name)
        .collect()
}

/// Every file below a folder: size, modification time and content.
fn snapshot(sandbox: &Sandbox, folder: &str) -> BTreeMap<std::path::PathBuf, (SystemTime, Vec<u8>)> {
    let files = sandbox.files(folder).into_iter();
    files
        .map(|path| {
            let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            (path, (modified, bytes))
        })
        .collect()
}

fn touch(path: &Path) {
    let later = SystemTime::now() + Duration::from_secs(3600);
    std::fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(later)
        .unwrap();
}

#[test]
fn c01_a_cosmetic_edit_runs_nothing_again() {
    let sandbox = Sandbox::ran();
    sandbox.edit("pipeline: tiny\n", "# what this file is for\npipeline: tiny\n\n\n");
    sandbox.edit("with: {data: rows.train, algorithm: bpe, vocab_size: 300}", "about: Words.\n    with:\n      vocab_size: 0x12c   # the same number\n      algorithm: \"bpe\"\n      data: 'rows.train'");
    sandbox.edit("rate: 1e-3", "rate: 0.001");
    assert_eq!(not_cached(&sandbox, &[]), [""; 0]);
    // a renamed step makes the same thing from the same things; only a page that shows names is written anew
    sandbox.edit("words", "vocabulary");
    let left = not_cached(&sandbox, &[]);
    assert!(left.iter().all(|name| name == "report"), "{left:?}");
}

#[test]
fn c02_what_matters_runs_again_and_nothing_else() {
    // each setting of each kind has its own check in keys.rs; here the wave behind one
    let sandbox = Sandbox::ran();
    let states = sandbox.plan(&["--set", "rate=2e-3"]);
    let cached: Vec<_> = states
        .iter()
        .filter(|(_, state)| *state == "cached")
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(cached, ["encode(rows, words)", "rows", "words"]);
    sandbox.edit("seed: 7", "seed: 8");
    let left = not_cached(&sandbox, &[]);
    assert!(left.contains(&"base".to_owned()), "the seed of weights: {left:?}");
}

#[test]
fn c03_times_and_places_of_files_do_not_count() {
    let sandbox = Sandbox::ran(); // a copy of a project that ran elsewhere, its files newer than its store
    touch(&sandbox.path().join("rows.jsonl"));
    touch(&sandbox.path().join("prompt.jinja"));
    touch(&sandbox.path().join("pipeline.yaml"));
    std::fs::rename(sandbox.path().join("rows.jsonl"), sandbox.path().join("lines.jsonl")).unwrap();
    sandbox.edit("files: rows.jsonl", "files: ./lines.jsonl");
    let left = not_cached(&sandbox, &[]);
    assert!(left.iter().all(|name| name == "report"), "{left:?}");
    // and content does, even when size and time are the same
    let path = sandbox.path().join("prompt.jinja");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    sandbox.write("prompt.jinja", &text.replace("Summary:", "summary:"));
    std::fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert!(not_cached(&sandbox, &[]).contains(&"tuned".to_owned()));
}

#[test]
fn c04_numbers_of_threads_and_workers_invalidate_nothing() {
    let sandbox = Sandbox::ran();
    assert_eq!(not_cached(&sandbox, &["--threads", "1"]), [""; 0]);
    assert_eq!(sandbox.run(&["--threads", "3", "--jobs", "3"])["executed"], 0);
    // and make no other bytes: life::two_stores_and_two_thread_counts_give_the_same_bytes
}

#[test]
fn c05_tokenization_is_not_repeated_after_a_failure_behind_it() {
    let sandbox = Sandbox::tiny();
    sandbox.edit("heads: 2", "heads: 2, dropout: \"${params.dropout}\"");
    sandbox.edit("width: 32", "width: 32, dropout: 0.0");
    let mut run = sandbox.spawn_run(&["--set", "updates=4000"]);
    let begun = std::time::Instant::now();
    while sandbox.plan(&[])["encode(rows, words)"] != "cached" {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing was encoded within a minute"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap(); // -9
    run.wait().unwrap();
    let states = sandbox.plan(&[]);
    assert_eq!(states["words"], "cached");
    assert_eq!(states["encode(rows, words)"], "cached");
    assert_eq!(states["base"], "run");
}

#[test]
fn c06_an_evaluation_is_never_stale() {
    let sandbox = Sandbox::ran();
    let answers = |left: &[String]| left.iter().filter(|name| name.starts_with("answers[")).count();
    // other weights: the answers of all three models; other sampling: all; another test row: all
    assert_eq!(answers(&not_cached(&sandbox, &["--set", "updates=13"])), 6);
    sandbox.edit("temperature: 0}", "temperature: 0.5}");
    assert_eq!(answers(&not_cached(&sandbox, &[])), 6);
    sandbox.edit("temperature: 0.5}", "temperature: 0}");
    // only the tuned model: the base model's answers stay
    sandbox.edit("train: {updates: 6,", "train: {updates: 7,");
    let left = not_cached(&sandbox, &[]);
    assert_eq!(answers(&left), 4, "{left:?}");
    assert!(!left.iter().any(|name| name.contains("model=base")), "{left:?}");
}

#[cfg(unix)]
#[test]
fn c07_and_c08_a_stopped_training_loses_nothing_and_replays_nothing() {
    // fifty kills at any moment: campaign.rs; here one stop in the middle of an epoch
    let long = ["--set", "updates=300"];
    let sandbox = Sandbox::tiny();
    let mut run = sandbox.spawn_run(&long);
    crate::faults::wait_for_checkpoint(&sandbox, &mut run);
    let stop = std::process::Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status();
    assert!(stop.unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let plan = sandbox.fragua(&["plan", "pipeline.yaml", "--device", "cpu", "--set", "updates=300"]);
    assert!(plan.out.contains("goes on from a checkpoint"), "{}", plan.out);
    let resumed = sandbox.run(&long);
    let whole = Sandbox::tiny();
    let uninterrupted = whole.run(&long);
    assert_eq!(sandbox.digests(&resumed), whole.digests(&uninterrupted));
}

#[test]
fn c09_no_lock_is_ever_stale() {
    let sandbox = Sandbox::tiny();
    let mut run = sandbox.spawn_run(&["--set", "updates=4000"]);
    crate::faults::wait_for_checkpoint(&sandbox, &mut run);
    run.kill().unwrap();
    run.wait().unwrap();
    let locks: Vec<_> = sandbox
        .files(".fragua")
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().contains("lock"))
        })
        .collect();
    assert!(!locks.is_empty(), "the killed run left its lock files");
    // nobody deletes them, and the next run goes on
    assert_eq!(sandbox.run(&["--set", "updates=12"])["failed"], 0);
}

#[test]
fn c10_nothing_in_a_file_is_ignored() {
    for (from, to, told) in [
        ("seed: 7", "seed: 7\nsed: 8", "sed"),
        ("seed: 7", "seed: 7\nseed: 8", "seed"),
        ("vocab_size: 300", "vocab_size: 300, vocab_size: 400", "vocab_size"),
        ("format: int8", "format: int8, formt: int8", "formt"),
        ("metrics: [rouge, bleu, exact_match]", "metrics: [rouge, blue]", "blue"),
        ("data: rows.test", "data: rows.tests", "tests"),
    ] {
        let sandbox = Sandbox::tiny();
        sandbox.edit(from, to);
        let outcome = sandbox.fragua(&["run", "pipeline.yaml"]);
        assert_eq!(outcome.code, Some(2), "{to}: {}", outcome.err);
        assert!(
            outcome.err.contains(told) && outcome.err.contains("pipeline.yaml:"),
            "{}",
            outcome.err
        );
        assert!(!sandbox.path().join(".fragua").exists(), "nothing was run");
    }
}

#[test]
fn c11_a_plan_changes_nothing() {
    let fresh = Sandbox::tiny();
    fresh.plan(&[]);
    assert!(!fresh.path().join(".fragua").exists());
    let sandbox = Sandbox::ran();
    let before = snapshot(&sandbox, ".fragua");
    sandbox.plan(&[]);
    sandbox.plan(&["--set", "rate=2e-3"]);
    assert!(
        snapshot(&sandbox, ".fragua") == before,
        "the store is as it was, times included"
    );
}

#[test]
fn c12_a_report_says_what_its_numbers_are() {
    let sandbox = Sandbox::ran();
    let run = sandbox.run(&[]);
    let page = std::path::PathBuf::from(run["report"].as_str().unwrap());
    let size = std::fs::metadata(&page).unwrap().len();
    assert!(size < 2 << 20, "the page has {size} bytes");
    let mut scores = csv::Reader::from_path(page.with_file_name("scores.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = scores.deserialize().map(Result::unwrap).collect();
    assert!(!rows.is_empty());
    for row in &rows {
        assert!(
            !row["signature"].is_empty() && row["n"].parse::<u64>().unwrap() > 0,
            "{row:?}"
        );
        assert!(!row["value"].is_empty(), "a score that is missing has no row: {row:?}");
    }
    // what was not asked for is not there as 0.0
    assert!(!rows.iter().any(|row| row["metric"] == "chrf"));
}
#[test]
fn c13_no_secret_is_written_down() {
    // the value of a variable in a path; a field for secrets: src/execute/tests/secrets.rs
    let sandbox = Sandbox::tiny();
    let hidden = sandbox.path().join("hidden-place-4711");
    std::fs::create_dir(&hidden).unwrap();
    std::fs::rename(sandbox.path().join("rows.jsonl"), hidden.join("rows.jsonl")).unwrap();
    sandbox.edit("files: rows.jsonl", "files: \"${env.FRAGUA_TEST_ROWS}/rows.jsonl\"");
    let mut told = String::new();
    for arguments in [
        ["plan", "pipeline.yaml", "--device", "cpu", "--json"],
        ["run", "pipeline.yaml", "--device", "cpu", "--json"],
    ] {
        let output = sandbox
            .command(&arguments)
            .env("FRAGUA_TEST_ROWS", &hidden)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        told.push_str(&String::from_utf8_lossy(&output.stdout));
        told.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(!told.contains("hidden-place-4711"), "{told}");
    for folder in [".fragua", "reports"] {
        for file in sandbox.files(folder) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(17).any(|window| window == b"hidden-place-4711");
            assert!(!found, "{}", file.display());
        }
    }
    let outcome = sandbox.fragua(&["plan", "pipeline.yaml", "--device", "cpu"]);
    assert_eq!(
        outcome.code,
        Some(2),
        "a variable that is not set is told before anything runs"
    );
    assert!(outcome.err.contains("FRAGUA_TEST_ROWS"), "{}", outcome.err);
}
