//! Files that are made to hurt: small ones that stand for a great deal, large ones, deep ones. Each is
//! read within bounds of time and memory and told in a sentence, and so is what the fuzzer once found.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fragua::pipeline::{LoadOptions, load};
use fragua::steps::KINDS;

use crate::fuzz::{MEMORY, TIME, bounded, look};
use crate::memory::peak;
use crate::support::Sandbox;

/// Reads a text as a file within bounds; what is told of it, each in one line.
fn told(text: impl AsRef<[u8]>) -> Vec<String> {
    let sandbox = Sandbox::tiny();
    let path = sandbox.path().join("bomb.yaml");
    std::fs::write(&path, text).unwrap();
    bounded(&path);
    match load(&path, &LoadOptions::default(), KINDS) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(|one| one.message.clone()).collect(),
    }
}

fn told_of(text: impl AsRef<[u8]>, words: &str) {
    let told = told(text);
    assert!(
        told.iter().any(|message| message.contains(words)),
        "no {words:?} in {told:#?}"
    );
}

const HEAD: &str = "pipeline: bomb\nsteps:\n  a:\n    uses: tokenize\n    with: {vocabulary: gpt2}\n";

#[test]
fn aliases_that_multiply() {
    let mut laughs = String::from("params:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "  a{level}: &a{level} [{inner}]").unwrap();
    }
    told_of(format!("{laughs}{HEAD}"), "anchors and aliases repeat");

    let mut merges = String::from("params:\n  a0: &a0 {x: 1, y: 2}\n");
    for level in 1..30 {
        writeln!(
            merges,
            "  a{level}: &a{level} {{l: *a{0}, r: *a{0}, <<: *a{0}}}",
            level - 1
        )
        .unwrap();
    }
    told_of(format!("{merges}{HEAD}"), "anchors and aliases repeat");

    // every anchor keeps a copy of what stands in it
    let nested: String = (0..60).map(|level| format!("&a{level} [")).collect();
    let list = vec!["x"; 30_000].join(",");
    told_of(
        format!("params: {{a: {nested}{list}{}}}\n{HEAD}", "]".repeat(60)),
        "anchors and aliases repeat",
    );
}

#[test]
fn merges_of_many_keys() {
    let keys: String = (0..300).map(|key| format!("k{key}: 1, ")).collect();
    let merges = vec!["*a"; 90].join(", ");
    told(format!("params:\n  a: &a {{{keys}}}\n  b: {{<<: [{merges}]}}\n{HEAD}"));
}

#[test]
fn nesting_without_end() {
    for (open, close) in [
        ("[", "]"),
        ("{a: ", "}"),
        ("- ", ""),
        ("? ", ""),
        ("&a [", "]"),
        ("[{a: ", "}]"),
        ("!t [", "]"),
        ("a: [", "]"),
    ] {
        for depth in [70, 1000, 200_000] {
            let text = format!("{HEAD}params: {}x{}\n", open.repeat(depth), close.repeat(depth));
            let text = if text.len() > 1 << 20 {
                text[..1 << 20].to_owned()
            } else {
                text
            };
            assert!(!told(text).is_empty(), "{depth} of {open}");
            assert!(!told(open.repeat(depth)).is_empty(), "{depth} of {open} alone");
        }
    }
    let stairs: String = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    told_of(stairs, "deep");
}

#[test]
fn very_many_keys() {
    let many = |line: &dyn Fn(usize) -> String| (0..10_000).map(line).collect::<String>();
    told_of(many(&|key| format!("key{key}: 1\n")), "problems more");
    told_of(many(&|_| "key: 1\n".into()), "second time");
    told_of(
        format!(
            "pipeline: a\nsteps:\n{}",
            many(&|key| format!("  s{key}: {{uses: report}}\n"))
        ),
        "problems more",
    );
    told_of(
        format!("pipeline: a\nsteps:\n{}", many(&|key| format!("  s{key}: {{}}\n"))),
        "problems more",
    );
    told_of(
        format!("{HEAD}params: {{{}}}\n", many(&|key| format!("k{key}: !t 1, "))),
        "tag",
    );
    told_of("---\n".repeat(200_000), "second YAML document");
    told_of("a\n---\n".repeat(100_000), "second YAML document");
}

