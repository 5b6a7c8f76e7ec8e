//! `plan` and `explain`: what they say, that they write nothing, and how they do with thousands.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::support::Sandbox;

/// Three quick steps; the dataset keeps the first three rows.
const SMALL: &str = "pipeline: small
seed: 42
params: {keep: 3, quantize: false}
steps:
  rows: {uses: dataset, with: {files: lines.jsonl, limit: \"${params.keep}\", shuffle: false}}
  words: {uses: tokenize, with: {data: rows, algorithm: char}}
  ids: {uses: encode, with: {data: rows, tokenizer: words}}
  mixed: {uses: dataset, with: {files: lines.jsonl, shuffle: true}}
  extra:
    when: \"${params.quantize}\"
    uses: dataset
    with: {files: lines.jsonl}
";

fn small() -> Sandbox {
    let sandbox = Sandbox::tiny();
    sandbox.write("pipeline.yaml", SMALL);
    lines(&sandbox, &["one", "two", "three", "four", "five"]);
    sandbox
}

fn lines(sandbox: &Sandbox, texts: &[&str]) {
    let rows: Vec<String> = texts.iter().map(|text| json!({"text": text}).to_string()).collect();
    sandbox.write("lines.jsonl", &(rows.join("\n") + "\n"));
}

/// `plan --json` with more arguments: instance → what is said of it.
fn planned(sandbox: &Sandbox, more: &[&str]) -> (BTreeMap<String, Value>, Value) {
    let mut arguments = vec!["plan", "pipeline.yaml", "--json", "--device", "cpu"];
    arguments.extend(more);
    let outcome = sandbox.fragua(&arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let plan: Value = serde_json::from_str(&outcome.out).unwrap();
    let instances = plan["instances"].as_array().unwrap().iter();
    let named = instances.map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()));
    (named.collect(), plan.clone())
}

#[test]
fn a_plan_and_an_explanation_write_nothing() {
    type Seen = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;
    let everything = |sandbox: &Sandbox| -> Seen {
        let look = |path: PathBuf| {
            let (bytes, time) = (std::fs::read(&path), std::fs::metadata(&path));
            (path, (bytes.unwrap(), time.unwrap().modified().unwrap()))
        };
        sandbox.files(".").into_iter().map(look).collect()
    };
    let sandbox = small();
    let look = || {
        sandbox.fragua(&["plan", "pipeline.yaml", "--device", "cpu"]);
        sandbox.fragua(&["plan", "pipeline.yaml", "--device", "cpu", "--set", "keep=2", "--svg"]);
        let outcome = sandbox.fragua(&["explain", "pipeline.yaml", "ids", "--device", "cpu", "--set", "keep=2"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    };
    look();
    assert!(
        !sandbox.path().join(".fragua").exists(),
        "a store that is absent is empty"
    );
    sandbox.run(&[]);
    let before = everything(&sandbox);
    look();
    assert_eq!(everything(&sandbox), before);

    // a store that nobody may write (root may, so there only the comparison counts)
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fn protect(folder: &std::path::Path, mode: u32) {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    protect(&path, mode);
                }
            }
        }
        let store = sandbox.path().join(".fragua");
        protect(&store, 0o555);
        assert!(sandbox.plan(&[]).values().all(|state| state == "cached"));
        look();
        protect(&store, 0o755);
        assert_eq!(everything(&sandbox), before);
    }
}

