//! `fragua schema`.

use clap::Args;

use super::failure::Usage;
use super::markdown;
use super::print::line;
use crate::pipeline::{schema, suggest};
use crate::steps::KINDS;

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Print the reference page of this step kind instead
    #[arg(long, value_name = "KIND")]
    pub markdown: Option<String>,
}

/// Prints the schema of pipeline files, or a kind's reference page.
pub fn run(arguments: &SchemaArguments) -> anyhow::Result<u8> {
    let Some(name) = &arguments.markdown else {
        line(serde_json::to_string_pretty(&schema(KINDS))?);
        return Ok(0);
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        let help = match suggest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names.join(", ")),
        };
        return Err(Usage(format!("no step kind `{name}`; {help}")).into());
    };
    line(markdown::page(kind).trim_end());
    Ok(0)
}