#[test]
fn very_long_lines() {
    let long = "x".repeat(900_000);
    for text in [
        format!("{HEAD}# {long}\n"),
        format!("{HEAD}about: {long}\n"),
        format!("{long}: 1\n{HEAD}"),
        format!("? {long}\n: 1\n{HEAD}"),
        format!("{HEAD}  {long}: {{uses: report}}\n"),
        format!("{HEAD}  b:\n    uses: {long}\n"),
        format!("{HEAD}  b:\n    uses: report\n    with: {{scores: {long}}}\n"),
        format!("{HEAD}  b:\n    uses: report\n    with: {{{long}: 1}}\n"),
        format!(
            "{HEAD}  b:\n    uses: report\n    with: {{scores: \"a[{}]\"}}\n",
            "b=c,".repeat(200_000)
        ),
        format!(
            "{HEAD}  b:\n    uses: report\n    with: {{title: \"{}\"}}\n",
            "${params.a}".repeat(80_000)
        ),
        format!(
            "{HEAD}  b:\n    uses: report\n    with: {{title: \"{}\"}}\n",
            "${".repeat(400_000)
        ),
        format!(
            "{HEAD}  b:\n    uses: report\n    with: {{title: \"{}\"}}\n",
            "$${".repeat(300_000)
        ),
        format!("{HEAD}  b: \"{}", "\\u0041".repeat(150_000)),
        format!("{HEAD}  b: '{}", "'".repeat(900_001)),
        format!("{HEAD}  b: {}", "*a ".repeat(300_000)),
        format!("%TAG ! {long}\n---\n{HEAD}"),
        format!("pipeline: {long}\n{HEAD}"),
        " ".repeat(1 << 20),
        "\n".repeat(1 << 20),
    ] {
        told(text);
    }
}

#[test]
fn a_matrix_of_very_many_axes() {
    let axes: String = (0..10_000).map(|axis| format!("a{axis}: [1], ")).collect();
    let values: String = (0..9_000).map(|value| format!("{value}, ")).collect();
    told_of(
        format!("{HEAD}    matrix: {{x: [{values}], {axes}}}\n"),
        "those of all instances counted",
    );
}

/// Reads a text that may take as much as the budget of a file allows.
fn within_the_budget(text: &str) {
    let sandbox = Sandbox::tiny();
    let path = sandbox.path().join("bomb.yaml");
    std::fs::write(&path, text).unwrap();
    let started = Instant::now();
    let (problems, bytes) = peak(|| load(&path, &LoadOptions::default(), KINDS).unwrap_err());
    look(&problems);
    assert!(
        started.elapsed() < 4 * TIME && bytes < 4 * MEMORY,
        "{:?}, {bytes} bytes",
        started.elapsed()
    );
    assert!(
        problems.to_string().contains("those of all instances counted"),
        "{problems}"
    );
    assert_eq!(
        problems.to_string().matches("instances counted").count(),
        1,
        "told once"
    );
}

#[test]
fn parameters_that_multiply() {
    let list = vec!["word"; 20_000].join(",");
    let uses = vec!["\"${params.a}\""; 2000].join(",");
    within_the_budget(&format!(
        "params: {{a: [{list}]}}\n{HEAD}  b: {{uses: tokenize, with: {{fields: [{uses}]}}}}\n"
    ));
    let text = "x".repeat(500_000);
    let uses = "${params.a}".repeat(20_000);
    within_the_budget(&format!(
        "params: {{a: {text}}}\n{HEAD}  b: {{uses: tokenize, with: {{fields: [\"{uses}\"]}}}}\n"
    ));
    let values: String = (0..300).map(|value| format!("{value}, ")).collect();
    within_the_budget(&format!(
        "params: {{a: [{list}]}}\n{HEAD}  b: {{uses: tokenize, matrix: {{x: [{values}], y: [{values}]}}, with: {{fields: \"${{params.a}}\"}}}}\n"
    ));
}

