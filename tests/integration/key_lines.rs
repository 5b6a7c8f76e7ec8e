//! Every line of `docs/cache.md` about what changes a key, tried on a small pipeline with the program.

use std::collections::{BTreeMap, BTreeSet};

use fragua::steps::KINDS;
use serde_json::Value;

use crate::keys::table;
use crate::support::Sandbox;

const LAB: &str = r#"pipeline: lab
about: For keys.
seed: 3
params: {updates: 2}
steps:
  rows:
    uses: dataset
    with: {files: rows.jsonl, split: {train: 0.6, test: 0.4}}
  words:
    uses: tokenize
    with: {data: rows.train, algorithm: byte}
  base:
    about: A model.
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {layers: 1, heads: 2, width: 16, context: 128}
      train: {updates: "${params.updates}", batch_size: 2, learning_rate: 1e-3}
  half:
    uses: quantize
    with: {model: base, format: fp16}
  answers:
    uses: generate
    matrix: {tokens: [2]}
    with: {model: half, data: rows.test, prompt: {template: prompt.jinja}, sampling: {max_new_tokens: "${matrix.tokens}", temperature: 1}}
  scores:
    uses: evaluate
    with: {generations: answers, metrics: [exact_match]}
  report:
    uses: report
    with: {scores: scores}
"#;

/// Instances by name (axes aside) with their keys; none while an input is not known.
fn keys(sandbox: &Sandbox, arguments: &[&str]) -> BTreeMap<String, Option<String>> {
    let mut all = vec!["plan", "--json", "--device", "cpu", "--store", "store"];
    all.extend(arguments);
    let mut command = sandbox.command(&all);
    let output = command
        .env("FRAGUA_OF_NO_MEANING", arguments.len().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let plan: Value = serde_json::from_str(&text).unwrap();
    let instances = plan["instances"].as_array().unwrap().iter();
    instances
        .map(|one| {
            let name = one["name"].as_str().unwrap().split('[').next().unwrap();
            (name.to_owned(), one["key"].as_str().map(str::to_owned))
        })
        .collect()
}

const ALL: &[&str] = &[
    "rows",
    "words",
    "encode(rows, words)",
    "base",
    "half",
    "answers",
    "scores",
    "report",
];
const FROM_BASE: &[&str] = &["base", "half", "answers", "scores", "report"];

/// What one line of the page's table is tried with.
struct Change {
    line: &'static str,
    /// Text of the pipeline file, and what stands there instead.
    edits: &'static [(&'static str, &'static str)],
    act: fn(&Sandbox),
    arguments: &'static [&'static str],
    changes: &'static [&'static str],
}

const NOTHING: Change = Change {
    line: "",
    edits: &[],
    act: |_| {},
    arguments: &["lab.yaml"],
    changes: &[],
};

