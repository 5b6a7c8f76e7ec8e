//! `fragua chat`, with its messages from a pipe.

use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Outcome, Sandbox};

/// Talks: the lines of `input` to `fragua chat`.
fn chat(sandbox: &Sandbox, arguments: &[&str], input: &str) -> Outcome {
    let mut child = sandbox
        .command(&[&["chat"], arguments, &["--device", "cpu"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same with `--json`: a value a line.
fn answers(sandbox: &Sandbox, arguments: &[&str], input: &str) -> Vec<Value> {
    let outcome = chat(sandbox, &[arguments, &["--json"]].concat(), input);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    outcome
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(answer: &Value, field: &str) -> u64 {
    answer[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {answer}"))
}

#[test]
fn a_model_of_a_run_answers_by_the_template_that_it_was_tuned_with() {
    let sandbox = Sandbox::ran();
    let input = "Ana: Can you bring a map?\n/shots 2\nAna: Can you bring a map?\n";
    let told = answers(
        &sandbox,
        &["last:tuned", "--set", "temperature=0", "--set", "max_new_tokens=8"],
        input,
    );
    let [plain, shown] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(
        count(shown, "prompt_tokens") > 2 * count(plain, "prompt_tokens"),
        "two examples stand before it"
    );
    assert_eq!(
        count(plain, "left"),
        128 - count(plain, "prompt_tokens") - count(plain, "output_tokens")
    );
    // the same as the step `answers` wrote for the same row
    let got = sandbox.fragua(&["get", "last", "answers[model=tuned,shots=0]", "answers"]);
    assert_eq!(got.code, Some(0), "{}", got.err);
    let generations = std::fs::read_to_string(sandbox.path().join("answers/generations.jsonl")).unwrap();
    let rows: Vec<Value> = generations
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let dialogue = |row: &Value| {
        row["prompt"]
            .as_str()
            .unwrap()
            .strip_suffix("\nSummary:")
            .unwrap()
            .to_owned()
    };
    let input: String = rows.iter().map(|row| dialogue(row) + "\n").collect();
    let greedy = ["last:tuned", "--set", "temperature=0", "--set", "max_new_tokens=8"];
    let told = answers(&sandbox, &greedy, &input);
    let same = |one: &Value, text: &str| {
        let text = one[text].as_str().unwrap().trim().to_owned();
        (
            text,
            count(one, "prompt_tokens"),
            count(one, "output_tokens"),
            one["finish"].clone(),
        )
    };
    let told: Vec<_> = told.iter().map(|one| same(one, "answer")).collect();
    assert_eq!(told, rows.iter().map(|row| same(row, "output")).collect::<Vec<_>>());
}

#[test]
fn seeds_settings_and_commands() {
    let sandbox = Sandbox::ran();
    let warm = [
        "last:base",
        "--plain",
        "--set",
        "temperature=1.5",
        "--set",
        "max_new_tokens=12",
    ];
    let input = "/seed 3\nAna\n/reset\nAna\n/seed 4\n/reset\nAna\n";
    let told = answers(&sandbox, &warm, input);
    assert_eq!(told.len(), 3);
    assert_eq!(
        told[0]["answer"], told[1]["answer"],
        "the same seed, from the beginning"
    );
    assert_ne!(told[0]["answer"], told[2]["answer"]);
    assert_eq!(
        told,
        answers(&sandbox, &[&warm[..], &["--threads", "1"]].concat(), input)
    );

    let outcome = chat(
        &sandbox,
        &["last:base", "--plain"],
        "/temperatur 1\n/temperature hot\n/top_p 7\n/shots 1\n/nothing\n/stop \\n\n/settings\n/help\n/quit\nnever read\n",
    );
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(0), ""), "{}", outcome.err);
    for part in [
        "it continues the text",
        "did you mean `temperature`?",
        "`temperature` takes a number, not `hot`",
        "`top_p` must be above 0 and at most 1",
        "need a prompt template",
        "no command `/nothing`",
        r#"stop ["\n"]"#,
        "max_new_tokens 64",
        "/history on|off",
    ] {
        assert!(outcome.err.contains(part), "{part}: {}", outcome.err);
    }
}

#[test]
fn what_was_said_is_read_again_until_it_no_longer_fits() {
    let sandbox = Sandbox::ran();
    let model = [
        "last:base",
        "--plain",
        "--set",
        "max_new_tokens=30",
        "--set",
        "temperature=0",
    ];
    let said = "Ana: Can you bring the red book to the library, Luis?\n";
    let told = answers(&sandbox, &model, &said.repeat(6));
    assert!(
        count(&told[1], "prompt_tokens") > count(&told[0], "prompt_tokens"),
        "{told:?}"
    );
    assert!(told.iter().any(|answer| count(answer, "dropped_turns") > 0), "{told:?}");
    assert!(told.iter().all(|answer| count(answer, "prompt_tokens") + 30 <= 128));
    let told = answers(&sandbox, &model, &format!("/history off\n{}", said.repeat(2)));
    assert_eq!(told[0], told[1], "nothing of before is read");
    let told = answers(&sandbox, &model, &format!("{}\nshort\n", "much too long ".repeat(80)));
    assert!(told[0]["error"].as_str().unwrap().contains("write less"), "{told:?}");
    assert!(told[1]["answer"].is_string(), "and it goes on");
}

#[test]
fn lines_are_joined_and_output_is_only_answers() {
    let sandbox = Sandbox::ran();
    let told = answers(&sandbox, &["last:tuned"], "Ana: yes.\\\nLuis: no.\n//temperature\n");
    assert_eq!(told[0]["message"], "Ana: yes.\nLuis: no.");
    assert_eq!(told[1]["message"], "/temperature");
    let greedy = ["last:tuned", "--set", "temperature=0"];
    let expected = answers(&sandbox, &greedy, "Ana: yes.\n");
    let outcome = chat(&sandbox, &greedy, "Ana: yes.\n");
    assert_eq!(outcome.out, format!("{}\n", expected[0]["answer"].as_str().unwrap()));
    assert!(outcome.err.contains("of 128 left"), "{}", outcome.err);
}

/// The folder of a run's model, to be changed.
fn folder(sandbox: &Sandbox, step: &str) {
    let got = sandbox.fragua(&["get", "last", step, "model"]);
    assert_eq!(got.code, Some(0), "{}", got.err);
}

fn edit(sandbox: &Sandbox, file: &str, change: impl FnOnce(&mut Value)) {
    let path = sandbox.path().join("model").join(file);
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

#[test]
fn a_models_own_chat_template_is_used() {
    let sandbox = Sandbox::ran();
    folder(&sandbox, "base");
    let template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'].strip() }}\n{% endfor %}";
    edit(&sandbox, "tokenizer_config.json", |config| {
        config["chat_template"] = template.into();
    });
    let input = "hello\n/system Be brief.\nhello again\n/reset\nhello\n";
    let told = answers(&sandbox, &["model", "--set", "max_new_tokens=4"], input);
    assert_eq!(told.len(), 3);
    let read: Vec<_> = told.iter().map(|answer| count(answer, "prompt_tokens")).collect();
    assert!(
        read[1] > read[2] && read[2] > read[0],
        "history and system, system, neither: {read:?}"
    );
    edit(&sandbox, "tokenizer_config.json", |config| {
        config["chat_template"] = "{{ raise_exception('only questions') }}".into();
    });
    let told = answers(&sandbox, &["model"], "hello\n");
    assert!(
        told[0]["error"].as_str().unwrap().contains("only questions"),
        "{told:?}"
    );
}

#[test]
fn an_encoder_reads_each_message_by_itself() {
    let sandbox = Sandbox::tiny();
    sandbox.write(
        "pipeline.yaml",
        r#"pipeline: t5
steps:
  rows: {uses: dataset, with: {files: rows.jsonl}}
  words: {uses: tokenize, with: {data: rows, algorithm: bpe, vocab_size: 300}}
  base:
    uses: pretrain
    with:
      data: rows
      tokenizer: words
      objective: span_corruption
      model: {architecture: t5, layers: 1, heads: 2, width: 16, context: 64}
      train: {updates: 2, batch_size: 1}
"#,
    );
    sandbox.run(&[]);
    let told = answers(
        &sandbox,
        &["last:base", "--set", "temperature=0", "--set", "max_new_tokens=5"],
        "Ana\nAna\n",
    );
    assert_eq!(told[0], told[1]);
    assert_eq!(count(&told[0], "left"), 64 - count(&told[0], "prompt_tokens"));
}

#[test]
fn what_is_no_model_is_said() {
    let sandbox = Sandbox::ran();
    for (model, part) in [
        ("last:rows", "is no model but dataset"),
        ("last:nothing", "has no instance `nothing`"),
        ("nothing", "write the folder of one, or RUN:STEP"),
        (".", "config.json"),
    ] {
        let outcome = chat(&sandbox, &[model], "");
        assert!(outcome.code.is_some_and(|code| code != 0), "{model}");
        assert!(outcome.err.contains(part), "{model}: {}", outcome.err);
    }
    let outcome = chat(&sandbox, &["last:base", "--plain", "--set", "max_new_tokens=128"], "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("below the context, 128"), "{}", outcome.err);
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_an_answer_and_not_the_program() {
    let sandbox = Sandbox::ran();
    folder(&sandbox, "base");
    // room for an answer that no one would wait for
    edit(&sandbox, "config.json", |config| {
        config["max_position_embeddings"] = 200_000.into();
    });
    edit(&sandbox, "config.json", |config| config["eos_token_id"] = Value::Null);
    edit(&sandbox, "generation_config.json", |config| {
        config["eos_token_id"] = Value::Array(Vec::new());
    });
    let mut child = sandbox
        .command(&["chat", "model", "--device", "cpu", "--set", "max_new_tokens=100000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    input.write_all(b"Ana: yes.\n").unwrap();
    output.read_exact(&mut [0; 4]).unwrap(); // the answer has begun
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    input.write_all(b"/max_new_tokens 3\n/history off\nAna: no.\n").unwrap();
    drop(input);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.contains("; stopped"), "{told}");
    assert!(told.contains("3 tokens from"), "it answered again: {told}");
}