#[test]
fn texts_that_are_none() {
    told_of(b"pipeline: a\xF1o\n".as_slice(), "the byte 0xF1 is not UTF-8");
    told_of(b"\xFF\xFEp\0i\0".as_slice(), "UTF-16");
    told_of("pipeline: a\0\nsteps: {}\n", "NUL");
    told_of(vec![0u8; 4000], "NUL");
    told_of("", "mapping");
    told_of(vec![b'a'; (1 << 20) + 1], "1048577 bytes");
    told_of("pipeline: a\u{2028}steps: {}\n", "U+2028");
}

#[test]
fn marks_and_line_ends_of_other_systems_are_read() {
    for text in [
        format!("\u{feff}{HEAD}"),
        HEAD.replace('\n', "\r\n"),
        HEAD.replace('\n', "\r"),
        format!("\u{feff}{}", HEAD.replace('\n', "\r\n")),
        HEAD.replace("with: {", "with:\t{").replace(", ", ",\t"),
    ] {
        assert_eq!(told(&text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn a_place_is_right_whatever_ends_a_line() {
    for end in ["\n", "\r\n", "\r"] {
        let sandbox = Sandbox::tiny();
        sandbox.write("ends.yaml", &format!("{HEAD}  ñ: 1\n").replace('\n', end));
        let outcome = sandbox.fragua(&["validate", "ends.yaml", "--json"]);
        assert_eq!(outcome.code, Some(2));
        let found: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
        let place = &found["errors"][0];
        assert_eq!(
            (place["line"].as_u64(), place["column"].as_u64()),
            (Some(6), Some(3)),
            "{end:?}: {found}"
        );
        assert_eq!(
            (place["end_line"].as_u64(), place["end_column"].as_u64()),
            (Some(6), Some(4)),
            "{end:?}: {found}"
        );
    }
}

#[test]
fn the_program_ends_in_time_with_exit_code_2() {
    let sandbox = Sandbox::tiny();
    sandbox.write("deep.yaml", &"[".repeat(1 << 20));
    sandbox.write("large.yaml", &" ".repeat(3 << 20));
    for name in ["deep.yaml", "large.yaml", ".", "nowhere.yaml", "pipelin.yaml"] {
        let started = Instant::now();
        let outcome = sandbox.fragua(&["validate", name]);
        assert_eq!(outcome.code, Some(2), "{name}: {}", outcome.err);
        assert!(outcome.err.contains("help: "), "{}", outcome.err);
        assert!(started.elapsed() < TIME + Duration::from_secs(1));
    }
}

#[test]
fn a_missing_template_is_told_once_though_two_steps_read_it() {
    let sandbox = Sandbox::tiny();
    sandbox.edit("template: prompt.jinja, train", "template: nowhere.jinja, train");
    let outcome = sandbox.fragua(&["validate", "pipeline.yaml", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    let errors = found["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{found}");
    assert_eq!(errors[0]["docs"], "docs/steps/finetune.md");
    assert!(
        errors[0]["message"].as_str().unwrap().contains("nowhere.jinja"),
        "{found}"
    );
}

#[test]
fn what_disagrees_with_another_setting_names_both_places() {
    let sandbox = Sandbox::tiny();
    sandbox.edit(
        "train: {updates: 6, batch_size",
        "train: {updates: 6, epochs: 2, batch_size",
    );
    let outcome = sandbox.fragua(&["validate", "pipeline.yaml", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    let error = &found["errors"][0];
    assert_eq!(error["class"], "kind", "{found}");
    assert_eq!(error["notes"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(error["notes"][0]["line"], error["line"], "{found}");
    assert_ne!(error["notes"][0]["column"], error["column"], "{found}");
}
