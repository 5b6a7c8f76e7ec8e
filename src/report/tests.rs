//! Tests of the report as a whole, over an experiment that is made up but scored for real.
//!
//! To look at its pages: `FRAGUA_REPORT_OUT=/tmp/report cargo test --release --lib report::` (`en/`, `es/`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::metrics::{self, Sample, Settings};
use crate::seed::Seed;
use crate::step::{Ancestor, ArtifactType, Digest, Input};

/// A text that would break out of every place that does not escape it.
const HOSTILE: &str = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>{{ 7 * 7 }}<!--";

struct Experiment {
    folder: tempfile::TempDir,
    lineage: Vec<Ancestor>,
    inputs: Vec<Input>,
}

impl Experiment {
    fn add(
        &mut self,
        step: &str,
        kind: &str,
        artifact: ArtifactType,
        axes: &[(&str, &str)],
        settings: Value,
        inputs: &[&str],
    ) -> PathBuf {
        let axes: Vec<(String, String)> = axes.iter().map(|(a, v)| ((*a).to_owned(), (*v).to_owned())).collect();
        let instance = format!("{step}{}", crate::step::axes_label(&axes));
        let path = self.folder.path().join(self.lineage.len().to_string());
        std::fs::create_dir_all(&path).unwrap();
        self.lineage.push(Ancestor {
            digest: Digest::of(instance.as_bytes()),
            instance,
            step: step.to_owned(),
            kind: kind.to_owned(),
            axes,
            settings,
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            artifact,
            path: path.clone(),
        });
        path
    }
}

