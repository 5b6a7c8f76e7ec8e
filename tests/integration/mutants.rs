//! The schema and the parser accept and refuse the same files: an independent validator (boon) judges
//! by `fragua schema`, the program by itself, over mutants of the shipped pipelines and of settings of
//! every kind.
//!
//! What only the parser can know is told apart by the class of a problem: how parts of a file go
//! together (`relation`), a kind's own word (`kind`), a whole number written `3.0` (`notation`). In a
//! normal run a part of the mutants of the large files is tried; `FRAGUA_MUTANTS=all` tries all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use fragua::pipeline::{Class, LoadOptions, load_text};
use fragua::steps::KINDS;
use serde_json::{Value, json};

use crate::keys::{WORLD, bases, document, folder};
use crate::settings::{put, settings};

/// The validator, with the schema of pipeline files.
pub struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    pub fn new() -> Self {
        Self::of(fragua::pipeline::schema(KINDS))
    }

    fn of(schema: Value) -> Self {
        let place = "mem:///pipeline.schema.json";
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(place, schema).unwrap();
        let index = compiler.compile(place, &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// What it says against a file; `None` when it accepts it.
    pub fn objection(&self, file: &Value) -> Option<String> {
        let outcome = self.schemas.validate(file, self.index);
        outcome.err().map(|error| error.to_string())
    }
}

/// What the program says against a file, by class.
fn classes(place: &Path, file: &Value) -> BTreeMap<Class, String> {
    match load_text(place, &file.to_string(), &LoadOptions::default(), KINDS) {
        Ok(_) => BTreeMap::new(),
        Err(problems) => problems
            .0
            .iter()
            .map(|problem| (problem.class, problem.to_string()))
            .collect(),
    }
}

fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join("pipelines")).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.push(root.join("src/cli/init/pipeline.yaml"));
    files.sort();
    files
}

/// A file's text as a program that knows YAML and not fragua reads it.
fn plain(text: &str) -> Value {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    value.apply_merge().unwrap();
    serde_yaml::from_value(value).unwrap()
}

#[test]
fn the_shipped_pipelines_are_valid_for_another_validator() {
    let validator = Validator::new();
    let files = shipped();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let file = plain(&std::fs::read_to_string(&path).unwrap());
        if let Some(objection) = validator.objection(&file) {
            panic!("{}: {objection}", path.display());
        }
    }
}

#[test]
fn the_schema_documents_every_setting() {
    for kind in KINDS {
        let schema = (kind.schema)().to_value();
        for setting in settings(&schema) {
            let mut place = &schema;
            let mut documented = false;
            for part in &setting.path {
                place = follow(&schema, place, part);
                documented = place.get("description").is_some();
            }
            assert!(documented, "{}.{} has no doc comment", kind.name, setting.name());
        }
    }
}

/// The schema of a property, through `$ref` and branches.
fn follow<'a>(root: &'a Value, place: &'a Value, part: &str) -> &'a Value {
    fn find<'a>(root: &'a Value, place: &'a Value, part: &str) -> Option<&'a Value> {
        if let Some(target) = place.get("$ref").and_then(Value::as_str) {
            return find(root, root.pointer(target.trim_start_matches('#'))?, part);
        }
        let own = place.get("properties").and_then(|properties| properties.get(part));
        own.or_else(|| {
            let branches = ["anyOf", "oneOf", "allOf"]
                .iter()
                .filter_map(|keyword| place.get(keyword)?.as_array());
            branches.flatten().find_map(|branch| find(root, branch, part))
        })
    }
    find(root, place, part).unwrap_or_else(|| panic!("no {part}"))
}

/// Every place in a value, as keys and indices.
fn places(value: &Value) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        for mut rest in places(child) {
            rest.insert(0, key.clone());
            all.push(rest);
        }
    }
    all
}

fn at<'a>(value: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(value, |value, part| match value {
        Value::Array(items) => &mut items[part.parse::<usize>().unwrap()],
        value => value.get_mut(part).unwrap(),
    })
}

/// All mutants of the value at one place.
fn mutants(file: &Value, place: &[String]) -> Vec<(String, Value)> {
    let name = place.join(".");
    let mut found = Vec::new();
    let mut with = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut mutant = file.clone();
        change(&mut mutant);
        if mutant != *file {
            found.push((format!("{name}: {what}"), mutant));
        }
    };
    let mut old = file.clone();
    let old = at(&mut old, place).clone();
    // another type, out of range, not among the choices, null, placeholders
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(7),
        json!(2.5),
        json!(3.0),
        json!(1e12),
        json!(8_000_000_000u64),
        json!(""),
        json!("text"),
        json!("No Such Thing"),
        json!("../file.txt"),
        json!([]),
        json!({}),
        json!(["text"]),
        json!([1]),
        json!({"text": 1}),
        json!([old]),
        json!({"text": old}),
        json!("${params.none}"),
        json!("a ${params.none}"),
        json!("$${params.none}"),
        json!("${params.none"),
        json!("base"),
        json!("rows.test"),
        json!("a[b=c].d"),
    ];
    for value in values {
        with(&value.to_string(), &|mutant| *at(mutant, place) = value.clone());
    }
    match &old {
        Value::Object(map) => {
            for extra in ["extra", "Extra Key", "uses", "learning_rate", "seed", "${params.none}"] {
                with(&format!("one more key {extra}"), &|mutant| {
                    at(mutant, place)
                        .as_object_mut()
                        .unwrap()
                        .entry(extra)
                        .or_insert(json!(1));
                });
            }
            for key in map.keys() {
                with(&format!("no {key}"), &|mutant| {
                    at(mutant, place).as_object_mut().unwrap().shift_remove(key);
                });
                for other in [format!("{key}x"), key.to_uppercase(), key[1..].to_owned()] {
                    with(&format!("{key} as {other}"), &|mutant| {
                        let map = at(mutant, place).as_object_mut().unwrap();
                        let value = map.shift_remove(key).unwrap();
                        map.insert(other.clone(), value);
                    });
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            with("an item twice", &|mutant| {
                at(mutant, place).as_array_mut().unwrap().push(items[0].clone());
            });
            with("an item less", &|mutant| {
                at(mutant, place).as_array_mut().unwrap().pop();
            });
        }
        Value::Number(number) => {
            for factor in [-1.0, 0.5, 1000.0] {
                let value = json!(number.as_f64().unwrap() * factor);
                with(&value.to_string(), &|mutant| *at(mutant, place) = value.clone());
            }
        }
        _ => {}
    }
    found
}

#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Refused by the parser alone, by the classes that excuse it.
    parser_only: BTreeMap<String, usize>,
    disagree: Vec<String>,
}

