//! What settings take from the environment is in no file of the store and in no event.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::*;

// cargo gives both to tests
const SECRET: &str = "CARGO_PKG_DESCRIPTION";
const FOLDER: &str = "CARGO_MANIFEST_DIR";

fn sandbox(mood: &str) -> Sandbox {
    let file = format!("${{env.{FOLDER}}}/Cargo.toml");
    let token = format!("${{env.{SECRET}}}");
    Sandbox::new(&[
        ("a", "note", json!({"text": "hello"})),
        (
            "send",
            "send",
            json!({"data": "a.all", "token": token, "file": file, "mood": mood}),
        ),
        ("page", "page", json!({"parts": ["a", "send"]})),
    ])
}

/// Every file that holds one of the values.
fn telling(folder: &Path, found: &mut Vec<String>) {
    let values = [SECRET, FOLDER].map(|name| std::env::var(name).unwrap());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            telling(&path, found);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            found.extend(
                values
                    .iter()
                    .filter(|value| text.contains(*value))
                    .map(|_| path.display().to_string()),
            );
        }
    }
}

#[test]
fn neither_a_secret_nor_a_path_is_written_down() {
    for (mood, outcome) in [
        ("", Outcome::Done),
        ("error", Outcome::Failed),
        ("panic", Outcome::Failed),
    ] {
        let sandbox = sandbox(mood);
        let plan = serde_json::to_string(&sandbox.plan()).unwrap();
        let (record, events) = sandbox.run();
        assert_eq!(record.outcome, outcome, "{mood}: {record:?}");
        let told = format!("{plan}{}{events:?}", serde_json::to_string(&record).unwrap());
        for name in [SECRET, FOLDER] {
            assert!(!told.contains(&std::env::var(name).unwrap()), "{name}: {told}");
        }
        assert!(
            told.contains("sending ${env.CARGO_PKG_DESCRIPTION} of ${env.CARGO_MANIFEST_DIR}"),
            "{told}"
        );
        let mut found = Vec::new();
        telling(&sandbox.path("store"), &mut found);
        if sandbox.path("reports").exists() {
            telling(&sandbox.path("reports"), &mut found);
        }
        assert!(found.is_empty(), "{mood}: {found:?}");
    }
}

#[test]
fn a_secret_is_in_no_key_and_a_path_by_its_content() {
    let with = |name: &str| {
        let mut sandbox = sandbox("");
        let file = format!("${{env.{FOLDER}}}/Cargo.toml");
        sandbox.set(
            "send",
            json!({"data": "a.all", "token": format!("${{env.{name}}}"), "file": file, "mood": ""}),
        );
        sandbox.run();
        let shown: Value = serde_json::to_value(sandbox.plan()).unwrap();
        shown["instances"][1]["key"].clone()
    };
    assert!(with(SECRET).is_string());
    assert_eq!(with(SECRET), with("PATH"));
}
