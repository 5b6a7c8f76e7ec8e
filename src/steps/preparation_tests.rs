//! `dataset`, `tokenize` and `encode` on real folders, from settings to artifacts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::KINDS;
use crate::data::tokens::TokenFile;
use crate::data::{Row, rows, shared_for_tests, splits};
use crate::device::DeviceSpec;
use crate::seed::Seed;
use crate::step::{ArtifactType, Context, Digest, Input, Key, Kind, Known, Problem, Step};
use crate::tokenizer::Tokenizer;

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

fn step(name: &str, with: &Value) -> Box<dyn Step> {
    (kind(name).parse)(with).unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn problems(name: &str, with: Value) -> Vec<Problem> {
    step(name, &with).check(&[])
}

/// Runs a step; inputs by their reference and folder.
fn run(name: &str, with: &Value, inputs: &[(&str, &Path)], seed: u64) -> anyhow::Result<tempfile::TempDir> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let work = step(name, with);
    let out = tempfile::tempdir().unwrap();
    let input = |(text, path): &(&str, &Path)| {
        let input = Input {
            text: (*text).to_owned(),
            instance: (*text).to_owned(),
            step: (*text).to_owned(),
            kind: "any".into(),
            artifact: ArtifactType::Dataset,
            part: None,
            parts: Vec::new(),
            architecture: None,
            axes: Vec::new(),
            path: path.to_path_buf(),
            digest: None,
        };
        ((*text).to_owned(), input)
    };
    work.run(&Context {
        out: out.path().to_owned(),
        checkpoints: PathBuf::new(),
        threads: 1,
        inputs: inputs.iter().map(input).collect::<BTreeMap<_, _>>(),
        lineage: Vec::new(),
        pipeline: ("test".into(), String::new()),
        needs: work.needs(),
        seed: Seed::root(seed),
        device: DeviceSpec::parse("cpu").unwrap(),
        sink: Box::new(|_| {}),
        stop: &STOP,
    })?;
    Ok(out)
}

/// Every file under a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(
                path.strip_prefix(folder).unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            );
        }
    }
    found
}

fn key(name: &str, with: &Value) -> BTreeMap<String, Value> {
    let known = |text: &str| Known::Digest(Digest::of(text.as_bytes()));
    let mut key = Key::new(&known);
    step(name, with).key(&mut key).unwrap();
    key.finish().0
}

fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_dataset_is_selected_in_the_documented_order_and_split_by_seed() {
    let files = tempfile::tempdir().unwrap();
    let lines: String = (0..50)
        .map(|n| format!("{{\"n\": {}, \"x\": \"é {}\"}}\n", n % 40, n % 40))
        .collect();
    let csv = "n,x\n99,é 99\n";
    std::fs::write(files.path().join("b.jsonl"), lines).unwrap();
    std::fs::write(files.path().join("a.csv"), csv).unwrap();
    let split = json!({"train": 20, "test": 10});
    let with = json!({
        "files": [files.path().join("*.jsonl"), files.path().join("a.csv")],
        "fields": {"n": "n", "text": "x"}, "dedupe": true, "shuffle": true, "limit": 35, "split": split,
    });
    let out = run("dataset", &with, &[], 1).unwrap();
    assert_eq!(
        contents(out.path()),
        contents(run("dataset", &with, &[], 1).unwrap().path())
    );
    assert_ne!(
        contents(out.path()),
        contents(run("dataset", &with, &[], 2).unwrap().path())
    );
    let parts = splits(out.path()).unwrap();
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["train", "test"]);
    assert_eq!(step("dataset", &with).parts(), ["train", "test"]);
    let (train, test) = (rows::read(&parts[0].1).unwrap(), rows::read(&parts[1].1).unwrap());
    assert_eq!((train.len(), test.len()), (20, 10));
    assert!(train.iter().all(|row| !test.contains(row)));
    assert_eq!(train[0].keys().collect::<Vec<_>>(), ["n", "text"]);
    let info: Value = serde_json::from_slice(&std::fs::read(out.path().join("info.json")).unwrap()).unwrap();
    let expected = json!({
        "version": 1, "splits": {"train": 20, "test": 10}, "read": 51, "duplicates": 10, "over_limit": 6,
        "in_no_split": 5,
    });
    assert_eq!(info, expected);
}

