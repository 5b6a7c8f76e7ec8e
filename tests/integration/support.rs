//! A folder with a tiny pipeline, and the program run in it as a user would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The whole life of a model in a few seconds: every step kind, a matrix, a report.
pub const TINY: &str = r#"pipeline: tiny
about: The whole life of a model in a few seconds.
seed: 7
params: {updates: 12, width: 32, rate: 1e-3}

steps:
  rows:
    uses: dataset
    with: {files: rows.jsonl, split: {train: 0.7, validation: 0.15, test: 0.15}}

  words:
    uses: tokenize
    with: {data: rows.train, algorithm: bpe, vocab_size: 300}

  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {architecture: llama, layers: 2, heads: 2, width: "${params.width}", context: 128}
      train: {updates: "${params.updates}", batch_size: 4, learning_rate: "${params.rate}", warmup: 2, evaluate_every: 6, checkpoint_every: 4}

  tuned:
    uses: finetune
    with: {model: base, data: rows, template: prompt.jinja, train: {updates: 6, batch_size: 4, learning_rate: 1e-3}}

  int8:
    uses: quantize
    with: {model: tuned, format: int8}

  answers:
    uses: generate
    matrix: {model: [base, tuned, int8], shots: [0, 1]}
    with:
      model: "${matrix.model}"
      data: rows.test
      prompt: {template: prompt.jinja, shots: "${matrix.shots}", examples: rows.train}
      sampling: {max_new_tokens: 8, temperature: 0}

  scores:
    uses: evaluate
    with: {generations: answers, metrics: [rouge, bleu, exact_match]}

  report:
    uses: report
    with: {scores: scores, baseline: {model: base, shots: 0}}
"#;

const PROMPT: &str =
    "{% block prompt %}{{ dialogue }}\nSummary:{% endblock %}{% block answer %} {{ summary }}{% endblock %}\n";

/// A folder of a test's own; removed at its end.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// The tiny pipeline with its rows and template.
    pub fn tiny() -> Self {
        let sandbox = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        sandbox.write("pipeline.yaml", TINY);
        sandbox.write("prompt.jinja", PROMPT);
        let names = ["Ana", "Luis", "Marta", "Pablo", "Rosa"];
        let things = ["a lamp", "the red book", "some bread", "a map", "two apples", "the key"];
        let places = ["market", "library", "garden", "station"];
        let mut rows = String::new();
        for index in 0..60 {
            let (a, b) = (names[index % 5], names[(index / 5 + index + 1) % 5]);
            let (thing, place) = (things[index % 6], places[index % 4]);
            let row = serde_json::json!({
                "dialogue": format!("{a}: Can you bring {thing} to the {place}, {b}? Number {index}."),
                "summary": format!("{a} asks {b} for {thing}."),
            });
            rows.push_str(&format!("{row}\n"));
        }
        sandbox.write("rows.jsonl", &rows);
        sandbox
    }

    /// The same after a run: a copy of one that all tests share.
    pub fn ran() -> Self {
        static RAN: OnceLock<Sandbox> = OnceLock::new();
        let ran = RAN.get_or_init(|| {
            let sandbox = Self::tiny();
            sandbox.run(&[]);
            sandbox
        });
        let copy = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for file in ran.files("") {
            let to = copy.path().join(file.strip_prefix(ran.path()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&file, to).unwrap();
        }
        copy
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Replaces text of the pipeline file; it must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path().join("pipeline.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the pipeline has no {from:?}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// A command of the program in this folder, on the CPU.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fragua"));
        command.current_dir(self.path()).args(arguments);
        command
    }

    /// Runs to the end: exit code, standard output, standard error.
    pub fn fragua(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `run pipeline.yaml --json --device cpu` with more arguments, which must succeed: its last event.
    pub fn run(&self, more: &[&str]) -> Value {
        let outcome = self.try_run(more);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.out, outcome.err);
        outcome.finished()
    }

    /// The same, however it ends.
    pub fn try_run(&self, more: &[&str]) -> Outcome {
        let mut arguments = vec!["run", "pipeline.yaml", "--json", "--device", "cpu"];
        arguments.extend(more);
        self.fragua(&arguments)
    }

    /// `run` in the background.
    pub fn spawn_run(&self, more: &[&str]) -> Child {
        let mut arguments = vec!["run", "pipeline.yaml", "--json", "--device", "cpu"];
        arguments.extend(more);
        self.command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Instance → digest of its artifact, as `show` tells of a run.
    pub fn digests(&self, run: &Value) -> BTreeMap<String, String> {
        let outcome = self.fragua(&["show", run["run"].as_str().unwrap(), "--json"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let shown: Value = serde_json::from_str(&outcome.out).unwrap();
        let instances = shown["instances"].as_array().unwrap();
        instances
            .iter()
            .map(|one| {
                (
                    one["name"].as_str().unwrap().to_owned(),
                    one["digest"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }

    /// Instance → state, as the plan tells.
    pub fn plan(&self, more: &[&str]) -> BTreeMap<String, String> {
        let mut arguments = vec!["plan", "pipeline.yaml", "--json", "--device", "cpu"];
        arguments.extend(more);
        let outcome = self.fragua(&arguments);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let plan: Value = serde_json::from_str(&outcome.out).unwrap();
        let instances = plan["instances"].as_array().unwrap();
        instances
            .iter()
            .map(|one| {
                (
                    one["name"].as_str().unwrap().to_owned(),
                    one["state"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }

    /// All files under a folder of this sandbox.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.push(path);
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.path().join(folder), &mut files);
        files.sort();
        files
    }
}

/// How a command ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// The last event of `run --json`.
    pub fn finished(&self) -> Value {
        let last = self
            .out
            .lines()
            .last()
            .unwrap_or_else(|| panic!("no events: {}", self.err));
        let event: Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["event"], "finished", "{last}");
        event
    }
}
