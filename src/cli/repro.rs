//! `fragua repro`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::arguments::Global;
use super::failure::{Usage, asked};
use super::print::{Paint, colour, counted, line};
use super::table::cut;
use crate::device::DeviceSpec;
use crate::pipeline::{LoadOptions, load};
use crate::records::{self, Packed, Repetition};
use crate::steps::KINDS;
use crate::store::Store;

/// `repro`.
#[derive(Debug, Args)]
pub struct ReproArguments {
    /// The archive
    pub file: PathBuf,

    /// Where to: a folder that does not exist, is empty, or holds the data [default: the archive's name]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

/// How many instances are named; `--json` has all.
const NAMED: usize = 20;

/// Runs a packed run again, in a folder and a store of its own, and compares digests.
pub fn run(global: &Global, arguments: &ReproArguments) -> anyhow::Result<u8> {
    let folder = arguments.into.clone().unwrap_or_else(|| stem(&arguments.file));
    let packed = records::unpack(&arguments.file, &folder).map_err(asked)?;
    let folder = std::fs::canonicalize(&folder).with_context(|| format!("cannot find {}", folder.display()))?;
    if !global.quiet && !global.json {
        line(format!("{} of {} in {}", packed.run, packed.pipeline, folder.display()));
    }
    again(global, &packed, &folder)?;
    let store = Store::open_read_only(&folder.join(".fragua"))?;
    let found = records::find(&store, "last").context("the run did not begin")?;
    let kinds: BTreeMap<_, _> = KINDS.iter().map(|kind| (kind.name.to_owned(), kind.version)).collect();
    let came = records::repetition(&packed, &found, &kinds);
    if global.json {
        line(serde_json::to_string(&came)?);
    } else {
        tell(&came);
    }
    Ok(u8::from(!came.different.is_empty() || !came.missing.is_empty()))
}

/// The run, as a process of its own: it has that folder as its own, and all that a run has.
fn again(global: &Global, packed: &Packed, folder: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.current_dir(folder).arg("run").arg(&packed.file);
    command.args(["--store", ".fragua", "--reports", "reports"]);
    let device = if global.device == DeviceSpec::AUTO {
        packed.device.clone()
    } else {
        global.device.to_string()
    };
    command.args(["--device", &device]);
    if let Some(threads) = global.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    for (name, value) in changed_parameters(packed, &folder.join(&packed.file)) {
        command.args(["--set", &format!("{name}={value}")]);
    }
    if global.quiet || global.json {
        command.arg("--quiet").stdout(Stdio::null());
    }
    let status = command.stdin(Stdio::null()).status().context("cannot start the run")?;
    match status.code() {
        Some(0 | 1) => Ok(()), // a step that failed is missing below
        Some(130) => bail!(Usage("interrupted; `fragua run` in that folder goes on".into())),
        _ => bail!(Usage("the packed pipeline does not run here".into())),
    }
}

/// The parameters that the file does not have by itself; all of them, if it is nothing without.
fn changed_parameters(packed: &Packed, file: &Path) -> Vec<(String, String)> {
    let own = load(file, &LoadOptions::default(), KINDS).map(|pipeline| pipeline.params);
    let own = own.unwrap_or_default();
    let mut changed = Vec::new();
    leaves("", &packed.params, &own, &mut changed);
    changed
}

fn leaves(prefix: &str, params: &Map<String, Value>, own: &Map<String, Value>, changed: &mut Vec<(String, String)>) {
    for (name, value) in params {
        let path = format!("{prefix}{name}");
        match (value, own.get(name)) {
            (value, Some(same)) if value == same => {}
            (Value::Object(members), Some(Value::Object(own))) => leaves(&format!("{path}."), members, own, changed),
            // JSON is YAML
            (value, _) => changed.push((path, value.to_string())),
        }
    }
}

/// `lab.tar.gz` is repeated in `lab`.
fn stem(file: &Path) -> PathBuf {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let plain = [".tar.gz", ".tgz", ".tar.zst", ".tar"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    PathBuf::from(plain.unwrap_or("repro"))
}

fn tell(came: &Repetition) {
    let mut others: Vec<String> = Vec::new();
    for one in &came.different {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        let why = if one.same_key {
            "made otherwise"
        } else {
            "made from something else"
        };
        others.push(format!(
            "  {}  {}, not {} ({why})",
            cut(&one.instance, 44),
            short(&one.found),
            short(&one.expected)
        ));
    }
    others.extend(
        came.missing
            .iter()
            .map(|name| format!("  {}  was not made", cut(name, 70))),
    );
    others.iter().take(NAMED).for_each(line);
    if others.len() > NAMED {
        line(format!("  and {} more", others.len() - NAMED));
    }
    if !others.is_empty() {
        for fact in &came.environment {
            line(format!(
                "  environment: {} was {}, is {}",
                fact.name, fact.before, fact.after
            ));
        }
        if came.environment.is_empty() {
            line("  the environment is the same");
        }
    }
    let all = came.same + came.different.len() + came.missing.len();
    let (word, paint) = if others.is_empty() {
        ("the same", Paint::Good)
    } else {
        ("not the same", Paint::Bad)
    };
    line(format!(
        "{}: {} of {} as packed",
        paint.on(word, colour()),
        came.same,
        counted(all, "artifact")
    ));
}
