//! `fragua init`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::arguments::Global;
use super::failure::Usage;
use super::print::line;
use crate::pipeline::schema;
use crate::steps::KINDS;

/// `init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder to write to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// The starter, by file name.
const FILES: &[(&str, &str)] = &[
    ("pipeline.yaml", include_str!("init/pipeline.yaml")),
    ("errands.jinja", include_str!("init/errands.jinja")),
    ("summarize.jinja", include_str!("init/summarize.jinja")),
];

/// Writes the starter. Nothing that is there is overwritten.
pub fn run(global: &Global, arguments: &InitArguments) -> anyhow::Result<u8> {
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema(KINDS))?);
    let folder = &arguments.folder;
    let files: Vec<_> = FILES
        .iter()
        .copied()
        .chain([("pipeline.schema.json", schema.as_str())])
        .map(|(name, text)| (folder.join(name), text))
        .collect();
    let taken: Vec<_> = files.iter().filter(|(path, _)| path.exists()).collect();
    if let Some((path, _)) = taken.first() {
        let message = format!(
            "{} exists already, and init overwrites nothing: name another folder",
            path.display()
        );
        return Err(Usage(message).into());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (path, text) in &files {
        let created = OpenOptions::new().write(true).create_new(true).open(path);
        created
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        if !global.quiet {
            line(format!("wrote {}", path.display()));
        }
    }
    if !global.quiet {
        line(format!("next: fragua run {}", folder.join("pipeline.yaml").display()));
    }
    Ok(0)
}
