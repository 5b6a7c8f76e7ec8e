//! `fragua gc`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::print::{Paint, bytes, colour, counted, error_line, line};
use super::table::{Align, Cell, lines};
use crate::records::{Garbage, Keep, garbage};
use crate::store::Store;

/// `gc`.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Keep so many of the last runs of each pipeline
    #[arg(long, value_name = "N", default_value = "5")]
    pub keep_last: usize,

    /// Keep younger runs as well: 30d (also w, h, m)
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,

    /// Give up unfinished work that nothing has touched for so long
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub give_up: Option<Duration>,

    /// Delete without asking
    #[arg(long)]
    pub yes: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age: write a number and w, d, h or m, for example 30d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'w' => 7 * 86_400,
        'd' => 86_400,
        'h' => 3600,
        'm' => 60,
        _ => return Err(wrong()),
    };
    let count: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

/// How many runs are listed; `--json` has all.
const RUNS: usize = 20;

/// Shows what nobody needs any more, and deletes it when told to.
pub fn run(global: &Global, arguments: &GcArguments) -> anyhow::Result<u8> {
    let keep = Keep {
        last: arguments.keep_last,
        younger_than: arguments.older_than,
        give_up: arguments.give_up,
    };
    let store = Store::open_read_only(&global.store)?;
    let found = garbage(&store, &keep)?;
    let mut delete = arguments.yes && !found.is_empty();
    if !global.json {
        tell(global, &found, delete);
        if !delete && !found.is_empty() && !global.quiet {
            delete = confirmed()?;
        }
    }
    if !delete {
        if global.json {
            line(json!({"deleted": false, "garbage": found}).to_string());
        }
        return Ok(0);
    }
    // a store is made whole by opening it to write
    let store = Store::open(&global.store)?;
    let Some(_alone) = store.alone()? else {
        bail!(
            "a run is using {}: nothing was deleted, since it may need what others do not; try again when it is over (`fragua runs` shows it)",
            global.store.display()
        );
    };
    // what was shown is found again now that nobody can begin anything
    let found = garbage(&store, &keep)?;
    found.delete(&store)?;
    if global.json {
        line(json!({"deleted": true, "garbage": found}).to_string());
    } else if !global.quiet {
        line(format!("deleted; {} are free", bytes(found.bytes)));
    }
    Ok(0)
}

/// Asks, where somebody can answer.
fn confirmed() -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        line("nothing is deleted yet: the same with --yes does it");
        return Ok(false);
    }
    let mut out = io::stderr().lock();
    out.write_all(b"delete it? [y/N] ").and_then(|()| out.flush()).ok();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let yes = matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        error_line("nothing was deleted");
    }
    Ok(yes)
}

fn tell(global: &Global, found: &Garbage, now: bool) {
    if global.quiet {
        return;
    }
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &found.kept_runs {
        *why.entry(run.why.as_str()).or_default() += 1;
    }
    let why: Vec<_> = why.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let reasons = if why.is_empty() {
        String::new()
    } else {
        format!(": {}", why.join(", "))
    };
    line(format!("keeps {}{reasons}", counted(found.kept_runs.len(), "run")));
    if found.unfinished_bytes > 0 {
        let room = bytes(found.unfinished_bytes);
        line(format!(
            "keeps {room} of unfinished work, which the next run goes on from (--give-up AGE)"
        ));
    }
    if found.is_empty() {
        line("nothing to delete");
        return;
    }
    let verb = if now { "deletes" } else { "would delete" };
    line(format!(
        "\n{}",
        Paint::Warn.on(&format!("{verb} {}", bytes(found.bytes)), colour())
    ));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut row = |count: usize, what: String, size: Option<u64>, why: &str| {
        if count > 0 {
            let size = size.map(bytes).unwrap_or_default();
            rows.push(vec![count.to_string().into(), what.into(), size.into(), why.into()]);
        }
    };
    let plural = |count: usize, noun: &str| {
        counted(count, noun)
            .split_once(' ')
            .map_or_else(String::new, |(_, word)| word.to_owned())
    };
    row(found.runs.len(), plural(found.runs.len(), "run"), None, "listed below");
    let mut kinds: BTreeMap<(&str, &str), (usize, u64)> = BTreeMap::new();
    for item in &found.objects {
        let kind = item.kind.as_deref().unwrap_or("unknown");
        let sum = kinds.entry((kind, item.why)).or_default();
        *sum = (sum.0 + 1, sum.1 + item.bytes);
    }
    for ((kind, why), (count, size)) in kinds {
        row(count, format!("{kind} {}", plural(count, "artifact")), Some(size), why);
    }
    let mut attempts: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for item in &found.attempts {
        let sum = attempts.entry(item.why).or_default();
        *sum = (sum.0 + 1, sum.1 + item.bytes);
    }
    for (why, (count, size)) in attempts {
        row(count, plural(count, "attempt"), Some(size), why);
    }
    let entries = if found.entries == 1 { "entry" } else { "entries" };
    row(found.entries, entries.into(), None, "keys that no kept run knew");
    row(
        found.leftovers,
        plural(found.leftovers, "leftover"),
        None,
        "of processes that were killed",
    );
    let aligns = [Align::Right, Align::Left, Align::Right, Align::Left];
    lines(&aligns, 3, rows).iter().for_each(|row| line(format!("  {row}")));
    if !found.runs.is_empty() {
        line("");
    }
    for one in found.runs.iter().take(RUNS) {
        let name = one.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let of = if one.pipeline.is_empty() {
            String::new()
        } else {
            format!(" of {}", one.pipeline)
        };
        line(format!("  run {}{name}{of}: {}", one.run, one.why));
    }
    if found.runs.len() > RUNS {
        line(format!("  and {} more", counted(found.runs.len() - RUNS, "run")));
    }
}
