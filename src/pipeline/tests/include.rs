//! Pipelines in several files.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
        fs::write(path, text).expect("writes");
    }
    let path = folder.path().join(files[0].0);
    (folder, path)
}

fn load_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Pipeline, Diagnostics>) {
    let (folder, path) = folder(files);
    let outcome = crate::pipeline::load(&path, &LoadOptions::default(), KINDS);
    (folder, outcome)
}

const MAIN: &str = "pipeline: p\ninclude: [shared/data.yaml, shared/more.yaml]\nsteps:\n  words:\n    uses: tokenize\n    \
    with: {data: rows.train, algorithm: bpe, vocab_size: '${params.size}'}\n";
const DATA: &str = "include: params.yaml\nsteps:\n  rows:\n    uses: dataset\n    \
    with: {files: rows.jsonl, split: {train: 1}}\n";

#[test]
fn parameters_and_steps_come_from_several_files() {
    let (folder, pipeline) = load_files(&[
        ("lab/main.yaml", MAIN),
        ("lab/shared/data.yaml", DATA),
        ("lab/shared/params.yaml", "params: {size: 300, unused: 1}\n"),
        // read once, though two files include it
        (
            "lab/shared/more.yaml",
            "include: [params.yaml]\nsteps: {other: {uses: dataset, with: {files: ../o.jsonl}}}\n",
        ),
    ]);
    let pipeline = pipeline.expect("loads");
    assert_eq!(names(&pipeline), ["rows", "words", "other"]);
    assert!(pipeline.warnings.is_empty(), "{:?}", pipeline.warnings);
    // paths are relative to the file that they are written in
    let rows = instance(&pipeline, "rows");
    let written = folder.path().join("lab/shared/rows.jsonl");
    assert_eq!(rows.settings["files"], written.to_str().expect("text"));
    assert_eq!(rows.shown["files"], "rows.jsonl");
    let other = instance(&pipeline, "other").settings["files"].as_str().expect("text");
    assert!(other.ends_with("o.jsonl") && other.contains("shared"), "{other}");
    assert_eq!(rows.at.line, 3);
    let sources: Vec<_> = pipeline
        .sources
        .iter()
        .map(|(path, _)| {
            path.strip_prefix(folder.path())
                .expect("inside")
                .to_str()
                .expect("text")
        })
        .collect();
    assert_eq!(
        sources,
        [
            "lab/main.yaml",
            "lab/shared/data.yaml",
            "lab/shared/params.yaml",
            "lab/shared/more.yaml"
        ]
    );
    assert_eq!(pipeline.sources[2].1, "params: {size: 300, unused: 1}\n");
}

#[test]
fn a_problem_names_its_file_and_the_other_place() {
    let (folder, problems) = load_files(&[
        (
            "main.yaml",
            &MAIN.replace("size: '${params.size}'", "size: '${params.szie}'"),
        ),
        ("shared/data.yaml", &DATA.replace("split:", "splt:")),
        ("shared/params.yaml", "params: {size: 300}\n"),
        ("shared/more.yaml", "steps:\n  words:\n    uses: tokenise\n"),
    ]);
    let told: Vec<String> = problems
        .expect_err("is wrong")
        .0
        .iter()
        .map(ToString::to_string)
        .collect();
    let name = |file: &str| folder.path().join(file).display().to_string();
    assert_eq!(told.len(), 4, "{told:#?}");
    for (told, file, words) in [
        (
            &told[0],
            "main.yaml",
            ":6:58: `params` has no `szie`; did you mean `size`?",
        ),
        (&told[1], "shared/data.yaml", ":5:31: step `rows` has no setting `splt`"),
        (
            &told[2],
            "shared/more.yaml",
            ":2:3: the step `words` is in another file too",
        ),
        (&told[3], "shared/more.yaml", ":3:11: `uses` of step `words` must be"),
    ] {
        assert!(told.starts_with(&format!("{}{words}", name(file))), "{told}");
    }
}

#[test]
fn a_placeholder_s_value_is_shown_in_its_file() {
    let (folder, problems) = load_files(&[
        ("main.yaml", MAIN),
        ("shared/data.yaml", DATA),
        ("shared/params.yaml", "params:\n  size: 0\n"),
        ("shared/more.yaml", "params: {}\n"),
    ]);
    let problems = problems.expect_err("is wrong");
    assert_eq!(problems.0.len(), 1, "{problems}");
    let rendered = problems
        .render(false)
        .replace(&format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR), "");
    assert!(rendered.contains("--> shared/params.yaml:2:9"), "{rendered}");
    assert!(rendered.contains("::: main.yaml:6"), "{rendered}");
    assert!(rendered.contains("used here"), "{rendered}");
}

#[test]
fn what_cannot_be_included_is_told() {
    for (files, words) in [
        (
            vec![("a.yaml", "pipeline: p\ninclude: a.yaml\nsteps: {}\n")],
            "include each other",
        ),
        (
            vec![
                ("a.yaml", "pipeline: p\ninclude: [b.yaml]\nsteps: {}\n"),
                ("b.yaml", "include: ./a.yaml\n"),
            ],
            "include each other",
        ),
        (
            vec![("a.yaml", "pipeline: p\ninclude: no.yaml\nsteps: {}\n")],
            "cannot include `",
        ),
        (
            vec![
                ("a.yaml", "pipeline: p\ninclude: b.yaml\nsteps: {}\n"),
                ("b.yaml", "pipeline: q\n"),
            ],
            "`pipeline` belongs to the file that includes this one",
        ),
        (
            vec![
                ("a.yaml", "pipeline: p\ninclude: b.yaml\nsteps: {}\n"),
                ("b.yaml", "- 1\n"),
            ],
            "give it `params:` or `steps:`",
        ),
        (
            vec![
                ("a.yaml", "pipeline: p\ninclude: b.yaml\nsteps: {}\n"),
                ("b.yaml", "steps: [\n"),
            ],
            "this is not YAML",
        ),
        (
            vec![("a.yaml", "pipeline: p\ninclude: '${params.x}.yaml'\nsteps: {}\n")],
            "a path without placeholders",
        ),
        (
            vec![
                ("a.yaml", "pipeline: p\ninclude: b.yaml\nparams: {x: 1}\nsteps: {}\n"),
                ("b.yaml", "params: {x: 2}\n"),
            ],
            "the parameter `x` is in another file too",
        ),
    ] {
        let (_folder, problems) = load_files(&files);
        let told = problems.expect_err("is wrong").to_string();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_long_row_of_includes_is_refused() {
    let mut files = vec![(
        "0.yaml".to_owned(),
        "pipeline: p\ninclude: 1.yaml\nsteps: {d: {uses: dataset, with: {files: x}}}\n".to_owned(),
    )];
    files.extend((1..=9).map(|number| (format!("{number}.yaml"), format!("include: {}.yaml\n", number + 1))));
    files.push(("10.yaml".into(), "params: {x: 1}\n".into()));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let (_folder, problems) = load_files(&files);
    let told = problems.expect_err("is wrong").to_string();
    assert!(told.contains("more than 8 files include each other"), "{told}");
}
