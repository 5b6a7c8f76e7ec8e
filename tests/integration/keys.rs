//! What is in the key: every setting of every kind, changed to another valid value, changes it, or is
//! on the list in `docs/cache.md`. The walk finds new settings by itself; they fail here until they
//! are in the key or someone has written on that page why they are not.
//!
//! After a change of settings: `FRAGUA_BLESS=1 cargo test --release keys`, and read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fragua::pipeline::{Instance, LoadOptions, Pipeline, load_text};
use fragua::step::{Digest, Key, Kind, Known, Needs};
use fragua::steps::KINDS;
use fragua::store::Dependencies;
use serde_json::{Value, json};

use crate::settings::{Setting, World, put, settings, take};
use crate::support::Sandbox;

/// What the step under test can refer to, and the files beside it.
pub const WORLD: World = World {
    references: &[
        "rows",
        "more",
        "rows.train",
        "rows.test",
        "more.test",
        "words",
        "letters",
        "base",
        "other",
        "answers",
        "replies",
        "scores",
        "marks",
    ],
    paths: &[
        "rows.jsonl",
        "more.jsonl",
        "book.txt",
        "grammar.jinja",
        "verbs.jinja",
        "prompt.jinja",
        "ask.jinja",
        "tokenizer.json",
        "tokens.json",
        "imported",
        "imported/other",
    ],
};

/// Steps for the one under test to refer to.
fn others() -> Value {
    let split = json!({"train": 0.7, "validation": 0.2, "test": 0.1});
    let pretrain = |tokenizer: &str| json!({"uses": "pretrain", "with": {"data": "rows", "tokenizer": tokenizer, "train": {"updates": 5}}});
    let generate = |model: &str| json!({"uses": "generate", "with": {"model": model, "data": "rows.test", "prompt": {"template": "prompt.jinja"}}});
    let evaluate = |generations: &str| json!({"uses": "evaluate", "with": {"generations": generations}});
    json!({
        "rows": {"uses": "dataset", "with": {"files": "rows.jsonl", "split": split}},
        "more": {"uses": "dataset", "with": {"files": "more.jsonl", "split": split}},
        "words": {"uses": "tokenize", "with": {"data": "rows.train", "algorithm": "char"}},
        "letters": {"uses": "tokenize", "with": {"data": "rows.train", "algorithm": "byte"}},
        "base": pretrain("words"),
        "other": pretrain("letters"),
        "answers": generate("base"),
        "replies": generate("other"),
        "scores": evaluate("answers"),
        "marks": evaluate("replies"),
    })
}

