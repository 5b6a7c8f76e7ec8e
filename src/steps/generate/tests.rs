//! The step as a worker runs it, over a small model with random weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::data::shared_for_tests;
use crate::device::DeviceSpec;
use crate::seed::Seed;
use crate::step::{Digest, Event, Known};

static NEVER: AtomicBool = AtomicBool::new(false);

fn input(text: &str, artifact: ArtifactType, path: &Path) -> (String, Input) {
    let input = Input {
        text: text.into(),
        instance: text.into(),
        step: text.into(),
        kind: String::new(),
        artifact,
        part: None,
        parts: Vec::new(),
        architecture: None,
        axes: Vec::new(),
        path: path.into(),
        digest: None,
    };
    (text.into(), input)
}

/// A folder with a template and a dataset of rows that ask `w1 w2` and answer `w3`.
struct Lab {
    folder: tempfile::TempDir,
    model: std::path::PathBuf,
}

impl Lab {
    fn new() -> Option<Self> {
        let model = shared_for_tests("fixtures/tiny-llama-gqa")?;
        let folder = tempfile::tempdir().unwrap();
        let template = "{% block prompt %}{{ q }} {% endblock %}{% block answer %}{{ a }}{% endblock %}\
                        {% block separator %} w9 {% endblock %}";
        std::fs::write(folder.path().join("t.jinja"), template).unwrap();
        let row = |at: usize| json!({"q": format!("w{} w{}", at + 10, at + 40), "a": format!("w{}", at + 70)});
        let rows: Vec<Row> = (0..10).map(|at| row(at).as_object().unwrap().clone()).collect();
        data::rows::write(&folder.path().join("data/all"), &rows, &Map::new()).unwrap();
        Some(Self { folder, model })
    }

    fn settings(&self, with: Value) -> Value {
        let mut settings = json!({
            "model": "tiny", "data": "rows",
            "prompt": {"template": self.folder.path().join("t.jinja"), "shots": 2, "examples": "rows"},
            "sampling": {"max_new_tokens": 8, "temperature": 0.8},
        });
        for (field, value) in with.as_object().unwrap() {
            let (group, field) = field.split_once('.').unwrap();
            settings[group][field] = value.clone();
        }
        settings
    }

    fn context(&self, out: &Path, checkpoints: &Path, threads: usize, events: &Arc<Mutex<Vec<Event>>>) -> Context {
        let events = events.clone();
        std::fs::create_dir_all(out).unwrap();
        std::fs::create_dir_all(checkpoints).unwrap();
        Context {
            out: out.into(),
            checkpoints: checkpoints.into(),
            threads,
            inputs: BTreeMap::from([
                input("tiny", ArtifactType::Model, &self.model),
                input("rows", ArtifactType::Dataset, &self.folder.path().join("data")),
            ]),
            lineage: Vec::new(),
            pipeline: ("test".into(), String::new()),
            needs: (KIND.parse)(&self.settings(json!({}))).unwrap().needs(),
            seed: Seed::root(42),
            device: DeviceSpec::CPU,
            sink: Box::new(move |event| events.lock().unwrap().push(event)),
            stop: &NEVER,
        }
    }

    fn run(&self, with: Value, threads: usize, name: &str) -> anyhow::Result<(Vec<u8>, Vec<Event>)> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let out = self.folder.path().join(name);
        let context = self.context(&out, &out.with_extension("checkpoints"), threads, &events);
        (KIND.parse)(&self.settings(with)).unwrap().run(&context)?;
        let events = events.lock().unwrap().clone();
        Ok((std::fs::read(out.join("generations.jsonl"))?, events))
    }
}

