//! What the command line understands.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    Run(super::run::RunArguments),

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
    Plan(super::plan::PlanArguments),

    /// Check a pipeline file: every problem at once, each with its place
    #[command(after_help = "Examples:
  fragua validate lab.yaml
  fragua validate lab.yaml --json")]
    Validate(FileArguments),

    /// Print the JSON Schema of pipeline files, or the reference page of a step kind
    #[command(after_help = "Examples:
  fragua schema > pipeline.schema.json
  fragua schema --markdown pretrain")]
    Schema(super::schema::SchemaArguments),

    /// List the devices that can compute
    Devices,

    /// Write a commented starter pipeline with its data
    #[command(after_help = "Examples:
  fragua init lab && fragua run lab/pipeline.yaml")]
    Init(super::init::InitArguments),

    /// Show what a run did
    #[command(after_help = "Examples:
  fragua show                  the last run
  fragua show 20260131         the run that begins so
  fragua show best             the newest one that `run --name best` made
  fragua show --settings
  fragua show --json")]
    Show(super::show::ShowArguments),

    /// Digest every object in the store again; name damage and the runs that it touches
    Verify,

    /// Do the work of one attempt (started by `run`)
    #[command(hide = true)]
    Worker(super::worker::WorkerArguments),

    /// Print completions for a shell
    #[command(after_help = "Examples:
  fragua completions bash > ~/.local/share/bash-completion/completions/fragua
  fragua completions zsh > ~/.zfunc/_fragua")]
    Completions(super::completions::CompletionsArguments),

    /// List the runs, newest first
    #[command(after_help = "Examples:
  fragua runs
  fragua runs --limit 0 --json | jq -r '.runs[].run'

A RUN of other commands is one of these, the beginning of one, a name that `run --name` gave (the
newest one's), or `last`.")]
    Runs(super::runs::RunsArguments),

    /// Show how two runs differ: settings, artifacts, scores, times, environment
    #[command(after_help = "Examples:
  fragua diff 20260130 last
  fragua diff baseline wider --json | jq .scores")]
    Diff(super::diff::DiffArguments),

    /// Compare runs in one page
    #[command(after_help = "Examples:
  fragua report 20260130 last
  fragua report baseline wider deeper --baseline run=baseline --out reports/sizes")]
    Report(super::report::ReportArguments),

    /// Show where an artifact came from, down to the files that were read
    #[command(after_help = "Examples:
  fragua trace last:report
  fragua trace \"best:answers[model=tuned,shots=1]\"
  fragua trace 8c433e3a
  fragua trace reports/lab/scores.csv
  fragua trace last:base --json")]
    Trace(super::trace::TraceArguments),

    /// Copy an artifact out of the store
    #[command(after_help = "Examples:
  fragua get last tuned model                            a model directory
  fragua get best \"answers[model=tuned,shots=1]\" answers
  fragua get last rows.train rows                        one part of a dataset
  fragua get last base.tokenizer tokenizer")]
    Get(super::get::GetArguments),

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
    Gc(super::gc::GcArguments),

    /// Pack a run into one file: pipeline, templates, versions, the digests of data and artifacts
    #[command(after_help = "Examples:
  fragua pack last lab.tar.gz
  fragua pack best lab.tar --with-data")]
    Pack(super::pack::PackArguments),

    /// Run a packed run again, in a folder of its own, and compare every digest
    #[command(
        after_help = "Without its data in the archive, put them into DIR first, at the paths that the message names.
Exit code 0 only if everything is the same.

Examples:
  fragua repro lab.tar.gz
  fragua repro lab.tar.gz --into elsewhere --json"
    )]
    Repro(super::repro::ReproArguments),

    /// Show everything that makes the key of a step, and why it would run or not
    #[command(after_help = "Examples:
  fragua explain lab.yaml tuned
  fragua explain lab.yaml 'answers[model=tuned,shots=1]'
  fragua explain lab.yaml tuned --set learning_rate=3e-4 --json")]
    Explain(super::explain::ExplainArguments),

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