fn write_json(path: PathBuf, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

/// Models that copy a share of the reference, in 9 settings over a few samples.
fn experiment(hostile: &str) -> Experiment {
    let mut made = Experiment {
        folder: tempfile::tempdir().unwrap(),
        lineage: Vec::new(),
        inputs: Vec::new(),
    };
    use ArtifactType as A;
    made.add("dialogues", "dataset", A::Dataset, &[], json!({"generate": {"grammar": "../datasets/stories.jinja", "rows": 20000}, "split": {"train": 0.9, "validation": 0.05, "test": 0.05}}), &[]);
    made.add(
        "tokenizer",
        "tokenize",
        A::Tokenizer,
        &[],
        json!({"data": "dialogues.train", "algorithm": "bpe", "vocab_size": 1024}),
        &["dialogues"],
    );
    let encoded = made.add(
        "encode(dialogues, tokenizer)",
        "encode",
        A::Tokens,
        &[],
        json!({"data": "dialogues"}),
        &["dialogues", "tokenizer"],
    );
    std::fs::create_dir(encoded.join("train")).unwrap();
    write_json(
        encoded.join("train/statistics.json"),
        &json!({
            "version": 1, "vocab_size": 1024, "used": 1001, "tokens": 5000, "bytes": 17500, "characters": 17400,
            "words": 4000, "frequent": [{"id": 3, "token": format!("·the{hostile}"), "count": 1234}],
            "longest": [{"id": 9, "token": "·conversation", "count": 7}],
        }),
    );
    let base = made.add(
        "base",
        "pretrain",
        A::Model,
        &[],
        json!({"model": {"architecture": "llama", "layers": 4}, "train": {"updates": 800}, "note": hostile}),
        &["encode(dialogues, tokenizer)", "tokenizer"],
    );
    made.add(
        "encode(dialogues, base.tokenizer)",
        "encode",
        A::Tokens,
        &[],
        json!({"data": "dialogues"}),
        &["dialogues", "base"],
    );
    let tuned = made.add(
        "tuned",
        "finetune",
        A::Model,
        &[],
        json!({"model": "base", "train": {"epochs": 3}}),
        &["base", "encode(dialogues, base.tokenizer)"],
    );
    let int8 = made.add(
        "int8",
        "quantize",
        A::Model,
        &[],
        json!({"model": "tuned", "format": "int8"}),
        &["tuned"],
    );
    curve(&base, 800, 6.9, 2.1);
    curve(&tuned, 300, 2.4, 0.9);
    let error = json!({"max_error": 0.0031, "mean_error": 0.0004, "snr_db": 43.27});
    write_json(
        int8.join("quantization.json"),
        &json!({"version": 1, "format": "int8", "granularity": "channel", "bytes_before": 3_412_004, "bytes_after": 893_211, "saving": 0.738, "error": error, "tensors": [{"name": "model.embed_tokens.weight", "shape": [1024, 128], "dtype": "I8", "max_error": 0.0031, "snr_db": 43.2}]}),
    );
    for (model, skill) in [("base", 2), ("tuned", 7), ("int8", 6)] {
        for shots in ["0", "1", "3"] {
            let axes = [("model", model), ("shots", shots)];
            made.add(
                "answers",
                "generate",
                A::Generations,
                &axes,
                json!({"model": model, "prompt": {"shots": shots}}),
                &[model, "dialogues"],
            );
            let answers = made.lineage.last().unwrap().instance.clone();
            let samples = (0..30)
                .map(|i| sample(i, skill + shots.parse::<usize>().unwrap() / 2, hostile))
                .collect();
            let scores = metrics::score(samples, &metrics::all(&Settings::default()), Seed::root(1)).unwrap();
            let path = made.add(
                "scores",
                "evaluate",
                A::Scores,
                &axes,
                json!({"metrics": ["rouge"]}),
                &[&answers],
            );
            write_json(
                path.join("scores.json"),
                &json!({"version": 1, "scores": scores.scores}),
            );
            let lines: Vec<_> = scores.samples.iter().map(|sample| json!(sample).to_string()).collect();
            std::fs::write(path.join("samples.jsonl"), lines.join("\n")).unwrap();
            made.input();
        }
    }
    for model in ["base", "tuned", "int8"] {
        let path = made.add(
            "perplexities",
            "evaluate",
            A::Scores,
            &[("model", model)],
            json!({}),
            &[model],
        );
        let tokens = "encode(dialogues, base.tokenizer)";
        made.lineage.last_mut().unwrap().inputs.push(tokens.into());
        let score = metrics::perplexity(7.0 * model.len() as f64 * 40.0, 1000, "context:256|stride:256").unwrap();
        write_json(path.join("scores.json"), &json!({"version": 1, "scores": [score]}));
        std::fs::write(path.join("samples.jsonl"), "").unwrap();
        made.input();
    }
    made
}

impl Experiment {
    /// The report reads the last instance.
    fn input(&mut self) {
        let last = self.lineage.last().unwrap();
        self.inputs.push(Input {
            text: last.instance.clone(),
            instance: last.instance.clone(),
            step: last.step.clone(),
            kind: last.kind.clone(),
            artifact: last.artifact,
            part: None,
            parts: Vec::new(),
            architecture: None,
            axes: last.axes.clone(),
            path: last.path.clone(),
            digest: Some(last.digest.clone()),
        });
    }

    fn write(&self, options: &Options, out: &Path) -> [String; 3] {
        let inputs: Vec<&Input> = self.inputs.iter().collect();
        write(&read(&inputs, &self.lineage).unwrap(), options, out).unwrap();
        ["index.html", "scores.csv", "samples.csv"].map(|name| std::fs::read_to_string(out.join(name)).unwrap())
    }
}

fn curve(model: &Path, updates: u64, from: f64, to: f64) {
    let mut lines = String::new();
    for update in (0..=updates).step_by(5) {
        let share = (-(update as f64) / (updates as f64 / 4.0)).exp();
        let loss = to + (from - to) * share;
        let noise = ((update * 7919) % 97) as f64 / 97.0 - 0.5;
        if update > 0 {
            lines += &json!({"update": update, "tokens": update * 4096, "train_loss": loss + 0.12 * noise}).to_string();
            lines.push('\n');
        }
        if update % (updates / 10) == 0 {
            lines += &json!({"update": update, "tokens": update * 4096, "validation_loss": loss + 0.05}).to_string();
            lines.push('\n');
        }
    }
    std::fs::write(model.join("metrics.jsonl"), lines).unwrap();
    write_json(
        model.join("training.json"),
        &json!({"version": 1, "updates": updates, "tokens": updates * 4096, "parameters": 851_200, "train_loss": to}),
    );
}

fn sample(i: usize, skill: usize, hostile: &str) -> Sample {
    let (who, what, place) = (
        ["Ana", "Tom", "Nadia", "Luis"][i % 4],
        ["a red kite", "the old map", "two lemons"][i % 3],
        ["market", "harbour", "library", "school"][i / 2 % 4],
    );
    let reference = format!("{who} is looking for {what} near the {place}, and a friend offers to help.");
    let words: Vec<&str> = reference.split(' ').collect();
    let output: Vec<&str> = words
        .iter()
        .enumerate()
        .map(|(at, word)| if (at * 7 + i) % 10 < skill { *word } else { "then" })
        .collect();
    Sample {
        id: format!("d-{i:03}"),
        prompt: format!(
            "Summarize the dialogue in one sentence.\n\n{who}: Have you seen {what}?\nSam: Maybe near the {place}. I can help you look.{hostile}\n\nSummary:"
        ),
        output: if i == 4 {
            String::new()
        } else {
            output.join(" ") + hostile
        },
        references: vec![reference],
        finish: if i % 5 == 1 { "length" } else { "eos" }.to_owned(),
        prompt_tokens: 47,
        output_tokens: 17,
    }
}

fn options() -> Options {
    Options {
        title: "dialogue-lab".into(),
        about: "Pre-train a small model, tune it on instructions, quantize it, and see what each did.".into(),
        baseline: [("model", "base"), ("shots", "0")]
            .map(|(a, v)| (a.to_owned(), v.to_owned()))
            .into(),
        ..Options::default()
    }
}

/// Where a page is written: below FRAGUA_REPORT_OUT if that is set, to be looked at after the test.
fn to_look_at(name: &str, instead: &tempfile::TempDir) -> PathBuf {
    let folder = std::env::var_os("FRAGUA_REPORT_OUT").map(|out| PathBuf::from(out).join(name));
    let folder = folder.unwrap_or_else(|| instead.path().to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_same_material_gives_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = to_look_at("en", &one);
    let first = experiment("").write(&options(), &out);
    assert_eq!(first, experiment("").write(&options(), other.path()));
    for table in ["scores.parquet", "samples.parquet", "paired.parquet"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(table)).unwrap();
        assert_eq!(bytes(&out), bytes(other.path()), "{table}");
    }
    let [page, scores, samples] = first;
    assert!(
        page.contains("tuned · shots 3 has the highest ROUGE‑L"),
        "{}",
        &page[..3000]
    );
    assert_eq!(page.matches(RUN_FACTS).count(), 1);
    assert!(scores.starts_with("generations,model,shots,metric,value,n,low,high,signature\nanswers,base,0,rouge1,0."));
    assert!(scores.contains("\nbase,base,,perplexity,"));
    // as many metrics of each of nine systems, and the perplexities of three models
    let metrics = scores
        .lines()
        .filter(|line| line.starts_with("answers,base,0,"))
        .count();
    assert!(metrics >= 9);
    assert_eq!(scores.lines().count(), 1 + 9 * metrics + 3);
    assert!(
        samples.starts_with(
            "generations,model,shots,id,prompt,output,references,finish,prompt_tokens,output_tokens,rouge1"
        )
    );
}

#[test]
fn spanish_pages_are_spanish() {
    let out = tempfile::tempdir().unwrap();
    let [page, scores, _] = experiment("").write(
        &Options {
            language: Language::Es,
            ..options()
        },
        &to_look_at("es", &out),
    );
    assert!(page.contains("<html lang=\"es\">") && page.contains("tiene el valor más alto de ROUGE‑L, 0,"));
    assert!(scores.contains(",0."), "CSV files keep the decimal point");
    for part in ["tokens por palabra", "3,50", "1,25", "·conversation"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn text_from_data_and_models_is_escaped_everywhere() {
    let out = tempfile::tempdir().unwrap();
    let mut options = options();
    options.title = HOSTILE.into();
    options.about = HOSTILE.into();
    let mut experiment = experiment(HOSTILE);
    for ancestor in &mut experiment.lineage {
        ancestor.kind = format!("{}{HOSTILE}", ancestor.kind);
    }
    let [page, ..] = experiment.write(&options, out.path());
    assert!(!page.contains("<script>alert") && !page.contains("<img") && page.matches("<!--").count() == 4);
    let scripts = page.matches("<script ").count();
    assert_eq!(page.matches("</script>").count(), scripts);
    let nonce = page
        .split("script-src 'nonce-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let inert = page.matches("<script type=\"application/json\"").count();
    let run = page.matches(&format!("<script nonce=\"{nonce}\">")).count();
    assert_eq!((run, inert + run), (1, scripts), "one script runs, the others are data");
    assert!(
        !page.contains("{{ 7") || page.contains("{{ 7 * 7 }}"),
        "templates in data are text"
    );
}

#[test]
fn the_page_loads_nothing() {
    let out = tempfile::tempdir().unwrap();
    let [page, ..] = experiment("").write(&options(), out.path());
    for link in ["http://", "https://", "src=", "@import", "url("] {
        let own = page.matches("url(#").count() * usize::from(link == "url(");
        let found = page.matches(link).count() - own;
        assert_eq!(found, 0, "{link}");
    }
}

#[test]
fn a_partial_baseline_compares_in_the_same_setting() {
    let experiment = experiment("");
    let inputs: Vec<&Input> = experiment.inputs.iter().collect();
    let material = read(&inputs, &experiment.lineage).unwrap();
    let baseline = [("model".to_owned(), "base".to_owned())].into();
    let found = ranking::baselines(&material.groups[0], &baseline);
    assert_eq!(found, [0, 1, 2, 0, 1, 2, 0, 1, 2].map(Some));
    let found = ranking::baselines(&material.groups[1], &baseline);
    assert_eq!(found, [Some(0), Some(0), Some(0)]);
}

#[test]
fn a_single_system_without_axes_or_baseline_is_a_report_too() {
    let mut experiment = experiment("");
    experiment.inputs.truncate(1);
    experiment.inputs[0].axes.clear();
    let out = tempfile::tempdir().unwrap();
    let [page, scores, _] = experiment.write(&Options::default(), out.path());
    assert!(page.contains("answers: ROUGE‑L 0."));
    assert!(scores.starts_with("generations,metric,value"));
}

#[test]
fn a_difference_is_supported_where_tests_support_it() {
    let experiment = experiment("");
    let inputs: Vec<&Input> = experiment.inputs.iter().collect();
    let material = read(&inputs, &experiment.lineage).unwrap();
    let group = &material.groups[0];
    let found = significance::significance(group, &options().baseline).unwrap();
    assert_eq!(found.samples, 30);
    // base with one example is as base with none; tuned is far from it
    let of = |instance: &str| {
        group
            .systems
            .iter()
            .position(|system| system.instance == instance)
            .unwrap()
    };
    let supported = |instance: &str| found.from_baseline[of(instance)]["rougeL"].supported;
    assert!(!supported("answers[model=base,shots=1]"));
    assert!(supported("answers[model=tuned,shots=0]"));
    assert!(found.from_baseline[of("answers[model=base,shots=0]")].is_empty());
    assert!(found.from_best[of("answers[model=base,shots=0]")].unwrap().supported);
    assert_eq!(found.from_best[of("answers[model=tuned,shots=3]")], None);
}

#[test]
fn samples_that_do_not_fit_the_page_are_in_files() {
    let out = tempfile::tempdir().unwrap();
    let mut experiment = experiment("");
    // long prompts: a few megabytes in all
    for input in &experiment.inputs {
        let path = input.path.join("samples.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            path,
            text.replace("Summarize the dialogue", &"Summarize the dialogue ".repeat(800)),
        )
        .unwrap();
    }
    experiment.inputs.truncate(9);
    let [page, ..] = experiment.write(&options(), out.path());
    assert!(page.len() < 2 << 20, "{}", page.len());
    let first = std::fs::read_to_string(out.path().join("samples/1/0.js")).unwrap();
    assert!(first.starts_with("fragua.chunk(1,0,[{\"i\":\"d-000\"") && first.ends_with("]);\n"));
    let scores = std::fs::read_to_string(out.path().join("samples/1/metric-0.js")).unwrap();
    assert!(scores.starts_with("fragua.values(1,\"rouge1\",[["), "{}", &scores[..80]);
}

/// The rows of a Parquet file as JSON objects.
fn parquet_rows(path: &Path) -> Vec<Value> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let cell = |(name, field): (&String, &Field)| {
        let value = match field {
            Field::Null => Value::Null,
            Field::Str(text) => json!(text),
            Field::Long(whole) => json!(whole),
            Field::Double(number) => json!(number),
            other => panic!("{name}: {other}"),
        };
        (name.clone(), value)
    };
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().get_column_iter().map(cell).collect())
        .collect()
}

#[test]
fn parquet_holds_what_the_csv_files_hold() {
    let made = experiment(HOSTILE);
    let out = tempfile::tempdir().unwrap();
    let [_, scores, samples] = made.write(&Options::default(), out.path());
    for (csv, name) in [(scores, "scores.parquet"), (samples, "samples.parquet")] {
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let head = csv.headers().unwrap().clone();
        let lines: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
        let rows = parquet_rows(&out.path().join(name));
        assert_eq!(rows.len(), lines.len(), "{name}");
        for (row, line) in rows.iter().zip(&lines) {
            for (column, cell) in head.iter().zip(line) {
                match &row[column] {
                    Value::Null => assert_eq!(cell, "", "{name}: {column}"),
                    Value::Number(number) => {
                        let (ours, theirs) = (number.as_f64().unwrap(), cell.parse::<f64>().unwrap());
                        assert!((ours - theirs).abs() <= 1e-12 * theirs.abs(), "{name}: {column}");
                    }
                    value => assert_eq!(
                        value.as_str().unwrap(),
                        cell.trim_start_matches('\''),
                        "{name}: {column}"
                    ),
                }
            }
        }
    }
}

#[test]
fn paired_scores_are_those_of_each_system_s_samples() {
    let made = experiment("");
    let out = tempfile::tempdir().unwrap();
    made.write(&Options::default(), out.path());
    let samples = parquet_rows(&out.path().join("samples.parquet"));
    let paired = parquet_rows(&out.path().join("paired.parquet"));
    let systems: Vec<&String> = paired[0].as_object().unwrap().keys().skip(3).collect();
    assert_eq!(systems.len(), 9);
    let mut found = 0;
    for row in &paired {
        let metric = row["metric"].as_str().unwrap();
        let mut theirs: Vec<f64> = samples
            .iter()
            .filter(|sample| sample["id"] == row["id"])
            .map(|sample| sample[metric].as_f64().unwrap())
            .collect();
        let mut ours: Vec<f64> = systems
            .iter()
            .map(|system| row[system.as_str()].as_f64().unwrap())
            .collect();
        theirs.sort_by(f64::total_cmp);
        ours.sort_by(f64::total_cmp);
        assert_eq!(ours, theirs, "{metric}");
        found += ours.len();
    }
    assert_eq!(found % samples.len(), 0);
    assert!(found >= samples.len());
}
