//! What the command line understands.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::device::DeviceSpec;
use crate::report::Language;

/// Runs language-model experiments from a YAML file: the steps, what they read from each other, and
/// nothing else.
#[derive(Debug, Parser)]
#[command(
    name = "fragua",
    version,
    propagate_version = true,
    after_help = "Examples:
  fragua init lab                      a commented pipeline with its data, to begin from
  fragua run lab/pipeline.yaml         run what is not yet known; prints where the report is
  fragua plan lab/pipeline.yaml        what would run, and why
  fragua run lab/pipeline.yaml --set width=256
  fragua score --references ref.txt system.txt
  fragua chat last:tuned               talk to the model that a step made

Exit codes: 0 done, 1 a step failed, 2 the file or the command line is wrong, 130 interrupted."
)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Where results are kept
    #[arg(long, global = true, value_name = "DIR", default_value = ".fragua")]
    pub store: PathBuf,

    /// Where to compute: auto, cpu, gpu or gpu:N (and vulkan:N, cuda:N where built in)
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: DeviceSpec,

    /// Threads for all workers together [default: every core]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Print problems only, and the report's path
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// Threads for all workers together.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

fn device(text: &str) -> Result<DeviceSpec, String> {
    DeviceSpec::parse(text).map_err(|error| error.to_string())
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

fn run_name(text: &str) -> Result<String, String> {
    crate::store::check_run_name(text).map(|()| text.to_owned())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline: what is not yet known, and nothing else
    #[command(after_help = "Examples:
  fragua run pipelines/quickstart.yaml
  fragua run lab.yaml --set width=256 --set train.updates=500
  fragua run lab.yaml --params large.yaml
  fragua run lab.yaml --help-params     the parameters, and what they are now
  fragua run lab.yaml --device cpu --threads 2 --jobs 2
  fragua run lab.yaml --until base      this step and what it needs
  fragua run lab.yaml --force answers   again, although it is known
  fragua run lab.yaml --profile         and a time line of what took how long
  fragua run lab.yaml --json | tail -1 | jq -r .report

Ctrl-C once stops after the next checkpoint, twice stops now; the same command goes on later.")]
    Run(RunArguments),

    /// Show what would run, and why
    #[command(
        after_help = "States: cached (the result is known), run, maybe (it waits for an input that may come out
as it once was), blocked (it cannot run), skipped (not selected).

Reasons are the differences from the nearest earlier entry; times are those of earlier attempts,
scaled by the settings that tell the amount of work. `fragua explain FILE STEP` tells more of one.

Examples:
  fragua plan lab.yaml
  fragua plan lab.yaml --svg > plan.svg
  fragua plan lab.yaml --json | jq -r '.instances[].state'
  fragua plan lab.yaml --set learning_rate=3e-4
  fragua plan lab.yaml --from tuned     of this step and what depends on it
  fragua plan lab.yaml --memory         what trainings hold: weights, optimizer, activations .."
    )]
    Plan(PlanArguments),

    /// Check a pipeline file: every problem at once, each with its place
    #[command(after_help = "Examples:
  fragua validate lab.yaml
  fragua validate lab.yaml --json")]
    Validate(FileArguments),

    /// Print the JSON Schema of pipeline files, or the reference page of a step kind
    #[command(after_help = "Examples:
  fragua schema > pipeline.schema.json
  fragua schema --markdown pretrain")]
    Schema(SchemaArguments),

    /// List the devices that can compute
    Devices,

    /// Write a commented starter pipeline with its data
    #[command(after_help = "Examples:
  fragua init lab && fragua run lab/pipeline.yaml")]
    Init(InitArguments),

    /// Show what a run did
    #[command(after_help = "Examples:
  fragua show                  the last run
  fragua show 20260131         the run that begins so
  fragua show best             the newest one that `run --name best` made
  fragua show --settings
  fragua show --json")]
    Show(ShowArguments),

    /// Digest every object in the store again; name damage and the runs that it touches
    Verify,

    /// Do the work of one attempt (started by `run`)
    #[command(hide = true)]
    Worker(WorkerArguments),

    /// Print completions for a shell
    #[command(after_help = "Examples:
  fragua completions bash > ~/.local/share/bash-completion/completions/fragua
  fragua completions zsh > ~/.zfunc/_fragua")]
    Completions(CompletionsArguments),

    /// List the runs, newest first
    #[command(after_help = "Examples:
  fragua runs
  fragua runs --limit 0 --json | jq -r '.runs[].run'

