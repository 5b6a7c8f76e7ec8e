//! Every pipeline that ships resolves, and the schema that ships is the program's.

use std::path::Path;

use crate::support::Sandbox;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_shipped_pipeline_is_planned() {
    let sandbox = Sandbox::tiny();
    let text = format!("text={}", sandbox.path().join("plays.txt").display());
    sandbox.write("plays.txt", "First Citizen: speak, speak.");
    // a model's folder, so that nothing is asked of a Hub
    std::fs::create_dir(sandbox.path().join("model")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        sandbox.write(&format!("model/{file}"), "{}");
    }
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let mut arguments = vec!["plan", path.to_str().unwrap(), "--json", "--device", "cpu"];
        if path.ends_with("shakespeare.yaml") {
            arguments.extend(["--set", &text]);
        }
        if path.ends_with("flan-t5-dialogues.yaml") {
            arguments.extend(["--set", "from=path", "--set", "model=model"]);
        }
        let outcome = sandbox.fragua(&arguments);
        assert_eq!(
            outcome.code,
            Some(0),
            "{}: {}{}",
            path.display(),
            outcome.out,
            outcome.err
        );
        count += 1;
    }
    assert!(count >= 6);
}

#[test]
fn the_shipped_schema_is_the_programs() {
    let outcome = Sandbox::tiny().fragua(&["schema"]);
    let shipped = std::fs::read_to_string(root().join("pipelines/pipeline.schema.json")).unwrap();
    assert!(
        shipped == outcome.out,
        "regenerate it: fragua schema > pipelines/pipeline.schema.json"
    );
}

#[test]
fn every_kind_has_a_page_that_its_definition_writes() {
    for kind in fragua::steps::KINDS {
        let outcome = Sandbox::tiny().fragua(&["schema", "--markdown", kind.name]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let page = std::fs::read_to_string(root().join(format!("docs/steps/{}.md", kind.name))).unwrap();
        let name = kind.name;
        assert!(
            page.contains(&outcome.out),
            "docs/steps/{name}.md is out of date: fragua schema --markdown {name}"
        );
    }
}

#[test]
fn the_starter_of_init_runs() {
    let sandbox = Sandbox::tiny();
    let outcome = sandbox.fragua(&["init", "starter"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let starter = std::fs::read_dir(sandbox.path().join("starter"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .expect("init writes a pipeline");
    let outcome = sandbox.fragua(&["plan", starter.to_str().unwrap(), "--device", "cpu"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert_ne!(
        sandbox.fragua(&["init", "starter"]).code,
        Some(0),
        "a second init overwrites nothing"
    );
}
