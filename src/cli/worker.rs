//! `fragua worker`: one attempt's work, in a process of its own.

use std::path::PathBuf;

use clap::Args;

use super::print::error_line;
use crate::execute::{WorkOutcome, work};
use crate::steps::KINDS;

/// `worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The attempt's folder
    pub attempt: PathBuf,
}

/// Does the work. What is printed here ends in the attempt's `stderr.log`.
pub fn run(arguments: &WorkerArguments) -> anyhow::Result<u8> {
    Ok(match work(&arguments.attempt, KINDS)? {
        WorkOutcome::Succeeded => 0,
        WorkOutcome::Interrupted => 130,
        WorkOutcome::Failed { message } => {
            error_line(format!("error: {message}"));
            1
        }
    })
}
