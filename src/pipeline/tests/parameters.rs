//! Declared parameters, and what the command line makes of them.

use std::path::PathBuf;

use super::*;
use crate::pipeline::{ParameterType, load_parameters};

const DECLARED: &str = r#"
pipeline: p
params:
  width: {type: integer, default: 128, allowed: [64, 128], help: Width of the model}
  rate: {default: 0.1, minimum: 0, maximum: 1}
  name: {type: text}
  files: {type: path, default: data/rows.jsonl}
  shuffle: false
  train: {updates: {type: integer, default: 5}, rates: [0.1]}
steps:
  d:
    uses: dataset
    when: {name: [a, '7']}
    matrix: {limit: ["${params.width}"], rate: "${params.train.rates}"}
    with:
      files: ["${params.files}", "${params.name}-${params.rate}-${params.train.updates}-${matrix.rate}"]
      limit: "${matrix.limit}"
      shuffle: "${params.shuffle}"
"#;

fn first(pipeline: &Pipeline) -> &serde_json::Value {
    &pipeline.instances[0].shown
}

#[test]
fn values_are_typed_by_what_is_declared() {
    // text is text, however YAML would read it
    let pipeline = load_with(DECLARED, &[("name", "7")]).expect("loads");
    assert_eq!(
        first(&pipeline),
        &json!({"files": ["data/rows.jsonl", "7-0.1-5-0.1"], "limit": 128, "shuffle": false})
    );
    assert_eq!(pipeline.params["train"], json!({"updates": 5, "rates": [0.1]}));
    let set = [
        ("name", "'a'"),
        ("train", "{updates: 6, rates: [0.2]}"),
        ("width", "64"),
        ("rate", "1"),
    ];
    let pipeline = load_with(DECLARED, &set).expect("loads");
    assert_eq!(first(&pipeline)["files"][1], "a-1-6-0.2");
    // the short form of a whole number takes any number: `temperature: 0` may become 0.7
    load_with(LAB, &[("width", "1.5")]).expect_err("an integer is wanted where it is used");
    assert_eq!(pipeline.params["width"], 64);
}

#[test]
fn what_does_not_fit_is_told() {
    for (set, words) in [
        (
            vec![],
            "the parameter `name` has no value; give it one: --set name=TEXT",
        ),
        (
            vec![("width", "96")],
            "--set width=96: `width` must be one of `64`, `128`, not 96",
        ),
        (vec![("width", "wide")], "`width` must be one of `64`, `128`, not text"),
        (vec![("rate", "2")], "--set rate=2: `rate` must be at most 1; it is 2"),
        (vec![("shuffle", "yes")], "write true"),
        (
            vec![("train.updates", "many")],
            "`train.updates` must be a whole number",
        ),
        (vec![("updates", "3")], "did you mean `train.updates`?"),
        (
            vec![("train", "3")],
            "`train` is a group of parameters; name one of them: `train.updates`, `train.rates`",
        ),
        (
            vec![("train.updates.x", "3")],
            "there is no parameter `train.updates.x`",
        ),
        (vec![("train.rates", "0.1")], "write [0.1]"),
    ] {
        let mut set = set;
        if words.contains("no value") {
            set.clear();
        } else {
            set.push(("name", "a"));
        }
        let problems = load_with(DECLARED, &set).expect_err("is refused");
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(words), "{told:?}");
    }
    for (from, to, words) in [
        (
            "default: 128",
            "default: 96",
            "the default of `width` must be one of `64`, `128`",
        ),
        (
            "type: integer, default: 128",
            "type: int, default: 128",
            "did you mean `integer`?",
        ),
        (
            "minimum: 0",
            "minimum: none",
            "`minimum` of the parameter `rate` must be a number",
        ),
        (
            "{type: text}",
            "{type: text, minimum: 3}",
            "is no number and has no `minimum`",
        ),
        (
            "[64, 128]",
            "[64, 128, large]",
            "`allowed.2` of the parameter `width` must be a whole number",
        ),
        (
            "default: 128",
            "defualt: 128",
            "has no `defualt`; did you mean `default`?",
        ),
        (
            "shuffle: false",
            "shuffle: '${params.width}'",
            "cannot be used in a parameter",
        ),
        (
            "shuffle: false",
            "shuffle: '${env.PATH}'",
            "give the parameter `type: path`",
        ),
    ] {
        assert!(DECLARED.contains(from), "{from}");
        let problems = load_with(&DECLARED.replace(from, to), &[("name", "a")]).expect_err("is refused");
        assert!(problems.0[0].to_string().contains(words), "{problems}");
    }
}

