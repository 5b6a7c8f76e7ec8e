//! `fragua get`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::failure::asked;
use super::print::{bytes, counted, line};
use crate::records;
use crate::step::ArtifactType;
use crate::steps::KINDS;
use crate::store::Store;

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

/// Copies an artifact out of the store.
pub fn run(global: &Global, arguments: &GetArguments) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let _kept = store.share_to_read();
    let run = records::find(&store, &arguments.run).map_err(asked)?;
    let wanted = records::wanted(&store, &run, &arguments.step).map_err(asked)?;
    records::copy(&store, &wanted, &arguments.folder).map_err(asked)?;
    let to = arguments.folder.display();
    let (files, size) = (wanted.manifest.files.len(), wanted.manifest.size());
    if global.json {
        let told = json!({
            "run": run.record.run,
            "instance": wanted.instance,
            "part": wanted.part,
            "digest": wanted.object,
            "folder": arguments.folder,
            "files": wanted.manifest.files.keys().collect::<Vec<_>>(),
            "bytes": size,
        });
        line(told.to_string());
        return Ok(0);
    }
    let kind = KINDS.iter().find(|kind| kind.name == wanted.kind);
    let what = match (&wanted.part, kind.map(|kind| kind.output)) {
        (Some(part), _) => format!("the part `{part}` of {}", wanted.instance),
        (None, Some(artifact)) => format!("the {artifact} of {}", wanted.instance),
        (None, None) => wanted.instance.clone(),
    };
    if global.quiet {
        return Ok(0);
    }
    line(format!(
        "{to}: {what}, {}, {}, digests compared",
        counted(files, "file"),
        bytes(size)
    ));
    let is_tokenizer = wanted.part.as_deref() == Some("tokenizer");
    let artifact = kind.map(|kind| {
        if is_tokenizer {
            ArtifactType::Tokenizer
        } else {
            kind.output
        }
    });
    artifact
        .iter()
        .for_each(|artifact| line(opened_by(*artifact, &to.to_string())));
    Ok(0)
}

/// How people open an artifact.
fn opened_by(artifact: ArtifactType, folder: &str) -> String {
    match artifact {
        ArtifactType::Dataset => "one JSON object a line in data.jsonl: any editor, jq, pandas".into(),
        ArtifactType::Tokenizer => {
            format!(
                "Python: tokenizers.Tokenizer.from_file({:?})",
                format!("{folder}/tokenizer.json")
            )
        }
        ArtifactType::Tokens => {
            "tokens.bin is flat and little-endian; index.json says how wide (docs/artifacts.md)".into()
        }
        ArtifactType::Model => format!("Python: transformers.AutoModelForCausalLM.from_pretrained({folder:?})"),
        ArtifactType::Generations => "one JSON object a line in generations.jsonl: any editor, jq, pandas".into(),
        ArtifactType::Scores => "scores.json has the scores, samples.jsonl each sample with its own".into(),
        ArtifactType::Report => format!("open {folder}/index.html in a browser"),
    }
}
