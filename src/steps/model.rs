//! `uses: model`: a model that was trained elsewhere.

use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::models::{Import, ModelError};
use crate::step::{ArtifactType, Context, FilePath, Input, Key, KeyError, Kind, Problem, Step, parse_as, schema_of};
use crate::tokenizer::Tokenizer;

/// The kind.
pub const KIND: Kind = Kind {
    name: "model",
    about: "Imports a model that was trained elsewhere: a Hugging Face folder.",
    version: 1,
    output: ArtifactType::Model,
    example: "uses: model\nwith: {path: ../models/flan-t5-small}\n",
    schema: schema_of::<ImportModel>,
    parse: parse_as::<ImportModel>,
};

/// Imports a model that was trained elsewhere, as Hugging Face stores models: `config.json`, weights
/// and `tokenizer.json`. `docs/models.md` lists the architectures that load.
///
/// Weights may be safetensors or a `pytorch_model.bin` (read without executing its pickle), in one
/// file or several with an index, in f32, f16 or bf16. They are held to the configuration (each
/// missing, unexpected or misshapen tensor is named) and copied in the format that they have; what
/// computes with them computes in f32.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportModel {
    /// The model's folder, or its file of weights with the other files beside it. The content of the
    /// files decides whether the model is known, not their place.
    path: FilePath,
}

impl Step for ImportModel {
    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        match Import::at(self.path.as_path()) {
            Ok(import) => missing_tokenizer(import.dir()).into_iter().collect(),
            Err(error) => {
                let problem = Problem::at("path", format!("there is no model here: {error}"));
                vec![problem.help("name a folder with config.json, model.safetensors and tokenizer.json")]
            }
        }
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { path } = self;
        files_key(key, path.as_path())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let import = Import::at(self.path.as_path())?;
        import.copy(&context.out)?;
        finish(&import, context)
    }
}

/// Each file of a model by its name and content.
fn files_key(key: &mut Key, path: &Path) -> Result<(), KeyError> {
    let unreadable = |error: ModelError| KeyError {
        path: path.to_owned(),
        source: std::io::Error::other(error.to_string()),
    };
    let files = Import::at(path).and_then(|import| import.files()).map_err(unreadable)?;
    key.nest("files", |key| {
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            key.file(&name, &file.into())?;
        }
        Ok(())
    })
}

fn missing_tokenizer(dir: &Path) -> Option<Problem> {
    let missing = !dir.join("tokenizer.json").is_file();
    missing.then(|| {
        let fact = format!("there is no tokenizer.json in {}", dir.display());
        Problem::at("path", fact)
            .help("save the tokenizer once with transformers: AutoTokenizer.from_pretrained(..).save_pretrained(..)")
    })
}

/// Holds the tokenizer to the model, and tells what was imported.
fn finish(import: &Import, context: &Context) -> anyhow::Result<()> {
    let tokenizer = Tokenizer::load(import.dir()).context("cannot load the model's tokenizer")?;
    if !context.out.join("tokenizer_config.json").is_file() {
        tokenizer.save(&context.out)?;
    }
    let config = crate::models::ModelConfig::load(&context.out)?;
    let (words, rows) = (tokenizer.vocab_size(), config.vocab_size);
    if words > rows {
        context.warn(format!(
            "the tokenizer has {words} tokens and the model {rows}: the last ones cannot be used"
        ));
    }
    let bytes: u64 = std::fs::read_dir(&context.out)?
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum();
    context.info(format!(
        "{}: {} layers, width {}, {rows} tokens; {bytes} bytes",
        config.architecture().name(),
        config.layers,
        config.width,
    ));
    Ok(())
}

#[cfg(test)]
mod tests;