#[test]
fn files_give_parameters_and_set_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("writes");
        folder.path().join(name)
    };
    let main = write("p.yaml", DECLARED);
    let one = write(
        "one.yaml",
        "name: a\nwidth: 64\ntrain: {updates: 7}\nfiles: here.jsonl\n",
    );
    let two = write("two.json", r#"{"train": {"rates": [0.3]}, "width": 128}"#);
    let load = |params: &[&PathBuf], set: &[(&str, &str)]| {
        let options = LoadOptions {
            set: set
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            params: params.iter().map(|path| (*path).clone()).collect(),
            device: None,
        };
        crate::pipeline::load(&main, &options, KINDS)
    };
    let pipeline = load(&[&one, &two], &[("train.updates", "9")]).expect("loads");
    assert_eq!(pipeline.params["train"], json!({"updates": 9, "rates": [0.3]}));
    assert_eq!(pipeline.params["width"], 128);
    assert_eq!(pipeline.sources.len(), 3);
    let wrong = write(
        "wrong.yaml",
        "name: 7\nwidht: 64\ntrain: {update: 7, updates: {a: 1}}\n",
    );
    let told: Vec<String> = load(&[&wrong], &[])
        .expect_err("wrong")
        .0
        .iter()
        .map(ToString::to_string)
        .collect();
    let place = wrong.display();
    assert_eq!(
        told[told.len() - 4..],
        [
            format!("{place}:1:7: `name` must be text, not 7; put it in quotes: \"7\""),
            format!("{place}:2:1: there is no parameter `widht`; did you mean `width`?"),
            format!("{place}:3:9: there is no parameter `train.update`; did you mean `train.updates`?"),
            format!("{place}:3:29: `train.updates` must be a whole number, not a mapping"),
        ]
    );
    let told = load(&[&folder.path().join("no.yaml")], &[("name", "a")])
        .expect_err("wrong")
        .to_string();
    assert!(told.contains("no such file"), "{told}");
}

#[test]
fn a_path_of_the_command_line_is_of_the_working_directory() {
    let text = DECLARED.replace("\"${params.name}-", "\"${params.files}-");
    let pipeline = load_with(&text, &[("name", "a"), ("files", "Cargo.toml")]).expect("loads");
    let here = std::env::current_dir().expect("is there").join("Cargo.toml");
    let settings = &pipeline.instances[0].settings["files"];
    let path = PathBuf::from(settings[0].as_str().expect("text"));
    assert_eq!(
        path.canonicalize().ok(),
        here.canonicalize().ok().filter(|_| path.exists()).or(None)
    );
    // what is written down is a way from the file, not where it lies on this machine
    let shown = first(&pipeline)["files"][0].as_str().expect("text");
    assert!(shown.starts_with("..") && shown.ends_with("Cargo.toml"), "{shown}");
    assert!(settings[1].as_str().expect("text").ends_with("Cargo.toml-0.1-5-0.1"));
}

#[test]
fn parameters_are_shown_whatever_is_wrong_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("p.yaml");
    std::fs::write(&main, DECLARED.replace("uses: dataset", "uses: datset")).expect("writes");
    let options = LoadOptions {
        set: vec![("width".into(), "64".into())],
        ..LoadOptions::default()
    };
    let shown = load_parameters(&main, &options, KINDS).expect("reads");
    let names: Vec<&str> = shown.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "width",
            "rate",
            "name",
            "files",
            "shuffle",
            "train.updates",
            "train.rates"
        ]
    );
    let width = &shown[0];
    assert_eq!(
        (width.kind, &width.default, &width.value),
        (ParameterType::Integer, &Some(json!(128)), &Some(json!(64)))
    );
    assert_eq!(width.given.as_deref(), Some("--set width=64"));
    assert_eq!(width.help.as_deref(), Some("Width of the model"));
    assert_eq!((shown[2].kind, &shown[2].value), (ParameterType::Text, &None));
    let wrong = LoadOptions {
        set: vec![("widht".into(), "64".into())],
        ..LoadOptions::default()
    };
    load_parameters(&main, &wrong, KINDS).expect_err("no such parameter");
}
