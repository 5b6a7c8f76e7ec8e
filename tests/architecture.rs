//! Holds the import table of `ARCHITECTURE.md`: which room may use which, who prints, who draws
//! random numbers, who names a burn backend.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Left may use right. `step`, `seed`, `device` and `profile` are the contract: anyone may use them, but for
/// the rooms that stand below it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli", "allocator"]),
    (
        "cli",
        &[
            "steps",
            "report",
            "records",
            "execute",
            "plan",
            "pipeline",
            "store",
            "metrics",
            "generate",
            "tokenizer",
            "inspect",
            "data",
        ],
    ),
    ("records", &["execute", "plan", "pipeline", "store", "gzip"]),
    (
        "steps",
        &[
            "train",
            "generate",
            "quantize",
            "metrics",
            "report",
            "prompt",
            "data",
            "tokenizer",
            "models",
        ],
    ),
    ("execute", &["plan", "pipeline", "store"]),
    ("plan", &["pipeline", "store", "layout"]),
    ("pipeline", &[]),
    ("step", &[]),
    ("train", &["models", "kernels", "data"]),
    ("generate", &["models", "tokenizer", "prompt", "data"]),
    ("quantize", &["models", "kernels"]),
    ("inspect", &["generate", "models", "kernels", "tokenizer", "report"]),
    ("models", &["kernels"]),
    ("kernels", &[]),
    ("tokenizer", &["data"]),
    ("prompt", &["data"]),
    ("report", &["metrics", "data", "layout"]),
    ("metrics", &[]),
    ("data", &["gzip"]),
    ("gzip", &[]),
    ("store", &[]),
    ("layout", &[]),
    ("device", &[]),
    ("seed", &[]),
    ("profile", &[]),
    ("allocator", &[]),
];

/// What anyone may use.
const CONTRACT: &[&str] = &["step", "seed", "device", "profile"];

/// Source files with their room and their text without test modules and comments.
fn sources() -> Vec<(PathBuf, String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.strip_suffix(".rs").unwrap_or(first).to_owned();
            let text = if is_test_file(inside) {
                String::new()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            (path, room, shipped_code(&text))
        })
        .collect()
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    stem == "tests" || stem.ends_with("_tests") || path.components().any(|part| part.as_os_str() == "tests")
}

/// A file's lines up to its first test item that has a body, without comments.
fn shipped_code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .peekable();
    while let Some(line) = rest.next() {
        if line.trim() == "#[cfg(test)]" && rest.peek().is_some_and(|next| !next.ends_with(';')) {
            break;
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// The rooms that a text names as `crate::room` or `use crate::{room, other::…}`.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => at_start = true,
                    c if depth == 0 && at_start && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ => {}
                }
                if !(word.is_empty() || c.is_alphanumeric() || c == '_') {
                    rooms.push(std::mem::take(&mut word));
                    at_start = c == ',' && depth == 0;
                }
            }
            rooms.extend((!word.is_empty()).then_some(word));
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, room, code) in sources() {
        if room == "lib" {
            continue;
        }
        let allowed = table
            .get(room.as_str())
            .unwrap_or_else(|| panic!("room {room} is not in the table"));
        for used in rooms_named(&code) {
            let is_room = table.contains_key(used.as_str());
            if is_room && used != room && !allowed.contains(&used.as_str()) && !CONTRACT.contains(&used.as_str()) {
                wrong.push(format!("{}: {room} may not use {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints() {
    let printing = ["println!", "print!(", "eprintln!", "eprint!(", "dbg!"];
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(_, room, code)| room != "cli" && printing.iter().any(|call| code.contains(call)))
        .map(|(path, ..)| path)
        .collect();
    assert!(wrong.is_empty(), "print outside cli: {wrong:?}");
}

#[test]
fn only_seed_makes_generators() {
    let sources_of_chance = [
        "thread_rng",
        "rand::rng()",
        "from_entropy",
        "from_os_rng",
        "rand::random",
    ];
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(_, room, code)| room != "seed" && sources_of_chance.iter().any(|call| code.contains(call)))
        .map(|(path, ..)| path)
        .collect();
    assert!(wrong.is_empty(), "ambient randomness: {wrong:?}");
}

#[test]
fn only_device_and_kernels_name_a_backend() {
    let backends = ["Flex", "Wgpu", "burn_wgpu", "burn_flex", "Device::default"];
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(_, room, code)| room != "device" && room != "kernels" && backends.iter().any(|b| code.contains(b)))
        .map(|(path, ..)| path)
        .collect();
    assert!(
        wrong.is_empty(),
        "a burn backend is named outside device and kernels: {wrong:?}"
    );
}

#[test]
fn pipeline_and_plan_do_not_know_burn() {
    let engine = ["pipeline", "plan", "store", "step"];
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(_, room, code)| engine.contains(&room.as_str()) && code.contains("burn"))
        .map(|(path, ..)| path)
        .collect();
    assert!(wrong.is_empty(), "the engine imports burn: {wrong:?}");
}

#[test]
fn a_mod_file_holds_a_doc_a_trait_and_a_registry() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _, code)| path.file_name().is_some_and(|name| name == "mod.rs") && code.lines().count() > 250)
        .map(|(path, ..)| path)
        .collect();
    assert!(long.is_empty(), "a mod.rs of more than 250 lines: {long:?}");
}

#[test]
fn the_scanner_sees_all_forms_of_use() {
    assert_eq!(rooms_named("use crate::store::Store;"), ["store"]);
    assert_eq!(
        rooms_named("use crate::{plan::{self, graph}, seed::Seed, store};"),
        ["plan", "seed", "store"]
    );
    assert_eq!(rooms_named("let x = crate::data::read(); other_crate::foo"), ["data"]);
    assert!(rooms_named("$crate::data").is_empty());
}
