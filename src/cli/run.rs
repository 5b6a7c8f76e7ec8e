//! `fragua run`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::arguments::{FileArguments, Global, SelectionArguments};
use super::look;
use super::print::{counted, duration, line};
use super::screen::{Mode, Screen};
use crate::execute::{self, Local, Options, Outcome, RunRecord, RunState, TIME_LINE, memory_of_the_machine};
use crate::store::Store;

/// `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub pipeline: FileArguments,

    #[command(flatten)]
    pub selection: SelectionArguments,

    /// How many steps run side by side at most, a number or auto; one that declares no `resources: {cpus}` takes an Nth
    /// of the threads. auto: as many as fit by the cpus that they declare; one that declares none
    /// takes all threads
    #[arg(long, value_name = "N", default_value = "auto", value_parser = jobs)]
    pub jobs: Jobs,

    /// Main memory for steps that declare `resources: {memory}`: 8GiB, 500MB [default: the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,

    /// After a failure, go on with everything that does not depend on what failed
    #[arg(long, short)]
    pub keep_going: bool,

    /// Where reports are written to
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,

    /// Record what each step does when, operation by operation: a time line for ui.perfetto.dev or
    /// chrome://tracing, in the run's folder
    #[arg(long)]
    pub profile: bool,

    /// Give the run a name: `show`, `diff`, .. take it, and `gc` keeps what it needs
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub name: Option<String>,
}

/// How many steps run side by side at most; `None` is as many as fit. (clap takes an `Option` in a
/// field's type for an option that may be absent.)
pub type Jobs = Option<usize>;

fn jobs(text: &str) -> Result<Option<usize>, String> {
    match text.parse() {
        _ if text == "auto" => Ok(None),
        Ok(0) | Err(_) => Err("write a number of steps, at least 1, or `auto`".into()),
        Ok(count) => Ok(Some(count)),
    }
}

/// Bytes, as a pipeline file writes them.
fn size(text: &str) -> Result<u64, String> {
    crate::pipeline::bytes(text).ok_or_else(|| "write a size such as 8GiB or 500MB".into())
}

fn run_name(text: &str) -> Result<String, String> {
    crate::store::check_run_name(text).map(|()| text.to_owned())
}

/// How long a worker may take to stop after its timeout: a checkpoint of a large model takes time.
const GRACE: Duration = Duration::from_secs(30);

/// How often the user asked to stop.
static STOPS: AtomicU32 = AtomicU32::new(0);

/// Runs what is not yet known.
pub fn run(global: &Global, arguments: &RunArguments) -> anyhow::Result<u8> {
    let pipeline = look::pipeline(global, &arguments.pipeline)?;
    let (device, device_name) = look::device(global)?;
    let store = Store::open(&global.store)?;
    let program = std::env::current_exe().context("cannot find this program's own file to start workers")?;
    let mut launcher = Local::new(program, vec!["worker".into()]);
    ctrlc::set_handler(|| {
        if STOPS.fetch_add(1, Ordering::Relaxed) >= 2 {
            std::process::exit(130); // workers notice by themselves
        }
    })
    .context("cannot listen to Ctrl-C")?;
    let options = Options {
        device: &device,
        device_name,
        threads: global.threads(),
        jobs: arguments.jobs,
        memory: arguments.memory.unwrap_or_else(memory_of_the_machine),
        choice: look::choice(&arguments.selection, &pipeline, &store, &device)?,
        keep_going: arguments.keep_going,
        grace: GRACE,
        command: std::env::args().collect(),
        name: arguments.name.clone(),
        profile: arguments.profile,
        reports: arguments.reports.clone(),
        with_facts: |page, facts| Ok(crate::report::with_facts(page, facts)?),
        stops: &STOPS,
    };
    let mut screen = Screen::new(Mode::of(global));
    let record = execute::run(&pipeline, &store, &options, &mut launcher, &mut |event| {
        screen.show(event);
    })?;
    drop(screen);
    let time_line = arguments.profile.then(|| store.run_path(&record.run).join(TIME_LINE));
    if global.quiet && !global.json {
        record.report.iter().for_each(line);
    } else if !global.json {
        summary(&record);
        if let Some(report) = &record.report {
            super::scored::table(Path::new(report));
            line(format!("report: {}", from_here(report)));
        }
        if let Some(path) = time_line {
            line(match path.exists() {
                true => format!("time line: {} (open it in ui.perfetto.dev)", path.display()),
                false => "time line: none, for nothing had to run; --force STEP runs a step again".into(),
            });
        }
    }
    super::report_index::write(&store, &arguments.reports);
    Ok(match record.outcome {
        Outcome::Done => 0,
        Outcome::Failed | Outcome::Unfinished => 1,
        Outcome::Interrupted => 130,
    })
}

fn summary(record: &RunRecord) {
    let states = [
        RunState::Executed,
        RunState::Cached,
        RunState::Failed,
        RunState::Blocked,
        RunState::Interrupted,
        RunState::Pending,
        RunState::Skipped,
    ];
    let counts = states
        .into_iter()
        .map(|state| (state, record.count(state)))
        .filter(|(state, count)| *count > 0 || matches!(state, RunState::Executed | RunState::Cached))
        .map(|(state, count)| format!("{count} {}", state.name()));
    let counts: Vec<_> = counts.collect();
    let word = match record.outcome {
        Outcome::Done => "done",
        Outcome::Failed | Outcome::Unfinished => "failed",
        Outcome::Interrupted => "stopped",
    };
    let total = counted(record.instances.len(), "instance");
    line(format!(
        "{word} in {}: {total}, {}",
        duration(record.seconds),
        counts.join(", ")
    ));
    match record.outcome {
        Outcome::Interrupted => line("the same command goes on from here"),
        Outcome::Failed | Outcome::Unfinished => {
            if record.count(RunState::Pending) > 0 {
                line("after a failure nothing new is begun; --keep-going runs all that does not depend on it");
            }
            line(format!("details: fragua show {}", record.run));
        }
        Outcome::Done => {}
    }
}

/// A path as short as it can be written here.
fn from_here(path: &str) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| Path::new(path).strip_prefix(here).ok().map(Path::to_owned));
    below.map_or_else(|| path.to_owned(), |below| below.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::arguments::{Cli, Command};

    #[test]
    fn jobs_and_memory_are_counted() {
        let run = |more: &[&str]| {
            let line = [&["fragua", "run", "a.yaml"], more].concat();
            match Cli::try_parse_from(line).unwrap().command {
                Command::Run(run) => (run.jobs, run.memory),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(run(&[]), (None, None));
        assert_eq!(run(&["--jobs", "3", "--memory", "8GiB"]), (Some(3), Some(8 << 30)));
        assert_eq!(
            run(&["--jobs", "auto", "--memory", "1.5 GB"]),
            (None, Some(1_500_000_000))
        );
    }
}