#[test]
fn a_dataset_without_a_split_keeps_its_order_and_needs_no_seed() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("x.json");
    std::fs::write(&path, r#"[{"n": 3}, {"n": 1}, {"n": 3}, {"n": 2}]"#).unwrap();
    let with = json!({"files": path, "dedupe": ["n"], "limit": 2});
    assert!(!step("dataset", &with).needs().seed);
    let out = run("dataset", &with, &[], 1).unwrap();
    assert_eq!(numbers(&rows::read(&out.path().join("all")).unwrap()), [3, 1]);
    let error = run("dataset", &json!({"files": path, "fields": ["m"]}), &[], 1).unwrap_err();
    assert_eq!(format!("{error:#}"), "`fields`: row 1 has no field `m`; it has `n`");
}

#[test]
fn one_text_is_split_by_position() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("x.txt");
    std::fs::write(&path, "0123456789").unwrap();
    let out = run(
        "dataset",
        &json!({"files": path, "split": {"train": 0.9, "validation": 0.1}}),
        &[],
        1,
    )
    .unwrap();
    assert_eq!(rows::read(&out.path().join("train")).unwrap()[0]["text"], "012345678");
    assert_eq!(rows::read(&out.path().join("validation")).unwrap()[0]["text"], "9");
}

#[test]
fn files_that_others_divided_keep_their_parts() {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(files.path().join(name), text).unwrap();
        files.path().join(name)
    };
    let train = write("a.jsonl", "{\"n\": 1}\n{\"n\": 1}\n{\"n\": 2}\n{\"n\": 3}\n");
    let (more, test) = (write("b.jsonl", "{\"n\": 4}\n"), write("c.jsonl", "{\"n\": 1}\n"));
    let with = json!({"files": {"test": test, "train": [train, more]}, "dedupe": true, "limit": 3});
    assert_eq!(step("dataset", &with).parts(), ["train", "test"]);
    let out = run("dataset", &with, &[], 1).unwrap();
    let rows = |name: &str| numbers(&rows::read(&out.path().join(name)).unwrap());
    assert_eq!((rows("train"), rows("test")), (vec![1, 2, 3], vec![1]));
    let info: Value = serde_json::from_slice(&std::fs::read(out.path().join("info.json")).unwrap()).unwrap();
    assert_eq!(
        (&info["duplicates"], &info["over_limit"], &info["read"]),
        (&json!(1), &json!(1), &json!(6))
    );
    // which part a file is in is in the key
    assert_ne!(
        key("dataset", &json!({"files": {"train": more}})),
        key("dataset", &json!({"files": {"test": more}}))
    );
    let again = json!({"files": {"train": more}, "split": {"train": 0.5, "test": 0.5}});
    assert_eq!(problems("dataset", again)[0].path, ["split"]);
    let gone = json!({"files": {"train": [more, "no.jsonl"]}});
    assert_eq!(problems("dataset", gone)[0].path, ["files", "train", "1"]);
}

#[test]
fn texts_aligned_by_line_are_rows_and_compressed_ones_are_read() {
    use std::io::Write as _;
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        let mut packed = crate::gzip::Compressor::new(Vec::new()).unwrap();
        packed.write_all(text.as_bytes()).unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        path
    };
    let en = write("train.en.gz", "one\ntwo\n \nfour\n");
    let es = write("train.es.gz", "uno\ndos\ntres\ncuatro\n");
    let (test_en, test_es) = (write("test.en.gz", "five\n"), write("test.es.gz", "cinco\n"));
    let with = json!({"parallel": {"es": {"train": es, "test": test_es}, "en": {"train": en, "test": test_en}}});
    assert!(problems("dataset", with.clone()).is_empty());
    assert!(!step("dataset", &with).needs().seed);
    let out = run("dataset", &with, &[], 1).unwrap();
    let train = rows::read(&out.path().join("train")).unwrap();
    let text = serde_json::to_string(&train).unwrap();
    let expected = r#"[{"es":"uno","en":"one"},{"es":"dos","en":"two"},{"es":"cuatro","en":"four"}]"#;
    assert_eq!(text, expected);
    let info: Value = serde_json::from_slice(&std::fs::read(out.path().join("info.json")).unwrap()).unwrap();
    assert_eq!(info["blank"], 1);
    let whole = json!({"parallel": {"es": es, "en": en}, "split": {"train": 2, "validation": 1}});
    assert!(problems("dataset", whole.clone()).is_empty());
    assert_eq!(
        run("dataset", &whole, &[], 1)
            .unwrap()
            .path()
            .read_dir()
            .unwrap()
            .count(),
        3
    );
    let turned = json!({"parallel": {"en": en, "es": es}});
    let swapped = json!({"parallel": {"es": es, "en": en}});
    assert_ne!(
        key("dataset", &turned),
        key("dataset", &swapped),
        "fields have an order"
    );
    let uneven = json!({"parallel": {"en": {"train": en}, "es": es}, "text": "line"});
    let places: Vec<_> = problems("dataset", uneven)
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    assert_eq!(places, [vec!["text"], vec!["parallel"]]);
    // and any other format, by the name inside
    let rows = write("rows.jsonl.gz", "{\"n\": 7}\n");
    let out = run("dataset", &json!({"files": rows}), &[], 1).unwrap();
    assert_eq!(numbers(&rows::read(&out.path().join("all")).unwrap()), [7]);
}

