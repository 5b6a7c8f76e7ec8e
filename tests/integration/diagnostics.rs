//! Golden diagnostics: every file in `tests/diagnostics` is wrong, and what is said of it is checked
//! in beside it. After a change of words: `FRAGUA_BLESS=1 cargo test --release diagnostics`, and read
//! the difference.
//!
//! `# set: name=value` lines at a file's beginning stand for `--set`.

use std::path::{Path, PathBuf};

use fragua::pipeline::{Diagnostics, LoadOptions, load_text};
use fragua::step as contract;

#[allow(dead_code)]
#[path = "fakes.rs"]
mod fakes;

fn bad_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn diagnostics(path: &Path) -> (String, Diagnostics) {
    let text = std::fs::read_to_string(path).unwrap();
    let set = text
        .lines()
        .map_while(|line| line.strip_prefix("# set: "))
        .map(|set| set.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let name = Path::new(path.file_name().unwrap());
    match load_text(
        name,
        &text,
        &LoadOptions {
            set,
            ..LoadOptions::default()
        },
        fakes::KINDS,
    ) {
        Ok(_) => panic!("{} loads", path.display()),
        Err(diagnostics) => (text, diagnostics),
    }
}

#[test]
fn every_bad_file_is_told_as_it_was_agreed() {
    let files = bad_files();
    assert!(files.len() >= 60, "there are {}", files.len());
    let mut differ = Vec::new();
    for path in files {
        let (_, diagnostics) = diagnostics(&path);
        let told = format!("{diagnostics}\n");
        let golden = path.with_extension("txt");
        if std::env::var_os("FRAGUA_BLESS").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        let agreed = std::fs::read_to_string(&golden)
            .unwrap_or_default()
            .replace("\r\n", "\n");
        if told != agreed {
            differ.push(format!("{}:\n{told}\nbut it was agreed:\n{agreed}", path.display()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn every_place_is_in_the_file_and_in_order() {
    for path in bad_files() {
        let (text, diagnostics) = diagnostics(&path);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines: Vec<&str> = text.lines().collect();
        let mut last = (0, 0);
        let name = path.file_name().unwrap().to_str().unwrap();
        // an included file has places of its own
        for problem in diagnostics.0.iter().filter(|problem| problem.file == name) {
            let place = (problem.at.line, problem.at.column);
            assert!(last <= place, "{}: {place:?} after {last:?}", path.display());
            last = place;
            let line = lines
                .get(place.0 - 1)
                .unwrap_or_else(|| panic!("{}: {place:?}", path.display()));
            assert!(place.1 <= line.chars().count() + 1, "{}: {place:?}", path.display());
        }
        let json = diagnostics.to_json();
        let errors = json["errors"].as_array().unwrap();
        assert_eq!(errors.len(), diagnostics.0.len());
        for error in errors {
            for field in ["file", "line", "column", "message", "help"] {
                assert!(error.get(field).is_some(), "{error} has no {field}");
            }
        }
    }
}

#[test]
fn no_two_problems_say_the_same() {
    for path in bad_files() {
        let (_, diagnostics) = diagnostics(&path);
        let mut told: Vec<String> = diagnostics.0.iter().map(ToString::to_string).collect();
        told.sort();
        let all = told.len();
        told.dedup();
        assert_eq!(told.len(), all, "{}", path.display());
    }
}