A RUN of other commands is one of these, the beginning of one, a name that `run --name` gave (the
newest one's), or `last`.")]
    Runs(RunsArguments),

    /// Show how two runs differ: settings, artifacts, scores, times, environment
    #[command(after_help = "Examples:
  fragua diff 20260130 last
  fragua diff baseline wider --json | jq .scores")]
    Diff(DiffArguments),

    /// Compare runs in one page
    #[command(after_help = "Examples:
  fragua report 20260130 last
  fragua report baseline wider deeper --baseline run=baseline --out reports/sizes")]
    Report(ReportArguments),

    /// Show where an artifact came from, down to the files that were read
    #[command(after_help = "Examples:
  fragua trace last:report
  fragua trace \"best:answers[model=tuned,shots=1]\"
  fragua trace 8c433e3a
  fragua trace reports/lab/scores.csv
  fragua trace last:base --json")]
    Trace(TraceArguments),

    /// Copy an artifact out of the store
    #[command(after_help = "Examples:
  fragua get last tuned model                            a model directory
  fragua get best \"answers[model=tuned,shots=1]\" answers
  fragua get last rows.train rows                        one part of a dataset
  fragua get last base.tokenizer tokenizer")]
    Get(GetArguments),

    /// Show what nobody needs any more, and delete it when told to
    #[command(
        after_help = "Kept are runs in flight, named runs (`run --name`), the last runs of each pipeline and the last one
that was done, with everything that they made or used; and unfinished work with what it reads.
Reports that were exported are not touched.

Examples:
  fragua gc                                  what would go, why, and how much
  fragua gc --yes
  fragua gc --keep-last 1 --yes
  fragua gc --keep-last 0 --older-than 30d   everything older that has no name
  fragua gc --give-up 14d                    also checkpoints that nothing has touched for two weeks"
    )]
    Gc(GcArguments),

    /// Pack a run into one file: pipeline, templates, versions, the digests of data and artifacts
    #[command(after_help = "Examples:
  fragua pack last lab.tar.gz
  fragua pack best lab.tar --with-data")]
    Pack(PackArguments),

    /// Run a packed run again, in a folder of its own, and compare every digest
    #[command(
        after_help = "Without its data in the archive, put them into DIR first, at the paths that the message names.
Exit code 0 only if everything is the same.

Examples:
  fragua repro lab.tar.gz
  fragua repro lab.tar.gz --into elsewhere --json"
    )]
    Repro(ReproArguments),

    /// Show everything that makes the key of a step, and why it would run or not
    #[command(after_help = "Examples:
  fragua explain lab.yaml tuned
  fragua explain lab.yaml 'answers[model=tuned,shots=1]'
  fragua explain lab.yaml tuned --set learning_rate=3e-4 --json")]
    Explain(ExplainArguments),

    /// Score texts against references, without a pipeline: what sacreBLEU and rouge-score do
    #[command(after_help = super::score::EXAMPLES)]
    Score(Box<super::score::ScoreArguments>),

    /// Talk to a model: messages in, answers as they are made
    #[command(after_help = super::chat::EXAMPLES)]
    Chat(super::chat::ChatArguments),

    /// Show a text's tokens and their numbers
    #[command(after_help = super::tokenize::EXAMPLES)]
    Tokenize(super::tokenize::TokenizeArguments),

    /// Look inside a model: a page of its attention, its vectors and what it would write next
    #[command(after_help = super::inspect::EXAMPLES)]
    Inspect(super::inspect::InspectArguments),
}

/// A pipeline file and its parameters.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// The pipeline file
    pub file: PathBuf,

    /// Set a parameter (repeatable; dots reach into nested ones)
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,

    /// Set parameters from a YAML or JSON file (repeatable; later files win, and --set over all)
    #[arg(long, value_name = "FILE")]
    pub params: Vec<PathBuf>,

    /// Show the pipeline's parameters and what they are now, and do nothing else
    #[arg(long)]
    pub help_params: bool,
}