const CHANGES: &[Change] = &[
    Change {
        line: "a comment, the layout, quotes, the order of keys",
        edits: &[
            ("seed: 3", "seed:   3   # three"),
            (
                "data: rows.train, algorithm: byte",
                "algorithm: \"byte\", data: rows.train",
            ),
        ],
        ..NOTHING
    },
    Change {
        line: "the order of steps",
        edits: &[
            (
                "  half:\n    uses: quantize\n    with: {model: base, format: fp16}\n",
                "",
            ),
            (
                "steps:\n",
                "steps:\n  half:\n    uses: quantize\n    with: {model: base, format: fp16}\n",
            ),
        ],
        ..NOTHING
    },
    Change {
        line: "a default written out under with",
        edits: &[("batch_size: 2", "batch_size: 2, accumulate: 1, clip: 1.0")],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "another name for a parameter in params",
        edits: &[("{updates: 2}", "{rounds: 2}"), ("params.updates", "params.rounds")],
        ..NOTHING
    },
    Change {
        line: "another value for a parameter",
        arguments: &["lab.yaml", "--set", "updates=3"],
        changes: FROM_BASE,
        ..NOTHING
    },
    Change {
        line: "a step more, or one less that nothing reads",
        edits: &[(
            "steps:\n",
            "steps:\n  more:\n    uses: tokenize\n    with: {vocabulary: gpt2}\n",
        )],
        changes: &["more"],
        ..NOTHING
    },
    Change {
        line: "the pipeline file's name and folder",
        act: |sandbox| {
            std::fs::create_dir(sandbox.path().join("inner")).unwrap();
            for (from, to) in [
                ("lab.yaml", "renamed.yaml"),
                ("rows.jsonl", "rows.jsonl"),
                ("prompt.jinja", "prompt.jinja"),
            ] {
                let inner = sandbox.path().join("inner").join(to);
                std::fs::rename(sandbox.path().join(from), inner).unwrap();
            }
        },
        arguments: &["inner/renamed.yaml"],
        ..NOTHING
    },
    Change {
        line: "the name of a file that a step reads",
        edits: &[("files: rows.jsonl", "files: other.jsonl")],
        act: |sandbox| {
            std::fs::rename(sandbox.path().join("rows.jsonl"), sandbox.path().join("other.jsonl")).unwrap();
        },
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "the content of a file that a step reads",
        act: |sandbox| {
            sandbox.write(
                "prompt.jinja",
                "{% block prompt %}{{ dialogue }}{% endblock %}{% block answer %}{{ summary }}{% endblock %}",
            );
        },
        changes: &["answers", "scores", "report"],
        ..NOTHING
    },
    Change {
        line: "times of files",
        act: |sandbox| {
            for name in ["lab.yaml", "rows.jsonl", "prompt.jinja"] {
                let file = std::fs::File::options()
                    .append(true)
                    .open(sandbox.path().join(name))
                    .unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            }
        },
        ..NOTHING
    },
    Change {
        line: "--threads",
        arguments: &["lab.yaml", "--threads", "1"],
        ..NOTHING
    },
    Change {
        // `keys` sets one to the number of arguments
        line: "environment variables",
        arguments: &["lab.yaml", "--quiet"],
        ..NOTHING
    },
    Change {
        line: "the name after pipeline",
        edits: &[("pipeline: lab", "pipeline: room")],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "about of the pipeline",
        edits: &[("about: For keys.", "about: For the table.")],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "about of a step",
        edits: &[("about: A model.", "about: A small model.")],
        ..NOTHING
    },
    Change {
        line: "the name of a step",
        edits: &[("  half:", "  short:"), ("model: half", "model: short")],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "the name of an axis in matrix",
        edits: &[
            ("matrix: {tokens", "matrix: {length"),
            ("matrix.tokens", "matrix.length"),
        ],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "seed of the pipeline",
        edits: &[("seed: 3", "seed: 4")],
        changes: ALL,
        ..NOTHING
    },
    Change {
        line: "seed of a step",
        edits: &[("    about: A model.", "    seed: 4")],
        changes: FROM_BASE,
        ..NOTHING
    },
    Change {
        line: "repeat: the first repetition has the step's own seed",
        edits: &[("    uses: quantize", "    repeat: 1\n    uses: quantize")],
        changes: &["report"],
        ..NOTHING
    },
    Change {
        line: "resources, retries and timeout of a step",
        edits: &[(
            "    about: A model.",
            "    resources: {cpus: 1, memory: 4GiB, gpus: 0}\n    retries: 2\n    timeout: 10m",
        )],
        ..NOTHING
    },
    Change {
        line: "a when that holds",
        edits: &[("    about: A model.", "    when: true")],
        ..NOTHING
    },
    Change {
        line: "steps and parameters that come by include",
        edits: &[
            ("params: {updates: 2}\nsteps:\n", "include: shared.yaml\nsteps:\n"),
            (
                "  rows:\n    uses: dataset\n    with: {files: rows.jsonl, split: {train: 0.6, test: 0.4}}\n",
                "",
            ),
        ],
        act: |sandbox| {
            sandbox.write(
                "shared.yaml",
                "params: {updates: 2}\nsteps:\n  rows:\n    uses: dataset\n    with: {files: rows.jsonl, split: {train: 0.6, test: 0.4}}\n",
            );
        },
        ..NOTHING
    },
    Change {
        line: "what a step uses",
        edits: &[(
            "uses: quantize\n    with: {model: base, format: fp16}",
            "uses: finetune\n    with: {model: base, data: rows, template: prompt.jinja, train: {updates: 1}}",
        )],
        changes: &["half", "encode(rows, base.tokenizer)", "answers", "scores", "report"],
        ..NOTHING
    },
];

#[test]
fn every_line_of_the_page_is_true() {
    let sandbox = Sandbox::tiny();
    let restore = || {
        sandbox.write("lab.yaml", LAB);
    };
    restore();
    let rows = std::fs::read_to_string(sandbox.path().join("rows.jsonl")).unwrap();
    let prompt = std::fs::read_to_string(sandbox.path().join("prompt.jinja")).unwrap();
    let outcome = sandbox.fragua(&["run", "lab.yaml", "--json", "--device", "cpu", "--store", "store"]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
    let before = keys(&sandbox, &["lab.yaml"]);
    assert!(before.values().all(Option::is_some), "{before:?}");

    let lines: Vec<String> = table("What changes a key, and what does not")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(lines, CHANGES.iter().map(|change| change.line).collect::<Vec<_>>());
    for change in CHANGES {
        restore();
        sandbox.write("rows.jsonl", &rows);
        sandbox.write("prompt.jinja", &prompt);
        let mut text = LAB.to_owned();
        for (from, to) in change.edits {
            assert!(text.contains(from), "{}: {from}", change.line);
            text = text.replace(from, to);
        }
        sandbox.write("lab.yaml", &text);
        (change.act)(&sandbox);
        let after = keys(&sandbox, change.arguments);
        // under another name it is the same instance if its key is
        let known: BTreeSet<&String> = before.values().flatten().collect();
        let changed: BTreeSet<&str> = after
            .iter()
            .filter(|(_, key)| key.as_ref().is_none_or(|key| !known.contains(key)))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(changed, change.changes.iter().copied().collect(), "{}", change.line);
        let row = table("What changes a key, and what does not")
            .into_iter()
            .find(|row| row[0] == change.line)
            .unwrap();
        assert_eq!(
            row[1].starts_with("none"),
            change.changes.is_empty() || change.changes == ["more"],
            "{row:?}"
        );
    }
}

#[test]
fn the_page_speaks_of_every_key_of_a_pipeline_file() {
    let lines: Vec<String> = table("What changes a key, and what does not")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let schema = fragua::pipeline::schema(KINDS);
    for (place, properties) in [
        ("the file", &schema["properties"]),
        ("a step", &schema["$defs"]["step"]["properties"]),
    ] {
        for key in properties.as_object().unwrap().keys() {
            let told = lines
                .iter()
                .any(|line| line.split([' ', ',', ':']).any(|word| word == key));
            assert!(told, "docs/cache.md has no line about `{key}` of {place}");
        }
    }
}
