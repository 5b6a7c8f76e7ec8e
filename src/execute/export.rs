//! Reports, where people look for them: the artifact's files, and in the page the facts of the run,
//! which the artifact cannot have since it must not depend on them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::record::RunRecord;
use super::run::ExecuteError;
use crate::pipeline::Pipeline;
use crate::plan::Made;
use crate::step::ArtifactType;
use crate::store::{StoreError, write_atomic};

/// What a report's page has where the run's facts go.
const PLACE: &str = r#"<script type="application/json" id="run-facts">null</script>"#;

/// Copies every report that is made to `reports/PIPELINE/` (with several, to a folder each below
/// it). The absolute path of the (last) page.
pub(super) fn export(
    pipeline: &Pipeline,
    made: &[Option<Arc<Made>>],
    record: &RunRecord,
    reports: &Path,
) -> Result<Option<String>, ExecuteError> {
    let all = pipeline.instances.iter().zip(made);
    let all: Vec<_> = all
        .filter(|(instance, _)| instance.kind.output == ArtifactType::Report)
        .collect();
    let reports = std::path::absolute(reports).map_err(StoreError::file("find", reports))?;
    let root = reports.join(file_name(&pipeline.name));
    let mut page = None;
    for (instance, made) in &all {
        let Some(made) = made else { continue };
        let folder = if all.len() == 1 {
            root.clone()
        } else {
            root.join(file_name(&instance.name))
        };
        for name in made.object.manifest.files.keys() {
            let (from, to) = (made.object.path.join(name), folder.join(name));
            let parent = to.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(StoreError::file("make", parent))?;
            let mut bytes = fs::read(&from).map_err(StoreError::file("read", &from))?;
            if name == "index.html" {
                bytes = with_facts(bytes, record);
                page = Some(to.display().to_string());
            }
            write_atomic(&to, &bytes)?;
        }
    }
    Ok(page)
}

fn with_facts(page: Vec<u8>, record: &RunRecord) -> Vec<u8> {
    let instances = record.instances.iter().map(|instance| {
        json!({
            "name": instance.name,
            "kind": instance.kind,
            "state": instance.state,
            "seconds": instance.seconds,
            "peak_bytes": instance.peak_bytes,
            "digest": instance.digest,
        })
    });
    let facts = json!({
        "run": record.run,
        "started": record.started,
        "seconds": record.seconds,
        "file": record.file,
        "command": record.command,
        "threads": record.threads,
        "environment": record.environment,
        "instances": instances.collect::<Vec<_>>(),
    });
    // inside a script element only `<` could end it
    let facts = facts.to_string().replace('<', "\\u003c");
    match String::from_utf8(page) {
        Ok(text) => text.replacen(PLACE, &PLACE.replace("null", &facts), 1).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// A report's page as its artifact has it: the facts that the export put in are taken out. Anything
/// else comes back as it is.
pub fn without_facts(page: Vec<u8>) -> Vec<u8> {
    let (open, close) = PLACE.split_once("null").unwrap_or((PLACE, ""));
    let restored = std::str::from_utf8(&page).ok().and_then(|text| {
        let start = text.find(open)? + open.len();
        let end = start + text[start..].find(close)?;
        Some(format!("{}null{}", &text[..start], &text[end..]).into_bytes())
    });
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
        let page = format!("<html>{PLACE}</html>");
        let exported = page.replacen("null", r#"{"run": "a"}"#, 1);
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