#[test]
fn a_key_follows_content_and_not_names() {
    let files = tempfile::tempdir().unwrap();
    let (one, two) = (files.path().join("one.jsonl"), files.path().join("two.ndjson"));
    std::fs::write(&one, "{\"n\": 1}\n").unwrap();
    std::fs::write(&two, "{\"n\": 1}\n").unwrap();
    let with = |path: &Path| json!({"files": path});
    assert_eq!(key("dataset", &with(&one)), key("dataset", &with(&two)));
    assert_ne!(
        key("dataset", &with(&one)),
        key("dataset", &json!({"files": one, "limit": 5}))
    );
    let before = key("dataset", &with(&one));
    std::fs::write(&one, "{\"n\": 2}\n").unwrap();
    assert_ne!(key("dataset", &with(&one)), before);
    let known = |_: &str| Known::Pending;
    let mut gone = Key::new(&known);
    assert!(
        step("dataset", &with(&files.path().join("no.jsonl")))
            .key(&mut gone)
            .is_err()
    );
    // the default is the same thing written or not
    let bpe = json!({"data": "d", "algorithm": "bpe", "vocab_size": 300});
    let mut spelled = bpe.clone();
    spelled["special_tokens"] = json!({"eos": "<|endoftext|>"});
    assert_eq!(key("tokenize", &bpe), key("tokenize", &spelled));
}

#[test]
fn settings_that_cannot_work_are_found_before_anything_runs() {
    let places = |name: &str, with: Value| -> Vec<String> {
        problems(name, with)
            .into_iter()
            .map(|problem| problem.path.join("."))
            .collect()
    };
    let files = tempfile::tempdir().unwrap();
    let (data, grammar) = (files.path().join("x.jsonl"), files.path().join("g.jinja"));
    std::fs::write(&data, "{}\n").unwrap();
    std::fs::write(&grammar, "{{ {}|tojson }}").unwrap();
    assert!(places("dataset", json!({"files": data})).is_empty());
    assert_eq!(places("dataset", json!({})), [""]);
    assert_eq!(places("dataset", json!({"files": ["no.jsonl"]})), ["files.0"]);
    assert_eq!(places("dataset", json!({"files": data, "text": "line"})), ["text"]);
    assert_eq!(
        places("dataset", json!({"files": data, "split": {"train": 0.5}})),
        ["split"]
    );
    let generate = json!({"grammar": grammar, "rows": 3});
    assert!(places("dataset", json!({"generate": generate})).is_empty());
    assert_eq!(
        places("dataset", json!({"generate": generate, "format": "csv"})),
        ["format"]
    );
    assert_eq!(
        places("tokenize", json!({"algorithm": "bpe", "data": "d"})),
        ["algorithm"]
    );
    assert_eq!(
        places("tokenize", json!({"algorithm": "char", "vocab_size": 300})),
        ["algorithm", "vocab_size"]
    );
    assert_eq!(places("tokenize", json!({"vocabulary": "gpt2", "data": "d"})), ["data"]);
    assert_eq!(places("tokenize", json!({"vocabulary": "gpt2", "path": "x"})), [""]);
    assert_eq!(places("tokenize", json!({"path": "no.json"})), ["path"]);
    std::fs::write(&grammar, "{{ question }}").unwrap();
    assert_eq!(
        places("encode", json!({"data": "d", "tokenizer": "t", "template": grammar})),
        ["template"]
    );
}

