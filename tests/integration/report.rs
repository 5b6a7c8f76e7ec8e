//! Reports in a real browser: Chromium opens the page from disk, a script works it as a reader would and
//! looks for what is wrong. Without Chromium the tests say so and pass; in CI it must be there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fragua::metrics::{Sample, Score, ScoredSample};
use fragua::report::{Group, IndexedRun, Language, Material, Options, System, index, write};
use serde_json::{Map, Value, json};

use super::support::Sandbox;

/// Texts that would do harm in a page, a table or a terminal that took them for more than text.
const HOSTILE: &[&str] = &[
    "</script><script>window.HURT = 1</script>",
    "<img src=x onerror='window.HURT = 1'><svg onload=window.HURT=1>",
    "<!-- --> ]]> {{ 7 * 7 }} ${window.HURT = 1} `\" ' &amp; &#60;",
    "\u{202e}right to left\u{2066} \u{5d0}\u{5d1}\u{5d2} \u{627}\u{644}\u{633}\u{644}\u{627}\u{645} \u{200f}",
    "nul \u{0} bell \u{7} escape \u{1b}[31m line \u{2028} paragraph \u{2029} end",
    "=HYPERLINK(\"http://example.invalid\")",
    "emoji 👩‍👩‍👧‍👦 🇪🇸 e\u{301} \u{1d518} 你好",
];

/// The path of Chromium; `None` where there is none and none is required.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    assert!(
        found.is_some() || std::env::var_os("CI").is_none_or(|value| value != "true"),
        "CI has no Chromium"
    );
    if found.is_none() {
        println!("skipped: no Chromium on the path");
    }
    found
}

/// Opens a page that is `width` pixels wide, lets the check work it, and gives what it learnt. Whatever the check
/// holds against the page, and whatever the browser says about it on its console, fails the test.
fn work(page: &Path, width: u32, needle: Option<&str>) -> Option<Value> {
    let browser = chromium()?;
    let text = std::fs::read_to_string(page).unwrap();
    let nonce = text.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    let mut check = String::new();
    if let Some(needle) = needle {
        check += &format!(
            "window.NEEDLE = {};\n",
            json!(needle).to_string().replace('<', "\\u003c")
        );
    }
    check += include_str!("report_check.js");
    let (before, after) = text.rsplit_once("</body>").unwrap();
    let beside = page.with_file_name(format!("check-{width}.html"));
    std::fs::write(
        &beside,
        format!("{before}<script nonce=\"{nonce}\">{check}</script></body>{after}"),
    )
    .unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox", // a container has no user namespaces
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=60000",
            "--dump-dom",
        ])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", beside.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    std::fs::remove_file(&beside).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    let page = String::from_utf8_lossy(&output.stdout);
    let verdict = page
        .rsplit_once("<pre id=\"verdict\">")
        .unwrap_or_else(|| panic!("no verdict: {said}"))
        .1;
    let verdict = verdict.split_once("</pre>").unwrap().0;
    let verdict = verdict
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&");
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["found"], json!([]), "{verdict:#}");
    Some(verdict["facts"].clone())
}

/// Systems that share samples, whose artifacts are written below a folder.
fn material(folder: &Path, systems: usize, rows: usize, text: &dyn Fn(usize, usize) -> Sample) -> Material {
    let system = |system: usize| {
        let artifact = folder.join(system.to_string());
        std::fs::create_dir_all(&artifact).unwrap();
        let mut lines = String::new();
        let mut sum = 0.0;
        for row in 0..rows {
            let value = f64::from(u32::try_from((row * 7919 + system * 13) % 1000).unwrap()) / 1000.0;
            sum += value;
            let scored = ScoredSample {
                sample: text(system, row),
                scores: Map::from_iter([("accuracy".to_owned(), json!(value))]),
                statistics: Map::new(),
                slices: Default::default(),
            };
            lines += &serde_json::to_string(&scored).unwrap();
            lines.push('\n');
        }
        let value = sum / rows as f64;
        let score = Score {
            metric: "accuracy".into(),
            value,
            n: rows as u64,
            low: Some(value - 0.01),
            high: Some(value + 0.01),
            signature: "accuracy|test".into(),
            details: Map::new(),
        };
        std::fs::write(artifact.join("samples.jsonl"), lines).unwrap();
        std::fs::write(
            artifact.join("scores.json"),
            json!({"version": 1, "scores": [score]}).to_string(),
        )
        .unwrap();
        System {
            instance: format!("answers[model=m{system}]"),
            generations: "answers".into(),
            axes: vec![("model".into(), format!("m{system}"))],
            scores: vec![score],
            files: vec![artifact.join("samples.jsonl")],
            samples: rows as u64,
            ..System::default()
        }
    };
    let group = Group {
        title: "answers".into(),
        axes: vec!["model".into()],
        systems: (0..systems).map(system).collect(),
    };
    Material {
        groups: vec![group],
        ..Material::default()
    }
}

fn sample(system: usize, row: usize) -> Sample {
    Sample {
        id: format!("row-{row}"),
        prompt: format!("Summarize dialogue number {row}, in which two people look for a lost key near the station."),
        output: format!(
            "Somebody {} the key at place {row}.",
            ["finds", "loses", "sells"][system % 3]
        ),
        references: vec![format!("Ana finds the key at place {row}.")],
        finish: if row.is_multiple_of(9) { "length" } else { "eos" }.into(),
        prompt_tokens: 21,
        output_tokens: 9,
    }
}

