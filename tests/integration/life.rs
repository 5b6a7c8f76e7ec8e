//! The whole life of a model through the real binary: results, cache, determinism.

use serde_json::Value;

use crate::support::Sandbox;

#[test]
fn a_run_ends_in_a_report_and_a_second_one_executes_nothing() {
    let sandbox = Sandbox::tiny();
    let first = sandbox.run(&[]);
    // Tiny models answer alike: equal generations have one score, so some instances are known at once.
    let all = first["executed"].as_u64().unwrap() + first["cached"].as_u64().unwrap();
    assert_eq!(all, 20, "{first}");
    assert_eq!(first["failed"], 0);
    let page = std::fs::read_to_string(first["report"].as_str().unwrap()).unwrap();
    assert!(
        page.contains("rouge") && page.contains("<svg"),
        "a page with scores and charts"
    );
    assert!(
        !page.contains("http://") || !page.contains("src=\"http"),
        "nothing from a network"
    );

    let second = sandbox.run(&[]);
    assert_eq!(second["executed"], 0, "{second}");
    assert_eq!(second["cached"], all);
    assert!(second["seconds"].as_f64().unwrap() < 1.0, "{second}");
    assert!(sandbox.plan(&[]).values().all(|state| state == "cached"));
}

#[test]
fn a_changed_setting_runs_again_exactly_what_depends_on_it() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&[]);
    // Sampling touches answers, scores and report, and no model.
    sandbox.edit("max_new_tokens: 8", "max_new_tokens: 6");
    let states = sandbox.plan(&[]);
    let not_cached: Vec<_> = states
        .iter()
        .filter(|(_, state)| *state != "cached")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(not_cached.len(), 6 + 6 + 1, "{not_cached:?}");
    let run = sandbox.run(&[]);
    assert!(run["executed"].as_u64().unwrap() <= 13);

    // A comment, an order of keys, a renamed parameter: cosmetic.
    sandbox.edit(
        "params: {updates: 12, width: 32, rate: 1e-3}",
        "params: {width: 32, updates: 12, rate: 0.001} # same",
    );
    assert_eq!(sandbox.run(&[])["executed"], 0);

    // Weights: everything below them, and not the dataset, tokenizer or encoding.
    let states = sandbox.plan(&["--set", "rate=2e-3"]);
    assert_eq!(states["rows"], "cached");
    assert_eq!(states["words"], "cached");
    assert_eq!(states["base"], "run");
    assert_eq!(
        states["encode(rows, words)"], "cached",
        "weights do not encode again: {states:?}"
    );
}

#[test]
fn two_stores_and_two_thread_counts_give_the_same_bytes() {
    let (one, two) = (Sandbox::tiny(), Sandbox::tiny());
    let first = one.run(&["--threads", "1"]);
    let second = two.run(&["--threads", "2"]);
    let (first, second) = (one.digests(&first), two.digests(&second));
    assert_eq!(first.len(), 20);
    assert_eq!(first, second);
}

#[test]
fn artifacts_are_files_that_other_tools_open() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&[]);
    let objects = sandbox.files(".fragua/objects");
    let named = |name: &str| {
        objects
            .iter()
            .filter(|path| path.ends_with(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    for config in named("config.json") {
        let config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
        assert_eq!(config["model_type"], "llama");
        assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    }
    assert!(!named("config.json").is_empty());
    for tokenizer in named("tokenizer.json") {
        tokenizers::Tokenizer::from_file(tokenizer).unwrap();
    }
    let generations = named("generations.jsonl");
    assert!(!generations.is_empty());
    for file in generations {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            for field in [
                "id",
                "prompt",
                "output",
                "references",
                "finish",
                "prompt_tokens",
                "output_tokens",
                "seed",
            ] {
                assert!(!row[field].is_null(), "{field} in {line}");
            }
        }
    }
}

#[test]
fn scores_csv_has_the_columns_that_scripts_rely_on() {
    let sandbox = Sandbox::tiny();
    let run = sandbox.run(&[]);
    let report = std::path::PathBuf::from(run["report"].as_str().unwrap());
    let mut scores = csv::Reader::from_path(report.with_file_name("scores.csv")).unwrap();
    let header: Vec<_> = scores.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header,
        [
            "generations",
            "model",
            "shots",
            "metric",
            "value",
            "n",
            "low",
            "high",
            "signature"
        ]
    );
    let rows: Vec<_> = scores.records().map(Result::unwrap).collect();
    assert_eq!(rows.len() % 6, 0);
    assert!(rows.iter().any(|row| &row[3] == "rougeL"));
    assert!(
        rows.iter()
            .all(|row| row[5].parse::<u64>().unwrap() == 9 && row[4].parse::<f64>().unwrap().is_finite())
    );
}

#[test]
fn repeating_a_step_keeps_what_is_known_of_it() {
    let sandbox = Sandbox::tiny();
    let first = sandbox.run(&[]);
    sandbox.edit(
        "  tuned:\n    uses: finetune\n",
        "  tuned:\n    uses: finetune\n    repeat: 2\n",
    );
    let plan = sandbox.plan(&[]);
    assert_eq!(plan["tuned[repeat=1]"], "cached", "{plan:?}");
    assert_eq!(plan["answers[model=tuned,shots=1,repeat=1]"], "cached", "{plan:?}");
    assert_eq!(plan["tuned[repeat=2]"], "run", "{plan:?}");
    let second = sandbox.run(&[]);
    let (before, after) = (sandbox.digests(&first), sandbox.digests(&second));
    assert_eq!(before["tuned"], after["tuned[repeat=1]"]);
    assert_ne!(after["tuned[repeat=1]"], after["tuned[repeat=2]"]);
}