#[test]
fn generated_rows_become_a_tokenizer_and_tokens() {
    let files = tempfile::tempdir().unwrap();
    let grammar = files.path().join("g.jinja");
    let text = r#"{{ {"q": pick(["uno", "dos"]) ~ " y " ~ number(1, 99), "a": pick(["sí", "no"])}|tojson }}"#;
    std::fs::write(&grammar, text).unwrap();
    let with = json!({
        "generate": {"grammar": grammar, "rows": 60}, "dedupe": ["q"],
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
    });
    let data = run("dataset", &with, &[], 1).unwrap();
    let with = json!({"data": "d", "algorithm": "bpe", "vocab_size": 270});
    let tokenizer = run("tokenize", &with, &[("d", data.path())], 1).unwrap();
    let loaded = Tokenizer::load(tokenizer.path()).unwrap();
    let eos = loaded.eos().unwrap();
    let inputs = [("d", data.path()), ("t", tokenizer.path())];
    let encoded = run("encode", &json!({"data": "d", "tokenizer": "t"}), &inputs, 1).unwrap();
    for (name, folder) in splits(data.path()).unwrap() {
        let rows = rows::read(&folder).unwrap();
        let tokens = TokenFile::open(&encoded.path().join(&name)).unwrap();
        assert_eq!((tokens.documents().len(), tokens.vocab_size()), (rows.len(), 270));
        assert_eq!(tokens.loss_spans(), None);
        for (number, row) in rows.iter().enumerate() {
            let document = tokens.slice(tokens.document(number));
            assert_eq!(document.last(), Some(&eos));
            let text = format!("{}\n{}", row["q"].as_str().unwrap(), row["a"].as_str().unwrap());
            assert_eq!(loaded.decode(&document), text);
        }
    }
    let template = files.path().join("t.jinja");
    std::fs::write(
        &template,
        "{% block prompt %}{{ q }}:{% endblock %}{% block answer %} {{ a }}{% endblock %}",
    )
    .unwrap();
    let with = json!({"data": "d", "tokenizer": "t", "template": template});
    let test = splits(data.path()).unwrap().remove(2).1;
    let encoded = run("encode", &with, &[("d", &test), ("t", tokenizer.path())], 1).unwrap();
    let tokens = TokenFile::open(&encoded.path().join("all")).unwrap();
    let spans = tokens.loss_spans().unwrap();
    for (number, row) in rows::read(&test).unwrap().iter().enumerate() {
        let (start, end) = spans[number];
        let document = tokens.document(number);
        assert_eq!(end, document.end);
        assert_eq!(
            loaded.decode(&tokens.slice(start..end)),
            format!(" {}", row["a"].as_str().unwrap())
        );
        let prompt = format!("{}:", row["q"].as_str().unwrap());
        assert_eq!(loaded.decode(&tokens.slice(document.start..start)), prompt);
    }
}

#[test]
fn shakespeare_has_the_published_sizes() {
    let Some(path) = shared_for_tests("data/tinyshakespeare.txt") else {
        return;
    };
    let with = json!({"files": path, "split": {"train": 0.9, "validation": 0.1}});
    let data = run("dataset", &with, &[], 1).unwrap();
    let tokenizer = run(
        "tokenize",
        &json!({"data": "d", "algorithm": "char"}),
        &[("d", data.path())],
        1,
    )
    .unwrap();
    let inputs = [("d", data.path()), ("t", tokenizer.path())];
    let encoded = run("encode", &json!({"data": "d", "tokenizer": "t"}), &inputs, 1).unwrap();
    let open = |name: &str| TokenFile::open(&encoded.path().join(name)).unwrap();
    assert_eq!((open("train").len(), open("validation").len()), (1_003_854, 111_540));
    assert_eq!(open("train").vocab_size(), 65);
}

#[test]
fn rows_that_cannot_be_encoded_are_named() {
    let data = tempfile::tempdir().unwrap();
    let row = |text: &str| json!({"text": text}).as_object().unwrap().clone();
    rows::write(
        &data.path().join("all"),
        &[row("ab"), row("ba"), row("abc")],
        &serde_json::Map::new(),
    )
    .unwrap();
    let few = tempfile::tempdir().unwrap();
    rows::write(&few.path().join("all"), &[row("ab")], &serde_json::Map::new()).unwrap();
    let tokenizer = run(
        "tokenize",
        &json!({"data": "d", "algorithm": "char"}),
        &[("d", few.path())],
        1,
    )
    .unwrap();
    let inputs = [("d", data.path()), ("t", tokenizer.path())];
    let error = run("encode", &json!({"data": "d", "tokenizer": "t"}), &inputs, 1).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.starts_with("row 3 of split `all`: the character 'c' (U+0063)"),
        "{error}"
    );
}
