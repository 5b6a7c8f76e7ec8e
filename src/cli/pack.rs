//! `fragua pack`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::failure::asked;
use super::print::{bytes, counted, line};
use crate::records::{self, Role};
use crate::store::Store;

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

/// Packs a run into one file.
pub fn run(global: &Global, arguments: &PackArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let _kept = store.share_to_read();
    let run = records::find(&store, &arguments.run).map_err(asked)?;
    let packed = records::pack(&store, &run, &arguments.file, arguments.with_data).map_err(asked)?;
    let size = std::fs::metadata(&arguments.file).map_or(0, |meta| meta.len());
    if global.json {
        line(json!({"file": arguments.file, "bytes": size, "packed": packed}).to_string());
        return Ok(0);
    }
    if global.quiet {
        return Ok(0);
    }
    let inside = packed.files.iter().filter(|file| file.packed.is_some()).count();
    line(format!(
        "{}: run {}, {}, the digests of {}, {}",
        arguments.file.display(),
        packed.run,
        counted(inside, "file"),
        counted(packed.instances.len(), "artifact"),
        bytes(size)
    ));
    for file in packed.files.iter().filter(|file| file.packed.is_none()) {
        let why = if file.role == Role::Data && Path::new(&file.path).is_relative() {
            "by its digest only: --with-data packs it"
        } else {
            "by its digest only: the pipeline names it by an absolute path"
        };
        line(format!("  {} {why}", file.path));
    }
    Ok(0)
}