/// Settings from which each kind's others can be reached by changing one.
pub fn bases(kind: &str) -> Vec<Value> {
    let model = json!({"architecture": "llama", "layers": 2, "heads": 4, "width": 64, "context": 64});
    let pretrain = |objective: &str, model: Value| json!({"data": "rows", "tokenizer": "words", "objective": objective, "model": model, "train": {"updates": 5}});
    match kind {
        "dataset" => vec![
            json!({"files": "rows.jsonl"}),
            json!({"files": "book.txt", "text": "line"}),
            json!({"files": "rows.jsonl", "split": {"train": 8, "validation": 2, "test": 2}, "shuffle": true}),
            json!({"generate": {"grammar": "grammar.jinja", "rows": 10}}),
            json!({"files": {"train": "rows.jsonl", "validation": "rows.jsonl", "test": "rows.jsonl"}}),
            json!({"parallel": {"en": "book.txt", "es": "book.txt"}}),
        ],
        "tokenize" => vec![
            json!({"data": "rows.train", "algorithm": "bpe", "vocab_size": 300}),
            json!({"data": "rows.train", "algorithm": "char"}),
            json!({"data": "rows.train", "algorithm": "unigram", "vocab_size": 300}),
            json!({"data": "rows.train", "algorithm": "wordpiece", "vocab_size": 300}),
            json!({"path": "tokenizer.json"}),
            json!({"vocabulary": "gpt2"}),
        ],
        "encode" => vec![
            json!({"data": "rows", "tokenizer": "words"}),
            json!({"data": "rows", "tokenizer": "words", "template": "prompt.jinja"}),
        ],
        "pretrain" => vec![
            json!({"data": "rows", "tokenizer": "words", "model": model, "train": {"updates": 50, "batch_size": 4, "warmup": 2}}),
            json!({"data": "rows", "tokenizer": "words", "model": {"architecture": "gpt2", "width": 64}, "train": {"epochs": 2, "batch_tokens": 512, "learning_rate": 0.1}}),
            pretrain("span_corruption", json!({"architecture": "t5"})),
            pretrain("prefix", json!({"architecture": "transformer"})),
            pretrain("causal", json!({"architecture": "falcon"})),
            pretrain("causal", json!({"architecture": "rnn"})),
            json!({"data": "rows", "tokenizer": "words", "objective": "sequences", "template": "prompt.jinja", "train": {"updates": 5}}),
        ],
        "model" => vec![
            json!({"path": "imported"}),
            json!({"hub": format!("org/name@{}", "a1".repeat(20))}),
            json!({"hub": format!("org/name@{}", "a1".repeat(20)), "token": "${env.PATH}"}),
        ],
        "finetune" => vec![
            json!({"model": "base", "data": "rows", "template": "prompt.jinja", "train": {"updates": 50, "batch_size": 4, "warmup": 2}}),
            json!({"model": "base", "data": "rows", "template": "prompt.jinja", "train": {"epochs": 2, "batch_tokens": 512, "learning_rate": 0.1}}),
            json!({"model": "base", "data": "rows", "template": "prompt.jinja", "lora": {"targets": ["q_proj"]}, "train": {"epochs": 2}}),
        ],
        "quantize" => vec![json!({"model": "base", "format": "int8"})],
        "generate" => vec![
            json!({"model": "base", "data": "rows.test", "prompt": {"template": "prompt.jinja"}}),
            json!({"model": "base", "data": "rows.test", "prompt": {"template": "prompt.jinja", "shots": 2, "examples": "rows.train"}, "sampling": {"temperature": 0.7}}),
            json!({"model": "base", "data": "rows.test", "prompt": {"template": "prompt.jinja"}, "sampling": {"num_beams": 3}}),
        ],
        "evaluate" => vec![
            json!({"generations": "answers"}),
            json!({"generations": "answers", "bleu": {"smooth": "floor"}}),
            json!({"model": "base", "data": "rows.test"}),
        ],
        "report" => vec![json!({"scores": "scores"})],
        other => panic!("write settings of `{other}` here from which its others can be reached"),
    }
}