fn judge(validator: &Validator, place: &Path, what: &str, file: &Value, tally: &mut Tally) {
    let objection = validator.objection(file);
    let classes = classes(place, file);
    match (&objection, classes.get(&Class::Shape), classes.is_empty()) {
        (None, None, true) => tally.accepted += 1,
        (Some(_), _, false) => tally.refused += 1,
        (None, None, false) => {
            let names: Vec<_> = classes.keys().map(|class| class.name()).collect();
            *tally.parser_only.entry(names.join("+")).or_default() += 1;
        }
        (None, Some(problem), _) => tally
            .disagree
            .push(format!("{what}\n  the schema accepts; fragua: {problem}")),
        (Some(objection), _, true) => tally
            .disagree
            .push(format!("{what}\n  fragua accepts; the schema: {objection}")),
    }
}

/// Mutants of each of a kind's bases: one in so many.
fn judge_kind(validator: &Validator, kind: &str, one_in: usize, tally: &mut Tally) {
    let mut number = 0;
    let mut chosen = || {
        number += 1;
        number % one_in == 0
    };
    let sandbox = folder();
    let path = sandbox.path().join("it.yaml");
    for with in bases(kind) {
        let file = document(kind, &with);
        assert!(classes(&path, &file).is_empty(), "{file}");
        for place in places(&file["steps"]["it"]) {
            let place: Vec<String> = ["steps".into(), "it".into()].into_iter().chain(place).collect();
            for (what, mutant) in mutants(&file, &place).into_iter().filter(|_| chosen()) {
                judge(validator, &path, &format!("{kind}: {what}"), &mutant, tally);
            }
        }
        // and what is right: every setting with values that its own schema takes
        for setting in settings(&schema_of(kind)) {
            for value in setting.values(&WORLD) {
                let mut with = with.clone();
                if put(&mut with, &setting.path, value) && chosen() {
                    judge(
                        validator,
                        &path,
                        &format!("{kind}: {with}"),
                        &document(kind, &with),
                        tally,
                    );
                }
            }
        }
    }
}

fn schema_of(kind: &str) -> Value {
    let kind = KINDS.iter().find(|other| other.name == kind).unwrap();
    (kind.schema)().to_value()
}

#[test]
fn a_schema_that_says_less_or_more_is_found() {
    let changes: [fn(&mut Value); 4] = [
        |schema| {
            schema["$defs"]["quantize"]
                .as_object_mut()
                .unwrap()
                .remove("additionalProperties");
        },
        |schema| {
            schema["$defs"]["quantize"]["required"] = json!(["model"]);
        },
        |schema| {
            schema["$defs"]["quantize"]["properties"]["format"] = json!({"type": "string"});
        },
        |schema| {
            schema["$defs"]["quantize"]["properties"]["format"] = json!({"const": "int8"});
        },
    ];
    for change in changes {
        let mut schema = fragua::pipeline::schema(KINDS);
        change(&mut schema);
        let mut tally = Tally::default();
        judge_kind(&Validator::of(schema), "quantize", 1, &mut tally);
        assert!(!tally.disagree.is_empty(), "{tally:?}");
    }
}

#[test]
fn schema_and_parser_agree_on_mutants() {
    let validator = Validator::new();
    let mut tally = Tally::default();
    let all = std::env::var_os("FRAGUA_MUTANTS").is_some();
    for kind in KINDS {
        judge_kind(&validator, kind.name, if all { 1 } else { 3 }, &mut tally);
    }
    for path in shipped() {
        let file = plain(&std::fs::read_to_string(&path).unwrap());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (number, place) in places(&file).iter().enumerate() {
            for (other, (what, mutant)) in mutants(&file, place).into_iter().enumerate() {
                if all || (number * 7 + other).is_multiple_of(41) {
                    judge(&validator, &path, &format!("{name}: {what}"), &mutant, &mut tally);
                }
            }
        }
    }
    let Tally {
        accepted,
        refused,
        parser_only,
        disagree,
    } = &tally;
    println!("accepted by both {accepted}, refused by both {refused}, by the parser alone {parser_only:?}");
    assert!(
        disagree.is_empty(),
        "{} disagree:\n{}",
        disagree.len(),
        disagree[..disagree.len().min(30)].join("\n")
    );
    assert!(*accepted > 400 && *refused > 1000, "{tally:?}");
}
