//! The index of all reports, which every run writes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::print::{duration, error_line};
use crate::execute::RunState;
use crate::records::{self, headline};
use crate::report::{self, IndexedRun};
use crate::store::{Store, write_atomic};

/// Runs in the index; older ones are told by `fragua runs`.
const MOST_RUNS: usize = 500;

/// Writes `index.html` of the reports' folder: every run of the store, newest first. It is made from
/// the records each time, under a lock, so that of two runs that end together the later one lists
/// both. That it cannot be written is told, and fails no run.
pub fn write(store: &Store, reports: &Path) {
    if let Err(error) = write_page(store, reports) {
        error_line(format!("warning: the index of reports was not written: {error:#}"));
    }
}

fn write_page(store: &Store, reports: &Path) -> anyhow::Result<()> {
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
}
