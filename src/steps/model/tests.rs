//! The step over the reference checkpoints.

use serde_json::json;

use super::*;
use crate::data::shared_for_tests;
use crate::step::{Digest, Known};

fn step(path: &Path) -> Box<dyn Step> {
    (KIND.parse)(&json!({"path": path})).unwrap()
}

fn key_of(path: &Path) -> std::collections::BTreeMap<String, serde_json::Value> {
    let known = |_: &str| Known::Digest(Digest::of(b""));
    let mut key = Key::new(&known);
    step(path).key(&mut key).unwrap();
    key.finish().0
}

#[test]
fn the_key_is_the_content_and_never_the_place() {
    let Some(fixture) = shared_for_tests("fixtures/tiny-t5") else {
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&fixture).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(key_of(&fixture), key_of(copy.path()));
    let path = copy.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"d_ff\": 64", "\"d_ff\": 65")).unwrap();
    assert_ne!(key_of(&fixture), key_of(copy.path()));
}

#[test]
fn what_is_missing_is_said_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let problem = |path: &Path| {
        let problems = step(path).check(&[]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, ["path"]);
        problems[0].message.clone()
    };
    assert!(problem(&dir.path().join("none")).contains("none"));
    assert!(problem(dir.path()).contains("config.json"));
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    assert!(problem(dir.path()).contains("no weights"));
    std::fs::write(dir.path().join("model.safetensors"), "").unwrap();
    assert!(problem(dir.path()).contains("tokenizer.json"));
}

#[test]
fn one_source_is_named() {
    let paths = |with: serde_json::Value| -> Vec<String> {
        let problems = (KIND.parse)(&with).unwrap().check(&[]);
        problems.iter().map(|problem| problem.path.join(".")).collect()
    };
    assert_eq!(paths(json!({})), [""]);
    assert_eq!(paths(json!({"path": "/none", "hub": "a/b"})), [""]);
    assert_eq!(paths(json!({"hub": "a/b/c"})), ["hub"]);
    assert!(paths(json!({"hub": "a/b@v1", "token": "${env.MY_TOKEN}"})).is_empty());
    assert_eq!(
        paths(json!({"path": "/none", "token": "${env.MY_TOKEN}"})),
        ["path", "token"]
    );
}