/// What of a pipeline to run.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to run (STEP is a step, an instance or its axes: answers[model=tuned])")]
pub struct SelectionArguments {
    /// This step and nothing else; what it reads must be known (repeatable, like the following)
    #[arg(long, value_name = "STEP", conflicts_with_all = ["from", "until"])]
    pub only: Vec<String>,

    /// This step and what depends on it; what it reads must be known
    #[arg(long, value_name = "STEP")]
    pub from: Vec<String>,

    /// This step and what it depends on; with --from, the way between the two
    #[arg(long, value_name = "STEP")]
    pub until: Vec<String>,

    /// Run this step again although its result is known
    #[arg(long, value_name = "STEP")]
    pub force: Vec<String>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub pipeline: FileArguments,

    #[command(flatten)]
    pub selection: SelectionArguments,

    /// How many steps would run side by side, for the estimated time
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,

    /// Show how much memory each training and each generation holds at most, term by term
    #[arg(long, conflicts_with_all = ["dot", "mermaid", "svg"])]
    pub memory: bool,

    #[command(flatten)]
    pub picture: PictureArguments,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    pub pipeline: FileArguments,

    /// The step, or one instance of it: `answers[model=tuned,shots=1]`
    pub step: String,
}

/// What `plan` draws instead of listing it.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PictureArguments {
    /// Print the graph for Graphviz
    #[arg(long, conflicts_with = "json")]
    pub dot: bool,

    /// Print the graph for Markdown
    #[arg(long, conflicts_with = "json")]
    pub mermaid: bool,

    /// Print the graph as an SVG image
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

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

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Print the reference page of this step kind instead
    #[arg(long, value_name = "KIND")]
    pub markdown: Option<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder to write to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The run, the beginning of it, its name, or `last`
    #[arg(default_value = "last")]
    pub run: String,

    /// Show the parameters and the settings of every instance as well
    #[arg(long)]
    pub settings: bool,
}

/// `runs`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// How many to list; 0 lists all
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: usize,
}

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

/// `trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// RUN:INSTANCE, a digest or its beginning, or a path: in the store, a copy, a report
    pub artifact: String,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// The run
    pub run: String,

    /// The step, instance, or part of one
    pub step: String,

    /// Where to: a folder that is empty or does not exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

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

/// `pack`.
#[derive(Debug, Args)]
pub struct PackArguments {
    /// The run; it must be done
    pub run: String,

    /// The archive to write: .tar, .tar.gz or .tar.zst
    pub file: PathBuf,

    /// Pack the rows of datasets as well, not only their digests
    #[arg(long)]
    pub with_data: bool,
}

/// `repro`.
#[derive(Debug, Args)]
pub struct ReproArguments {
    /// The archive
    pub file: PathBuf,

    /// Where to: a folder that does not exist, is empty, or holds the data [default: the archive's name]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

/// `worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The attempt's folder
    pub attempt: PathBuf,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
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

pub(super) fn language(text: &str) -> Result<Language, String> {
    match text {
        "en" => Ok(Language::En),
        "es" => Ok(Language::Es),
        _ => Err("the page speaks `en` and `es`".into()),
    }
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example width=256".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_command() {
        let line = [
            "fragua",
            "run",
            "a.yaml",
            "--set",
            "a.b=c=d",
            "--json",
            "--threads",
            "2",
        ];
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(cli.global.json && cli.global.threads() == 2);
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.pipeline.set, [("a.b".to_owned(), "c=d".to_owned())]);
    }

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

    #[test]
    fn nonsense_is_refused() {
        for line in [
            vec!["fragua", "run", "a.yaml", "--set", "=1"],
            vec!["fragua", "run", "a.yaml", "--set", "a"],
            vec!["fragua", "run", "a.yaml", "--threads", "0"],
            vec!["fragua", "run", "a.yaml", "--only", "a", "--from", "b"],
            vec!["fragua", "run", "a.yaml", "--jobs", "0"],
            vec!["fragua", "run", "a.yaml", "--jobs", "many"],
            vec!["fragua", "run", "a.yaml", "--memory", "8 apples"],
            vec!["fragua", "run", "a.yaml", "--memory", "-1GB"],
            vec!["fragua", "run", "a.yaml", "--device", "tpu"],
            vec!["fragua", "run"],
        ] {
            assert_eq!(Cli::try_parse_from(&line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
