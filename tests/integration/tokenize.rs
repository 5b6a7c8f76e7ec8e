//! `fragua tokenize`, and tokenizers of every kind through a pipeline.

use serde_json::Value;

use crate::support::Sandbox;

#[test]
fn a_text_is_shown_as_tokens_ids_and_json() {
    let sandbox = Sandbox::tiny();
    let run = |arguments: &[&str]| {
        let outcome = sandbox.fragua(&[&["tokenize", "--tokenizer", "gpt2"], arguments].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        outcome.out
    };
    assert_eq!(run(&["--ids", "Hello world\n"]), "15496 995 198\n");
    let shown = run(&["Hello world\n"]);
    assert!(
        shown.starts_with("15496\tHello\n995\t·world\n198\t⏎\n3 tokens, 12 bytes, 12 characters, 2 words:"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "colours into a pipe");
    let json: Value = serde_json::from_str(&run(&["--json", "ñandú<|endoftext|>"])).unwrap();
    assert_eq!(json["tokens"][0]["shown"], "ñ");
    assert_eq!(json["tokens"].as_array().unwrap().last().unwrap()["special"], true);
    assert_eq!(
        (&json["count"], &json["bytes"], &json["words"]),
        (&json["ids"].as_array().unwrap().len().into(), &20.into(), &1.into())
    );

    let outcome = sandbox.fragua(&["tokenize", "--tokenizer", "nothing", "x"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .err
            .contains("`nothing` is no folder, no file and no published vocabulary"),
        "{}",
        outcome.err
    );
}

/// A tokenizer of each algorithm, the tokens that it makes, and what a run made by its name.
#[test]
fn tokenizers_of_every_algorithm_are_trained_and_used() {
    let sandbox = Sandbox::tiny();
    let algorithms = [
        ("bpe", 300),
        ("unigram", 200),
        ("wordpiece", 120),
        ("char", 0),
        ("byte", 0),
    ];
    let mut yaml = "pipeline: words\nseed: 1\nsteps:\n  rows: {uses: dataset, with: {files: rows.jsonl}}\n".to_owned();
    for (name, size) in algorithms {
        let size = if size > 0 {
            format!(", vocab_size: {size}")
        } else {
            String::new()
        };
        yaml += &format!("  {name}: {{uses: tokenize, with: {{data: rows, algorithm: {name}{size}}}}}\n");
        yaml += &format!("  {name}_tokens: {{uses: encode, with: {{data: rows, tokenizer: {name}}}}}\n");
    }
    sandbox.write("pipeline.yaml", &yaml);
    sandbox.run(&["--name", "words", "--threads", "1"]);
    for (name, _) in algorithms {
        let outcome = sandbox.fragua(&[
            "tokenize",
            "--tokenizer",
            &format!("words:{name}"),
            "--json",
            "Ana asks Luis",
        ]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let json: Value = serde_json::from_str(&outcome.out).unwrap();
        let text: String = json["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["shown"].as_str().unwrap())
            .collect();
        let expected = match name {
            "wordpiece" => "AnaasksLuis",
            "unigram" => "·Ana·asks·Luis",
            _ => "Ana·asks·Luis",
        };
        assert_eq!(text.replace("##", ""), expected, "{name}");
    }
    let outcome = sandbox.fragua(&["tokenize", "--tokenizer", "words:rows", "x"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("rows has no tokenizer"), "{}", outcome.err);
}