#[test]
fn a_change_that_the_selection_drops_stops_at_the_dataset() {
    let sandbox = small();
    sandbox.run(&[]);
    lines(&sandbox, &["one", "two", "three", "four", "another"]);
    let (plan, _) = planned(&sandbox, &[]);
    assert_eq!(plan["rows"]["state"], "run");
    assert_eq!(plan["rows"]["reasons"], json!(["file lines.jsonl: content changed"]));
    assert_eq!(
        (&plan["words"]["state"], &plan["ids"]["state"]),
        (&json!("maybe"), &json!("maybe"))
    );
    assert_eq!(plan["words"]["reasons"], json!(["waits for rows"]));
    let run = sandbox.run(&[]);
    assert_eq!(
        (&run["executed"], &run["cached"]),
        (&json!(2), &json!(2)),
        "rows and mixed: {run}"
    );
    // what is kept changes: the wave goes on, and each says what in its input changed and why
    let run = sandbox.run(&["--set", "keep=2"]);
    assert_eq!(run["executed"], 3, "{run}");
    let shown = sandbox.fragua(&["show", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let ids = shown["instances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "ids");
    let reasons = &ids.unwrap()["reasons"];
    assert_eq!(
        reasons[0],
        "input data: `all` split changed because `rows` re-ran (limit 3 → 2)"
    );
    let (plan, _) = planned(&sandbox, &[]);
    assert!(
        plan.values().all(|one| one["state"] == "cached"),
        "what was known once stays known"
    );
}

#[test]
fn reasons_are_differences_with_their_values() {
    let sandbox = small();
    let (plan, whole) = planned(&sandbox, &[]);
    assert_eq!(plan["rows"]["reasons"], json!(["never run"]));
    assert!(
        whole["estimated_seconds"].is_null() && whole["without_estimate"] == 4,
        "nothing is made up"
    );
    assert_eq!(whole["left_out"][0]["name"], "extra");
    sandbox.run(&[]);
    let (plan, whole) = planned(&sandbox, &["--set", "keep=4"]);
    let difference = &plan["rows"]["differences"][0];
    assert_eq!(
        (&difference["field"], &difference["before"], &difference["after"]),
        (&json!("limit"), &json!(3), &json!(4))
    );
    assert_eq!(plan["rows"]["compared_with"]["instance"], "rows");
    assert!(plan["rows"]["estimated_seconds"].as_f64().unwrap() >= 0.0);
    assert!(
        plan["mixed"]["estimated_seconds"].is_null(),
        "what is known takes no time"
    );
    let (all, wall) = (&whole["estimated_seconds"], &whole["estimated_wall_seconds"]);
    assert!(all.as_f64().unwrap() >= whole["estimated_certain_seconds"].as_f64().unwrap());
    assert!(
        (all.as_f64().unwrap() - wall.as_f64().unwrap()).abs() < 1e-6,
        "one after the other"
    );

    sandbox.edit("seed: 42", "seed: 43");
    let (plan, _) = planned(&sandbox, &[]);
    assert_eq!(plan["rows"]["state"], "cached", "draws nothing");
    assert_eq!(plan["mixed"]["reasons"], json!(["seed 42 → 43"]));
    // a step under another name, changed as well
    sandbox.edit(
        "  mixed: {uses: dataset, with: {files: lines.jsonl,",
        "  blend: {uses: dataset, with: {limit: 4, files: lines.jsonl,",
    );
    let (plan, _) = planned(&sandbox, &[]);
    let reasons = plan["blend"]["reasons"].as_array().unwrap();
    assert!(
        reasons.contains(&json!("limit is now 4")) && reasons.contains(&json!("seed 42 → 43")),
        "{reasons:?}"
    );
    assert_eq!(reasons.last().unwrap(), "compared with `mixed`: it never ran itself");
}

#[test]
fn the_listing_shows_times_and_what_is_left_out() {
    let sandbox = small();
    sandbox.run(&[]);
    let outcome = sandbox.fragua(&[
        "plan",
        "pipeline.yaml",
        "--device",
        "cpu",
        "--set",
        "keep=4",
        "--jobs",
        "2",
    ]);
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert!(
        lines[1].contains("run  rows") && lines[1].contains('~') && lines[1].ends_with("limit 3 → 4"),
        "{lines:?}"
    );
    assert_eq!(
        lines[5].split_whitespace().take(3).collect::<Vec<_>>(),
        ["left", "out", "extra"]
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("4 instances: 1 cached, 1 run, 2 maybe, 1 left out; about "),
        "{last}"
    );
    assert!(last.ends_with("with 2 side by side"), "{last}");
}

#[test]
fn pictures_are_what_their_programs_read() {
    let sandbox = small();
    let picture = |option: &str| {
        sandbox
            .fragua(&["plan", "pipeline.yaml", "--device", "cpu", option])
            .out
    };
    assert!(picture("--mermaid").starts_with("flowchart TD\n"));
    assert!(picture("--svg").starts_with("<svg xmlns=") && picture("--svg").ends_with("</svg>\n"));
    sandbox.write("plan.dot", &picture("--dot"));
    let drawn = std::process::Command::new("dot")
        .args(["-Tsvg", "plan.dot"])
        .current_dir(sandbox.path())
        .output();
    if let Ok(drawn) = drawn {
        assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
        assert!(String::from_utf8_lossy(&drawn.stdout).contains("tokenize"));
    }
    let outcome = sandbox.fragua(&["plan", "pipeline.yaml", "--dot", "--svg"]);
    assert_eq!(outcome.code, Some(2));
}

#[test]
fn an_explanation_names_every_part_of_the_key_and_its_place() {
    let sandbox = small();
    sandbox.run(&[]);
    let explain = |more: &[&str]| {
        let mut arguments = vec!["explain", "pipeline.yaml", "--device", "cpu"];
        arguments.extend(more);
        sandbox.fragua(&arguments)
    };
    let outcome = explain(&["rows", "--set", "keep=4", "--json"]);
    let all: Value = serde_json::from_str(&outcome.out).unwrap();
    let rows = &all["instances"][0];
    let parts: BTreeMap<&str, &Value> = rows["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["name"].as_str().unwrap(), part))
        .collect();
    assert_eq!(parts["limit"]["value"], 4);
    assert_eq!(parts["limit"]["from"], "${params.keep}: --set keep=4");
    assert_eq!(
        parts["files.0.content"]["from"],
        "content of lines.jsonl, pipeline.yaml:5:39"
    );
    assert_eq!(parts["dedupe"]["from"], "default");
    assert_eq!(parts["kind"]["from"], "step at pipeline.yaml:5:3");
    assert!(rows["known"].is_null() && rows["state"] == "run");
    assert_eq!(rows["last_run"]["state"], "executed");

    let text = explain(&["ids"]).out;
    for part in [
        "ids of small: cached",
        "  tokenizer  ",
        "`words`, ",
        "it is known: made ",
        " by run ",
        "last run ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = explain(&["mixed"]).out;
    assert!(text.contains("the pipeline's `seed`") && text.contains("42"), "{text}");
    let outcome = explain(&["wrods"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("did you mean `words`"), "{}", outcome.err);
}

/// A pipeline of `count` instances of three steps each way, few of them different in content.
fn wide(count: usize) -> Sandbox {
    let sandbox = Sandbox::tiny();
    let groups = count / 3;
    let mut text = String::from("pipeline: wide\nsteps:\n");
    for group in 0..groups {
        let file = group % 12;
        text.push_str(&format!(
            "  rows{group}: {{uses: dataset, with: {{files: part{file}.txt}}}}\n  \
             words{group}: {{uses: tokenize, with: {{data: rows{group}, algorithm: char}}}}\n  \
             ids{group}: {{uses: encode, with: {{data: rows{group}, tokenizer: words{group}}}}}\n"
        ));
    }
    for file in 0..12 {
        sandbox.write(&format!("part{file}.txt"), &format!("the words of part {file}\n"));
    }
    sandbox.write("pipeline.yaml", &text);
    sandbox
}

/// The best of three, so that a busy machine does not fail the test.
fn best(mut work: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let clock = Instant::now();
        work();
        clock.elapsed()
    });
    times.min().unwrap()
}

/// `benches/peers/engine` has the figures; these bounds are several times as wide, for any machine
/// and an unoptimized build.
#[test]
fn a_thousand_instances_plan_and_rerun_at_once() {
    let sandbox = wide(999);
    let first = sandbox.run(&[]);
    assert_eq!(
        (&first["executed"], &first["cached"]),
        (&json!(36), &json!(963)),
        "{first}"
    );
    let plan = best(|| assert!(sandbox.plan(&[]).values().all(|state| state == "cached")));
    assert!(plan < Duration::from_millis(1500), "{plan:?}");
    let again = best(|| assert_eq!(sandbox.run(&[])["cached"], 999));
    assert!(again < Duration::from_millis(2500), "{again:?}");
    sandbox.write("part3.txt", "other words\n");
    let (states, _) = planned(&sandbox, &[]);
    assert_eq!(
        states.values().filter(|one| one["state"] == "run").count(),
        28,
        "one file in twelve"
    );
    assert_eq!(states["ids3"]["state"], "maybe");
}

/// Ten times as many take about ten times as long, whatever the machine: nothing compares each with
/// each.
#[test]
fn ten_thousand_instances_plan_in_seconds() {
    let (small, large) = (wide(999), wide(9999));
    let unit = best(|| assert_eq!(small.plan(&[]).len(), 999));
    let clock = Instant::now();
    assert_eq!(large.plan(&[]).len(), 9999);
    let (took, bound) = (clock.elapsed(), unit * 30 + Duration::from_secs(1));
    assert!(took < bound, "{took:?} for 9,999 instances, {unit:?} for 999");
}
