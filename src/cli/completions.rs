//! `fragua completions`.

use clap::CommandFactory;

use super::arguments::{Cli, CompletionsArguments};
use super::print::line;

/// Prints a shell's completion script.
pub fn run(arguments: &CompletionsArguments) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "fragua", &mut script);
    line(String::from_utf8(script)?.trim_end());
    Ok(0)
}
