//! `fragua completions`.

use clap::Args;
use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Cli;
use super::print::line;

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}

/// Prints a shell's completion script.
pub fn run(arguments: &CompletionsArguments) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "fragua", &mut script);
    line(String::from_utf8(script)?.trim_end());
    Ok(0)
}
