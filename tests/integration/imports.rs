//! Imported models through the real binary: what the reference checkpoints write is what transformers
//! wrote with them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Sandbox;

fn fixture(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("FRAGUA_SHARED").map_or(beside, PathBuf::from);
    let dir = shared.join("fixtures").join(name);
    if !dir.join("reference.json").exists() {
        println!("skipped: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}

#[test]
fn imported_models_write_what_transformers_wrote() {
    let sandbox = Sandbox::tiny();
    sandbox.write("plain.jinja", "{% block prompt %}{{ text }}{% endblock %}");
    let mut steps = serde_json::Map::new();
    let mut expected: Vec<(String, Value)> = Vec::new();
    for name in ["tiny-falcon-40b", "tiny-falcon-rw", "tiny-t5", "tiny-flan-t5"] {
        let Some(dir) = fixture(name) else { return };
        let reference: Value = serde_json::from_slice(&std::fs::read(dir.join("reference.json")).unwrap()).unwrap();
        sandbox.write(
            &format!("{name}.jsonl"),
            &format!("{}\n", json!({"text": reference["text"]})),
        );
        let short = name.replace('-', "_");
        steps.insert(short.clone(), json!({"uses": "model", "with": {"path": dir}}));
        let rows = format!("{short}_rows");
        steps.insert(
            rows.clone(),
            json!({"uses": "dataset", "with": {"files": format!("{name}.jsonl")}}),
        );
        for (beams, text) in [(1, "greedy_text"), (4, "beam4_text")] {
            let step = format!("{short}_{beams}");
            let sampling = json!({"max_new_tokens": 16, "num_beams": beams});
            let with =
                json!({"model": short, "data": rows, "prompt": {"template": "plain.jinja"}, "sampling": sampling});
            steps.insert(step.clone(), json!({"uses": "generate", "with": with}));
            expected.push((step, reference[text].clone()));
        }
    }
    sandbox.write(
        "pipeline.yaml",
        &json!({"pipeline": "imports", "steps": steps}).to_string(),
    );
    let run = sandbox.run(&[]);
    let digests = sandbox.digests(&run);
    for (step, text) in expected {
        let digest = &digests[&step];
        let path = sandbox.path().join(".fragua/objects").join(&digest[..2]).join(digest);
        let line = std::fs::read_to_string(path.join("generations.jsonl")).unwrap();
        let row: Value = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(row["output"], text, "{step}");
    }
    assert_eq!(sandbox.run(&[])["executed"], 0, "the content is known");
}
