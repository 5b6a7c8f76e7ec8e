//! `fragua report`: runs compared in one page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{Global, assignment, language};
use super::failure::{Usage, asked};
use super::print::line;
use super::scored;
use crate::records::{self, PastRun};
use crate::report::{self, Language, Options};
use crate::step::{Ancestor, ArtifactType, Digest, Input};
use crate::store::{Store, write_atomic};

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The runs; differences are counted from the first
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,

    /// Where the page is written to [default: compare-RUN-RUN in the reports' folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Where reports are written to
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,

    /// What differences are counted from: a value on an axis (repeatable) [default: the first run]
    #[arg(long, value_name = "AXIS=VALUE", value_parser = assignment)]
    pub baseline: Vec<(String, String)>,

    /// The page's language: en or es
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    pub language: Language,
}

/// The axis that tells the systems of several runs apart.
const RUN: &str = "run";

/// Compares runs in one page.
pub fn run(global: &Global, arguments: &ReportArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let mut runs: Vec<PastRun> = Vec::new();
    for wanted in &arguments.runs {
        let found = records::find(&store, wanted).map_err(asked)?;
        if runs.iter().all(|run| run.record.run != found.record.run) {
            runs.push(found);
        }
    }
    let names = names(&runs);
    let (mut lineage, mut inputs, mut instances) = (Vec::new(), Vec::new(), Vec::new());
    for (run, name) in runs.iter().zip(&names) {
        let before = inputs.len();
        add(&store, run, name, &mut lineage, &mut inputs)?;
        if inputs.len() == before {
            let fact = format!(
                "run {} has no scores in the store: it has no `evaluate` step that came out, or they were collected",
                run.record.run
            );
            return Err(Usage(fact).into());
        }
        instances.extend(run.record.instances.iter().map(|one| {
            json!({
                "name": inside(name, &one.name), "kind": one.kind, "state": one.state,
                "seconds": one.seconds, "peak_bytes": one.peak_bytes, "digest": one.digest,
            })
        }));
    }
    let material = report::read(&inputs.iter().collect::<Vec<_>>(), &lineage)?;
    let mut baseline: BTreeMap<String, String> = arguments.baseline.iter().cloned().collect();
    if baseline.is_empty() && names.len() > 1 {
        baseline.insert(RUN.to_owned(), names[0].clone());
    }
    check(&baseline, &inputs)?;
    let options = Options {
        title: names.join(" · "),
        about: about(&runs),
        language: arguments.language,
        baseline,
    };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| arguments.reports.join(folder(&names)));
    clear(&out)?;
    report::write(&material, &options, &out)?;
    let page = out.join("index.html");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let facts = json!({"command": std::env::args().collect::<Vec<_>>(), "instances": instances});
    write_atomic(&page, report::with_facts(&text, &facts)?.as_bytes())?;
    if global.json {
        line(json!({"report": page, "runs": runs.iter().map(|run| &run.record.run).collect::<Vec<_>>()}).to_string());
    } else {
        if !global.quiet {
            scored::table(&page);
        }
        line(format!("report: {}", page.display()));
    }
    Ok(0)
}

/// Makes the folder of a comparison: a new one, or one that holds an earlier report, whose samples go.
fn clear(out: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let page = fs::read_to_string(out.join("index.html")).unwrap_or_default();
    if page.contains("<meta name=\"generator\" content=\"fragua ") {
        fs::remove_dir_all(out.join("samples")).ok(); // there may be none
        return Ok(());
    }
    let mut entries = fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))?;
    if entries.next().is_some() {
        let fact = format!(
            "{} is not empty and holds no report; name another folder with --out",
            out.display()
        );
        return Err(Usage(fact).into());
    }
    Ok(())
}

/// What each run is called: its own name where it has one that no other has.
fn names(runs: &[PastRun]) -> Vec<String> {
    let unique = |name: &&String| {
        let same = runs.iter().filter(|run| run.record.name.as_ref() == Some(*name));
        same.count() == 1
    };
    let name = |run: &PastRun| {
        run.record
            .name
            .as_ref()
            .filter(unique)
            .unwrap_or(&run.record.run)
            .clone()
    };
    runs.iter().map(name).collect()
}

