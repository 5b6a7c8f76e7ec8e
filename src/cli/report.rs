//! `fragua report`: runs compared in one page; and the index of all runs that every run writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::arguments::{Global, ReportArguments};
use super::failure::{Usage, asked};
use super::print::{duration, error_line, line};
use super::scored;
use crate::execute::RunState;
use crate::records::{self, PastRun, headline};
use crate::report::{self, IndexedRun, Options};
use crate::step::{Ancestor, ArtifactType, Digest, Input};
use crate::store::{Store, write_atomic};

/// The axis that tells the systems of several runs apart.
const RUN: &str = "run";

/// Runs in the index; older ones are told by `fragua runs`.
const MOST_RUNS: usize = 500;

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

/// Writes `index.html` of the reports' folder: every run of the store, newest first. It is made from
/// the records each time, under a lock, so that of two runs that end together the later one lists
/// both. That it cannot be written is told, and fails no run.
pub fn index(store: &Store, reports: &Path) {
    if let Err(error) = write_index(store, reports) {
        error_line(format!("warning: the index of reports was not written: {error:#}"));
    }
}

fn write_index(store: &Store, reports: &Path) -> anyhow::Result<()> {
    if !reports.is_dir() {
        return Ok(()); // no run has had a report
    }
    let lock = store.root().join("index.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot open {}", lock.display()))?;
    lock.lock().ok(); // where a file system has no locks, the last one to write is seen
    let mut runs = records::all(store)?;
    runs.reverse();
    let all = runs.len();
    runs.truncate(MOST_RUNS);
    let home = std::path::absolute(reports)?;
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    let mut rows = Vec::new();
    for run in &runs {
        let record = &run.record;
        let page = record.report.as_deref();
        // a page is the newest run's that was exported to it; an older one's is in the store
        let newest = page
            .filter(|page| shown.insert(page))
            .filter(|page| Path::new(page).exists());
        let kept = || {
            let digest = record
                .instances
                .iter()
                .filter(|one| one.kind == "report")
                .find_map(|one| one.digest.as_deref());
            let page = store.object_path_of(digest?)?.join("index.html");
            page.exists().then_some(page)
        };
        let page = newest.map(PathBuf::from).or_else(|| page.and_then(|_| kept()));
        let counts = [RunState::Executed, RunState::Cached, RunState::Failed].map(|state| record.count(state));
        rows.push(IndexedRun {
            run: record.run.clone(),
            name: record.name.clone().unwrap_or_default(),
            pipeline: record.pipeline.clone(),
            started: record.started.clone(),
            state: run.ending().name(),
            took: duration(record.seconds),
            counts,
            score: match page.as_deref().and_then(headline_of) {
                Some(headline) => headline,
                None => headline(store, run).ok().flatten().unwrap_or_default(),
            },
            link: page.map(|page| link(&home, &page)),
        });
    }
    let page = report::index(&rows, all)?;
    write_atomic(&home.join("index.html"), page.as_bytes())?;
    Ok(())
}

/// The headline of a report by the file beside its page.
fn headline_of(page: &Path) -> Option<String> {
    let text = fs::read(page.with_file_name("scores.json")).ok()?;
    let scores: Value = serde_json::from_slice(&text).ok()?;
    let headline = &scores["headline"];
    let of = |name: &str| headline[name].as_str();
    Some(format!("{} {} ({})", of("label")?, of("text")?, of("system")?))
}

/// The way from a folder to a file, as a page links it.
fn link(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from[same..].iter().map(|_| "..".to_owned());
    let down = to[same..]
        .iter()
        .map(|part| encoded(&part.as_os_str().to_string_lossy()));
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// A name as a part of a link.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_encoded() {
        let link = |to: &str| link(Path::new("/lab/reports"), Path::new(to));
        assert_eq!(link("/lab/reports/a b/index.html"), "a%20b/index.html");
        assert_eq!(
            link("/lab/.fragua/objects/3f/x/index.html"),
            "../.fragua/objects/3f/x/index.html"
        );
    }

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
