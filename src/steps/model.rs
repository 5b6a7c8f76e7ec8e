//! `uses: model`: a model that was trained elsewhere.

use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::models::{Hub, HubError, HubModel, Import, ModelConfig, ModelError};
use crate::step::{
    ArtifactType, Context, FilePath, Input, Interrupted, Key, KeyError, Kind, Outlook, Problem, Prospects, Secret,
    Step, parse_as, schema_of,
};
use crate::tokenizer::{Tokenizer, tokenizer_file};

/// The kind.
pub const KIND: Kind = Kind {
    name: "model",
    about: "Imports a model that was trained elsewhere: a Hugging Face folder, or a name on a Hub.",
    version: 1,
    output: ArtifactType::Model,
    example: "uses: model\nwith: {path: ../models/flan-t5-small}\n",
    schema: schema_of::<ImportModel>,
    parse: parse_as::<ImportModel>,
};

/// Imports a model that was trained elsewhere, as Hugging Face stores models: `config.json`, weights
/// and `tokenizer.json`, or the SentencePiece model (`spiece.model`, `tokenizer.model`) that older ones
/// have, of which a `tokenizer.json` is made. `docs/models.md` lists the architectures that load.
///
/// Weights may be safetensors or a `pytorch_model.bin` (read without executing its pickle), in one
/// file or several with an index, in f32, f16 or bf16. They are held to the configuration (each
/// missing, unexpected or misshapen tensor is named) and copied in the format that they have; what
/// computes with them computes in f32.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportModel {
    /// The model's folder, or its file of weights with the other files beside it. The content of the
    /// files decides whether the model is known, not their place. Give this or `hub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<FilePath>,
    /// A model of a Hub by name: `org/name`, or `org/name@revision` (a branch, a tag or a commit; `main`
    /// without one). The commit decides whether the model is known; a revision that is in the cache
    /// stays at its commit. `HF_ENDPOINT` names another server than huggingface.co, `HF_HOME` or
    /// `HF_HUB_CACHE` another cache than `~/.cache/huggingface/hub`. Give this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    hub: Option<String>,
    /// An access token for a model that is not public, as the environment variable that holds it:
    /// `"${env.NAME}"`. Without this, `HF_TOKEN` is used if it is set. It is in no key, message or record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
}

impl ImportModel {
    /// The Hub, with the token if there is one.
    fn server(&self) -> anyhow::Result<Hub> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = match &self.token {
            None => variable("HF_TOKEN"),
            Some(secret) => Some(secret.reveal().context("`token`: set it to an access token")?),
        };
        Ok(Hub::from_environment(token))
    }
}

/// The description of a model in a folder, if it can be read.
fn config_of(path: &FilePath) -> Option<ModelConfig> {
    let import = Import::at(path.as_path()).ok()?;
    ModelConfig::load(import.dir()).ok()
}

impl Step for ImportModel {
    fn outlook(&self, _prospects: &Prospects<'_>) -> Outlook {
        let Some(path) = &self.path else {
            let unknown = "the shape of a model of a Hub is known once it is downloaded";
            return Outlook {
                unknown: Some(unknown.into()),
                ..Outlook::default()
            };
        };
        let config = config_of(path);
        Outlook {
            vocabulary: config.as_ref().map(|config| config.vocab_size),
            model: config.map(|config| config.to_json()),
            ..Outlook::default()
        }
    }

    fn architecture(&self, _inputs: &[Input]) -> Option<String> {
        let config = config_of(self.path.as_ref()?)?;
        Some(config.architecture().name().into())
    }

    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.path, &self.hub) {
            (Some(path), None) => match Import::at(path.as_path()) {
                Ok(import) => problems.extend(missing_tokenizer(import.dir())),
                Err(error) => {
                    let problem = Problem::at("path", format!("there is no model here: {error}"));
                    problems.push(problem.help("name a folder with config.json, model.safetensors and tokenizer.json"));
                }
            },
            (None, Some(name)) => {
                if let Err(error) = HubModel::parse(name) {
                    problems.push(Problem::at("hub", error.to_string()));
                }
            }
            _ => problems.push(
                Problem::at("", "needs exactly one of `path` and `hub`")
                    .help("write `path: FOLDER`, or `hub: org/name` to download a model"),
            ),
        }
        if self.token.is_some() && self.hub.is_none() {
            problems.push(Problem::at("token", "is for `hub`").help("leave it out"));
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { path, hub, token: _ } = self; // what opens the door is not what is behind it
        if let Some(path) = path {
            files_key(key, path.as_path())?;
        }
        if let Some(name) = hub {
            let commit = || -> anyhow::Result<_> {
                let model = HubModel::parse(name)?;
                let commit = match model.pinned() {
                    Some(commit) => commit.to_owned(), // nothing to ask for
                    None => self.server()?.commit(&model)?,
                };
                Ok((model, commit))
            };
            let (model, commit) = commit().map_err(|error| KeyError {
                path: name.into(),
                source: std::io::Error::other(format!("{error:#}")),
            })?;
            key.set("hub.repository", &model.repository());
            key.set("hub.commit", &commit);
        }
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let folder = match (&self.path, &self.hub) {
            (Some(path), None) => path.as_path().to_owned(),
            (None, Some(name)) => {
                let (model, server) = (HubModel::parse(name)?, self.server()?);
                let commit = server.commit(&model)?;
                context.info(format!("{} at commit {commit}", model.repository()));
                let progress = |done: u64, all: u64, file: &str| {
                    context.progress(done, all.max(done), "bytes", file);
                    !context.stopping()
                };
                match server.download(&model, &commit, &progress) {
                    Err(HubError::Stopped) => return Err(Interrupted.into()),
                    folder => folder?,
                }
            }
            _ => anyhow::bail!("needs exactly one of `path` and `hub`"),
        };
        if let Some(problem) = missing_tokenizer(if folder.is_dir() {
            &folder
        } else {
            folder.parent().unwrap_or(&folder)
        }) {
            anyhow::bail!("{}: {}", problem.message, problem.help.unwrap_or_default());
        }
        let import = Import::at(&folder)?;
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
    tokenizer_file(dir).is_none().then(|| {
        let fact = format!(
            "there is no tokenizer.json and no SentencePiece model in {}",
            dir.display()
        );
        Problem::at("path", fact)
            .help("save the tokenizer once with transformers: AutoTokenizer.from_pretrained(..).save_pretrained(..)")
    })
}

/// Holds the tokenizer to the model, and tells what was imported.
fn finish(import: &Import, context: &Context) -> anyhow::Result<()> {
    let tokenizer = Tokenizer::load(import.dir()).context("cannot load the model's tokenizer")?;
    if !["tokenizer.json", "tokenizer_config.json"]
        .iter()
        .all(|name| context.out.join(name).is_file())
    {
        tokenizer.save(&context.out)?;
    }
    keep_chat_template(&context.out)?;
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

/// Puts a `chat_template.jinja` into `tokenizer_config.json` as well, which goes along with the tokenizer into
/// every model that is made from this one.
fn keep_chat_template(out: &Path) -> anyhow::Result<()> {
    let (template, config) = (out.join("chat_template.jinja"), out.join("tokenizer_config.json"));
    if template.is_file() {
        let text = std::fs::read_to_string(&template)?;
        let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&std::fs::read(&config)?)?;
        json.insert("chat_template".into(), text.into());
        std::fs::write(&config, serde_json::to_string_pretty(&json)? + "\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