#[test]
fn a_report_of_a_run_works_in_a_browser_in_both_languages_and_widths() {
    if chromium().is_none() {
        return;
    }
    let sandbox = Sandbox::tiny();
    for (language, width) in [("en", 1280), ("es", 400)] {
        if language == "es" {
            sandbox.edit(
                "baseline: {model: base, shots: 0}",
                "baseline: {model: base, shots: 0}, language: es",
            );
        }
        let run = sandbox.run(&[]);
        let page = PathBuf::from(run["report"].as_str().unwrap());
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(&format!("<html lang=\"{language}\">")));
        let facts = work(&page, width, None).unwrap();
        assert!(facts["samples"].as_str().unwrap().contains('9'), "{facts}");
    }
    // both runs are in the index, the newer one first
    let runs = std::fs::read_to_string(sandbox.path().join("reports/index.html")).unwrap();
    let runs = runs.replace("&#x2f;", "/");
    assert_eq!(runs.matches("<tr><th scope=\"row\">").count(), 2);
    assert!(runs.contains("href=\"tiny/index.html\"") && runs.contains("href=\"../.fragua/objects/"));
}

#[test]
fn hostile_data_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = |system: usize, row: usize| {
        let hostile = HOSTILE[row % HOSTILE.len()];
        let mut sample = sample(system, row);
        sample.id = format!("{row} {hostile}");
        sample.prompt += hostile;
        sample.output = match row {
            3 => "word ".repeat(200_000),
            _ => format!("{hostile} {}", sample.output),
        };
        sample.references.push(hostile.to_owned());
        sample
    };
    let mut material = material(&folder.path().join("made"), 2, 30, &text);
    for (system, hostile) in material.groups[0].systems.iter_mut().zip(HOSTILE) {
        system.axes[0].1 = format!("{}{hostile}", system.axes[0].1);
    }
    let options = Options {
        title: HOSTILE.join(" "),
        about: HOSTILE.join(" "),
        ..Options::default()
    };
    let out = folder.path().join("report");
    std::fs::create_dir(&out).unwrap();
    write(&material, &options, &out).unwrap();
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.len() < 2_000_000, "{}", page.len());
    for table in ["samples.csv", "scores.csv"] {
        let mut rows = csv::Reader::from_path(out.join(table)).unwrap();
        for cell in rows
            .records()
            .flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
        {
            let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
            assert!(!formula, "{table}: {cell}");
        }
    }
    let markdown = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(!markdown.contains("<script") && !markdown.contains("<img"));
    if let Some(facts) = work(&out.join("index.html"), 1280, Some("dialogue number 29,")) {
        assert_eq!(facts["found"], json!(["29"]));
    }
}

#[test]
fn a_hundred_thousand_samples_open_at_once_and_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let material = material(&folder.path().join("made"), 2, 50_000, &sample);
    let out = std::env::var_os("FRAGUA_REPORT_OUT").map_or(folder.path().join("report"), PathBuf::from);
    std::fs::create_dir_all(&out).unwrap();
    let options = Options {
        title: "large".into(),
        baseline: [("model".to_owned(), "m0".to_owned())].into(),
        language: Language::En,
        ..Options::default()
    };
    write(&material, &options, &out).unwrap();
    let page = std::fs::metadata(out.join("index.html")).unwrap().len();
    assert!(page < 2_000_000, "{page} bytes");
    let files = std::fs::read_dir(out.join("samples/1")).unwrap().count();
    assert!(files > 40, "{files} files");
    if let Some(facts) = work(&out.join("index.html"), 1280, Some("place 49999.")) {
        assert!(facts["samples"].as_str().unwrap().contains("50,000"), "{facts}");
        assert_eq!(facts["found"], json!(["49999"]), "{facts}");
        assert_eq!(facts["last"].as_array().unwrap().last().unwrap(), "49999");
    }
}

#[test]
fn runs_are_compared_in_one_page() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&["--name", "narrow"]);
    sandbox.run(&["--name", "wide", "--set", "width=48"]);
    let outcome = sandbox.fragua(&["report", "narrow", "wide"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(
        outcome.out.contains("report: reports/compare-narrow-wide/index.html"),
        "{}",
        outcome.out
    );
    let folder = sandbox.path().join("reports/compare-narrow-wide");
    let scores = std::fs::read_to_string(folder.join("scores.csv")).unwrap();
    assert!(
        scores.starts_with("generations,run,model,shots,metric,value"),
        "{scores}"
    );
    assert!(scores.contains("answers,narrow,base,0,") && scores.contains("answers,wide,base,0,"));
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.contains("narrow: base") && page.contains("wide: base"));
    let refused = sandbox.fragua(&["report", "narrow", "wide", "--baseline", "run=x"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("its values are: narrow, wide"), "{}", refused.err);
    if chromium().is_some() {
        work(&folder.join("index.html"), 1280, None);
    }
}

#[test]
fn after_a_run_the_terminal_shows_the_comparison() {
    let sandbox = Sandbox::tiny();
    let outcome = sandbox.fragua(&["run", "pipeline.yaml", "--device", "cpu"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(outcome.out.contains("base · shots 0 (baseline)"), "{}", outcome.out);
    assert!(outcome.out.contains("ROUGE-L ↑"), "{}", outcome.out);
    assert!(
        outcome.out.ends_with("report: reports/tiny/index.html\n"),
        "{}",
        outcome.out
    );
    let quiet = sandbox.fragua(&["run", "pipeline.yaml", "--device", "cpu", "--quiet"]);
    assert_eq!(quiet.out.lines().count(), 1, "{}", quiet.out);
}

#[test]
fn an_index_takes_names_as_text() {
    let run = IndexedRun {
        run: "20260101-000000-1".into(),
        name: HOSTILE[0].into(),
        pipeline: HOSTILE[1].into(),
        ..IndexedRun::default()
    };
    let page = index(&[run], 1).unwrap();
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<img"));
}
