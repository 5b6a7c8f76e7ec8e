//! Imported models through the real binary: what the reference checkpoints write is what transformers
//! wrote with them.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
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
fn a_model_with_a_sentencepiece_file_becomes_one_with_a_tokenizer_json() {
    let Some(dir) = fixture("tiny-t5") else { return };
    let sandbox = Sandbox::tiny();
    let folder = sandbox.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    // the fixture with as many rows as the vocabulary has pieces
    const PIECES: usize = 600;
    let mut config: Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
    config["vocab_size"] = PIECES.into();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let file = std::fs::read(dir.join("model.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&file).unwrap();
    let table = weights.tensor("shared.weight").unwrap();
    let width = table.shape()[1];
    let mut rows = table.data().to_vec();
    rows.resize(PIECES * width * 4, 0);
    let table = TensorView::new(table.dtype(), vec![PIECES, width], &rows).unwrap();
    let others = weights
        .tensors()
        .into_iter()
        .filter(|(name, _)| name != "shared.weight");
    let all: Vec<_> = others.chain([("shared.weight".to_owned(), table)]).collect();
    safetensors::serialize_to_file(all, None, &folder.join("model.safetensors")).unwrap();
    let vocabulary = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokenizer/sentencepiece/goldens/unigram.model");
    std::fs::copy(vocabulary, folder.join("spiece.model")).unwrap();
    sandbox.write("plain.jinja", "{% block prompt %}{{ text }}{% endblock %}");
    sandbox.write("rows.jsonl", "{\"text\": \"Soy uno con la fuerza\"}\n");
    let generate = json!({"model": "old", "data": "rows", "prompt": {"template": "plain.jinja"}, "sampling": {"max_new_tokens": 3}});
    let steps = json!({
        "rows": {"uses": "dataset", "with": {"files": "rows.jsonl"}},
        "old": {"uses": "model", "with": {"path": "old"}},
        "written": {"uses": "generate", "with": generate},
    });
    sandbox.write("pipeline.yaml", &json!({"pipeline": "old", "steps": steps}).to_string());
    let run = sandbox.run(&[]);
    let digest = &sandbox.digests(&run)["old"];
    let made = sandbox.path().join(".fragua/objects").join(&digest[..2]).join(digest);
    assert!(made.join("tokenizer.json").is_file());
    assert!(!made.join("spiece.model").exists(), "one tokenizer, in one format");
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