/// An instance's name among those of several runs.
fn inside(run: &str, instance: &str) -> String {
    format!("{run}: {instance}")
}

/// Adds what a run made: its instances whose artifacts are still there, and its scores with an axis
/// more.
fn add(
    store: &Store,
    run: &PastRun,
    name: &str,
    lineage: &mut Vec<Ancestor>,
    inputs: &mut Vec<Input>,
) -> anyhow::Result<()> {
    let Some(resolved) = run.resolved()? else {
        let fact = format!(
            "run {} was made by a fragua that did not keep what it ran",
            run.record.run
        );
        return Err(Usage(fact).into());
    };
    let instances: BTreeSet<&str> = resolved.instances.iter().map(|one| one.name.as_str()).collect();
    // `rows.train` is a part of `rows`
    let whole = |input: &str| {
        let mut at = input;
        while !instances.contains(at) {
            at = at.rsplit_once('.')?.0;
        }
        Some(inside(name, at))
    };
    for one in &resolved.instances {
        let digest = run.instance(&one.name).and_then(|instance| instance.digest.clone());
        let Some((digest, path)) = digest.and_then(|digest| Some((digest.clone(), store.object_path_of(&digest)?)))
        else {
            continue;
        };
        if !path.exists() || one.artifact == ArtifactType::Report {
            continue;
        }
        let digest: Digest = serde_json::from_value(Value::String(digest))?;
        let mut axes = one.axes.clone();
        if one.artifact == ArtifactType::Scores {
            axes.insert(0, (RUN.to_owned(), name.to_owned()));
            inputs.push(Input {
                text: inside(name, &one.name),
                instance: inside(name, &one.name),
                step: one.step.clone(),
                kind: one.kind.clone(),
                artifact: one.artifact,
                part: None,
                parts: Vec::new(),
                architecture: None,
                axes: axes.clone(),
                path: path.clone(),
                digest: Some(digest.clone()),
            });
        }
        lineage.push(Ancestor {
            instance: inside(name, &one.name),
            step: one.step.clone(),
            kind: one.kind.clone(),
            axes,
            settings: one.settings.clone(),
            inputs: one.inputs.iter().filter_map(|input| whole(input)).collect(),
            artifact: one.artifact,
            path,
            digest,
        });
    }
    Ok(())
}

/// A baseline names an axis and a value that there are.
fn check(baseline: &BTreeMap<String, String>, inputs: &[Input]) -> anyhow::Result<()> {
    for (axis, value) in baseline.iter().filter(|(axis, _)| *axis != "generations") {
        let values: BTreeSet<&str> = inputs
            .iter()
            .flat_map(|input| &input.axes)
            .filter(|(known, _)| known == axis)
            .map(|(_, value)| value.as_str())
            .collect();
        if !values.contains(value.as_str()) {
            let known = values.into_iter().collect::<Vec<_>>().join(", ");
            let fact =
                format!("no score has `{axis}` = `{value}`, so it cannot be the baseline; its values are: {known}");
            return Err(Usage(fact).into());
        }
    }
    Ok(())
}

fn about(runs: &[PastRun]) -> String {
    let told = runs.iter().map(|run| {
        let record = &run.record;
        format!(
            "{}: {} ({}), {}",
            record.run,
            record.pipeline,
            record.file,
            run.ending().name()
        )
    });
    told.collect::<Vec<_>>().join(" · ")
}

/// `compare-A-B`, or of more than three the first ones and how many.
fn folder(names: &[String]) -> String {
    let plain = |name: &String| -> String {
        let safe = |c: char| {
            if c.is_alphanumeric() || "-_=".contains(c) {
                c
            } else {
                '-'
            }
        };
        name.chars().take(40).map(safe).collect()
    };
    let mut parts: Vec<String> = names.iter().take(3).map(plain).collect();
    if names.len() > 3 {
        parts.push(format!("and-{}-more", names.len() - 3));
    }
    format!("compare-{}", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_their_runs() {
        let names = ["a/b", "20260131-235959-1"].map(str::to_owned);
        assert_eq!(folder(&names), "compare-a-b-20260131-235959-1");
        assert_eq!(
            folder(&["a", "b", "c", "d"].map(str::to_owned)),
            "compare-a-b-c-and-1-more"
        );
    }
}
