//! `fragua diff`.

use clap::Args;
use serde_json::Value;

use super::arguments::Global;
use super::failure::asked;
use super::print::{Paint, bytes, colour, counted, duration, line};
use super::table::{Align, Cell, cut, lines};
use crate::records::{self, ArtifactDifference, RunDifference, ValueDifference};
use crate::store::Store;

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The one run
    #[arg(value_name = "RUN")]
    pub before: String,

    /// The other
    #[arg(value_name = "RUN")]
    pub after: String,
}

/// How many lines a part of the answer has at most; `--json` has all.
const LINES: usize = 40;

/// Shows how two runs differ.
pub fn run(global: &Global, arguments: &DiffArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let before = records::find(&store, &arguments.before).map_err(asked)?;
    let after = records::find(&store, &arguments.after).map_err(asked)?;
    let found = records::compare(&store, &before, &after)?;
    if global.json {
        line(serde_json::to_string(&found)?);
        return Ok(0);
    }
    let name = |run: &records::PastRun| {
        let record = &run.record;
        let name = record
            .name
            .as_ref()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        format!("{}{name}, {}", record.run, record.pipeline)
    };
    line(format!("{}  →  {}", name(&before), name(&after)));
    found.notes.iter().for_each(|note| line(format!("note: {note}")));
    asked_for(&found);
    came_out(&found);
    took(&found);
    environment(&found);
    Ok(0)
}

fn heading(text: &str) {
    line(format!("\n{}", Paint::Known.on(text, colour())));
}

fn asked_for(found: &RunDifference) {
    if !found.parameters.is_empty() {
        heading("parameters");
        changed(&found.parameters);
    }
    for (names, what) in [(&found.only_before, "only before"), (&found.only_after, "only after")] {
        if !names.is_empty() {
            heading(&format!("instances {what}"));
            limited(names.iter().map(|name| format!("  {}", cut(name, 98))).collect());
        }
    }
    if found.settings.is_empty() {
        return;
    }
    heading("settings");
    let mut all = Vec::new();
    for one in &found.settings {
        all.push(format!("  {}", cut(&one.instance, 98)));
        all.extend(values(&one.fields).into_iter().map(|text| format!("  {text}")));
    }
    limited(all);
}

fn came_out(found: &RunDifference) {
    heading("artifacts");
    let (same, other) = (found.equal_artifacts, found.artifacts.len());
    line(format!("  {same} the same, {other} different"));
    limited(found.artifacts.iter().flat_map(artifact).collect());
    if !found.scores.is_empty() || found.equal_scores > 0 {
        heading("scores");
        let figure = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.4}"));
        let row = |one: &records::ScoreDifference| -> Vec<Cell> {
            let difference = one.difference.map(|value| format!("{value:+.4}")).unwrap_or_default();
            vec![
                format!("  {}", one.generations).into(),
                one.metric.as_str().into(),
                figure(one.before).into(),
                figure(one.after).into(),
                difference.into(),
            ]
        };
        let (left, right) = (Align::Left, Align::Right);
        let rows = found.scores.iter().map(row).collect();
        limited(lines(&[left, left, right, right, right], 0, rows));
        if found.equal_scores > 0 {
            line(format!("  {} the same", found.equal_scores));
        }
    }
}

fn artifact(one: &ArtifactDifference) -> Vec<String> {
    let short = |digest: &Option<String>| {
        let digest = digest
            .as_deref()
            .map(|digest| digest.chars().take(12).collect::<String>());
        digest.unwrap_or_else(|| "not made".into())
    };
    let what = format!("{} → {}", short(&one.before), short(&one.after));
    let mut all = vec![format!("  {}  {what}", cut(&one.instance, 66))];
    let size = |count: Option<u64>| count.map_or_else(|| "none".into(), bytes);
    let shown = 4;
    for file in one.files.iter().take(shown) {
        let sizes = if size(file.before) == size(file.after) {
            format!("{}, other content", size(file.after))
        } else {
            format!("{} → {}", size(file.before), size(file.after))
        };
        all.push(format!("    {}  {sizes}", cut(&file.path, 66)));
    }
    if one.files.len() > shown {
        all.push(format!(
            "    and {}",
            counted(one.files.len() - shown, "file more").replace("mores", "more")
        ));
    }
    all
}

fn took(found: &RunDifference) {
    if found.times.is_empty() {
        return;
    }
    heading("time and memory");
    let mut times: Vec<_> = found.times.iter().collect();
    let change = |one: &records::TimeDifference| (one.seconds_after - one.seconds_before).abs();
    times.sort_by(|one, other| change(other).total_cmp(&change(one)));
    let memory = |count: Option<u64>| count.map(bytes).unwrap_or_default();
    let row = |one: &&records::TimeDifference| -> Vec<Cell> {
        vec![
            format!("  {}", one.instance).into(),
            duration(one.seconds_before).into(),
            "→".into(),
            duration(one.seconds_after).into(),
            memory(one.peak_before).into(),
            "→".into(),
            memory(one.peak_after).into(),
        ]
    };
    let (left, right) = (Align::Left, Align::Right);
    let rows = times.iter().map(row).collect();
    limited(lines(&[left, right, left, right, right, left, right], 0, rows));
}

fn environment(found: &RunDifference) {
    if !found.environment.is_empty() {
        heading("environment");
        changed(&found.environment);
    }
    if found.unexplained.is_empty() {
        return;
    }
    let names = found.unexplained.join(", ");
    let told: Vec<&str> = found.environment.iter().map(|one| one.name.as_str()).collect();
    let why = if told.is_empty() {
        "and so is the environment: on a GPU that can be; on a CPU it is a defect of fragua".to_owned()
    } else {
        format!("the environment is not: {}", told.join(", "))
    };
    line(format!(
        "\n{}: everything that {names} depends on is the same, {why}",
        Paint::Warn.on("different artifacts", colour())
    ));
}

fn changed(list: &[ValueDifference]) {
    limited(values(list));
}

fn values(list: &[ValueDifference]) -> Vec<String> {
    let row = |one: &ValueDifference| -> Vec<Cell> {
        let text = format!("{} → {}", shown(&one.before), shown(&one.after));
        vec![format!("  {}", one.name).into(), text.into()]
    };
    lines(&[Align::Left, Align::Left], 1, list.iter().map(row).collect())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) if !text.is_empty() => cut(text, 36),
        other => cut(&other.to_string(), 36),
    }
}

fn limited(all: Vec<String>) {
    let more = all.len().saturating_sub(LINES);
    all.iter().take(LINES).for_each(line);
    if more > 0 {
        line(format!("  and {}: --json has all", counted(more, "line")));
    }
}
