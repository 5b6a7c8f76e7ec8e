//! What runs leave behind, as a user asks for it: runs, diff, trace, get, gc, verify, pack, repro.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Outcome, Sandbox};

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.out).unwrap_or_else(|error| panic!("{error}: {}{}", outcome.out, outcome.err))
}

fn ok(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let outcome = sandbox.fragua(arguments);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}{}", outcome.out, outcome.err);
    outcome
}

fn names<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one[field].as_str().unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn runs_are_listed_compared_and_traced_to_the_data() {
    let sandbox = Sandbox::tiny();
    let first = sandbox.run(&["--name", "first"]);
    let second = sandbox.run(&["--set", "rate=2e-3"]);

    // runs: newest first, by name, with a score
    let list = json(&ok(&sandbox, &["runs", "--json"]));
    assert_eq!(names(&list["runs"], "run"), [&second["run"], &first["run"]]);
    assert_eq!(list["runs"][1]["name"], "first");
    assert_eq!(list["runs"][0]["outcome"], "done");
    assert!(list["runs"][0]["headline"].as_str().unwrap().starts_with("rouge1 "));
    let table = ok(&sandbox, &["runs", "--limit", "1"]).out;
    assert!(
        table.contains("and 1 run before") && !table.contains("first"),
        "{table}"
    );

    // what a run keeps: the text as it was, what it came to, and nothing of this machine's folders
    let shown = json(&ok(&sandbox, &["show", "first", "--settings", "--json"]));
    assert_eq!(shown["run"], first["run"]);
    assert_eq!(shown["resolved"]["params"]["rate"], 1e-3);
    let folder = sandbox.path().join(".fragua/runs").join(first["run"].as_str().unwrap());
    let text = std::fs::read_to_string(folder.join("files/pipeline.yaml")).unwrap();
    assert_eq!(
        text,
        std::fs::read_to_string(sandbox.path().join("pipeline.yaml")).unwrap()
    );
    let resolved = std::fs::read_to_string(folder.join("resolved.json")).unwrap();
    assert!(!resolved.contains(sandbox.path().to_str().unwrap()), "{resolved}");
    assert!(resolved.contains(r#""files.0.content": "rows.jsonl""#), "{resolved}");

    // diff: exactly the setting that was changed, and what follows
    let diff = json(&ok(&sandbox, &["diff", "first", "last", "--json"]));
    assert_eq!(names(&diff["parameters"], "name"), ["rate"]);
    assert_eq!(names(&diff["settings"], "instance"), ["base"]);
    assert_eq!(names(&diff["settings"][0]["fields"], "name"), ["train.learning_rate"]);
    let different = names(&diff["artifacts"], "instance");
    assert!(different.contains(&"base") && different.contains(&"tuned") && !different.contains(&"rows"));
    assert!(names(&diff["artifacts"][0]["files"], "path").contains(&"model.safetensors"));
    assert_eq!(diff["unexplained"].as_array().unwrap().len(), 0);
    assert_eq!(diff["environment"].as_array().unwrap().len(), 0);
    let text = ok(&sandbox, &["diff", "first", "last"]).out;
    assert!(text.contains("train.learning_rate  0.001 → 0.002"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let same = json(&ok(&sandbox, &["diff", "first", "first", "--json"]));
    assert_eq!(same["equal_artifacts"], 20);
    assert_eq!(
        (
            same["artifacts"].as_array().unwrap().len(),
            same["times"].as_array().unwrap().len()
        ),
        (0, 0)
    );

    // trace: from the report down to the rows' own digest
    let trace = json(&ok(&sandbox, &["trace", "first:report", "--json"]));
    let nodes = trace["nodes"].as_array().unwrap();
    let rows = nodes.iter().find(|node| node["made"]["kind"] == "dataset").unwrap();
    let file = &rows["made"]["files"][0];
    assert_eq!(file["path"], "rows.jsonl");
    let bytes = std::fs::read(sandbox.path().join("rows.jsonl")).unwrap();
    assert_eq!(file["digest"], blake3::hash(&bytes).to_hex().as_str());
    for node in nodes {
        assert_eq!(node["present"], true);
        assert_eq!(node["made"]["run"], first["run"], "{node}");
        assert!(
            node["made"]["inputs"]
                .as_array()
                .unwrap()
                .iter()
                .all(|input| input["node"].is_u64())
        );
    }
    let digest = nodes[0]["digest"].as_str().unwrap();
    for same in [
        &digest[..9],
        &format!(".fragua/objects/{}/{digest}/scores.csv", &digest[..2]),
    ] {
        let trace = json(&ok(&sandbox, &["trace", same, "--json"]));
        assert_eq!(trace["nodes"][0]["digest"], digest);
    }
    // the exported page has the facts of its run in it, and is known all the same
    let page = json(&ok(&sandbox, &["trace", "reports/tiny/index.html", "--json"]));
    assert_eq!(page["nodes"][0]["digest"], sandbox.digests(&second)["report"]);
    let wrong = sandbox.fragua(&["trace", "prompt.jinja"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.out);

    // get: a copy that is whole and one's own
    let got = json(&ok(&sandbox, &["get", "first", "base", "model", "--json"]));
    assert_eq!(got["digest"], sandbox.digests(&first)["base"]);
    let config = sandbox.path().join("model/config.json");
    assert!(!std::fs::metadata(&config).unwrap().permissions().readonly());
    assert_eq!(
        sandbox.fragua(&["get", "first", "base", "model"]).code,
        Some(2),
        "it is not empty"
    );
    ok(&sandbox, &["get", "last", "rows.train", "train"]);
    assert!(sandbox.path().join("train/data.jsonl").exists());
    let several = sandbox.fragua(&["get", "last", "answers", "x"]);
    assert!(several.err.contains("answers[model=base,shots=0]"), "{}", several.err);

    // verify names what a damage touches
    let object = sandbox
        .path()
        .join(format!(".fragua/objects/{}/{digest}/scores.csv", &digest[..2]));
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "wrong").unwrap();
    let verified = sandbox.fragua(&["verify", "--json"]);
    assert_eq!(verified.code, Some(1));
    let verified = json(&verified);
    assert_eq!(verified["damaged"].as_array().unwrap().len(), 1);
    assert_eq!(verified["touched"][0]["run"], first["run"]);
    assert_eq!(verified["touched"][0]["instances"]["report"], digest);
    let damaged = sandbox.fragua(&["get", "first", "report", "copy"]);
    assert!(
        damaged.err.contains("damaged") && !sandbox.path().join("copy").exists(),
        "{}",
        damaged.err
    );
}

#[test]
fn garbage_is_explained_then_collected_and_kept_runs_are_all_cached() {
    let sandbox = Sandbox::tiny();
    let first = sandbox.run(&["--name", "keep"]);
    sandbox.run(&["--set", "rate=2e-3"]);
    sandbox.run(&["--set", "rate=3e-3"]);
    let nothing = ok(&sandbox, &["gc"]).out;
    assert!(nothing.contains("nothing to delete"), "{nothing}");

    let before = sandbox.files(".fragua");
    let told = ok(&sandbox, &["gc", "--keep-last", "1"]).out;
    assert!(
        told.contains("would delete") && told.contains("finetune artifact") && told.contains("--yes"),
        "{told}"
    );
    assert_eq!(sandbox.files(".fragua"), before, "telling deletes nothing");

    // a kill at any moment leaves a whole store, and the next collection ends what that one began
    let whole = sandbox.path().join("whole");
    copy(&sandbox.path().join(".fragua"), &whole);
    for step in 0..10u64 {
        let store = format!("killed-{step}");
        copy(&whole, &sandbox.path().join(&store));
        let mut gc = sandbox
            .command(&["gc", "--keep-last", "0", "--yes", "--quiet", "--store", &store])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(15 + step * 7));
        gc.kill().unwrap();
        gc.wait().unwrap();
        let verified = json(&ok(&sandbox, &["verify", "--json", "--store", &store]));
        assert_eq!(verified["lost"].as_array().unwrap().len(), 0, "{verified}");
        assert!(
            sandbox
                .plan(&["--store", &store])
                .values()
                .all(|state| state == "cached")
        );
        ok(&sandbox, &["gc", "--keep-last", "0", "--yes", "--store", &store]);
        let again = ok(&sandbox, &["gc", "--keep-last", "0", "--store", &store]).out;
        assert!(again.contains("nothing to delete"), "{again}");
    }

    let deleted = json(&ok(&sandbox, &["gc", "--keep-last", "1", "--yes", "--json"]));
    assert_eq!(deleted["deleted"], true);
    assert_eq!(deleted["garbage"]["runs"].as_array().unwrap().len(), 1);
    ok(&sandbox, &["verify"]);
    for (more, executed) in [(&[][..], 0), (&["--set", "rate=3e-3"], 0)] {
        assert_eq!(sandbox.run(more)["executed"], executed, "{more:?}");
    }
    assert_eq!(sandbox.plan(&["--set", "rate=2e-3"])["base"], "run");
    assert!(
        sandbox.path().join("reports/tiny/index.html").exists(),
        "reports are not touched"
    );
    assert_eq!(sandbox.digests(&first).len(), 20);
    assert_eq!(sandbox.fragua(&["gc", "--older-than", "soon"]).code, Some(2));
}

#[test]
fn garbage_waits_for_a_run_in_flight_and_never_breaks_a_resume() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&["--set", "rate=5e-3"]); // garbage, if nobody were at work
    let long = ["--set", "updates=150"];
    let mut run = sandbox.spawn_run(&long);
    let checkpoint = || {
        let files = sandbox.files(".fragua/attempts");
        files
            .iter()
            .any(|path| path.components().any(|part| part.as_os_str() == "checkpoints"))
    };
    while !checkpoint() {
        assert!(
            run.try_wait().unwrap().is_none(),
            "the run ended before its first checkpoint"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = sandbox.fragua(&["gc", "--keep-last", "0", "--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(refused.err.contains("a run is using"), "{}", refused.err);
    let list = json(&ok(&sandbox, &["runs", "--json"]));
    assert_eq!(list["runs"][0]["outcome"], "running");
    run.kill().unwrap();
    run.wait().unwrap();
    let list = json(&ok(&sandbox, &["runs", "--json"]));
    assert_eq!(list["runs"][0]["outcome"], "killed");

    // its process is gone, its checkpoints and what they were computed from are not
    let told = ok(&sandbox, &["gc", "--keep-last", "0", "--yes"]).out;
    assert!(told.contains("of unfinished work"), "{told}");
    assert!(checkpoint());
    let plan = sandbox.plan(&long);
    assert_eq!((plan["rows"].as_str(), plan["words"].as_str()), ("cached", "cached"));
    assert_eq!(plan["encode(rows, words)"], "cached");
    let resumed = sandbox.run(&long);
    let whole = Sandbox::tiny();
    let uninterrupted = whole.run(&long);
    assert_eq!(sandbox.digests(&resumed), whole.digests(&uninterrupted));
}

#[test]
fn a_packed_run_gives_the_same_digests_elsewhere() {
    let sandbox = Sandbox::tiny();
    let run = sandbox.run(&["--set", "rate=2e-3"]);
    ok(&sandbox, &["pack", "last", "lab.tar.gz", "--with-data"]);
    ok(&sandbox, &["pack", "last", "same.tar.gz", "--with-data"]);
    let bytes = |name: &str| std::fs::read(sandbox.path().join(name)).unwrap();
    assert_eq!(
        bytes("lab.tar.gz"),
        bytes("same.tar.gz"),
        "the same run gives the same archive"
    );
    assert_eq!(
        sandbox.fragua(&["pack", "last", "lab.tar.gz"]).code,
        Some(2),
        "it is there already"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(sandbox.path().join("lab.tar.gz"), elsewhere.path().join("lab.tar.gz")).unwrap();
    let repro = |arguments: &[&str]| {
        let output = sandbox
            .command(arguments)
            .current_dir(elsewhere.path())
            .output()
            .unwrap();
        Outcome {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let came = repro(&["repro", "lab.tar.gz", "--json"]);
    assert_eq!(came.code, Some(0), "{}{}", came.out, came.err);
    let came = json(&came);
    assert_eq!(
        (came["same"].as_u64(), came["packed"].as_str()),
        (Some(20), run["run"].as_str())
    );
    let store = elsewhere.path().join("lab/.fragua");
    let shown = json(&repro(&["show", "--json", "--store", store.to_str().unwrap()]));
    let digests = sandbox.digests(&run);
    for one in shown["instances"].as_array().unwrap() {
        assert_eq!(one["digest"], digests[one["name"].as_str().unwrap()], "{one}");
    }

    // without the data: they are asked for, checked, and then it runs
    ok(&sandbox, &["pack", "last", "small.tar.zst"]);
    std::fs::copy(
        sandbox.path().join("small.tar.zst"),
        elsewhere.path().join("small.tar.zst"),
    )
    .unwrap();
    let absent = repro(&["repro", "small.tar.zst"]);
    assert_eq!(absent.code, Some(2), "{}", absent.out);
    assert!(absent.err.contains("rows.jsonl is not there"), "{}", absent.err);
    assert!(!elsewhere.path().join("small").exists());
    ok(&sandbox, &["pack", "last", "plain.tar"]);
    let plain = sandbox.path().join("plain.tar");
    let plain = repro(&["repro", plain.to_str().unwrap(), "--into", "plain"]);
    assert!(plain.err.contains("rows.jsonl is not there"), "{}", plain.err);
    std::fs::create_dir(elsewhere.path().join("small")).unwrap();
    let mut rows = bytes("rows.jsonl");
    std::fs::write(elsewhere.path().join("small/rows.jsonl"), &rows[1..]).unwrap();
    let tampered = repro(&["repro", "small.tar.zst"]);
    assert_eq!(tampered.code, Some(2), "{}", tampered.out);
    assert!(
        tampered.err.contains("rows.jsonl is not what the run read"),
        "{}",
        tampered.err
    );
    std::fs::write(elsewhere.path().join("small/rows.jsonl"), &rows).unwrap();
    std::fs::write(elsewhere.path().join("small/other"), "").unwrap();
    assert!(repro(&["repro", "small.tar.zst"]).err.contains("holds other"));

    // what changed since the run cannot be packed as it
    rows.push(b'\n');
    std::fs::write(sandbox.path().join("rows.jsonl"), rows).unwrap();
    let changed = sandbox.fragua(&["pack", "last", "late.tar", "--with-data"]);
    assert!(
        changed.err.contains("rows.jsonl is not what the run read any more"),
        "{}",
        changed.err
    );
    assert!(!sandbox.path().join("late.tar").exists());
}
