//! `fragua score`, as users of sacreBLEU and rouge-score type it.

use serde_json::Value;

use crate::support::{Outcome, Sandbox};

const REFERENCES: &str = "The cat sat on the mat.\nA dog ran across the wide road.\nNobody answered the door.\n";
const ONE: &str = "The cat sat on the mat.\nA dog ran over the road.\nNo one answered.\n";
const TWO: &str = "A cat is on a mat.\nDogs run across roads.\nNobody came to the door.\n";

/// System, metric, value.
const THEIRS: &[(&str, &str, f64)] = &[
    ("one", "rouge1", 0.684982),
    ("one", "rouge2", 0.454545),
    ("one", "rougeL", 0.684982),
    ("one", "rougeLsum", 0.684982),
    ("one", "bleu", 51.663572),
    ("one", "chrf", 56.409339),
    ("one", "ter", 35.294118),
    ("two", "rouge1", 0.570707),
    ("two", "rouge2", 0.095238),
    ("two", "rougeL", 0.570707),
    ("two", "rougeLsum", 0.570707),
    ("two", "bleu", 13.476310),
    ("two", "chrf", 34.442403),
    ("two", "ter", 64.705882),
];

fn files() -> Sandbox {
    let sandbox = Sandbox::tiny();
    sandbox.write("ref.txt", REFERENCES);
    sandbox.write("one.txt", ONE);
    sandbox.write("two.txt", TWO);
    sandbox
}

fn json(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    serde_json::from_str(&outcome.out).unwrap()
}

fn find<'a>(all: &'a Value, system: &str, metric: &str) -> &'a Value {
    let mut scores = all["scores"].as_array().unwrap().iter();
    let found = scores.find(|score| score["system"] == system && score["metric"] == metric);
    found.unwrap_or_else(|| panic!("no {metric} of {system} in {all:#}"))
}

/// The values are those that sacreBLEU 2.6 and rouge-score 0.1.2 print for these files.
#[test]
fn it_says_what_the_reference_programs_say() {
    let arguments = [
        "score",
        "--metrics",
        "rouge,bleu,chrf,ter",
        "--stemmer",
        "porter",
        "--references",
        "ref.txt",
    ];
    let scores = json(&files().fragua(&[&arguments[..], &["one.txt", "two.txt", "--json"]].concat()));
    for (system, metric, theirs) in THEIRS {
        let score = find(&scores, system, metric);
        assert!((score["value"].as_f64().unwrap() - theirs).abs() < 1e-4, "{score}");
        assert_eq!((&score["n"], &score["low"]), (&3.into(), &Value::Null));
    }
    let signature = find(&scores, "one", "bleu")["signature"].as_str().unwrap();
    assert!(
        signature.starts_with("BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:fragua-"),
        "{signature}"
    );
}

#[test]
fn text_json_lines_and_csv_score_alike_and_slices_show_their_number() {
    let sandbox = files();
    let (mut lines, mut table) = (String::new(), "id,prediction\n".to_owned());
    for (index, (output, reference)) in ONE.lines().zip(REFERENCES.lines()).enumerate() {
        let topic = if index == 1 { "dogs" } else { "other" };
        lines += &format!(
            "{}\n",
            serde_json::json!({"output": output, "references": [reference], "topic": topic})
        );
        table += &format!("{index},\"{output}\"\n");
    }
    sandbox.write("both.jsonl", &lines);
    sandbox.write("table.csv", &table);
    let text = json(&sandbox.fragua(&["score", "--references", "ref.txt", "one.txt", "table.csv", "--json"]));
    let beside = json(&sandbox.fragua(&["score", "both.jsonl", "--slices", "topic", "--confidence", "--json"]));
    for metric in ["rouge1", "rougeLsum", "bleu", "chrf"] {
        let value = &find(&text, "one", metric)["value"];
        assert_eq!(value, &find(&text, "table", metric)["value"]);
        assert_eq!(value, &find(&beside, "both", metric)["value"]);
    }
    let score = find(&beside, "both", "rouge1");
    assert!(score["low"].as_f64() <= score["value"].as_f64() && score["value"].as_f64() <= score["high"].as_f64());
    assert!(
        score["signature"]
            .as_str()
            .unwrap()
            .contains("|nrefs:1|bs:1000|seed:12345|"),
        "{score}"
    );
    let slices = beside["slices"].as_array().unwrap();
    let found: Vec<_> = slices
        .iter()
        .map(|slice| (slice["value"].as_str().unwrap(), slice["n"].as_u64()))
        .collect();
    assert_eq!(found, [("dogs", Some(1)), ("other", Some(2))]);
}