pub fn folder() -> Sandbox {
    let sandbox = Sandbox::tiny();
    let rows = std::fs::read_to_string(sandbox.path().join("rows.jsonl")).unwrap();
    sandbox.write("more.jsonl", &rows.replace("Ana", "Eva"));
    sandbox.write("book.txt", "It was night.\nIt was day.\n");
    sandbox.write("grammar.jinja", r#"{"text": "{{ pick(["a", "b"]) }}"}"#);
    sandbox.write("verbs.jinja", r#"{"text": "{{ pick(["go", "do"]) }}"}"#);
    sandbox.write(
        "ask.jinja",
        "{% block prompt %}{{ dialogue }}{% endblock %}{% block answer %}{{ summary }}{% endblock %}",
    );
    sandbox.write("tokenizer.json", "{}");
    sandbox.write("tokens.json", "{ }");
    for (folder, content) in [("imported", "{}"), ("imported/other", "{ }")] {
        std::fs::create_dir_all(sandbox.path().join(folder)).unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            sandbox.write(&format!("{folder}/{name}"), content);
        }
    }
    sandbox
}

/// A pipeline file of the step `it` and what it reads.
pub fn document(kind: &str, with: &Value) -> Value {
    let all = others();
    let mut steps = json!({"it": {"uses": kind, "with": with}});
    let mut waiting = vec![steps["it"].clone()];
    while let Some(step) = waiting.pop() {
        for name in names(&step["with"]) {
            if let (Some(read), None) = (all.get(&name), steps.get(&name)) {
                steps[&name] = read.clone();
                waiting.push(read.clone());
            }
        }
    }
    json!({"pipeline": "keys", "steps": steps})
}

/// The same loaded, if it is valid.
pub fn load(folder: &Path, kinds: &'static [Kind], kind: &str, with: &Value) -> Option<Pipeline> {
    let text = document(kind, with).to_string();
    load_text(&folder.join("keys.yaml"), &text, &LoadOptions::default(), kinds).ok()
}

/// Every text in a value, up to a dot: what may be a step's name.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.split('.').next().unwrap_or_default().to_owned()],
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Object(map) => map.values().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// What an instance depends on, in a world in which other dependencies always give another content.
fn dependencies(instance: &Instance, contents: &[Digest]) -> Dependencies {
    let content = |text: &str| {
        let (from, input) = instance.inputs.iter().find(|(_, input)| input.text == text).unwrap();
        Known::Digest(match &input.part {
            Some(part) => Digest::of(format!("{} {part}", contents[*from]).as_bytes()),
            None => contents[*from].clone(),
        })
    };
    let mut key = Key::new(&content);
    instance.work.key(&mut key).unwrap();
    let (fields, pending) = key.finish();
    assert!(pending.is_empty());
    // a new member of either does not compile until it is decided upon, here and in docs/cache.md
    let Needs { seed, device, lineage } = instance.work.needs();
    let history = || instance.inputs.iter().map(|(from, _)| json!(contents[*from])).collect();
    Dependencies {
        kind: instance.kind.name.into(),
        implementation: instance.kind.version,
        fields,
        seed: seed.then(|| instance.seed.to_hex()),
        numerics: device.then(|| "cpu".into()),
        lineage: lineage.then(history),
    }
}

/// The step under test, and its key.
fn of_it(pipeline: &Pipeline) -> (Dependencies, Digest) {
    let mut contents = Vec::new();
    let mut found = None;
    for instance in &pipeline.instances {
        let dependencies = dependencies(instance, &contents);
        let key = dependencies.key();
        contents.push(key.clone());
        if instance.step == "it" {
            found = Some((dependencies, key));
        }
    }
    found.unwrap()
}

/// Whether a setting counts, from each kind's bases.
#[derive(Debug, PartialEq)]
pub enum Counts {
    Always,
    /// From some bases no valid change of it changes the key.
    NotAlways,
    Never,
    /// No base reaches another valid value.
    Unreached,
}

pub fn counts(load: &dyn Fn(&Value) -> Option<Pipeline>, bases: &[Value], setting: &Setting) -> Counts {
    let (mut changed, mut unchanged) = (false, false);
    let values = setting.values(&WORLD);
    for base in bases {
        let (before, key) = of_it(&load(base).unwrap_or_else(|| panic!("{base} is not valid")));
        let mut others: Vec<Value> = Vec::new();
        // where it is left out, its default is no other value
        let given = take(&mut base.clone(), &setting.path);
        for value in values
            .iter()
            .filter(|value| given || setting.default.as_ref() != Some(value))
        {
            let mut with = base.clone();
            if put(&mut with, &setting.path, value.clone()) && with != *base {
                others.push(with);
            }
        }
        let mut without = base.clone();
        if take(&mut without, &setting.path) {
            others.push(without);
        }
        let keys = others.iter().filter_map(load).map(|pipeline| of_it(&pipeline).1);
        let mut valid = 0;
        if keys.inspect(|_| valid += 1).any(|other| other != key) {
            changed = true;
        } else if let [_only] = values.as_slice() {
            // one value only: it is in the key by name, so that a second one would count
            match before.fields.contains_key(&setting.name()) {
                true => changed = true,
                false => unchanged = true,
            }
        } else if valid > 0 {
            unchanged = true;
        }
    }
    match (changed, unchanged) {
        (true, false) => Counts::Always,
        (true, true) => Counts::NotAlways,
        (false, true) => Counts::Never,
        (false, false) => Counts::Unreached,
    }
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cache.md")).unwrap()
}

/// The rows of the page's table below a heading: cells without their backticks.
pub fn table(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, section) = page
        .split_once(&format!("## {heading}\n"))
        .unwrap_or_else(|| panic!("docs/cache.md has no heading {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| {
            let cells = line.trim().trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

#[test]
fn every_setting_counts_or_the_page_says_why_not() {
    let folder = folder();
    let excused: BTreeMap<String, String> = table("Settings that do not always count")
        .into_iter()
        .map(|row| (row[0].split(',').next().unwrap().to_owned(), row[1].clone()))
        .collect();
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    let mut rows = Vec::new();
    for kind in KINDS {
        let mut always = Vec::new();
        for setting in settings(&(kind.schema)().to_value()) {
            let name = format!("{}.{}", kind.name, setting.name());
            let load = |with: &Value| load(folder.path(), KINDS, kind.name, with);
            let counts = counts(&load, &bases(kind.name), &setting);
            // a line is about a setting, or about a group with all that is in it
            let is_about = |line: &str| name == line || name.starts_with(&format!("{line}."));
            let lines = excused.iter().filter(|(line, _)| is_about(line));
            let line = lines.max_by_key(|(line, _)| line.len());
            let expected = match line.map(|(_, counts)| counts.as_str()) {
                None | Some("always") => Counts::Always,
                Some("never") => Counts::Never,
                Some(_) => Counts::NotAlways,
            };
            if counts == Counts::Always {
                always.push(format!("`{}`", setting.name()));
            }
            if counts != expected {
                wrong.push(format!("{name}: found {counts:?}, the page says {expected:?}"));
            }
            found.insert(name);
        }
        rows.push(format!("| `{}` | {} |\n", kind.name, always.join(", ")));
    }
    let stands = |line: &String| {
        found
            .iter()
            .any(|name| name == line || name.starts_with(&format!("{line}.")))
    };
    for name in excused.keys().filter(|line| !stands(line)) {
        wrong.push(format!("{name} is on the page and is no setting"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    bless(
        "settings",
        &format!("| kind | settings |\n|---|---|\n{}", rows.concat()),
    );
}

/// Holds the part of the page between two marks against what it should be.
fn bless(mark: &str, expected: &str) {
    let page = page();
    let (begin, end) = (
        format!("<!-- {mark}: made by tests/integration/keys.rs -->\n"),
        format!("<!-- end of {mark} -->"),
    );
    let (before, rest) = page.split_once(&begin).expect("the page has the mark");
    let (now, after) = rest.split_once(&end).expect("the page has the end");
    if std::env::var_os("FRAGUA_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cache.md");
        std::fs::write(path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            now, expected,
            "docs/cache.md is out of date: FRAGUA_BLESS=1 cargo test --release keys"
        );
    }
}

#[test]
fn the_page_names_the_parts_of_a_key_and_the_kinds_that_have_them() {
    let folder = folder();
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for kind in KINDS {
        let mut has = BTreeSet::new();
        for base in bases(kind.name) {
            let (of_it, _) = of_it(&load(folder.path(), KINDS, kind.name, &base).unwrap());
            // exhaustive: a new member is a new row
            let Dependencies {
                kind: _,
                implementation: _,
                fields: _,
                seed,
                numerics,
                lineage,
            } = of_it;
            has.extend(["kind", "implementation", "fields"]);
            has.extend(seed.map(|_| "seed"));
            has.extend(numerics.map(|_| "numerics"));
            has.extend(lineage.map(|_| "lineage"));
        }
        for part in has {
            kinds.entry(part).or_default().push(kind.name.to_owned());
        }
    }
    let rows: BTreeMap<String, String> = table("The parts of a key")
        .into_iter()
        .map(|row| (row[0].clone(), row[2].clone()))
        .collect();
    let expected: BTreeMap<String, String> = kinds
        .into_iter()
        .map(|(part, kinds)| {
            let all = kinds.len() == KINDS.len();
            (part.to_owned(), if all { "all".into() } else { kinds.join(", ") })
        })
        .collect();
    assert_eq!(rows, expected);
}