fn lines(file: &[u8]) -> Vec<Generation> {
    let text = std::str::from_utf8(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_row_has_its_line_whatever_the_threads_and_interruptions() {
    let Some(lab) = Lab::new() else { return };
    let (whole, _) = lab.run(json!({}), 1, "one").unwrap();
    let (again, _) = lab.run(json!({}), 3, "three").unwrap();
    assert_eq!(whole, again);
    let generations = lines(&whole);
    assert_eq!(generations.len(), 10);
    for (at, generation) in generations.iter().enumerate() {
        let question = format!("w{} w{}", at + 10, at + 40);
        assert_eq!(generation.id, at.to_string());
        assert_eq!(generation.references, [format!("w{}", at + 70)]);
        assert_eq!(generation.row["q"], question.as_str());
        assert_eq!(generation.shots_used, 2);
        assert!(
            generation.prompt.ends_with(&format!(" w9 {question} ")),
            "{}",
            generation.prompt
        );
        assert_eq!(generation.prompt.matches(&question).count(), 1); // never its own example
        assert_eq!(generation.prompt_tokens, 10);
        assert!((1..=8).contains(&generation.output_tokens));
    }

    // an attempt that was killed left five rows and half a sixth
    let checkpoints = lab.folder.path().join("killed.checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    let kept = std::fs::read(lab.folder.path().join("three.checkpoints/finished.journal")).unwrap();
    let end = kept
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(4)
        .unwrap()
        .0;
    std::fs::write(checkpoints.join("finished.journal"), &kept[..end + 20]).unwrap();
    let (resumed, events) = lab.run(json!({}), 2, "killed").unwrap();
    assert_eq!(resumed, whole);
    let before = |event: &Event| matches!(event, Event::Info { message } if message == "5 of 10 rows were done before");
    assert!(events.iter().any(before));
}

#[test]
fn examples_are_dropped_before_the_prompt_is_refused() {
    let Some(lab) = Lab::new() else { return };
    // context 64: two tokens of question, four more an example
    let (file, events) = lab.run(json!({"sampling.max_new_tokens": 57}), 1, "tight").unwrap();
    assert!(lines(&file).iter().all(|generation| generation.shots_used == 1));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Warning { message } if message.contains("10 of 10")))
    );
    let error = lab
        .run(json!({"sampling.max_new_tokens": 63}), 1, "over")
        .unwrap_err()
        .to_string();
    assert!(error.contains("row 0: the prompt"), "{error}");
    let settings = json!({"sampling.max_new_tokens": 57, "prompt.overflow": "error"});
    assert!(lab.run(settings, 1, "strict").is_err());
    let error = lab
        .run(json!({"sampling.max_new_tokens": 64}), 1, "all")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the model's context is 64 tokens"), "{error}");
}

#[test]
fn the_shared_prefix_of_shots_is_the_same_examples() {
    let Some(lab) = Lab::new() else { return };
    let prompts = |shots: usize| {
        let (file, _) = lab
            .run(json!({"prompt.shots": shots}), 2, &format!("shots{shots}"))
            .unwrap();
        lines(&file)
            .into_iter()
            .map(|generation| generation.prompt)
            .collect::<Vec<_>>()
    };
    for (one, three) in prompts(1).iter().zip(prompts(3)) {
        assert!(three.starts_with(one.split(" w9 ").next().unwrap()));
    }
}

#[test]
fn the_key_knows_what_counts() {
    let Some(lab) = Lab::new() else { return };
    let known = |text: &str| Known::Digest(Digest::of(text.as_bytes()));
    let fields = |with: Value| {
        let mut key = Key::new(&known);
        (KIND.parse)(&lab.settings(with)).unwrap().key(&mut key).unwrap();
        key.finish().0
    };
    let base = fields(json!({}));
    assert!(base.contains_key("prompt.examples") && base.contains_key("sampling.top_p"));
    assert_ne!(fields(json!({"sampling.top_k": 5})), base);
    assert_ne!(fields(json!({"prompt.shots": 3})), base);
    assert!(!fields(json!({"prompt.shots": 0})).contains_key("prompt.examples"));
}

#[test]
fn problems_are_named_before_anything_runs() {
    let Some(lab) = Lab::new() else { return };
    let problems = |with: Value, inputs: &[Input]| -> Vec<String> {
        let step = (KIND.parse)(&lab.settings(with)).unwrap();
        step.check(inputs)
            .into_iter()
            .map(|problem| problem.path.join("."))
            .collect()
    };
    assert!(problems(json!({}), &[]).is_empty());
    assert_eq!(problems(json!({"prompt.examples": null}), &[]), ["prompt.shots"]);
    assert_eq!(
        problems(json!({"prompt.template": "/none.jinja"}), &[]),
        ["prompt.template"]
    );
    let (_, mut rows) = input("rows", ArtifactType::Dataset, Path::new(""));
    rows.parts = vec!["train".into(), "test".into()];
    assert_eq!(problems(json!({}), &[rows]), ["prompt.examples", "data"]);
}

#[test]
fn the_example_parses() {
    let step: Value = serde_yaml::from_str(KIND.example).unwrap();
    assert!((KIND.parse)(&step["with"]).is_ok());
}