#[test]
fn systems_are_compared_with_the_first_and_threads_change_nothing() {
    let sandbox = files();
    sandbox.write("three.txt", ONE);
    let run = |test: &str, threads: &str| {
        let arguments = [
            "score",
            "--metrics",
            "bleu,chrf",
            "--references",
            "ref.txt",
            "one.txt",
            "two.txt",
            "three.txt",
        ];
        sandbox.fragua(
            &[
                &arguments[..],
                &["--paired", test, "--trials", "200", "--threads", threads, "--json"],
            ]
            .concat(),
        )
    };
    for test in ["bootstrap", "randomization"] {
        let outcome = run(test, "1");
        let scores = json(&outcome);
        assert_eq!(find(&scores, "one", "bleu")["p"], Value::Null);
        let compared = find(&scores, "two", "bleu");
        assert_eq!(
            (&compared["baseline"], &compared["test"]),
            (&"one".into(), &test.into())
        );
        assert!(compared["difference"].as_f64().unwrap() < 0.0);
        assert!(compared["p"].as_f64() <= compared["p_holm"].as_f64(), "{compared}");
        let same = find(&scores, "three", "bleu");
        assert_eq!(
            (same["difference"].as_f64(), same["p"].as_f64()),
            (Some(0.0), Some(1.0))
        );
        assert_eq!(outcome.out, run(test, "3").out);
    }
    let shown = sandbox.fragua(&[
        "score",
        "--references",
        "ref.txt",
        "one.txt",
        "two.txt",
        "--paired",
        "bootstrap",
    ]);
    assert!(
        shown.out.contains("p (Holm)") && shown.out.contains("3 segments"),
        "{}",
        shown.out
    );
}

#[test]
fn standard_input_and_several_references_are_read() {
    use std::io::Write;
    let sandbox = files();
    let mut command = sandbox.command(&[
        "score",
        "--metrics",
        "bleu",
        "-r",
        "ref.txt",
        "-r",
        "two.txt",
        "-",
        "--segments",
    ]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(TWO.as_bytes()).unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(out.contains("-:3  bleu 100.0000") && out.contains("nrefs:2"), "{out}");
}

#[test]
fn what_cannot_be_scored_is_said_clearly() {
    let sandbox = files();
    sandbox.write("short.txt", "one line\n");
    sandbox.write("empty.txt", "");
    for (arguments, expected) in [
        (
            &["-r", "ref.txt", "short.txt"][..],
            "short.txt has 1 segments and ref.txt has 3",
        ),
        (&["-r", "empty.txt", "empty.txt"], "empty.txt is empty"),
        (&["one.txt"], "give the references by --references"),
        (
            &["-r", "ref.txt", "one.txt", "--paired", "bootstrap"],
            "two files or more",
        ),
        (&["-r", "-", "-"], "standard input can be read once"),
        (
            &["-r", "ref.txt", "one.txt", "./one.txt"],
            "two systems are called `one`",
        ),
        (&["-r", "ref.txt", "one.txt", "--slices", "topic"], "no field `topic`"),
        (&["-r", "ref.txt", "one.txt", "--metrics", "blue"], "no such metric"),
        (
            &["-r", "ref.txt", "one.txt", "--smooth-value", "1"],
            "goes with `floor` or `add-k`",
        ),
        (&["-r", "ref.txt", "one.txt", "--tokenize", "zh"], "13a"),
    ] {
        let outcome = sandbox.fragua(&[&["score"], arguments].concat());
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.err);
        assert!(outcome.err.contains(expected), "{arguments:?}: {}", outcome.err);
    }
    let missing = sandbox.fragua(&["score", "-r", "none.txt", "one.txt"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("cannot read none.txt"), "{}", missing.err);
}

#[test]
fn an_evaluation_is_sliced_by_fields_of_the_dataset() {
    let sandbox = files();
    let metrics = "metrics: [rouge, bleu, exact_match]";
    sandbox.edit(
        metrics,
        "metrics: [rougeL, bleu, ter, f1_macro, distinct2], slices: [summary], rouge: {words: unicode}",
    );
    let run = sandbox.run(&["--set", "updates=4"]);
    assert_eq!(run["failed"], 0);
    let paths = sandbox.files(".fragua/objects");
    let path = paths.iter().find(|path| path.ends_with("scores.json")).unwrap();
    let scores: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let names: Vec<_> = scores["scores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|score| score["metric"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["rougeL", "bleu", "ter", "distinct2", "f1_macro"]);
    assert!(
        scores["scores"][0]["signature"]
            .as_str()
            .unwrap()
            .contains("tok:unicode")
    );
    let slices = scores["slices"].as_array().unwrap();
    let sum: u64 = slices.iter().map(|slice| slice["n"].as_u64().unwrap()).sum();
    assert_eq!(
        (sum, slices[0]["field"].as_str()),
        (scores["scores"][0]["n"].as_u64().unwrap(), Some("summary"))
    );
    assert_eq!(scores["confusion"]["labels"].as_array().unwrap().len(), slices.len());
    let samples = std::fs::read_to_string(path.with_file_name("samples.jsonl")).unwrap();
    let first: Value = serde_json::from_str(samples.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["slices"]["summary"],
        first["references"][0].as_str().unwrap().trim()
    );
    assert_eq!(first["statistics"]["bleu"].as_array().unwrap().len(), 10);

    sandbox.edit("slices: [summary]", "slices: [topic]");
    let outcome = sandbox.try_run(&["--set", "updates=4"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.out);
    let said = format!("{}{}", outcome.out, outcome.err);
    assert!(said.contains("has no field `topic` to slice by"), "{said}");
}
