//! `fragua inspect`: the page about what is inside a model.

use serde_json::Value;

use crate::support::Sandbox;

/// The page, and the maps that its script draws from.
fn page(sandbox: &Sandbox, arguments: &[&str]) -> (String, Value) {
    let outcome = sandbox.fragua(&[&["inspect"], arguments, &["--device", "cpu"]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let page = std::fs::read_to_string(sandbox.path().join(outcome.out.trim())).unwrap();
    let start = page.find("id=\"maps\">").unwrap() + "id=\"maps\">".len();
    let data = &page[start..start + page[start..].find("</script>").unwrap()];
    (page.clone(), serde_json::from_str(data).unwrap())
}

/// That it loads nothing and lets nothing else run.
fn closed(page: &str) {
    assert!(page.contains("default-src 'none'") && page.contains("img-src data:"));
    for loading in ["src=\"http", "href=\"http", "url(", "@import", " on"] {
        let scripts = page.split("<script nonce").next().unwrap();
        let markup = scripts.split("</style>").nth(1).unwrap();
        let found =
            markup.contains(loading) && (loading != " on" || markup.contains(" onclick") || markup.contains(" onload"));
        assert!(!found, "{loading}");
    }
}

#[test]
fn a_decoder_shows_every_head_and_what_comes_next() {
    let sandbox = Sandbox::ran();
    let text = "Ana: <b>&amp; \"yes\"</script>";
    let (page, maps) = page(&sandbox, &["last:tuned", "--text", text, "--temperatures", "0.5,1"]);
    closed(&page);
    assert!(
        page.contains("Inside tuned") && !page.contains("<b>&amp;"),
        "the text is no markup"
    );
    let map = &maps["self"];
    let tokens = map["queries"].as_array().unwrap().len();
    assert_eq!(
        (map["keys"].as_array().unwrap().len(), maps.as_object().unwrap().len()),
        (tokens, 1)
    );
    let layers = map["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for head in layers.iter().flat_map(|layer| layer.as_array().unwrap()) {
        let weights: Vec<u64> = head
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_u64().unwrap())
            .collect();
        assert_eq!(weights.len(), tokens * tokens);
        for (query, row) in weights.chunks(tokens).enumerate() {
            let sum: u64 = row.iter().sum();
            assert!(sum.abs_diff(1000) <= tokens as u64, "thousandths of one row: {sum}");
            assert!(
                row[query + 1..].iter().all(|weight| *weight == 0),
                "nothing looks ahead"
            );
        }
    }
    assert_eq!(
        page.matches("data:image/png;base64,").count(),
        2 * 2,
        "a picture for each head"
    );
    assert!(page.contains("Temperature 0.5") && page.contains("Layer 2, Head 2. Strongest link"));
    // the same model and text give the same bytes, with any number of threads
    let again = sandbox.fragua(&[
        "inspect",
        "last:tuned",
        "--text",
        text,
        "--temperatures",
        "0.5,1",
        "-o",
        "again.html",
        "--threads",
        "1",
    ]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(
        std::fs::read_to_string(sandbox.path().join("again.html")).unwrap(),
        page
    );
}

const MODELS: &str = r#"pipeline: models
steps:
  rows: {uses: dataset, with: {files: rows.jsonl}}
  words: {uses: tokenize, with: {data: rows, algorithm: bpe, vocab_size: 300}}
  t5:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      objective: span_corruption
      model: {architecture: t5, layers: 2, decoder_layers: 1, heads: 2, width: 16, context: 64}
      train: {updates: 2, batch_size: 1}
  lstm:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      model: {architecture: rnn, layers: 1, width: 16, context: 32}
      train: {updates: 2, batch_size: 1}
"#;

#[test]
fn an_encoder_decoder_shows_three_kinds_and_a_recurrent_model_none() {
    let sandbox = Sandbox::tiny();
    sandbox.write("pipeline.yaml", MODELS);
    sandbox.run(&[]);
    let (text, maps) = page(
        &sandbox,
        &[
            "last:t5",
            "--text",
            "Ana asks Luis",
            "--answer",
            "for a map",
            "--language",
            "es",
        ],
    );
    closed(&text);
    assert!(text.contains("<html lang=\"es\">") && text.contains("Dentro de t5"));
    let shape = |kind: &str| {
        let count = |name: &str| maps[kind][name].as_array().unwrap().len();
        (count("layers"), count("queries"), count("keys"))
    };
    let (encoder, decoder, cross) = (shape("encoder"), shape("decoder"), shape("cross"));
    assert_eq!((encoder.0, decoder.0, cross.0), (2, 1, 1));
    assert_eq!(
        (cross.1, cross.2),
        (decoder.1, encoder.2),
        "what is written looks at what was read"
    );
    let (text, maps) = page(&sandbox, &["last:lstm", "--text", "Ana asks Luis"]);
    assert!(maps.as_object().unwrap().is_empty() && text.contains("it has no attention"));
    assert!(text.contains("A map of the vectors") && text.contains("What comes next"));
    for (arguments, part) in [
        (
            vec!["last:lstm", "--text", "a", "--answer", "b"],
            "no decoder of its own",
        ),
        (vec!["last:t5", "--text", ""], "no tokens to look at"),
        (vec!["last:rows", "--text", "a"], "is no model but dataset"),
        (
            vec!["last:t5", "--text", "a", "--temperatures", "0"],
            "a number above 0",
        ),
        (vec!["last:t5"], "--text"),
    ] {
        let outcome = sandbox.fragua(&[&["inspect"][..], &arguments].concat());
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.err);
        assert!(outcome.err.contains(part), "{arguments:?}: {}", outcome.err);
    }
    let long = "Ana asks Luis for a map. ".repeat(20);
    let outcome = sandbox.fragua(&["inspect", "last:t5", "--text", &long]);
    assert!(outcome.err.contains("the model's context is 64"), "{}", outcome.err);
}
