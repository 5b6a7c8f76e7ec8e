//! Reports, where people look for them: the artifact's files, and in the page the facts of the run,
//! which the artifact cannot have since it must not depend on them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::record::RunRecord;
use super::run::{ExecuteError, Options};
use crate::pipeline::Pipeline;
use crate::plan::Made;
use crate::step::ArtifactType;
use crate::store::{StoreError, write_atomic};

/// Copies every report that is made to `reports/PIPELINE/` (with several, to a folder each below
/// it), the page last: whoever sees it finds what it loads. `folder` is the run's. The absolute path
/// of the (last) page.
pub(super) fn export(
    pipeline: &Pipeline,
    made: &[Option<Arc<Made>>],
    record: &RunRecord,
    folder: &Path,
    options: &Options<'_>,
) -> Result<Option<String>, ExecuteError> {
    let all = pipeline.instances.iter().zip(made);
    let all: Vec<_> = all
        .filter(|(instance, _)| instance.kind.output == ArtifactType::Report)
        .collect();
    let reports = std::path::absolute(&options.reports).map_err(StoreError::file("find", &options.reports))?;
    let root = reports.join(file_name(&pipeline.name));
    let mut page = None;
    for (instance, made) in &all {
        let Some(made) = made else { continue };
        let to = if all.len() == 1 {
            root.clone()
        } else {
            root.join(file_name(&instance.name))
        };
        let files = &made.object.manifest.files;
        let (pages, others): (Vec<_>, Vec<_>) = files.keys().partition(|name| name.as_str() == PAGE);
        for name in others {
            copy(&made.object.path.join(name), &to.join(name))?;
        }
        for name in pages {
            let from = made.object.path.join(name);
            let text = fs::read_to_string(&from).map_err(StoreError::file("read", &from))?;
            let text = (options.with_facts)(&text, &facts(pipeline, record, folder)).map_err(ExecuteError::Page)?;
            fs::create_dir_all(&to).map_err(StoreError::file("make", &to))?; // a report may be the page alone
            write_atomic(&to.join(name), text.as_bytes())?;
            page = Some(to.join(name).display().to_string());
        }
        // an earlier report may have had more samples
        let samples = to.join("samples");
        remove_unknown(&samples, &|path| {
            path.strip_prefix(&to)
                .is_ok_and(|name| files.contains_key(&name.to_string_lossy().replace('\\', "/")))
        });
    }
    Ok(page)
}

/// The file that is filled in.
const PAGE: &str = "index.html";

/// A copy that is there whole or not at all. It is not flushed to the disk: it can be copied again.
fn copy(from: &Path, to: &Path) -> Result<(), ExecuteError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(StoreError::file("make", parent))?;
    let beside = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(parent)
        .map_err(StoreError::file("write in", parent))?;
    // the copy takes the mode of the original, which is readable
    fs::copy(from, beside.path()).map_err(StoreError::file("copy", from))?;
    beside
        .persist(to)
        .map_err(|error| StoreError::file("write", to)(error.error))?;
    Ok(())
}

/// Removes files that are not known; one that stays only takes room.
fn remove_unknown(folder: &Path, known: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_unknown(&path, known);
            fs::remove_dir(&path).ok(); // only when nothing is left in it
        } else if !known(&path) {
            fs::remove_file(&path).ok();
        }
    }
}

/// What the run adds to a page.
fn facts(pipeline: &Pipeline, record: &RunRecord, folder: &Path) -> Value {
    let speeds = speeds(folder);
    let instances = record.instances.iter().map(|instance| {
        json!({
            "name": instance.name,
            "kind": instance.kind,
            "state": instance.state,
            "seconds": instance.seconds,
            "peak_bytes": instance.peak_bytes,
            "digest": instance.digest,
            "speeds": speeds.get(&instance.name).map(Vec::as_slice).unwrap_or_default(),
        })
    });
    json!({
        "run": record.run,
        "started": record.started,
        "seconds": record.seconds,
        "file": record.file,
        "seed": pipeline.seed,
        "command": record.command,
        "threads": record.threads,
        "environment": record.environment,
        "instances": instances.collect::<Vec<_>>(),
    })
}

/// Tokens a second of each instance as its worker told them, `(update, speed)`, thinned to a few
/// hundred. An instance that was known already told nothing.
fn speeds(folder: &Path) -> BTreeMap<String, Vec<(u64, f64)>> {
    const MOST: usize = 400;
    let mut speeds: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    let Ok(events) = File::open(folder.join("events.jsonl")) else {
        return speeds; // the story of a run is not what counts: a page without it is whole
    };
    for line in BufReader::new(events).lines().map_while(Result::ok) {
        if !line.contains("tokens_per_second") {
            continue;
        }
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let (step, speed) = (event["step"].as_u64(), event["values"]["tokens_per_second"].as_f64());
        if let (Some(instance), Some(step), Some(speed)) = (event["instance"].as_str(), step, speed) {
            speeds.entry(instance.to_owned()).or_default().push((step, speed));
        }
    }
    for speeds in speeds.values_mut() {
        let every = speeds.len().div_ceil(MOST).max(1);
        let last = speeds.last().copied();
        *speeds = speeds.iter().copied().step_by(every).collect();
        if every > 1 {
            speeds.extend(last);
        }
    }
    speeds
}

/// A report's page as its artifact has it: the facts that the export put in are taken out, those in
/// their element and what stands between `<!--run:..-->` and `<!--/run:..-->`. Anything else comes
/// back as it is.
pub fn without_facts(page: Vec<u8>) -> Vec<u8> {
    const FACTS: &str = r#"<script type="application/json" id="run-facts">"#;
    let restore = |text: &str| {
        let mut restored = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("<!--run:") {
            let inside = at + rest[at..].find("-->")? + 3;
            let end = inside + rest[inside..].find("<!--/run:")?;
            restored += &rest[..inside];
            rest = &rest[end..];
        }
        restored += rest;
        let start = restored.find(FACTS)? + FACTS.len();
        let end = start + restored[start..].find("</script>")?;
        Some(format!("{}null{}", &restored[..start], &restored[end..]).into_bytes())
    };
    let restored = std::str::from_utf8(&page).ok().and_then(restore);
    restored.unwrap_or(page)
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.=".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let trimmed = name.trim_matches(['-', '.']);
    if trimmed.is_empty() {
        "report".into()
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_were_put_in_are_taken_out() {
        let facts = r#"<script type="application/json" id="run-facts">null</script>"#;
        let page = format!("<html><!--run:charts--><!--/run:charts-->{facts}</html>");
        let exported = page.replacen("null", r#"{"run": "a"}"#, 1);
        let exported = exported.replacen("--><!--/", "--><svg></svg><!--/", 1);
        assert_eq!(without_facts(exported.into_bytes()), page.as_bytes());
        assert_eq!(without_facts(b"\xff other".to_vec()), b"\xff other");
    }

    #[test]
    fn names_become_folders() {
        assert_eq!(file_name("dialogue-lab"), "dialogue-lab");
        assert_eq!(file_name("report[model=tuned,shots=1]"), "report-model=tuned-shots=1");
        assert_eq!(file_name("../"), "report");
    }
}
