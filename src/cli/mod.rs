//! The command line: one file a command. The only room that prints.
//!
//! Results go to standard output; progress and problems to standard error. Exit codes: 0 done, 1 a
//! step failed (or a damaged store, of `verify`), 2 the file or the command line is wrong, 130
//! interrupted.

mod arguments;
mod chat;
mod completions;
mod devices;
mod diff;
mod explain;
mod failure;
mod gc;
mod get;
mod init;
mod inspect;
mod look;
mod markdown;
mod pack;
mod parameters;
mod plan;
mod plan_memory;
mod print;
mod report;
mod report_index;
mod repro;
mod run;
mod runs;
mod schema;
mod score;
mod score_output;
mod scored;
mod screen;
mod show;
mod table;
mod tokenize;
mod trace;
mod validate;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Cli, Command};

/// Runs the program.
pub fn main() -> ExitCode {
    crate::device::quiet_drivers();
    let Cli { global, command } = Cli::parse();
    let outcome = match command {
        Command::Run(arguments) if arguments.pipeline.help_params => parameters::run(&global, &arguments.pipeline),
        Command::Run(arguments) => run::run(&global, &arguments),
        Command::Explain(arguments) => explain::run(&global, &arguments),
        Command::Plan(arguments) if arguments.pipeline.help_params => parameters::run(&global, &arguments.pipeline),
        Command::Plan(arguments) => plan::run(&global, &arguments),
        Command::Validate(arguments) if arguments.help_params => parameters::run(&global, &arguments),
        Command::Validate(arguments) => validate::run(&global, &arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Devices => devices::run(&global),
        Command::Init(arguments) => init::run(&global, &arguments),
        Command::Show(arguments) => show::run(&global, &arguments),
        Command::Verify => verify::run(&global),
        Command::Worker(arguments) => worker::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Runs(arguments) => runs::run(&global, &arguments),
        Command::Diff(arguments) => diff::run(&global, &arguments),
        Command::Report(arguments) => report::run(&global, &arguments),
        Command::Trace(arguments) => trace::run(&global, &arguments),
        Command::Get(arguments) => get::run(&global, &arguments),
        Command::Gc(arguments) => gc::run(&global, &arguments),
        Command::Pack(arguments) => pack::run(&global, &arguments),
        Command::Repro(arguments) => repro::run(&global, &arguments),
        Command::Score(arguments) => score::run(&global, &arguments),
        Command::Chat(arguments) => chat::run(&global, &arguments),
        Command::Tokenize(arguments) => tokenize::run(&global, &arguments),
        Command::Inspect(arguments) => inspect::run(&global, &arguments),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| failure::tell(&error, global.json)))
}
